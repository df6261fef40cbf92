"""Pictures as a program gives them become what the commands' data set makes of their files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from datasets.files import take_picture
from datasets.images import scan
from datasets.sampling.batches import Draw
from datasets.view_set import ViewSet
from datasets.views.given import holds_one_picture, read_given
from datasets.views.recipes import View
from evaluation.options import EVAL_VIEWS
from runtime.errors import ConfigError, DataError


@pytest.mark.parametrize("recipe", EVAL_VIEWS)
def test_pixels_are_those_of_the_data_set(photo_tree: Path, recipe: str) -> None:
    images = scan(photo_tree, "test")
    view = View("full", recipe, 40)
    plain = ViewSet(images, {"view": view}, crop_bottom=5)
    wanted = torch.stack([plain[Draw(place, 0)].views["view"] for place in range(len(images))])
    state = torch.get_rng_state()
    batches = list(read_given([sample.path for sample in images.samples], view, 5, crop_bottom=5))
    assert [len(batch) for batch in batches] == [5, 5, 2] and torch.equal(torch.get_rng_state(), state)
    assert torch.equal(torch.cat([batch.pixels for batch in batches]), wanted)
    assert {size for batch in batches for size in batch.sizes} == {(64, 43)}
    assert batches[2].names == tuple(str(sample.path) for sample in images.samples[10:])


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "I;16", "1"])
def test_pictures_in_memory_of_any_mode_are_as_their_files(mode: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 4), dtype=np.uint8)
    picture = (Image.fromarray(pixels[..., 0].astype(np.uint16) * 200) if mode == "I;16"
               else Image.fromarray(pixels).convert(mode) if mode == "RGBA" else Image.fromarray(pixels[..., :3]).convert(mode))
    file = tmp_path / f"x.{'tif' if mode == 'CMYK' else 'png'}"
    picture.save(file)
    batches = [next(read_given(one, View("full", "eval", 24), 1)) for one in (file, Image.open(file), picture)]
    assert torch.equal(batches[0].pixels, batches[1].pixels) and torch.equal(batches[0].pixels, batches[2].pixels)


def test_the_same_picture_may_come_often(photo_tree: Path) -> None:
    path = next(photo_tree.rglob("*.jpg"))
    (batch,) = read_given([Image.open(path)] * 3 + [path] * 3, View("full", "eval", 24), 8, threads=3)
    assert (batch.pixels == batch.pixels[0]).all() and batch.names[:2] == ("picture 0", "picture 1")


def test_one_is_told_from_several() -> None:
    array = np.zeros((8, 8, 3), np.uint8)
    assert all(map(holds_one_picture, ("x.jpg", Path("x.jpg"), array, Image.fromarray(array), [array], np.stack([array]))))
    assert not any(map(holds_one_picture, ([], [array, array], np.stack([array, array]), iter([array]))))


def test_what_leaves_nothing_is_refused() -> None:
    picture = Image.new("RGB", (8, 8))
    assert take_picture(picture, 3).size == (8, 5)
    with pytest.raises(DataError, match="picture 0: --crop-bottom 8 leaves nothing"):
        list(read_given([picture], View("full", "eval", 24), 4, crop_bottom=8))
    with pytest.raises(ConfigError, match="batch_size 0"):
        next(read_given([picture], View("full", "eval", 24), 0))


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_a_film_is_the_frames_that_it_was_when_they_were_given(batch_size: int) -> None:
    """Pillow's iterator gives one object again and again, each time at its next frame."""
    frames = [Image.new("L", (32, 32), grey) for grey in (0, 80, 160, 240)]
    content = io.BytesIO()
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:])
    found = read_given(ImageSequence.Iterator(Image.open(content)), View("full", "eval", 32), batch_size)
    assert [int(one.float().mean().round()) for batch in found for one in batch.pixels] == [0, 80, 160, 240]


def test_pictures_of_no_pixels_are_named_together() -> None:
    with pytest.raises(DataError, match="(?s)picture 0: .*picture 1: "):
        list(read_given([np.zeros((0, 5, 3), np.uint8), Image.new("RGB", (0, 4))], View("full", "squash", 32), 4))
