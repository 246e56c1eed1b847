"""Writes CanonicalForms.txt, what FormC needs of the Unicode Character Database, with Python's own copy of it.

First line: the version. Then a line for each character with a canonical decomposition of its own: the character, its one or two parts, and a
star where the two compose to it again. Then a line for each run of characters with the same combining class other than 0: first-last class.
"""

import os
import sys
import unicodedata

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    lines = [f"# Unicode {unicodedata.unidata_version}; written by make_canonical_forms.py"]
    for code in range(sys.maxunicode + 1):
        if 0xAC00 <= code <= 0xD7A3:
            continue  # Hangul syllables are arithmetic
        parts = unicodedata.decomposition(chr(code))
        if parts and not parts.startswith("<"):
            composes = len(parts.split()) == 2 and unicodedata.normalize("NFC", unicodedata.normalize("NFD", chr(code))) == chr(code)
            lines.append(f"{code:X} {' '.join(part.lstrip('0') for part in parts.split())}{' *' if composes else ''}")
    first, last, value = None, None, 0
    for code in range(sys.maxunicode + 2):
        combining = unicodedata.combining(chr(code)) if code <= sys.maxunicode else 0
        if combining != value:
            if value:
                lines.append(f"{first:X}-{last:X} {value}")
            first, value = code, combining
        last = code
    with open(os.path.join(HERE, "CanonicalForms.txt"), "w") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
