"""One launch of either launcher, and what can be seen of it from outside."""

import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MARK = "LAUNCH_COMPARISON_MARK"


class Launcher:
    """How to call one launcher.

    base: the command before torchrun's options; both launchers take the same ones, spelled with _ (torch 1.13 knows no other way).
    unknown: options of the line that this launcher does not know, with what it takes instead.
    """

    def __init__(self, name, base, unknown=None):
        self.name = name
        self.base = base
        self._unknown = unknown or {}

    def start(self, options, script, folder=None, before=(), environment=None):
        """Starts ranks that run a piece of sh; `before` is a command that the launcher is put behind (unshare, say)."""
        # From a file: in an argument torchrun turns $$ into $.
        own = folder is None
        folder = Path(folder or tempfile.mkdtemp(prefix="launch-"))
        (folder / "worker.sh").write_text(script)
        return self.start_program(options, ["--no_python", "sh", str(folder / "worker.sh")], folder, before, environment, own)

    def start_program(self, options, program, folder, before=(), environment=None, owns_folder=False):
        known = []
        for option in options:
            known += self._unknown.get(option.split("=")[0], [option])
        return Launch([*before, *self.base, *known, *program], folder, owns_folder, environment or {})


def torchrun():
    # Its own default interval is 5 s in this version, 0.1 s in later ones. Of the options that later versions have it lacks these.
    unknown = {"--shutdown_timeout": [], "--local_ranks_filter": []}
    return Launcher("torchrun", ["/usr/bin/python3", str(HERE / "torchrun.py"), "--monitor_interval=0.1"], unknown)


def distrun():
    return Launcher("distrun", [os.environ.get("DISTRUN") or str(ROOT / "launcher/bin/Release/net10.0/distrun")])


class Launch:
    """A running launcher. Its processes are known by a mark in their environment, whatever they are called."""

    def __init__(self, command, folder, owns_folder, environment):
        self._mark = f"{MARK}={uuid.uuid4()}"
        self._owns_folder = owns_folder
        self.folder = Path(folder)
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PET_")}
        variables |= {MARK: self._mark[len(MARK) + 1:], "FOLDER": str(self.folder), **environment}
        self.began = time.monotonic()
        self._process = subprocess.Popen(
            command, cwd=self.folder, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pid = self._process.pid
        self.out = ""
        self.err = ""
        self.exit_code = None
        self.usage = None
        self._selector = selectors.DefaultSelector()
        for stream, name in ((self._process.stdout, "out"), (self._process.stderr, "err")):
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._process.wait()
        self._process.stdout.close()
        self._process.stderr.close()
        if self._owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def pump(self, limit):
        """Reads what there is, waiting up to `limit` seconds for something to come."""
        for key, _ in self._selector.select(limit):
            data = os.read(key.fileobj.fileno(), 65536)
            if data:
                setattr(self, key.data, getattr(self, key.data) + data.decode(errors="replace"))
            else:
                self._selector.unregister(key.fileobj)

    def until(self, condition, limit):
        """Waits until `condition` holds, and returns the seconds that it took; None where it did not within `limit` seconds."""
        start = time.monotonic()
        while not condition():
            if time.monotonic() - start > limit:
                return None
            if self._selector.get_map():
                self.pump(0.002)
            else:
                time.sleep(0.002)
        return time.monotonic() - start

    def until_said(self, text, count=1, limit=60):
        """Waits until the ranks have said `text` so often. Raises where they do not."""
        if self.until(lambda: (self.out + self.err).count(text) >= count or self.has_ended(), limit) is None:
            raise TimeoutError(f"{text!r} was not said {count} times in {limit} s:\n{self.out}\n{self.err}")
        return (self.out + self.err).count(text) >= count

    def has_ended(self):
        if self.exit_code is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.exit_code = self._process.returncode = os.waitstatus_to_exitcode(status)
                self.usage = usage
        return self.exit_code is not None

    def until_end(self, limit=60):
        """Waits for the launcher's end and all that it said; the seconds that it took, or None."""
        took = self.until(self.has_ended, limit)
        if took is not None:
            self.until(lambda: not self._selector.get_map(), 5)  # A process that it has left behind may hold it open.
        return took

    def send(self, number):
        os.kill(self.pid, number)

    def processes(self):
        """The living processes of this launch."""
        found = []
        for folder in os.scandir("/proc"):
            if folder.name.isdigit():
                try:
                    environment = Path(folder.path, "environ").read_bytes()
                    if self._mark.encode() in environment and is_alive(int(folder.name)):
                        found.append(int(folder.name))
                except OSError:
                    pass
        return found

    def until_gone(self, limit):
        """Waits until no process is left; the seconds that it took, or None."""
        return self.until(lambda: not self.processes(), limit)

    def is_refusal(self):
        """Whether nothing was started because of the command line."""
        return self.exit_code == 2

    def root_cause(self):
        """The rank that the report calls the root cause; None where there is no report."""
        match = re.search(r"Root Cause \(first observed failure\):.*?rank\s*: (\d+)", self.err + self.out, re.S)
        return int(match.group(1)) if match else None

    def failures(self):
        """The ranks that the report lists under Failures."""
        match = re.search(r"\nFailures:\n(.*?)\n-----", self.err + self.out, re.S)
        return [int(rank) for rank in re.findall(r"rank\s*: (\d+)", match.group(1))] if match else []


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
