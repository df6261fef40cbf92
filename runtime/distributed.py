"""Processes that train together; every function is usable when there is only one.

Rank and world size come from the environment that torchrun, srun or mpirun leaves, see runtime/processes/launch.py,
never from flags.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from runtime.errors import ConfigError, DataError
from runtime.processes.launch import Launch, find_launch
from runtime.processes.meeting import wait_for_all

# The main process may decode or download alone for longer than nccl's ten minutes.
PATIENCE = timedelta(hours=2)
Value = TypeVar("Value")


def is_on() -> bool:
    """True between `join_group` and `stop` of a run with several processes."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """This process's number, 0 alone."""
    return dist.get_rank() if is_on() else 0


def world() -> int:
    """How many processes train together, 1 alone."""
    return dist.get_world_size() if is_on() else 1


def is_main() -> bool:
    """True on the one process that writes files and talks."""
    return rank() == 0


def join_group(device: str) -> torch.device:
    """Join the group that torchrun, srun or mpirun started, if any, and return this process's device.

    `device` is "cpu" or "cuda"; several processes speak nccl on CUDA and gloo on CPU. Raises ConfigError for more
    processes than devices on a machine.
    """
    launch = find_launch()
    if launch.note:
        print(f"note: {launch.note}", file=sys.stderr)
    chosen = assign_device(device, launch)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if launch.world > 1:
        store = wait_for_all(launch, PATIENCE.total_seconds())
        backend = "nccl" if chosen.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=launch.rank, world_size=launch.world, timeout=PATIENCE)
    return chosen


def assign_device(device: str, launch: Launch) -> torch.device:
    """This process's own device: of CUDA devices the one of its rank on this machine, or the one that it sees."""
    if device != "cuda":
        return torch.device(device)
    count, local = torch.cuda.device_count(), launch.local
    shared = count > 1 or launch.starter == "torchrun"  # which shows the same devices to all its processes
    if launch.world > 1 and shared and (local is None or local >= count):
        raise ConfigError(f"{launch.describe()} has no CUDA device of its own: this machine shows {count}, and "
                          + ("nothing says which rank on it this is; set LOCAL_RANK" if local is None else
                             f"this is number {local} of its processes, counted from 0; start one a device"))
    return torch.device("cuda", local or 0 if count > 1 else 0)


def stop() -> None:
    """Leave the group."""
    if is_on():
        dist.destroy_process_group()


def wrap(method: nn.Module, device: torch.device) -> nn.Module:
    """The method as DDP calls it, or itself when it trains alone."""
    if not is_on():
        return method
    devices = [device.index] if device.type == "cuda" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the new name of broadcast_buffers is not in older torch
        return DistributedDataParallel(method, device_ids=devices, broadcast_buffers=False)


def share_buffers(module: nn.Module) -> None:
    """The main process's buffers (running batch statistics) on every process: the ranks are one network again."""
    if is_on():
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)


def barrier() -> None:
    """Wait until every process is here."""
    if is_on():
        dist.barrier()


def gather(tensor: Tensor) -> Tensor:
    """Rows of every process in rank order, without gradient: [B, ...] -> [world * B, ...]; B is equal everywhere."""
    if not is_on():
        return tensor.detach()
    tensor = tensor.detach().contiguous()
    parts = [torch.empty_like(tensor) for _ in range(world())]
    dist.all_gather(parts, tensor)
    return torch.cat(parts)


class _Context(Protocol):
    """What torch hands from forward to backward, with what is kept in it here."""

    rows: int


class _GatherWithGrad(torch.autograd.Function):
    """all_gather whose backward sums the gradients that every process sends to these rows.

    That is torch.distributed.nn.functional.all_gather, which torch has deprecated without a public successor.
    """

    @staticmethod
    def forward(ctx: _Context, tensor: Tensor) -> Tensor:
        ctx.rows = tensor.shape[0]
        return gather(tensor)

    @staticmethod
    def backward(ctx: _Context, grad: Tensor) -> Tensor:
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad[rank() * ctx.rows : (rank() + 1) * ctx.rows]


def gather_with_grad(tensor: Tensor) -> Tensor:
    """Like `gather`, but the gradient flows back to the process that owns each row."""
    return _GatherWithGrad.apply(tensor) if is_on() else tensor


def mean(value: Tensor) -> Tensor:
    """Mean of a tensor over processes, without gradient."""
    if not is_on():
        return value.detach()
    value = value.detach().clone()
    dist.all_reduce(value)
    return value / world()


def broadcast_object(value: Value) -> Value:
    """The main process's Python object on every process."""
    if not is_on():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def ask_main(work: Callable[[], Value]) -> Value:
    """What `work` gives on the main process, on every process; a refusal there is raised on all of them."""
    answer: tuple[Value | None, Exception | None] = (None, None)
    if is_main():
        try:
            answer = (work(), None)
        except (ConfigError, DataError) as error:
            answer = (None, error)
    found, refusal = broadcast_object(answer)
    if refusal is not None:
        raise refusal
    return cast(Value, found)


def gather_objects(value: Value) -> list[Value]:
    """Every process's Python object, in rank order."""
    if not is_on():
        return [value]
    boxes = [value] * world()
    dist.all_gather_object(boxes, value)
    return boxes
