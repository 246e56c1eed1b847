"""Debian's torchrun (torch 1.13) with the one repair that it needs under Python 3.11.

There iterating an IntFlag yields its single bits only, so Std.from_str, which reads --redirects and --tee, returns None for 0
(the default: every launch fails) and for 3. Nothing else is changed.
"""

import sys

from torch.distributed.elastic.multiprocessing.api import Std

_from_str = Std.from_str.__func__


@classmethod
def _repaired(cls, text):
    if isinstance(_from_str(cls, text), dict):  # It has checked the text.
        return {int(rank): cls(int(value)) for rank, value in (pair.split(":") for pair in text.split(","))}
    return cls(int(text))


Std.from_str = _repaired

if __name__ == "__main__":
    from torch.distributed.run import main

    sys.exit(main())
