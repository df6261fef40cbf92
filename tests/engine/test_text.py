"""From descriptions to a text tensor, and from there into training, with a CLIP small enough for a test."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from datasets.images import DataError
from engine.text import count_cut, encode_descriptions, read_descriptions, write_text_tensor
from models.teachers import ClipTeacher, build_teacher, read_text_tensor

CONFIG = {"embed_dim": 16, "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
          "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}}
CSV = 'class name,description\nRed bird,"Red all over, black bill. Long tail."\n\nGreen bird,Green back; white wing bars\nBlue bird,Blue\n'
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def clip_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the model `tiny-text`, saved as open_clip saves them."""
    import open_clip

    folder = tmp_path_factory.mktemp("clip")
    (folder / "tiny-text.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder / "tiny-text.json")
    torch.manual_seed(0)
    torch.save(open_clip.create_model("tiny-text", load_weights=False).state_dict(), folder / "clip.pt")
    return folder / "clip.pt"


@pytest.fixture
def teacher(clip_weights: Path) -> ClipTeacher:
    return build_teacher("clip:tiny-text", weights=clip_weights, precision="fp32")


def test_quotes_blank_lines_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "bird.csv"
    path.write_text("\ufeff" + CSV, encoding="utf-8")
    rows = read_descriptions(path)
    assert [row.name for row in rows] == ["Red bird", "Green bird", "Blue bird"]
    assert rows[0].text == "Red all over, black bill. Long tail."


@pytest.mark.parametrize("text,words", [("name,text\na,b\n", ["first line"]), ("class name,description\n", ["no rows"]),
                                        ("class name,description\na,b\nA,c\nd,\ne\n", ["line 3", "line 4", "line 5"])])
def test_every_bad_line_is_named(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "bird.csv"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_descriptions(path)
    assert all(word in str(error.value) for word in words)


def test_tensor_and_manifest(tmp_path: Path, teacher: ClipTeacher) -> None:
    source, out = tmp_path / "bird.csv", tmp_path / "t" / "bird_text_tensor.pt"
    source.write_text(CSV)
    rows = write_text_tensor(source, out, teacher, model="tiny-text")
    saved = torch.load(out)
    assert saved.dtype == torch.float16 and saved.shape == (3, 16)
    torch.testing.assert_close(read_text_tensor(out, rows=3, width=16), rows, atol=1e-3, rtol=0)
    manifest = json.loads(out.with_suffix(".json").read_text())
    assert manifest["shape"] == [3, 16] and manifest["classes"][2] == "Blue bird" and len(manifest["csv_sha256"]) == 64


def test_sentences_are_averaged_and_long_texts_counted(tmp_path: Path, teacher: ClipTeacher) -> None:
    path = tmp_path / "bird.csv"
    path.write_text(CSV)
    rows = read_descriptions(path)
    parts = teacher.encode_text(["Red all over, black bill", "Long tail."])
    expected = torch.nn.functional.normalize(parts.mean(dim=0), dim=0)
    torch.testing.assert_close(encode_descriptions(teacher, rows, aggregate="sentences")[0], expected)
    assert count_cut(teacher, ["short", "very long text " * 40]) == 1


def test_descriptions_guide_a_run(
    photo_tree: Path, tmp_path: Path, clip_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import main_pretrain

    monkeypatch.chdir(tmp_path)
    Path("bird.csv").write_text(CSV)
    words = ("--crop-root none -a test_resnet --pretrained none --size 32 --batch-size 8 --epochs 1 --device cpu --num-workers 0 "
             "--precision fp32 --threads 1 --monitor-every 0 --num-classes 3 --text-load bird.csv --teacher-arch tiny-text")
    monkeypatch.setattr(sys, "argv", ["main_pretrain.py", "--root", str(photo_tree), *words.split(),
                                      "--teacher-weights", str(clip_weights), "--results-dir", "run"])
    main_pretrain.main()
    assert (tmp_path / "text_description_tensor" / "bird_text_tensor.pt").is_file()
    state = torch.load("run/checkpoint.pt")["method"]
    assert state["guide.prototypes.text.rows"].shape == (3, 16) and not any("teacher" in name for name in state)
