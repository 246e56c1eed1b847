"""float32 all-reduce of torch.distributed's gloo between processes of this host, timed as AllReduceBench times ours.

Started by `bench all-reduce --gloo PYTHON`; RANK and WORLD_SIZE in the environment, a file for the rendezvous, the number of rounds and the
sizes as arguments.
"""
import os
import sys
import time

import torch
import torch.distributed as dist

torch.set_num_threads(1)
path, rounds, sizes = sys.argv[1], int(sys.argv[2]), [int(size) for size in sys.argv[3].split(",")]
rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
dist.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=world_size)
if rank == 0:
    print(f"gloo (torch {torch.__version__}), {world_size} ranks on this host")
for size in sizes:
    values = torch.zeros(size // 4)
    count = 500 if size < 1 << 20 else 50 if size < 16 << 20 else 10
    best = (float("inf"), 0.0, 0.0)
    for _ in range(rounds):
        dist.barrier()
        times = []
        for _ in range(count):
            started = time.perf_counter_ns()
            dist.all_reduce(values)
            times.append((time.perf_counter_ns() - started) / 1e3)
        times.sort()
        best = min(best, (times[count // 2], times[count * 99 // 100], times[0]))
    if rank == 0:
        print(f"{size:9} {best[0]:9.1f} {best[1]:9.1f} {best[2]:9.1f}", flush=True)
dist.barrier()
