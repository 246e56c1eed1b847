"""The lines in which torchrun is weak, each as a run of either launcher that is judged by one rule.

A line returns (held, what happened). It knows nothing of which launcher it runs.
"""

import os
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path

LINES = []
SLEEP = "echo ready; exec sleep 300"
FREEZER = Path("/sys/fs/cgroup/freezer")


def line(number, title):
    def add(function):
        LINES.append((number, title, function))
        return function
    return add


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def seconds(value):
    return f"{value:.2f} s"


def refusal(run):
    """What a launcher that does not know an option says instead of starting anything."""
    return False, "refused: " + run.err.strip().splitlines()[0]


@line("L1", "`kill -9` of the launcher: every worker gone within 1 s")
def killed_launcher(launcher):
    with launcher.start(["--nproc_per_node=2"], SLEEP) as run:
        run.until_said("ready", 2)
        run.send(signal.SIGKILL)
        took = run.until_gone(5)
        return (False, f"{len(run.processes())} processes alive after 5 s") if took is None else (took < 1, f"gone after {seconds(took)}")


@line("L2", "a worker forks a grandchild and exits 1: the grandchild is gone with the job")
def grandchild(launcher):
    script = 'test $LOCAL_RANK = 0 && exec sleep 300; sleep 300 >/dev/null 2>&1 & exit 1'
    with launcher.start(["--nproc_per_node=2"], script) as run:
        if run.until_end(60) is None:
            return False, "the launcher did not end in 60 s"
        took = run.until_gone(1)
        return (False, f"{len(run.processes())} alive after the launcher's end") if took is None else (True, "gone with the launcher")


def named(launcher, ranks, script, expected, runs=5):
    """How often the report names the right rank."""
    causes = []
    for _ in range(runs):
        with launcher.start([f"--nproc_per_node={ranks}"], script) as run:
            run.until_end(90)
            causes.append(run.root_cause())
    right = sum(cause == expected for cause in causes)
    return right == runs, f"rank {expected} named in {right} of {runs}" + ("" if right == runs else f" (named: {causes})")


@line("L3", "rank 3 is killed, 50 ms later rank 0 fails for it (\"connection reset\"): the report names rank 3")
def victim_is_not_named(launcher):
    # Rank 0 leaves what torch's @record writes.
    return named(launcher, 4, '''
        case $LOCAL_RANK in
        3) echo $$ > $FOLDER/victim.tmp; mv $FOLDER/victim.tmp $FOLDER/victim; exec sleep 300 ;;
        0) while ! test -f $FOLDER/victim; do sleep 0.005; done
           kill -9 $(cat $FOLDER/victim); sleep 0.05
           printf '{"message":{"message":"ConnectionResetError: reset by peer","extraInfo":{"py_callstack":"","timestamp":"%d"}}}' \\
             $(date +%s) > $TORCHELASTIC_ERROR_FILE
           exit 1 ;;
        *) exec sleep 300 ;;
        esac''', expected=3)


@line("L4", "rank 5 fails, 20 ms later rank 2: the report names rank 5")
def earlier_is_named(launcher):
    return named(launcher, 6, '''
        case $LOCAL_RANK in
        5) touch $FOLDER/failing; exit 1 ;;
        2) trap '' TERM; while ! test -f $FOLDER/failing; do sleep 0.002; done; sleep 0.02; exit 1 ;;
        *) exec sleep 300 ;;
        esac''', expected=5)


@line("L5", "ranks that the launcher itself has stopped are not listed as failures")
def collateral_is_apart(launcher):
    with launcher.start(["--nproc_per_node=3"], "test $LOCAL_RANK = 1 && exit 3; exec sleep 300") as run:
        run.until_end(60)
        listed = run.failures()
        return run.root_cause() == 1 and not listed, f"listed as failures beside the root cause: {listed or 'none'}"


@line("L6", "`--redirects 10:3` (a rank of two digits)")
def redirects_of_rank_ten(launcher):
    with launcher.start(["--nproc_per_node=11", "--redirects=10:3", "--log_dir=logs"], "echo out of $LOCAL_RANK") as run:
        run.until_end(90)
        files = [path for path in run.folder.glob("logs/*/attempt_0/*/stdout.log") if "out of 10" in path.read_text()]
        said = (run.err.strip().splitlines() or [""])[-1]
        return bool(files), "rank 10 has its stdout.log" if files else f"no file: {said[:120]}"


@line("L7", "a rank writes half a line, then another one writes: lines never mix")
def lines_are_whole(launcher):
    script = '''
        if test $LOCAL_RANK = 0; then
          printf '<<<<'; touch $FOLDER/half; while ! test -f $FOLDER/other; do sleep 0.01; done; printf '<<<<\\n'
        else
          while ! test -f $FOLDER/half; do sleep 0.01; done; sleep 0.1; printf '>>>>\\n'; sleep 0.1; touch $FOLDER/other
        fi'''
    with launcher.start(["--nproc_per_node=2"], script) as run:
        run.until_end(60)
        mixed = [text for text in run.out.splitlines() if "<" in text and ">" in text]
        whole = "<<<<<<<<" in run.out
        return whole and not mixed, "whole lines" if whole and not mixed else f"printed {run.out.strip()!r}"


@line("L8", "a rank whose output is filtered out or redirected fails: its last words are in the report")
def last_words(launcher):
    script = 'test $LOCAL_RANK = 1 && { printf "the disk is %s\\n" full >&2; exit 1; }; exec sleep 300'
    with launcher.start(["--nproc_per_node=2", "--redirects=1:3", "--local_ranks_filter=0"], script) as run:
        run.until_end(60)
        found = "the disk is full" in run.err + run.out
        return found and run.root_cause() == 1, "in the report" if found else "not printed anywhere"


@line("L9", "a worker that SIGKILL does not end (a frozen cgroup): the launcher ends all the same and names it")
def unkillable(launcher):
    if not (FREEZER / "freezer.state").parent.joinpath("cgroup.procs").exists() or os.geteuid() != 0:
        return None, "not run: needs root and the freezer of cgroup v1"
    group = FREEZER / f"comparison-{os.getpid()}"
    group.mkdir()
    state = group / "freezer.state"
    script = f'''
        test $LOCAL_RANK = 1 && {{ echo $$ > {group}/cgroup.procs; echo ready; exec sleep 300; }}
        while ! test -f $FOLDER/frozen; do sleep 0.01; done; exit 1'''
    limit = 50
    try:
        with launcher.start(["--nproc_per_node=2", "--shutdown_timeout=2"], script) as run:
            run.until_said("ready")
            pid = (group / "cgroup.procs").read_text().split()[0]
            state.write_text("FROZEN")
            (run.folder / "frozen").touch()
            took = run.until_end(limit)
            state.write_text("THAWED")
            if took is None:
                return False, f"still waiting after {limit} s"
            named_it = f"pid {pid}" in run.err or f"pid: {pid}" in run.err
            return named_it, f"ended after {seconds(took)}, " + ("named" if named_it else "did not name") + " the process"
    finally:
        state.write_text("THAWED")
        for _ in range(100):
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.05)


def node(launcher, port, nodes, script, folder, before=(), environment=None):
    """The launcher of one node of several; all are on this host."""
    options = [f"--nnodes={nodes}", "--nproc_per_node=1", "--rdzv_backend=c10d", f"--rdzv_endpoint=127.0.0.1:{port}", "--rdzv_id=comparison"]
    return launcher.start(options, script, folder, before, environment)


@line("L10", "node A's worker fails: node B's launcher ends within 5 s")
def failure_crosses_nodes(launcher):
    script = '''
        echo ready
        if test $NODE = a; then while ! test -f $FOLDER/fail; do sleep 0.01; done; exit 3; fi
        exec sleep 300'''
    port, folder = free_port(), tempfile.mkdtemp(prefix="launch-")
    try:
        with node(launcher, port, 2, script, folder, environment={"NODE": "a"}) as a, \
                node(launcher, port, 2, script, folder, environment={"NODE": "b"}) as b:
            if not a.until_said("ready"):
                return refusal(a) if a.is_refusal() else (False, f"node A ended: {a.err.strip()[-200:]}")
            b.until_said("ready")
            Path(folder, "fail").touch()
            limit = 20
            start = time.monotonic()
            b.until(lambda: a.pump(0) or b.has_ended(), limit)
            took = time.monotonic() - start
            if not b.has_ended():
                return False, f"node B runs on after {limit} s"
            return took < 5, f"node B ended after {seconds(took)} with {b.exit_code}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


SILENT_DNS = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
print("listening", flush=True)
while True:
    server.recvfrom(4096)
    print("query", flush=True)
"""


@line("L11", "a host whose name server is silent: a single-node launch starts within 1 s and asks it nothing")
def silent_name_server(launcher):
    if os.geteuid() != 0:
        return None, "not run: needs root, for namespaces"
    # In a network, mount and host name namespace of its own: loopback alone, and a name server on it that counts and never answers.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "resolv.conf").write_text("nameserver 127.0.0.1\n")
        Path(folder, "hosts").write_text("127.0.0.1 localhost\n")
        Path(folder, "dns.py").write_text(SILENT_DNS)
        setup = f'''
            hostname node1.cluster.internal
            ip link set lo up
            mount --bind {folder}/resolv.conf /etc/resolv.conf
            mount --bind {folder}/hosts /etc/hosts
            python3 {folder}/dns.py > {folder}/queries &
            while ! grep -q listening {folder}/queries; do sleep 0.01; done
            date +%s.%N > {folder}/began
            exec "$@"'''
        with launcher.start(["--standalone", "--nproc_per_node=1"], "date +%s.%N; exit 1",
                            before=["unshare", "-n", "-u", "-m", "sh", "-c", setup, "sh"]) as run:
            if run.until_end(120) is None:
                return False, "not ended after 120 s"
            queries = Path(folder, "queries").read_text().count("query")
            began = float(Path(folder, "began").read_text())
            text = run.out.strip().splitlines()
            if not text:
                return False, f"nothing started: {run.err.strip()[-200:]}"
            took = float(text[0].split()[-1]) - began
            return took < 1 and queries == 0, f"first line after {seconds(took)}; {queries} queries in the whole run, whose rank fails"


@line("L12", "8 launches with default options at once on one host: all succeed")
def eight_at_once(launcher):
    runs = [launcher.start(["--nproc_per_node=1"], "sleep 5") for _ in range(8)]
    for run in runs:
        run.until_end(120)
    codes = [run.exit_code for run in runs]
    reasons = {text.strip() for run in runs for text in run.err.splitlines() if "EADDRINUSE" in text or "in use" in text}
    for run in runs:
        run.__exit__()
    good = codes.count(0)
    return good == 8, f"{good} of 8 succeeded" + (f" ({next(iter(reasons))[:90]})" if reasons else "")


@line("L13", "nodes node7, node66, node8: ranks follow the numbers in the names")
def ranks_follow_numbers(launcher):
    if os.geteuid() != 0:
        return None, "not run: needs root, for host names"
    names = ["node7", "node66", "node8"]
    port, folder = free_port(), tempfile.mkdtemp(prefix="launch-")
    hosts = Path(folder, "hosts")
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"127.0.0.{2 + index} {name}\n" for index, name in enumerate(names)))
    runs = []
    try:
        for name in names:
            setup = f'hostname {name}; mount --bind {hosts} /etc/hosts; exec "$@"'
            runs.append(node(launcher, port, 3, 'echo "host $(hostname) rank $RANK"', folder, ["unshare", "-u", "-m", "sh", "-c", setup, "sh"]))
        for run in runs:
            run.until_end(90)
            if run.is_refusal():
                return refusal(run)
        placed = {}
        for run in runs:
            for text in run.out.splitlines():
                if "host " in text:
                    words = text[text.index("host "):].split()
                    placed[words[1]] = int(words[3])
        order = sorted(placed, key=placed.get)
        return order == ["node7", "node8", "node66"], "ranks 0, 1, 2 on " + (", ".join(order) or "nothing")
    finally:
        for run in runs:
            run.__exit__()
        shutil.rmtree(folder, ignore_errors=True)


@line("L14", "the launcher's exit code is the root cause's (exit 3; SIGKILL: 137; SIGTERM to the launcher: 143)")
def exit_codes(launcher):
    codes = []
    for script in ("exit 3", "kill -9 $$"):
        with launcher.start(["--nproc_per_node=2"], script) as run:
            run.until_end(60)
            codes.append(run.exit_code)
    with launcher.start(["--nproc_per_node=2"], SLEEP) as run:
        run.until_said("ready", 2)
        run.send(signal.SIGTERM)
        run.until_end(60)
        codes.append(run.exit_code)
    return codes == [3, 137, 143], "exit codes " + ", ".join(map(str, codes))


@line("L15", "SIGTERM while nodes are awaited: a clean exit, and the seat is free at once")
def sigterm_in_rendezvous(launcher):
    # A hosts the rendezvous of three; B joins and is stopped; C and D come. All three seats can only be taken if B's is free.
    port, folder = free_port(), tempfile.mkdtemp(prefix="launch-")
    runs = []
    try:
        runs.append(node(launcher, port, 3, "echo ready; sleep 1", folder))
        time.sleep(1)
        runs.append(node(launcher, port, 3, "echo ready; sleep 1", folder))
        a, b = runs
        a.until(lambda: b.has_ended() or a.has_ended(), 10)
        if a.is_refusal():
            a.until_end(5)
            return refusal(a)
        b.send(signal.SIGTERM)
        b.until_end(40)
        clean = b.exit_code == 128 + signal.SIGTERM and "Traceback" not in b.err
        start = time.monotonic()
        runs += [node(launcher, port, 3, "echo ready; sleep 1", folder) for _ in range(2)]
        limit = 30
        ended = a.until(lambda: [run.pump(0) for run in runs[2:]] and a.has_ended(), limit)
        for run in runs[2:]:
            run.until(run.has_ended, 2 if ended is None else 10)
        took = time.monotonic() - start
        codes = [run.exit_code for run in (runs[0], runs[2], runs[3])]
        text = f"exit code {b.exit_code}" + (" after a traceback" if "Traceback" in b.err else "")
        return clean and codes == [0, 0, 0], text + (
            f"; three others ran after {seconds(took)}" if codes == [0, 0, 0] else f"; three others did not run within {limit} s ({codes})")
    finally:
        for run in runs:
            run.__exit__()
        shutil.rmtree(folder, ignore_errors=True)
