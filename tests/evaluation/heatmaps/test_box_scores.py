"""Maps against boxes: the uniform baseline, peaks, boxes brought into the view; and the CAMs of both losses."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from datasets.crops import Box
from datasets.views.recipes import View, make_transform
from evaluation.heatmaps.box_scores import area, average_scores, cover, find, measure_maps, place_box
from evaluation.heatmaps.encoder_maps import CAM, NORM, RATIONALE, byol_losses, contrast_losses, make_map_function
from evaluation.heatmaps.sheet import GAP, SIDE, draw_heat_sheet
from losses.cam import activation_map, scale_to_peak
from methods.byol import ByolOptions
from methods.lcr import LcrByol
from methods.rationale import RationaleOptions
from models.attention import RationaleBranch
from models.backbones import build_backbone
from models.encoder import Encoder
from models.heads import ProjectionHead

BOX = Box(0.1, 0.25, 0.55, 1.0)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    backbone = build_backbone("resnet18")
    return Encoder(backbone, ProjectionHead(512, 16, 8), RationaleBranch(512, 4)).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(0, 256, (4, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(7, 7), (3, 5), (1, 1)])
def test_a_uniform_map_scores_the_box_area(shape: tuple[int, int]) -> None:
    assert find(torch.full(shape, 0.3), BOX).energy == pytest.approx(area(BOX), abs=1e-9)
    assert float(cover(BOX, *shape).sum()) / (shape[0] * shape[1]) == pytest.approx(0.45 * 0.75)


def test_one_hot_cells_score_the_covered_part_of_the_cell() -> None:
    heat = torch.zeros(4, 4)
    heat[2, 2] = 5  # columns 0.5 to 0.75, covered to 0.55; its middle is outside
    assert find(heat, BOX) == pytest.approx(find(heat, BOX)) and find(heat, BOX).energy == pytest.approx(0.2)
    assert find(heat, BOX).pointing == 0 and find(heat.flip(1), BOX).pointing == 1
    assert find(torch.zeros(4, 4), BOX) is None


@pytest.mark.parametrize("recipe", ["eval", "short", "short-exact", "squash", "squash-exact", "deit-eval", "warp", "pim-eval"])
def test_box_lands_where_the_view_shows_it(recipe: str) -> None:
    """A bright rectangle in a photograph, and where it is in the view."""
    photo = Image.new("RGB", (300, 180))
    photo.paste((255, 255, 255), (120, 40, 200, 140))
    view = make_transform(View("full", recipe, 96))(photo).float().mean(0) > 128
    box = place_box(Box(120, 40, 200, 140), 300, 180, 96, recipe)
    rows, columns = view.any(1).nonzero().flatten(), view.any(0).nonzero().flatten()
    seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert [96 * value for value in (box.x1, box.y1, box.x2, box.y2)] == pytest.approx([int(v) for v in seen], abs=1.0)


def test_a_box_that_the_central_square_cuts_away_is_none() -> None:
    assert place_box(Box(0, 0, 20, 180), 300, 180, 96) is None
    assert place_box(Box(0, 0, 20, 180), 300, 180, 96, "warp") is not None


def test_means_are_over_pictures_that_have_a_number() -> None:
    heat = torch.stack([torch.ones(2, 2), torch.zeros(2, 2), torch.ones(2, 2)])
    rows = measure_maps({"m": heat}, [BOX, BOX, None])
    assert [set(row) for row in rows] == [{"area", "m_pointing", "m_energy"}, {"area"}, set()]
    assert average_scores(rows)["m_energy"] == pytest.approx(area(BOX))


def test_cam_is_that_of_the_contrast_whatever_the_batch(encoder: Encoder, images: Tensor) -> None:
    others = encoder.outputs(images)["head"].detach()
    answer = torch.no_grad()(make_map_function(encoder, contrast_losses(encoder, others)))
    found = answer(images)
    assert set(found) == {NORM, RATIONALE, CAM} and all(value.shape == (4, 9) for value in found.values())
    torch.testing.assert_close(answer(images[2:3])[CAM], found[CAM][2:3], atol=1e-5, rtol=1e-4)
    encoded, keys = encoder(images), encoder(images.flip(3)).head.detach()
    losses = []
    for b in range(4):  # literally: the others are the negatives
        logits = torch.stack([encoded.head[b] @ keys[b], *(encoded.head[b] @ others[n] for n in range(4) if n != b)])
        losses.append(-F.log_softmax(logits / 0.2, dim=0)[0])
    (gradient,) = torch.autograd.grad(torch.stack(losses).sum(), encoded.pooled)
    expected = scale_to_peak(activation_map(encoded.map.detach(), gradient)).flatten(1)
    torch.testing.assert_close(found[CAM], expected, atol=1e-4, rtol=1e-3)


def test_byol_has_a_cam_without_a_head(images: Tensor) -> None:
    torch.manual_seed(0)
    byol = LcrByol(build_backbone("resnet18"), ByolOptions(dim=8, hidden=16), RationaleOptions()).eval()
    found = torch.no_grad()(make_map_function(byol.encoder(), byol_losses(byol)))(images)
    assert found[CAM].amax(dim=1).tolist() == pytest.approx([1] * 4) and found[CAM].min() >= 0


def test_without_head_and_branch_the_norm_is_left(images: Tensor) -> None:
    backbone = build_backbone("resnet18").eval()
    found = torch.no_grad()(make_map_function(Encoder(backbone), None))(images)
    torch.testing.assert_close(found, {NORM: backbone(images).norm(dim=1).flatten(1).detach()})


def test_sheet_shows_hot_cells_in_red_and_the_box() -> None:
    heat = torch.zeros(1, 2, 2)
    heat[0, 0, 0] = 1
    picture = Image.new("RGB", (60, 60), (128, 128, 128))
    sheet = draw_heat_sheet([picture], {"m": heat}, [Box(0, 0, 1, 1)], ["one"], title="t", words={"m": "M"})
    left = 2 * GAP + SIDE + GAP
    top = next(y for y in range(sheet.height) if sheet.getpixel((left + SIDE // 2, y)) == (0, 0, 0))  # the box's rim
    red, blue = sheet.getpixel((left + 20, top + 20)), sheet.getpixel((left + 130, top + 130))
    assert red[0] > red[2] + 30 and blue[2] > blue[0]
    assert (57, 211, 83) in {colour for _, colour in sheet.getcolors(100000)}
