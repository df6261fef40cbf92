"""DDT in a program: the boxes of `python -m DDT`, and no folder."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import DDT
from datasets.crops import Box
from DDT.__main__ import main
from DDT.boxes import RowLog, read_cells, write_corners
from DDT.library.located import Located
from DDT.library.locator import MapMemory, fit_locator, locate
from DDT.localize import largest_component, threshold
from runtime.errors import ConfigError, DataError, WeightsError

SMALL = {"arch": "resnet10t", "size": 128, "batch_size": 4, "device": "cpu"}


@pytest.fixture
def flat(photo_tree: Path, tmp_path: Path) -> list[Path]:
    """36 pictures in one folder, of three sizes."""
    folder = tmp_path / "flat"
    folder.mkdir()
    for place, path in enumerate(sorted(photo_tree.rglob("*.jpg"))):
        picture = Image.open(path).convert("RGB")
        picture.resize((64 + 16 * (place % 3), 48)).save(folder / f"{place:02d}.png")
    return sorted(folder.iterdir())


def tell(one: Located) -> list[str]:
    """Boxes as boxes.csv and cuts.csv round them."""
    corners = [Box(*corner) for corner in (one.crop, one.box, one.cut)]
    return [cell for box in corners for cell in write_corners(box)]


@pytest.mark.parametrize("words, settings", [
    ([], {}), (["--directions", "1"], {"directions": 1}), (["--directions", "3"], {"directions": 3}),
    (["--policy", "rect:10,30", "--cut-rate", "0.85", "--over-num", "0.3", "--crop-bottom", "5", "--layer", "3"],
     {"policy": "rect:10,30", "cut_rate": 0.85, "over_num": 0.3, "crop_bottom": 5, "layer": 3})])
def test_the_boxes_are_those_of_the_command(
    flat: list[Path], tiny_weights: Path, tmp_path: Path, words: list[str], settings: dict[str, Any]
) -> None:
    main(["--task", "x", "--root", str(flat[0].parent), "--pretrained", str(tiny_weights), "--out", str(tmp_path / "out"),
          "--arch", "resnet10t", "--size", "128", "-b", "4", "--device", "cpu", "-j", "0", "--no-crops", *words])
    log = RowLog(tmp_path / "out" / "x_crop")
    wanted = log.recover([cells[0] for cells in read_cells(log.boxes)])
    assert [row.path for row in wanted] == [path.name for path in flat]
    found = locate(flat, weights=tiny_weights, **SMALL, **settings)
    for one in found:
        assert np.array_equal(one.mask, largest_component(threshold(one.scores, settings.get("over_num", 0.0))))
    for one, row in zip(found, wanted, strict=True):
        cells = [cell for box in (row.crop, row.tight, row.cut) for cell in write_corners(box)]
        assert tell(one) == cells
        assert (one.found, one.size) == (not row.empty, (row.frame.width, row.frame.height))
        assert one.group == row.member.group and abs(one.margin - row.member.margin) < 6e-4
    assert any(one.found for one in found)


def test_a_mask_and_its_scores_lie_over_the_whole_picture(flat: list[Path], tiny_weights: Path) -> None:
    for one in locate(flat, weights=tiny_weights, **SMALL):
        assert one.scores.dtype == np.float32 and one.mask.dtype == bool and one.mask.shape == one.scores.shape == (4, 4)
        assert np.array_equal(one.mask, largest_component(threshold(one.scores)))
        assert 0 <= one.crop[0] < one.crop[2] <= one.size[0] and all(isinstance(side, int) for side in one.crop)


def test_a_fit_locates_in_other_pictures(flat: list[Path], tiny_weights: Path) -> None:
    locator = DDT.fit(flat[:24], weights=tiny_weights, **SMALL)
    whole = locator.locate(flat[24:])
    assert locator.groups >= 1 and len(whole) == 12
    (one,) = locator.locate(np.asarray(Image.open(flat[24])))
    np.testing.assert_allclose(one.scores, whole[0].scores, rtol=1e-4, atol=1e-5)
    with ThreadPoolExecutor(3) as pool:
        again = list(pool.map(lambda _: locator.locate(flat[24:]), range(6)))
    assert all(a.box == b.box and np.array_equal(a.scores, b.scores) for found in again for a, b in zip(found, whole))


def test_maps_that_do_not_fit_into_memory_are_computed_again(flat: list[Path], tiny_weights: Path) -> None:
    reader = fit_locator(flat[:8], weights=tiny_weights, **SMALL).reader
    some = flat[:34]  # the last batch is a smaller one, which would fit where a whole one did not
    kept = [batch.maps for batch in MapMemory(reader, some)]
    size = kept[0].numel() * 4
    for room in (0, 2.5 * size, 1e9):
        memory = MapMemory(reader, some, room)
        for _ in range(3):
            maps = [batch.maps for batch in memory]
            assert len(maps) == 9 and all(torch.equal(one, other) for one, other in zip(maps, kept))
        assert len(memory.kept) == min(room // size, 9)


def test_nothing_global_is_touched_and_nothing_is_said(
    flat: list[Path], tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    state = np.random.get_state()[1].copy()
    locate(flat, weights=tiny_weights, **SMALL)
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads
    assert np.array_equal(np.random.get_state()[1], state)
    assert capfd.readouterr() == ("", "") and not list(Path().iterdir())
    locate(flat, weights=tiny_weights, progress=True, **SMALL)
    assert "locate" in capfd.readouterr().err


@pytest.mark.parametrize(("settings", "kind", "message"), [
    ({"weights": "none"}, ConfigError, "never saw a picture"), ({"precision": "fp16"}, ConfigError, "precision 'fp16'"),
    ({"policy": "round"}, DataError, "policy round"), ({"device": "tpu"}, ConfigError, "device tpu is unknown"),
    ({"weights": "absent.pth"}, WeightsError, "absent.pth")])
def test_what_cannot_be_is_refused(
    flat: list[Path], tiny_weights: Path, settings: dict[str, str], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        locate(flat, **{"weights": tiny_weights, **SMALL, **settings})


def test_no_pictures_have_nothing_in_common(tiny_weights: Path) -> None:
    with pytest.raises(DataError, match="no pictures were given"):
        locate([], weights=tiny_weights, **SMALL)


def test_the_room_offers_what_programs_call(words: Callable[..., list[str]]) -> None:
    assert DDT.locate is locate and DDT.fit is fit_locator and DDT.Located is Located
    with pytest.raises(AttributeError, match="no attribute 'nose'"):
        _ = DDT.nose


def test_settings_that_the_command_would_refuse_are_named_together(flat: list[Path], tiny_weights: Path) -> None:
    with pytest.raises(ConfigError, match="(?s)cut_rate -1.*over_num 1.5.*directions 0.*crop_bottom -5"):
        fit_locator(flat[:4], weights=tiny_weights, cut_rate=-1.0, over_num=1.5, directions=0, crop_bottom=-5, **SMALL)
