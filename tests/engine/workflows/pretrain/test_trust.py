"""Trust in a teacher: high where its networks see the same groups, low where they see each their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import main_pretrain
from engine.flags.pretrain.command import PRETRAIN_COMMAND
from engine.flags.pretrain.methods import UNTRUSTED
from engine.workflows.build import Start
from engine.workflows.pretrain import trust as trust_file
from engine.workflows.pretrain.trust import TRUSTED, adapt_to_trust, measure_teacher_trust
from models.backbones import build_backbone
from models.encoder import Encoder, save_encoder


def two_views(noise: float, count: int = 700, seed: int = 0) -> list[torch.Tensor]:
    """Two networks' features of one scene: what both see, and what each sees alone."""
    generator = torch.Generator().manual_seed(seed)
    seen = torch.randn(count, 16, generator=generator)
    return [torch.cat([seen, noise * torch.randn(count, 16, generator=generator)], dim=1) for _ in range(2)]


def test_it_falls_as_the_networks_see_less_in_common() -> None:
    told = [measure_teacher_trust(two_views(noise)) for noise in (0.0, 0.5, 1.0, 8.0)]
    assert told[0] == pytest.approx(1) and told[-1] == pytest.approx(0, abs=0.03)
    assert told == sorted(told, reverse=True)


def test_it_hardly_depends_on_how_many_images_there_are() -> None:
    few, many = (measure_teacher_trust(two_views(0.5, count)) for count in (150, 3000))
    assert few == pytest.approx(many, abs=0.12)


class Inputs:
    train = crops = answers = None


def options(*words: str):
    return PRETRAIN_COMMAND.parse(["--root", "nowhere", "--preset", "small", "-a", "test_resnet", "--pretrained", "none",
                                   "--teacher", "test_resnet+test_resnet", "--teacher-weights", "none+none", *words])


def start(saved=None) -> Start:
    return Start(torch.device("cpu"), saved, {})


@pytest.mark.parametrize(("trust", "whiten"), [(TRUSTED, 0.0), (TRUSTED - 0.01, 0.5)])
def test_what_follows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, trust: float, whiten: float) -> None:
    monkeypatch.setattr(trust_file, "find_trust", lambda *_: trust)
    told, begin = options(), start()
    adapted = adapt_to_trust(told, Inputs(), begin)
    assert adapted.teacher_whiten == whiten and begin.identity["trust"] == trust
    changed = {name for name, value in adapted.settings().items() if value != told.settings()[name]}
    assert changed <= UNTRUSTED.keys() and bool(changed) == (trust < TRUSTED)
    said = capsys.readouterr().out
    assert f"trust {trust:.2f}" in said and ("--teacher-whiten 0.5" in said) == (trust < TRUSTED)


def test_what_the_user_gave_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust_file, "find_trust", lambda *_: 0.1)
    adapted = adapt_to_trust(options("--epochs", "2", "--neighbours", "4"), Inputs(), start())
    assert (adapted.epochs, adapted.neighbours, adapted.teacher_whiten) == (2, 4, 0.5)


def test_low_asks_nobody_and_off_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust_file, "find_trust", lambda *_: pytest.fail("the teacher was asked"))
    assert adapt_to_trust(options("--trust", "low"), Inputs(), start()).teacher_whiten == 0.5
    told = options("--trust", "off")
    assert adapt_to_trust(told, Inputs(), start()) == told


def test_a_continued_run_takes_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust_file, "make_guide_teacher", lambda *_: pytest.fail("the teacher was asked"))
    begin = start({"identity": {"trust": 0.2}})
    assert adapt_to_trust(options(), Inputs(), begin).teacher_whiten == 0.5 and begin.identity["trust"] == 0.2


@pytest.mark.filterwarnings("ignore:teacher")
def test_a_single_network_cannot_be_measured(capsys: pytest.CaptureFixture) -> None:
    told = options("--teacher", "test_resnet", "--teacher-weights", "none")
    assert adapt_to_trust(told, Inputs(), start()) == told
    assert "not measured" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:teacher")
def test_a_plan_says_what_was_measured(photo_tree: Path, tmp_path: Path, call_main: Callable) -> None:
    """A network beside itself agrees on every neighbour. Trust, guide and judge need the answers: they are asked once."""
    save_encoder(Encoder(build_backbone("test_resnet")), tmp_path / "net.pth", {})
    words = ["--root", photo_tree, "--preset", "small", "-a", "test_resnet", "--pretrained", "none", "--size", "32", "--device", "cpu",
             "--crop-root", "none", "--batch-size", "8", "--num-workers", "0", "--threads", "1", "--precision", "fp32", "--cache", "none",
             "--teacher-size", "32", "--teacher", "test_resnet+test_resnet", "--plan"]
    done = call_main(main_pretrain.main, *words, "--teacher-weights", "net.pth+net.pth")
    assert done.returncode == 0 and "trust 1.00: " in done.stdout, done.stderr
    assert done.stdout.count("teacher test_resnet+test_resnet: 24 images") == 1
