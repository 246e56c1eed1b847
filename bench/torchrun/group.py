"""Joins a gloo group by env:// and says so: the program with which torchrun's start-up is measured."""

import torch.distributed as dist

dist.init_process_group("gloo")
dist.barrier()
if dist.get_rank() == 0:
    print("joined", flush=True)
