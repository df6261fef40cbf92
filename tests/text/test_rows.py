"""Text rows in LEAD's two recipes: of length 1, or as half precision has stored them."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.flags.pretrain.arguments import parse
from engine.workflows.pretrain.guidance import guide_by_text, restore_guide
from losses.distillation import kl_divergence, prototype_log_probabilities
from models.teachers.guide import LiveGuide

DIM = 16


class Eye(nn.Module):
    """A teacher whose answer is the picture itself."""

    dim, precision = DIM, "fp32"

    def encode(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def save_rows(path: Path) -> Tensor:
    """Unit rows, stored in half precision and 4 % too long or short, so that nobody can miss it."""
    generator = torch.Generator().manual_seed(0)
    rows = F.normalize(torch.randn(5, DIM, generator=generator), dim=1) * torch.tensor([[0.96], [1.0], [1.04], [1.02], [1]])
    torch.save(rows.half(), path)
    return rows.half()


def build(path: Path, *words: str) -> LiveGuide:
    args = parse(["--root", "x", "--pretrained", "none", "--device", "cpu", "--teacher-weights", "w", "--text-load",
                  str(path), *words])
    return guide_by_text(args, Eye(), SimpleNamespace(train=None, crops=None, answers=None), torch.device("cpu"))


def plain_kl(answer: Tensor, student: Tensor, rows: Tensor) -> float:
    """KL of the two softmaxes at 0.02 in float64, number after number."""
    logits = [[sum(float(a) * float(r) for a, r in zip(one, row)) / 0.02 for row in rows] for one in (answer, student)]
    shares = []
    for values in logits:
        powers = [math.exp(value - max(values)) for value in values]
        shares.append([power / sum(powers) for power in powers])
    return sum(t * math.log(t / s) for t, s in zip(*shares))


@pytest.mark.parametrize("words, stored", [((), False), (("--recipe", "seed"), True), (("--rows-as-stored",), True),
                                           (("--recipe", "seed", "--rows_as_stored=false"), False)])
def test_the_seed_recipe_takes_rows_as_they_are_stored(words: tuple[str, ...], stored: bool, tmp_path: Path) -> None:
    kept = save_rows(tmp_path / "t.pt")
    guide = build(tmp_path / "t.pt", *words)
    rows = guide.prototypes["text"].rows
    expected = kept.double() if stored else F.normalize(kept.double(), dim=1)
    torch.testing.assert_close(rows.double(), expected, rtol=0, atol=0 if stored else 1e-7)
    answer, student = F.normalize(torch.randn(2, DIM, generator=torch.Generator().manual_seed(1)), dim=1)
    found = kl_divergence(*(prototype_log_probabilities(one[None], rows, 0.02) for one in (answer, student)))
    assert found.item() == pytest.approx(plain_kl(answer, student, expected), rel=2e-5)


def test_a_continued_run_keeps_the_lengths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_rows(tmp_path / "t.pt")
    guide = build(tmp_path / "t.pt", "--recipe", "seed")
    monkeypatch.setattr("engine.workflows.pretrain.guidance.make_guide_teacher", lambda *_: Eye())
    state = {f"guide.{name}": value for name, value in guide.state_dict().items()}
    again = restore_guide(None, state, "fp32", torch.device("cpu"))
    torch.testing.assert_close(again.prototypes["text"].rows, guide.prototypes["text"].rows, rtol=0, atol=0)
