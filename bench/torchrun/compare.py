#!/usr/bin/python3
"""Runs distrun beside Debian's torchrun and prints, as Markdown, what each did.

    bench/torchrun/compare.py [--lines L1,L7] [--no-lines] [--no-start-up] [--runs 5]

Needs python3-torch (Debian 12: torch 1.13 for /usr/bin/python3), a Release build of launcher/, and for L9, L11 and L13 root.
DISTRUN names another distrun, DISTRUN_BENCH another build of bench (for the join).
"""

import argparse
import datetime
import os
import platform
import sys

import startup
from launch import distrun, torchrun
from lines import LINES


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", help="comma-separated numbers; all by default")
    parser.add_argument("--no-lines", action="store_true")
    parser.add_argument("--no-start-up", action="store_true")
    parser.add_argument("--runs", type=int, default=5, help="of each start-up time (default 5)")
    parser.add_argument("--only", choices=["torchrun", "distrun"], help="run the lines under one launcher only")
    options = parser.parse_args()
    chosen = options.lines.split(",") if options.lines else [number for number, _, _ in LINES]
    unknown = set(chosen) - {number for number, _, _ in LINES}
    if unknown:
        parser.error(f"no such line: {', '.join(sorted(unknown))}")

    print(f"{datetime.date.today()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.system()} {platform.release()}\n")
    launchers = [launcher for launcher in (torchrun(), distrun()) if options.only in (None, launcher.name)]
    lost = 0
    if not options.no_lines:
        print("| | what has to happen | " + " | ".join(launcher.name for launcher in launchers) + " |")
        print("|---|---|" + "---|" * len(launchers))
        for number, title, run in LINES:
            if number in chosen:
                cells = [run(launcher) for launcher in launchers]
                lost += launchers[-1].name == "distrun" and cells[-1][0] is False
                print(f"| {number} | {title} | " + " | ".join(cell(*result) for result in cells) + " |", flush=True)
        print()
    if not options.no_start_up:
        print("| | torchrun | distrun | torchrun / distrun |\n|---|---|---|---|")
        for row in startup.measure(torchrun(), distrun(), options.runs):
            print("| " + " | ".join(row) + " |", flush=True)
    return 1 if lost else 0


def cell(held, text):
    mark = {True: "✔", False: "✘", None: "–"}[held]
    return f"{mark} {text}".replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
