"""A CUDA device that only pretends: torch's FakeTensorMode follows its tensors' shapes, dtypes and devices, without numbers.

Torch refuses a mix of devices there as it does on a GPU. What the host computes is real. What it reads from the device
are stand-ins (shares of 1, else 1 and True), gradients are zeros, for both need a device; and every place where the host
would wait for one is written down.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

ROOT = Path(__file__).resolve().parents[2]
CUDA = torch.device("cuda", 0)
aten = torch.ops.aten
READS = {aten._local_scalar_dense.default, aten.equal.default, aten.is_nonzero.default}
SIZES = {aten.nonzero.default, aten.masked_select.default, aten.unique_consecutive.default, aten._unique2.default,
         aten.unique_dim.default, aten.bincount.default, aten.repeat_interleave.Tensor}
INDEXING = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}


class Host(TorchDispatchMode):
    """Writes down in `waits` where the host waits for the device: values and sizes that it reads, copies it waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        wanted = kwargs.get("device")
        if not any(one.device.type == "cuda" for one in tensors) and (wanted is None or torch.device(wanted).type != "cuda"):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if func in INDEXING:
            args = (first, self.read_masks(first, args[1]), *args[2:])
        elif func in READS:
            self.note(func)
            return 0.5 if first.is_floating_point() else first.dtype == torch.bool or 1
        elif func in SIZES:
            self.note(func)
            if func is aten.nonzero.default:  # where something is asked for, nothing is amiss
                return first.new_zeros((0, first.dim()), dtype=torch.long)
            with unset_fake_temporarily():
                found = func(stand_in(first), *args[1:], **kwargs)
            return tree_map_only(Tensor, lambda one: first.new_zeros(one.shape, dtype=one.dtype), found)
        elif func in (aten._to_copy.default, aten.copy_.default):
            source, target = self.note_copy(func, args, kwargs)
            if source.device.type == "cuda" and target.type == "cpu":
                found = stand_in(source, kwargs.get("dtype"))
                return found if func is aten._to_copy.default else func(first, found)
        return func(*args, **kwargs)

    def read_masks(self, whole: Tensor, indices: list[Tensor | None]) -> list[Tensor | None]:
        """Indices [N] in the place of masks, whose number a device would be asked for; foreign ones are refused."""
        found: list[Tensor | None] = []
        for index in indices:
            if index is None:
                found.append(None)
                continue
            if index.device.type == "cuda" and whole.device.type != "cuda":
                raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
            if index.device != whole.device:
                self.note("index on the host")
            if index.dtype not in (torch.bool, torch.uint8):
                found.append(index)
                continue
            if index.device.type == "cuda":
                self.note("mask")
            found += [torch.zeros(index.numel(), dtype=torch.long, device=index.device)] * index.dim()
        return found

    def note_copy(self, func: object, args: tuple, kwargs: dict) -> tuple[Tensor, torch.device]:
        """A copy between host and device; towards the device it may be told not to wait."""
        source = args[1] if func is aten.copy_.default else args[0]
        target = args[0].device if func is aten.copy_.default else torch.device(kwargs.get("device") or source.device)
        waits_not = kwargs.get("non_blocking") or (func is aten.copy_.default and len(args) > 2 and args[2])
        if target.type != source.device.type and (target.type != "cuda" or not waits_not):
            self.note(f"copy {source.device.type} to {target.type}")
        return source, target

    def note(self, what: object) -> None:
        """Write down what the host waits for, and our line that asks for it."""
        ours = [frame for frame in traceback.extract_stack() if frame.filename.startswith(str(ROOT))
                and not frame.filename.startswith(str(ROOT / "tests"))]
        place = f"{Path(ours[-1].filename).relative_to(ROOT)}:{ours[-1].lineno}" if ours else "a test"
        self.waits.append(f"{what} in {place}")


def stand_in(tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Numbers on the host for those of the device: shares of 1, else 1 or True."""
    with unset_fake_temporarily():
        if tensor.is_floating_point():
            return torch.rand(tuple(tensor.shape)).to(dtype or tensor.dtype)
        return torch.ones(tuple(tensor.shape), dtype=dtype or tensor.dtype)


@contextmanager
def pretend_cuda() -> Iterator[Host]:
    """Meanwhile `cuda` is a device, on which nothing is computed; `backward` gives zeros to all that optimisers change."""
    save, load, optimizers = torch.save, torch.load, list[torch.optim.Optimizer]()
    remember = torch.optim.Optimizer.__init__

    def give_zeros(*_: object, **__: object) -> None:
        for parameter in (one for optimizer in optimizers for group in optimizer.param_groups for one in group["params"]):
            parameter.grad = torch.zeros_like(parameter)

    def make_optimizer(self: torch.optim.Optimizer, *args: object, **kwargs: object) -> None:
        optimizers.append(self)
        remember(self, *args, **kwargs)

    def save_stand_ins(state: object, *args: object, **kwargs: object) -> None:
        host_state = tree_map_only(FakeTensor, stand_in, state)
        with unset_fake_temporarily():
            save(host_state, *args, **kwargs)

    def load_for_real(*args: object, **kwargs: object) -> object:
        with unset_fake_temporarily():
            return load(*args, **kwargs)

    def no_gradient(_outputs: object, inputs: object, *_: object, **__: object) -> tuple[Tensor, ...]:
        return tuple(torch.zeros_like(one) for one in tree_leaves(inputs))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.autograd, "grad", no_gradient)
        patch.setattr(Tensor, "backward", give_zeros)
        patch.setattr(FakeTensor, "tolist", lambda self: self.cpu().tolist(), raising=False)
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
        patch.setattr(nn.Module, "_apply", replace_tensors)
        patch.setattr(torch.optim.Optimizer, "__init__", make_optimizer)
        patch.setattr(torch, "save", save_stand_ins)
        patch.setattr(torch, "load", load_for_real)
        patch.setattr(ThreadPoolExecutor, "map", lambda self, work, *items: map(work, *items))  # modes are a thread's own
        patch.setattr(torch.cuda, "set_device", lambda device: None)
        patch.setattr(torch.cuda, "get_device_name", lambda device=None: "a pretended GPU")
        patch.setattr("engine.checkpoint.refuse_broken", lambda method: None)  # which asks for numbers
        patch.setattr("runtime.devices.count_cuda_devices", lambda: 1)
        host = Host()
        with FakeTensorMode(allow_non_fake_inputs=True), host:
            yield host


def replace_tensors(module: nn.Module, change: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """What `to` does, with new parameters in the place of old ones: pretended tensors cannot be changed underneath."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                with torch.no_grad():
                    part._parameters[name] = nn.Parameter(change(parameter), parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = change(buffer)
    return module

