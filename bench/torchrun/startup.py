"""Start-up and footprint of both launchers, taken in turns on one machine."""

import os
import re
import statistics
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def measure(torchrun, distrun, runs):
    """Yields (what, torchrun's value, distrun's value, ratio or rule) as text."""
    print_nothing = ["--no_python", "sh", "-c", "echo first"]
    group = ["group.py"]
    worker = ["worker", "complete", "--config", str(Path(__file__).resolve().parents[2] / "configs/demo.json")]
    here = Path(__file__).resolve().parent
    cases = [
        ("from exec to the first line of a worker that imports nothing, 1 process", 1, (print_nothing, "first"), (print_nothing, "first")),
        ("the same, 2 processes", 2, (print_nothing, "first"), (print_nothing, "first")),
        ("from exec to a joined group of 2 (torch's gloo; the bundled worker)", 2, (group, "joined"), (worker, "transport: ")),
    ]
    for title, count, theirs, ours in cases:
        times = {torchrun: [], distrun: []}
        for _ in range(runs):
            for launcher, (program, text) in ((torchrun, theirs), (distrun, ours)):
                with launcher.start_program([f"--nproc_per_node={count}"], program, here) as run:
                    if not run.until_said(text):
                        raise RuntimeError(f"{launcher.name} failed:\n{run.err}")
                    times[launcher].append(time.monotonic() - run.began)
        medians = [statistics.median(times[launcher]) for launcher in (torchrun, distrun)]
        spread = [f"{median:.3f} s ({min(times[launcher]):.3f} to {max(times[launcher]):.3f})"
                  for launcher, median in zip((torchrun, distrun), medians)]
        yield title, *spread, f"{medians[0] / medians[1]:.1f} times"

    footprints = [footprint(launcher) for launcher in (torchrun, distrun)]
    for title, values in zip(("resident memory of the launcher, 2 idle ranks", "CPU of the launcher while they idle for 20 s"), zip(*footprints)):
        yield title, *values, ""


def footprint(launcher):
    with launcher.start(["--nproc_per_node=2"], "echo ready; exec sleep 300") as run:
        run.until_said("ready", 2)
        time.sleep(2)
        before = cpu_seconds(run.pid)
        time.sleep(20)
        used = cpu_seconds(run.pid) - before
        status = Path(f"/proc/{run.pid}/status").read_text()
        resident, peak = (int(re.search(rf"{name}:\s+(\d+) kB", status).group(1)) / 1024 for name in ("VmRSS", "VmHWM"))
        return f"{resident:.0f} MiB (peak {peak:.0f})", f"{used / 20:.2%} of a core"


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK
