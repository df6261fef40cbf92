"""Weight files as people have them: from a GPU, in half precision, among objects, cut, or something else altogether."""

from __future__ import annotations

import argparse
import collections
import datetime
import gzip
import io
import json
import pathlib
import pickle
import sys
import tarfile
import types
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from models.encoder import load_encoder
from models.teachers.build import build_teacher
from models.weights.files import read_checkpoint
from models.weights.match import load_weights
from runtime.errors import WeightsError

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=0).state_dict()


def check(path: Path, state: State, **tolerance: float) -> None:
    """The file fills the network with these numbers, as float32 on the CPU."""
    net = load_encoder(path, arch="test_resnet").backbone.net
    for name, value in net.state_dict().items():
        assert value.device.type == "cpu" and value.dtype in (torch.float32, torch.int64)
        torch.testing.assert_close(value, state[name].to(value.dtype), **({"rtol": 0, "atol": 0} | tolerance), msg=name)


def save_as_on_gpu(content: object, path: Path, *, zipped: bool = True) -> None:
    """The bytes that torch.save writes where the tensors lie on the first GPU: every storage is tagged cuda:0."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    if not zipped:
        path.write_bytes(file.getvalue().replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"))
        return
    retag(file, path)


def retag(source: io.BytesIO | Path, path: Path) -> None:
    """A zip of torch's with cuda:0 in place of every storage's cpu."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith(".pkl"):
                data = data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
            new.writestr(name, data)


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_saved_on_a_gpu_come_to_the_cpu(zipped: bool, state: State, tmp_path: Path) -> None:
    save_as_on_gpu({"state_dict": state}, tmp_path / "gpu.pth", zipped=zipped)
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(tmp_path / "gpu.pth")
    check(tmp_path / "gpu.pth", state)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_every_width_fill_a_float32_network(kind: torch.dtype, state: State, tmp_path: Path) -> None:
    torch.save({name: value.to(kind) if value.is_floating_point() else value for name, value in state.items()},
               tmp_path / "x.pth")
    check(tmp_path / "x.pth", state, rtol=1e-2, atol=1e-3)


def test_layouts_of_memory_do_not_matter(state: State, tmp_path: Path) -> None:
    """Channels-last, parameters with gradients, views of one storage."""
    flat = torch.cat([value.float().flatten() for value in state.values()])
    parts = flat.split([value.numel() for value in state.values()])
    views = {name: part.view(value.shape) for (name, value), part in zip(state.items(), parts)}
    last = {name: value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value
            for name, value in state.items()}
    grown = {name: nn.Parameter(value) if value.is_floating_point() else value for name, value in state.items()}
    for content in (views, last, grown):
        torch.save(content, tmp_path / "x.pth")
        check(tmp_path / "x.pth", state)


@pytest.mark.parametrize("on_gpu", [False, True])
def test_clip_opens_as_openai_ships_it(
    on_gpu: bool, tiny_clip: Path, save_openai_archive: Callable[[nn.Module, Path], None], tmp_path: Path
) -> None:
    """A TorchScript archive, halves and floats mixed, with three numbers more than a state dict has; once from a GPU."""
    import open_clip

    model = open_clip.create_model("tiny-text", load_weights=False)
    model.load_state_dict(torch.load(tiny_clip))
    save_openai_archive(model, tmp_path / "ViT-B-16.pt")
    if on_gpu:
        retag(tmp_path / "ViT-B-16.pt", tmp_path / "gpu.pt")
        (tmp_path / "gpu.pt").replace(tmp_path / "ViT-B-16.pt")
    with pytest.warns(UserWarning, match="QuickGELU"):
        teacher = build_teacher("clip:tiny-text", weights=tmp_path / "ViT-B-16.pt", precision="fp32")
    found, given = teacher.network.clip.state_dict(), model.state_dict()
    assert found["visual.conv1.weight"].dtype == torch.float32 and found["visual.conv1.weight"].device.type == "cpu"
    torch.testing.assert_close(found["visual.conv1.weight"], given["visual.conv1.weight"], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found["token_embedding.weight"], given["token_embedding.weight"], rtol=1e-3, atol=1e-3)
    assert teacher.encode(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape == (1, 16)


class Config(dict):
    """A configuration of another library, which is a dictionary with more to it."""


class History:
    """A logger's buffer, with a state that is not tensors."""

    def __init__(self) -> None:
        self.values = np.arange(3.0)


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two classes come from a package that is gone when the file is read."""
    module = types.ModuleType("their_library")
    for kind in (Config, History):
        monkeypatch.setattr(kind, "__module__", module.__name__)
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("foreign")
def test_objects_beside_the_tensors_are_left_alone(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {"state_dict": state, "best": np.float64(3), "many": {1, 2}, "device": torch.device("cuda:0"),
               "args": argparse.Namespace(lr=0.1, out=pathlib.Path("runs/1")), "slot": slice(1, 2),
               "path": pathlib.PurePosixPath("a/b"), "hyper_parameters": Config(lr=0.1, parts=[Config(), 3]),
               "meta": {"history": History()}, "when": datetime.datetime(2024, 5, 1), "kind": torch.float16,
               "rng": np.random.RandomState(0).get_state(), "sums": collections.defaultdict(list, a=[1]),
               "last": collections.deque([1, 2], maxlen=3), "words": np.array(["a"]), "range": range(3)}
    for zipped in (True, False):
        torch.save(content, tmp_path / f"{zipped}.pth", _use_new_zipfile_serialization=zipped)
    torch.save(Config(state), tmp_path / "own.pt")
    monkeypatch.delitem(sys.modules, "their_library")
    for path in tmp_path.iterdir():
        check(path, state)
        assert path.suffix == ".pt" or read_checkpoint(path)["args"].lr == 0.1


class Bomb:
    """What a malicious file holds."""

    def __reduce__(self) -> tuple:
        return exec, ("import pathlib; pathlib.Path('exploded').touch()",)


def test_no_code_of_a_file_runs(state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": state, "extra": Bomb()}, "x.pth")
    load_encoder("x.pth", arch="test_resnet")
    torch.save({"extra": Bomb()}, "x.pth")
    with pytest.raises(WeightsError, match="could run code"):
        load_encoder("x.pth", arch="test_resnet")
    torch.save(timm.create_model("test_resnet"), "whole.pth")
    with pytest.raises(WeightsError, match="could run code.*state dict"):
        load_encoder("whole.pth", arch="test_resnet")
    assert not Path("exploded").exists()


def test_a_file_is_what_its_first_bytes_say(state: State, tmp_path: Path) -> None:
    save_file(state, tmp_path / "model.pth")
    torch.save(state, tmp_path / "model.safetensors")
    for path in tmp_path.iterdir():
        check(path, state)


def _zip(path: Path, **files: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("_dot_", "."), data)


def _tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("model.pth"))


def _cut(path: Path, share: float, write: Callable[[Path], None]) -> None:
    write(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "pytorch_model.bin").touch()


WEIGHTS = {"weight": torch.ones(300, 50)}
FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "page": (lambda p: p.write_text("\ufeff<html lang=en>Sign in"), "web page"),
    "page with a comment": (lambda p: p.write_text("<!-- saved --><html>"), "web page"),
    "a server's error": (lambda p: p.write_text('{"error": "Repository not found"}'), "is JSON text"),
    "an index": (lambda p: p.write_text(json.dumps({"weight_map": {}})), "is JSON text.*Name the weights"),
    "denied": (lambda p: p.write_text("<?xml version='1.0'?><Error>AccessDenied</Error>"), "web page"),
    "text": (lambda p: p.write_text("Invalid username or password.\n"), "is text, not a PyTorch file.*Invalid username"),
    "pointer": (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "git lfs pull"),
    "zip of weights": (lambda p: _zip(p, best_dot_pth=b"x"), "zip archive.*holds best.pth. Unpack it"),
    "other zip": (lambda p: _zip(p, readme_dot_txt=b"x"), "zip archive, not a PyTorch file"),
    "arrays": (lambda p: np.savez(p.open("wb"), a=np.ones(2)), "NumPy archive"),
    "array": (lambda p: np.save(p.open("wb"), np.ones(2)), "NumPy array"),
    "gzip": (lambda p: p.write_bytes(gzip.compress(b"x" * 99)), "compressed archive.*Unpack it"),
    "tar": (_tar, "tar archive.*Unpack it"),
    "hdf5": (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), "HDF5.*Keras"),
    "picture": (lambda p: p.write_bytes(b"\xff\xd8\xff\xe0" + bytes(99)), "is a picture"),
    "folder": (_folder, "is a folder; name a weight file in it: pytorch_model.bin"),
    "empty": (lambda p: p.touch(), "is empty"),
    "nothing": (lambda p: None, "no weight file"),
    "zeros": (lambda p: p.write_bytes(bytes(4096)), "not a PyTorch"),
    "cut": (lambda p: _cut(p, 0.5, lambda q: torch.save(WEIGHTS, q)), "truncated.*download it again"),
    "cut at the end": (lambda p: _cut(p, 0.999, lambda q: torch.save(WEIGHTS, q)), "truncated.*download it again"),
    "cut, old format": (lambda p: _cut(p, 0.5, lambda q: torch.save(WEIGHTS, q, _use_new_zipfile_serialization=False)),
                        "truncated"),
    "cut safetensors": (lambda p: _cut(p, 0.5, lambda q: save_file(WEIGHTS, q)), "truncated"),
    "plain pickle": (lambda p: p.write_bytes(pickle.dumps({"a": 1})), "holds no tensors|not a PyTorch|does not say"),
    "a number": (lambda p: torch.save(3, p), "holds a int, not a state dict"),
    "a list": (lambda p: torch.save([torch.ones(2)], p), "holds a list, not a state dict"),
    "no tensors": (lambda p: torch.save({"epoch": 3}, p), "it holds no tensors"),
}


@pytest.mark.parametrize("what", FILES)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_no_weight_file_is_refused_with_its_reason(what: str, suffix: str, tmp_path: Path) -> None:
    make, message = FILES[what]
    make(tmp_path / f"weights{suffix}")
    with pytest.raises(WeightsError, match=f"(?is){message}") as refusal:
        load_weights(nn.Linear(50, 300), tmp_path / f"weights{suffix}")
    assert f"weights{suffix}" in str(refusal.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [4, 5])
def test_newer_pickles_are_told_by_their_protocol(protocol: int, zipped: bool, state: State, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "x.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=f"pickle_protocol={protocol}.*Save it again"):
        read_checkpoint(tmp_path / "x.pth")


def test_a_file_that_may_not_be_read_is_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(WEIGHTS, tmp_path / "x.pth")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(WeightsError, match="x.pth cannot be opened .Permission denied."):
        read_checkpoint(tmp_path / "x.pth")
