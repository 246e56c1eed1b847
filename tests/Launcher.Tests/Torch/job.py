"""A PyTorch program as its users write it: nothing in it knows which launcher it runs under.

job.py OUT [FATAL_RANK]: an all-reduce, and one DistributedDataParallel step. With FATAL_RANK that rank is killed by SIGKILL between
the two, in the first attempt.

The ranks meet as JOB_INIT says: env (env://, the default), tcp (tcp://MASTER_ADDR:MASTER_PORT), or store (a TCPStore of the program's own).
"""

import os
import signal
import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

method = os.environ.get("JOB_INIT", "env")
address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
ranks = {"rank": int(os.environ["RANK"]), "world_size": int(os.environ["WORLD_SIZE"])}
if method == "tcp":
    dist.init_process_group("gloo", init_method=f"tcp://{address}:{port}", **ranks)
elif method == "store":
    store = dist.TCPStore(address, port, ranks["world_size"], is_master=ranks["rank"] == 0)
    dist.init_process_group("gloo", store=store, **ranks)
else:
    dist.init_process_group("gloo")  # env://, where torch asks TORCHELASTIC_USE_AGENT_STORE who hosts the store
rank, world = dist.get_rank(), dist.get_world_size()

values = torch.arange(4.0) + rank
dist.all_reduce(values)
expected = torch.arange(4.0) * world + sum(range(world))
assert torch.equal(values, expected), (values, expected)

attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
if len(sys.argv) > 2 and attempt == 0 and rank == int(sys.argv[2]):
    os.kill(os.getpid(), signal.SIGKILL)

torch.manual_seed(rank)  # DistributedDataParallel starts every rank from rank 0's weights.
model = DistributedDataParallel(torch.nn.Linear(8, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loss = model(torch.full((5, 8), float(rank + 1))).square().mean()
loss.backward()
gradient = model.module.weight.grad.clone()
optimizer.step()

# Every rank has the mean of the ranks' gradients, which differ: the inputs do.
gradients = [torch.empty_like(gradient) for _ in range(world)]
dist.all_gather(gradients, gradient)
assert all(torch.equal(gradient, other) for other in gradients), "the ranks' gradients differ after the backward pass"
assert gradient.abs().sum() > 0, "the gradient is zero"
weights = [torch.empty_like(gradient) for _ in range(world)]
dist.all_gather(weights, model.module.weight.detach())
assert all(torch.equal(weights[0], other) for other in weights), "the ranks' weights differ after the step"

with open(f"{sys.argv[1]}/rank{rank}.attempt{attempt}", "w") as out:
    print("sum", values.sum().item(), "weights", weights[0].sum().item(), "port", os.environ["MASTER_PORT"], file=out)
dist.barrier()
dist.destroy_process_group()
