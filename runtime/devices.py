"""The device that `--device` means, and whether this machine has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.errors import ConfigError, refuse

if TYPE_CHECKING:
    import torch


def find_device(name: str) -> str:
    """cpu, cuda, cuda:N or mps for `--device`; raises ConfigError for a device that is not here."""
    refuse(list_device_problems(name))
    return resolve_device(name)


def choose_device(name: str | torch.device) -> torch.device:
    """The device that a program names, "auto" included; raises ConfigError for one that is not here."""
    import torch

    problems = list_device_problems(str(name))
    if problems:
        raise ConfigError(problems[0].replace("--device", "device"))
    return torch.device(resolve_device(str(name)))


def resolve_device(name: str) -> str:
    """What "auto" stands for on this machine; any other name as it is."""
    import torch  # not before it is asked: flags are read without it

    return name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def use_threads(count: int) -> None:
    """CPU threads of this process from now on; 0 leaves torch its choice."""
    import torch

    if count:
        torch.set_num_threads(count)


def list_device_problems(name: str) -> list[str]:
    """A line when the device is not here."""
    import torch

    problems = []
    kind, _, number = name.partition(":")
    cuda = count_cuda_devices() if kind == "cuda" else 0
    if kind == "cuda" and not cuda:
        problems.append(f"--device {name}: this machine has no usable CUDA device; use --device cpu")
    elif kind == "cuda" and number and int(number) >= cuda:
        problems.append(f"--device {name}: this machine has {cuda} CUDA device(s), counted from "
                        "0; use --device cuda")
    elif kind == "mps" and not torch.backends.mps.is_available():
        problems.append("--device mps: this machine has no usable Apple GPU; use --device cpu")
    elif kind not in ("auto", "cpu", "cuda", "mps"):
        problems.append(f"--device {name} is unknown; cpu, cuda, cuda:N, mps and auto are known")
    return problems


def count_cuda_devices() -> int:
    """How many this machine has."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def list_sync_problems(asked: bool, device: str) -> list[str]:
    """A line when --sync-bn was `asked` for where torch cannot do it; as a default it only waits for CUDA processes."""
    if asked and resolve_device(device) == "cpu":
        return ["--sync-bn: torch takes batch statistics over CUDA processes only, and --device is cpu; leave it out"]
    return []
