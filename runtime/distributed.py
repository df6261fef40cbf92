"""Processes that train together; every function is usable when there is only one.

Rank and world size come from the environment that torchrun sets (RANK, WORLD_SIZE, LOCAL_RANK), never from flags.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from runtime.errors import ConfigError, DataError

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
    """Join the group that torchrun announced, if any, and return this process's device.

    `device` is "cpu" or "cuda"; several processes speak nccl on CUDA and gloo on CPU.
    """
    local = int(os.environ.get("LOCAL_RANK", 0))
    chosen = torch.device("cuda", local) if device == "cuda" else torch.device(device)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        # The main process may decode or download alone for longer than nccl's ten minutes.
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=timedelta(hours=2))
    return chosen


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
