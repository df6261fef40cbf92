"""Fixtures that every test may use."""

from __future__ import annotations

import json
import os
import random
import runpy
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
LOOPBACK = ROOT / "tests" / "loopback"


@pytest.fixture(autouse=True)
def fixed_generators() -> Iterator[None]:
    """Every test draws the same numbers, in any order and alone, and leaves as many threads as it found."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


class Network:
    """Attempts to reach another machine, by this process and by all that it started."""

    def __init__(self, log: Path) -> None:
        self.log, self.seen = log, 0

    def take(self) -> list[str]:
        """Those since the last look."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        fresh, self.seen = lines[self.seen:], len(lines)
        return fresh


@pytest.fixture(scope="session")
def banned_network() -> Iterator[Network]:
    """The ban on other machines, in this process and, through the environment, in those that tests start."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        log = Path(folder) / "network.log"
        log.touch()
        patch.setenv("PLUMAGE_NETWORK_LOG", str(log))
        patch.setenv("PYTHONPATH", str(LOOPBACK), prepend=os.pathsep)
        runpy.run_path(str(LOOPBACK / "sitecustomize.py"))["forbid_network"](str(log))
        yield Network(log)


@pytest.fixture(autouse=True)
def network(banned_network: Network) -> Iterator[Network]:
    """Fails a test that asked another machine for something, whatever became of the attempt."""
    yield banned_network
    if attempts := banned_network.take():
        pytest.fail("this test used the network:\n" + "\n".join(attempts), pytrace=False)


@pytest.fixture
def call_main(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """call(main, *words): a command as from a shell in tmp_path, but in this process (importing torch takes seconds)."""
    monkeypatch.chdir(tmp_path)

    def call(main: Callable[[], None], *words: object) -> subprocess.CompletedProcess[str]:
        from engine.flags.command import exit_cleanly

        monkeypatch.setattr(sys, "argv", [f"{main.__module__}.py", *map(str, words)])
        capsys.readouterr()
        try:
            exit_cleanly(main)
            code = 0
        except SystemExit as end:
            code = int(end.code)
        captured = capsys.readouterr()
        return subprocess.CompletedProcess(sys.argv, code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs (PLUMAGE_DATA); the test is skipped where there is none."""
    folder = Path(os.environ.get("PLUMAGE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no photographs at {folder}; set PLUMAGE_DATA")
    return folder


@pytest.fixture
def photo_tree(tmp_path: Path) -> Path:
    """A data set of 3 classes x (8 train + 4 test) small JPEGs whose class shows in their colour."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 4)):
        for label, name in enumerate(("001.Red_bird", "002.Green_bird", "003.Blue_bird")):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 90, (48, 64, 3), dtype=np.uint8)
                pixels[12:36, 16:48, label] += 150
                Image.fromarray(pixels).save(folder / f"{name}_{number:02d}.jpg", quality=92)
    return tmp_path / "photos"


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a small CLIP, as open_clip saves them; open_clip knows the model as `tiny-text`."""
    import open_clip

    folder = tmp_path_factory.mktemp("clip")
    config = {"embed_dim": 16, "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
              "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}}
    (folder / "tiny-text.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "tiny-text.json")
    torch.manual_seed(0)
    torch.save(open_clip.create_model("tiny-text", load_weights=False).state_dict(), folder / "clip.pt")
    return folder / "clip.pt"


def write_openai_archive(model: nn.Module, path: Path) -> None:
    """A TorchScript archive with OpenAI's three extra numbers, half-precision matrices and full layer norms."""

    class Archive(nn.Module):
        def forward(self) -> int:
            return 0

    archive = Archive()
    for name, value in model.state_dict().items():
        *folders, leaf = name.split(".")
        place = archive
        for folder in folders:
            if folder not in dict(place.named_children()):
                place.add_module(folder, nn.Module())
            place = dict(place.named_children())[folder]
        half = value.half() if value.dim() > 1 else value
        place.register_buffer(leaf, half.clone())
    for extra in ("input_resolution", "context_length", "vocab_size"):
        archive.register_buffer(extra, torch.tensor(32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(archive).save(str(path))


@pytest.fixture(scope="session")
def save_openai_archive() -> Callable[[nn.Module, Path], None]:
    """save(model, path) as OpenAI's CLIP files are."""
    return write_openai_archive
