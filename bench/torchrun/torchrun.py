"""Debian's torchrun (torch 1.13) with the one repair that it needs under Python 3.11.

There iterating an IntFlag skips its zero member, so Std.from_str("0"), which reads the default of --redirects and --tee,
returns None and every launch fails. Nothing else is changed.
"""

import sys

from torch.distributed.elastic.multiprocessing.api import Std

_from_str = Std.from_str.__func__


@classmethod
def _repaired(cls, text):
    if text == "0":
        return cls.NONE
    value = _from_str(cls, text)
    if isinstance(value, dict):
        return {rank: cls.NONE if std is None else std for rank, std in value.items()}
    return value


Std.from_str = _repaired

if __name__ == "__main__":
    from torch.distributed.run import main

    sys.exit(main())
