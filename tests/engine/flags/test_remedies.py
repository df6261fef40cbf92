"""Remedies exist and help: what a message asks for is not what was just done, nor what is not there yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import checkpoint
from engine.readings import tell_what_helps
from evaluation.features.sources import find_source
from models.classifiers.classifier import Classifier
from models.plug_in.levels import Levels
from runtime.errors import ConfigError, WeightsError


def tell(folder: Path, number_format: str) -> str:
    return tell_what_helps(folder, number_format)


def test_resume_is_named_only_where_there_is_a_checkpoint(tmp_path: Path) -> None:
    assert "no checkpoint was saved yet" in tell(tmp_path, "fp16") and "--resume" not in tell(tmp_path, "fp16")
    with pytest.raises(ConfigError, match="nothing is lost by beginning: leave --resume out"):
        checkpoint.load_resume_state(tmp_path)
    (tmp_path / "args.json").write_text("{}")
    with pytest.raises(ConfigError, match="no run has finished there; name a finished one"):
        find_source(str(tmp_path))
    checkpoint.save(tmp_path, {"step": 1})
    assert "continue with --resume --precision fp32" in tell(tmp_path, "fp16")
    assert "--precision fp32" not in tell(tmp_path, "fp32")  # it has been fp32 all along
    with pytest.raises(ConfigError, match="the command that began it, with --resume"):
        find_source(str(tmp_path))
    with pytest.raises(ConfigError, match="no 'identity'.*give it as --pretrained without --resume"):
        checkpoint.load_state(tmp_path)


@pytest.mark.parametrize("taps", [[99], [-9]])
def test_a_level_that_is_not_there_is_told(taps: list[int]) -> None:
    with pytest.raises(WeightsError, match="feature index .* is out of range.*take others"):
        Levels(Classifier("test_resnet", 2).net, taps, image_size=64)
