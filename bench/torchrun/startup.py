"""Start-up and footprint of both launchers, taken in turns on one machine."""

import os
import re
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from launch import HERE, ROOT, Launcher, distrun

TICK = os.sysconf("SC_CLK_TCK")


def measure(torchrun, ours, runs):
    """Yields (what, torchrun's value, distrun's value, ratio) as text."""
    print_nothing = ["--no_python", "sh", "-c", "echo first"]
    worker = ["worker", "complete", "--config", str(ROOT / "configs/demo.json")]
    with tempfile.TemporaryDirectory() as folder:
        cases = [
            ("from exec to the first line of a worker that imports nothing, 1 process", 1, (torchrun, print_nothing, "first"), (ours, print_nothing, "first")),
            ("the same, 2 processes", 2, (torchrun, print_nothing, "first"), (ours, print_nothing, "first")),
            ("from exec to a joined group of 2: a program that does nothing else (torch's gloo; collectives/)",
             2, (torchrun, ["group.py"], "joined"), (with_join_as_worker(folder), ["worker"], "joined")),
            ("from exec to the bundled worker's joined group of 2, its check of the input before included",
             2, (torchrun, ["group.py"], "joined"), (ours, worker, "transport: ")),
        ]
        for title, count, *sides in cases:
            times, work = ([], []), ([], [])
            for _ in range(runs):
                for index, (launcher, program, text) in enumerate(sides):
                    with launcher.start_program([f"--nproc_per_node={count}"], program, HERE) as run:
                        if not run.until_said(text):
                            raise RuntimeError(f"{launcher.name} failed:\n{run.err}")
                        times[index].append(time.monotonic() - run.began)
                        work[index].append(sum(cpu_seconds(pid) for pid in run.processes()))
            cells = [f"{statistics.median(took):.3f} s ({min(took):.3f} to {max(took):.3f}), CPU {statistics.median(used):.2f} s"
                     for took, used in zip(times, work)]
            ratio, saved = (statistics.median(theirs) / max(statistics.median(ours), 0.01) for theirs, ours in (times, work))
            yield title, *cells, f"{ratio:.1f} (CPU {saved:.1f})"

    footprints = [footprint(launcher) for launcher in (torchrun, ours)]
    for title, values in zip(("resident memory of the launcher, 2 idle ranks", "CPU of the launcher while they idle for 20 s"), zip(*footprints)):
        yield title, *values, ""


def with_join_as_worker(folder):
    """A distrun in whose worker's place is bench's join, so that it is told what the bundled worker is told."""
    built = Path(distrun().base[0]).resolve().parent
    for entry in built.iterdir():
        if entry.name != "worker":
            Path(folder, entry.name).symlink_to(entry)
    for name in ("distrun", "distrun.dll"):  # They look for the rest beside themselves.
        Path(folder, name).unlink()
        shutil.copy2(built / name, folder)
    worker = Path(folder, "worker/worker")
    worker.parent.mkdir()
    bench = os.environ.get("DISTRUN_BENCH") or ROOT / "bench/bin/Release/net10.0/Distributed.Bench"
    worker.write_text(f'#!/bin/sh\n[ -z "$DISTRUN_PREFLIGHT" ] || exit 0\nexec {bench} join\n')
    worker.chmod(0o755)
    return Launcher("distrun", [str(Path(folder, "distrun"))])


def footprint(launcher):
    with launcher.start(["--nproc_per_node=2"], "echo ready; exec sleep 300") as run:
        run.until_said("ready", 2)
        time.sleep(10)
        before = cpu_seconds(run.pid)
        time.sleep(20)
        used = cpu_seconds(run.pid) - before
        status = Path(f"/proc/{run.pid}/status").read_text()
        resident, peak = (int(re.search(rf"{name}:\s+(\d+) kB", status).group(1)) / 1024 for name in ("VmRSS", "VmHWM"))
        return f"{resident:.0f} MiB (peak {peak:.0f})", f"{used / 20:.2%} of a core"


def cpu_seconds(pid):
    """What a process and the children that it has collected have used of the processors."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICK
    except OSError:
        return 0
