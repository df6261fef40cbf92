"""Guides: a live teacher and a bank give the same kind of answer."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.teachers.guide import BankGuide, LiveGuide, Prototypes
from models.teachers.prototypes import fit_space


class Eye(nn.Module):
    """A teacher that sees mean colours, four times."""

    def encode(self, images: Tensor) -> Tensor:
        return images.float().mean(dim=(2, 3)).repeat(1, 4) + torch.arange(12)


def test_live_answers_are_unit_rows_in_the_space() -> None:
    images = torch.randint(0, 256, (9, 3, 4, 4), dtype=torch.uint8)
    space = fit_space(Eye().encode(images), 2)
    guide = LiveGuide(Eye(), {"image": Prototypes(torch.randn(5, 2), 0.1)}, space)
    answer = guide(images, torch.arange(9))
    torch.testing.assert_close(answer, space.project(Eye().encode(images)))
    assert guide.dim == 2 and {"mean", "components"} <= set(guide.state_dict())


def test_answers_are_exact_under_autocast() -> None:
    images = torch.randint(0, 256, (9, 3, 4, 4), dtype=torch.uint8)
    guide = LiveGuide(Eye(), {"image": Prototypes(torch.randn(5, 2), 0.1)}, fit_space(Eye().encode(images), 2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answer = guide(images, torch.arange(9))
    assert answer.dtype == torch.float32
    torch.testing.assert_close(answer, guide(images, torch.arange(9)), rtol=0, atol=0)


def test_without_a_space_the_teachers_own_rows_count() -> None:
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    answer = LiveGuide(Eye(), {"text": Prototypes(torch.randn(5, 12), 0.1)})(images, torch.arange(2))
    torch.testing.assert_close(answer, F.normalize(Eye().encode(images), dim=1))


def test_bank_answers_by_image_id_and_travels_in_the_state() -> None:
    guide = BankGuide(2 * torch.eye(4), {"image": Prototypes(torch.randn(3, 4), 0.07)})
    assert guide(torch.zeros(2, 3, 4, 4), torch.tensor([3, 1])).tolist() == [[0, 0, 0, 1], [0, 1, 0, 0]]
    assert {"bank", "prototypes.image.rows", "prototypes.image.temperature"} == set(guide.state_dict())


def test_prototypes_are_brought_to_unit_length() -> None:
    torch.testing.assert_close(Prototypes(torch.randn(3, 4).half(), 1).rows.norm(dim=1), torch.ones(3))


def test_rows_as_stored_keep_their_lengths() -> None:
    stored = torch.randn(3, 4).half()
    torch.testing.assert_close(Prototypes(stored, 1, unit=False).rows, stored.float(), rtol=0, atol=0)


def test_widths_must_agree() -> None:
    with pytest.raises(ValueError, match="one width"):
        LiveGuide(Eye(), {"text": Prototypes(torch.randn(3, 4), 1), "image": Prototypes(torch.randn(3, 5), 1)})
    with pytest.raises(ValueError, match="bank"):
        BankGuide(torch.randn(3, 5), {"text": Prototypes(torch.randn(3, 4), 1)})
