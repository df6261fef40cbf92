"""Embeddings in a program: the numbers of tools.embed, from whatever a picture is given as, and nothing else touched."""

from __future__ import annotations

import os
import pickle
import random
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.features.store import read_embeddings
from evaluation.library.embedder import Embedder, open_embedder
from models.attention import RationaleBranch
from models.backbones import build_backbone
from models.encoder import Encoder, save_encoder
from models.heads import build_head
from runtime.errors import BrokenNetwork, ConfigError, DataError, WeightsError
from tools import embed


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose encoder has a head and a branch."""
    torch.manual_seed(0)
    backbone = build_backbone("test_resnet")
    width = backbone.num_features
    encoder = Encoder(backbone, build_head([width, 16, 8]), RationaleBranch(width, 4)).eval()
    folder = tmp_path_factory.mktemp("runs") / "my_birds"
    folder.mkdir()
    save_encoder(encoder, folder / "model_last.pth", {"size": 48, "eval_view": "squash"})
    (folder / "args.json").write_text('{"size": 48, "eval_view": "squash", "method": "lead"}')
    return folder


@pytest.fixture
def embedder(run: Path) -> Embedder:
    return open_embedder(run, device="cpu")


@pytest.fixture
def paths(photo_tree: Path) -> list[Path]:
    """All pictures of the test split, in the order of tools.embed."""
    return sorted((photo_tree / "test").rglob("*.jpg"))


@pytest.mark.parametrize(("feature", "batch_size"), [("gap", 64), ("masked", 5), ("head", 12)])
def test_the_numbers_are_those_of_the_command(
    run: Path, photo_tree: Path, paths: list[Path], tmp_path: Path, feature: str, batch_size: int
) -> None:
    embed.main([str(photo_tree), "--pretrained", str(run), "--out", str(tmp_path / "out"), "--feature", feature, "-b",
                str(batch_size), "--device", "cpu", "-j", "0", "--cache", "none"])
    wanted = read_embeddings(tmp_path / "out")
    assert [Path(key).name for key in wanted.keys] == [path.name for path in paths]
    found = open_embedder(run, device="cpu", feature=feature).embed(paths, batch_size=batch_size)
    assert found.dtype == np.float32 and np.array_equal(found, wanted.vectors)


def test_paths_pictures_and_arrays_are_one(embedder: Embedder, paths: list[Path], tmp_path: Path) -> None:
    pictures = [Image.open(path).convert("RGB") for path in paths]
    arrays = [np.asarray(picture) for picture in pictures]
    wanted = embedder.embed(paths)
    assert wanted.shape == (12, embedder.width)
    for given in (map(str, paths), pictures, arrays, np.stack(arrays), (Image.open(path) for path in paths),
                  [paths[0], *pictures[1:6], *arrays[6:]]):
        assert np.array_equal(embedder.embed(given), wanted)
    for one in (paths[3], str(paths[3]), pictures[3], arrays[3]):
        assert embedder.embed(one).shape == (1, embedder.width)
        assert np.array_equal(embedder.embed(one), embedder.embed([paths[3]], batch_size=1))
        assert np.array_equal(embedder.embed(one), embedder.embed([one]))
    np.testing.assert_allclose(embedder.embed(paths[3]), wanted[3:4], atol=1e-6)


def test_one_picture_alone_is_not_looked_at_64_times(
    embedder: Embedder, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, plain = [], Encoder.outputs

    def count(self: Encoder, images: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.append(len(images))
        return plain(self, images)

    monkeypatch.setattr(Encoder, "outputs", count)
    for given in (paths[0], paths[:1], paths[:2], iter(paths[:1])):
        embedder.embed(given)
    embedder.embed(paths[:3], batch_size=2)
    assert seen == [1, 1, 64, 64, 2, 2]


def test_rows_are_of_unit_length_unless_not(embedder: Embedder, paths: list[Path]) -> None:
    rows, raw = embedder.embed(paths), embedder.embed(paths, unit=False)
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(raw / lengths, rows, atol=1e-6)
    assert np.ptp(lengths) > 1e-4


def test_a_row_depends_on_its_picture_and_the_batch_size_alone(embedder: Embedder, paths: list[Path]) -> None:
    whole = embedder.embed(paths, batch_size=8)
    assert np.array_equal(embedder.embed(paths[4:7], batch_size=8), whole[4:7])
    assert np.array_equal(embedder.embed(paths[::-1], batch_size=8, threads=1), whole[::-1])


def test_nothing_is_no_error_and_an_iterator_is_taken_as_needed(embedder: Embedder, paths: list[Path]) -> None:
    assert embedder.embed([]).shape == (0, embedder.width)
    taken = []

    def draw() -> Iterator[Path]:
        for path in paths * 10:
            taken.append(path)
            yield path

    with pytest.raises(DataError, match="nothing_here"):
        embedder.embed((path if place != 4 else Path("nothing_here.jpg") for place, path in enumerate(draw())),
                       batch_size=4)
    assert len(taken) <= 12


def test_every_bad_picture_of_a_batch_is_named(embedder: Embedder, paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(paths[0].read_bytes()[:300])
    with pytest.raises(DataError) as caught:
        embedder.embed([paths[0], tmp_path / "broken.jpg", np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), 7,
                        tmp_path / "absent.jpg"])
    for words in ("broken.jpg: cannot be decoded", "picture 2: a ndarray of uint8 [4, 4]", "picture 3: a ndarray of float64",
                  "picture 4: a int", "absent.jpg"):
        assert words in str(caught.value)
    with pytest.raises(TypeError, match="int is no picture"):
        embedder.embed(7)


def test_the_orientation_of_a_file_is_followed_and_that_in_memory_is_left_alone(
    embedder: Embedder, paths: list[Path], tmp_path: Path
) -> None:
    upright = Image.open(paths[0]).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(embedder.embed(tmp_path / "turned.png"), embedder.embed(upright))
    lying = embedder.embed(Image.open(tmp_path / "turned.png"))
    assert np.array_equal(lying, embedder.embed(upright.transpose(Image.Transpose.ROTATE_90)))
    assert not np.allclose(lying, embedder.embed(upright), atol=1e-4)


def test_threads_share_one(embedder: Embedder, paths: list[Path]) -> None:
    wanted = [embedder.embed(paths[start : start + 3], batch_size=3) for start in range(0, 12, 3)] * 6
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda start: embedder.embed(paths[start : start + 3], batch_size=3), [0, 3, 6, 9] * 6))
    assert all(np.array_equal(one, other) for one, other in zip(found, wanted))


def test_nothing_global_is_touched_and_nothing_is_said(
    run: Path, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def look() -> list[object]:
        return [random.getstate()[1], np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), os.getcwd(),
                torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_dtype(), dict(os.environ),
                warnings.filters[:]]

    before = look()
    open_embedder(run, device="cpu").embed(paths)
    assert look() == before and not list(Path().iterdir())
    assert capfd.readouterr() == ("", "")
    open_embedder(run, device="cpu").embed(paths, progress=True)
    assert "12img" in capfd.readouterr().err


def test_settings_are_those_of_the_training_unless_given(run: Path, tmp_path: Path) -> None:
    view = open_embedder(run, device="cpu").look.view
    assert (view.size, view.recipe, view.source) == (48, "squash", "full")
    view = open_embedder(run / "model_last.pth", device="cpu", size=64, view="short").look.view
    assert (view.size, view.recipe) == (64, "short")
    (tmp_path / "moved.pth").write_bytes((run / "model_last.pth").read_bytes())
    assert open_embedder(tmp_path / "moved.pth", device="cpu").look.view.size == 48
    assert open_embedder(run, device="cpu", feature="auto").feature == "masked"


def test_a_name_is_a_path_and_nothing_else(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "my_birds").symlink_to(run)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match="my_birds: no such file"):
        open_embedder("my_birds")
    assert open_embedder("checkpoints/my_birds", device="cpu").width > 0
    with pytest.raises(WeightsError, match="a folder without model_last.pth"):
        open_embedder(tmp_path)
    with pytest.raises(WeightsError, match="none: no such file"):
        open_embedder("none")


@pytest.mark.parametrize(("words", "message"), [
    ({"device": "cuda:97"}, "device cuda:97"), ({"device": "gpu"}, "device gpu is unknown"), ({"view": "moco"}, "view 'moco'"),
    ({"precision": "int4"}, "precision 'int4'"), ({"feature": "nose"}, "feature 'nose'")])
def test_what_cannot_be_is_refused(run: Path, words: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_embedder(run, **words)


@pytest.mark.parametrize("size", [0, -3])
def test_a_batch_holds_one_picture_at_least(embedder: Embedder, paths: list[Path], size: int) -> None:
    with pytest.raises(ConfigError, match=f"batch_size {size}: give 1 or more"):
        embedder.embed(paths, batch_size=size)


def test_numbers_that_are_none_are_refused(embedder: Embedder, paths: list[Path]) -> None:
    next(embedder.encoder.parameters()).data.fill_(float("nan"))
    with pytest.raises(BrokenNetwork, match="NaN"):
        embedder.embed(paths)


def test_a_file_with_two_networks_warns_and_does_not_print(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    state = build_backbone("resnet18").net.state_dict()
    torch.save({"model": state, "model_ema": {name: value + 1 for name, value in state.items()}}, tmp_path / "two.pth")
    with pytest.warns(UserWarning, match="model and model_ema: model is taken"):
        open_embedder(tmp_path / "two.pth", device="cpu")
    assert capfd.readouterr() == ("", "")


def test_it_travels_to_another_process(embedder: Embedder, paths: list[Path]) -> None:
    assert np.array_equal(pickle.loads(pickle.dumps(embedder)).embed(paths), embedder.embed(paths))


@pytest.mark.shared
def test_real_photographs_have_the_numbers_of_the_command(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "flowers17"
    photos = sorted(folder.rglob("*.jpg"))[:70]
    listing = tmp_path / "list.csv"
    listing.write_text("path,label,split\n" + "".join(f"{path},x,train\n" for path in photos))
    embed.main([str(listing), "--pretrained", "package:efficientnet-lite0", "--out", str(tmp_path / "out"), "--size", "96",
                "--device", "cpu", "-j", "0", "--cache", "none"])
    wanted = read_embeddings(tmp_path / "out")
    by_key = dict(zip(wanted.keys, wanted.vectors))
    assert len(by_key) == 70
    found = open_embedder("package:efficientnet-lite0", device="cpu", size=96).embed(
        sorted(photos, key=lambda path: wanted.keys.index(next(key for key in by_key if key.endswith(path.name)))))
    assert np.array_equal(found, wanted.vectors)
