"""The studio as a command, on photographs and a CLIP of random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.errors import ConfigError, DataError
from tools import encode_text, text_studio

CSV = "class name,description\nBlue bird,Blue\nGreen bird,Green back\nRed bird," + "very red all over " * 30 + "end\n"
pytestmark = pytest.mark.filterwarnings("ignore")


def run_studio(text: Path, root: Path, clip: Path, *words: str) -> dict[str, object]:
    text_studio.main([str(text), "--root", str(root), "--crop-root", "none", "--weights", str(clip), "--arch", "tiny-text", "--device",
                      "cpu", "-j", "0", "--cache", "none", "--out", str(text.parent / "out"), *words])
    assert (text.parent / "out" / "studio.html").stat().st_size > 20_000
    return json.loads((text.parent / "out" / "studio.json").read_text())


def test_descriptions_and_their_tensor_are_judged_alike(photo_tree: Path, tiny_clip: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text_description").mkdir()
    source = tmp_path / "text_description" / "bird.csv"
    source.write_text(CSV)
    by_csv = run_studio(source, photo_tree, tiny_clip)
    encode_text.main([str(source), "--weights", str(tiny_clip), "--arch", "tiny-text", "--out", "bird_text_tensor.pt"])
    by_tensor = run_studio(tmp_path / "bird_text_tensor.pt", photo_tree, tiny_clip)
    assert by_csv["texts"] == by_tensor["texts"] and by_csv["images"] == 24
    assert [text["name"] for text in by_csv["texts"]] == ["Red bird", "Green bird", "Blue bird"]  # the folders' order
    assert by_csv["texts"][0]["tokens"] == 123 and by_csv["texts"][0]["lost"].endswith("red all over end")
    assert by_csv["verdict"][0] == {"text": "1 row is truncated: CLIP stops reading after 77 tokens", "good": False}
    assert by_tensor["zero_shot"]["top1"] == pytest.approx(by_csv["zero_shot"]["top1"], abs=0.1)
    by_sentence = run_studio(source, photo_tree, tiny_clip, "--aggregate", "sentences")
    assert by_sentence["verdict"][0]["good"] is True and by_sentence["texts"][0]["tokens"] <= 77


def test_rows_that_are_not_the_folders_are_listed(photo_tree: Path, tiny_clip: Path, tmp_path: Path) -> None:
    (tmp_path / "bird.csv").write_text(CSV.replace("Blue bird", "Pink bird"))
    with pytest.raises(DataError, match="(?s)without a row: 003.Blue_bird.*without a class: Pink bird"):
        run_studio(tmp_path / "bird.csv", photo_tree, tiny_clip)


def test_without_weights_the_one_command_is_told(photo_tree: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("bird.csv").write_text(CSV)
    with pytest.raises(ConfigError, match="(?s)CLIP's weights.*ViT-B-16 are not.*python -m tools.encode_text bird.csv --teacher-weights ViT-B-16.pt"):
        encode_text.main(["bird.csv"])


def test_bad_numbers_are_refused_together() -> None:
    with pytest.raises(ConfigError, match="(?s)--tau is 0.0, but it must be above 0.*--target-entropy is 1.5, but it must be"):
        text_studio.parse(["x.csv", "--root", "photos", "--tau", "0", "--target-entropy", "1.5"])
