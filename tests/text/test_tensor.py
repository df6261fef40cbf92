"""Text tensors with their manifests: what is written, what is refused, and how rows reach a run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from models.teachers.build import build_teacher
from models.teachers.clip import ClipTeacher
from runtime.errors import DataError, WeightsError
from text.tensor import TextRows, ensure_text_tensor, load_text, read_manifest, write_text_tensor

CSV = "class name,description\nBlue bird,Blue\nRed bird,Red all over\nGreen bird,Green back\n"
TINY = ("--crop-root none -a test_resnet --pretrained none --size 32 --batch-size 8 --epochs 1 --device cpu --num-workers 0 "
        "--precision fp32 --threads 1 --monitor-every 0 --num-classes 3 --teacher-arch tiny-text")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def teacher(tiny_clip: Path) -> ClipTeacher:
    return build_teacher("clip:tiny-text", weights=tiny_clip, precision="fp32")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "bird.csv").write_text(CSV)
    return tmp_path / "bird.csv"


@pytest.fixture
def tensor(source: Path, teacher: ClipTeacher) -> Path:
    write_text_tensor(source, source.with_name("bird.pt"), teacher, model="tiny-text")
    return source.with_name("bird.pt")


def test_tensor_and_manifest(source: Path, teacher: ClipTeacher) -> None:
    out = source.parent / "new" / "bird_text_tensor.pt"
    rows = write_text_tensor(source, out, teacher, model="tiny-text", template="a {name}", aggregate="sentences")
    saved = torch.load(out)
    assert saved.dtype == torch.float16 and saved.shape == (3, 16)
    text = load_text(out, teacher=teacher, rows=3)
    torch.testing.assert_close(text.rows, rows, atol=1e-3, rtol=0)
    assert text.names == ("Blue bird", "Red bird", "Green bird")
    manifest = read_manifest(out)
    assert (manifest.model, manifest.template, manifest.aggregate, manifest.csv) == ("tiny-text", "a {name}", "sentences", "bird.csv")
    assert manifest.shape == [3, 16] and len(manifest.csv_sha256) == len(manifest.tensor_sha256) == 64


def test_the_text_towers_hash_does_not_depend_on_how_images_are_seen(tiny_clip: Path, teacher: ClipTeacher, tensor: Path) -> None:
    other = build_teacher("clip:tiny-text", weights=tiny_clip, precision="bf16", size=64)
    assert other.text_fingerprint() == teacher.text_fingerprint()
    assert torch.equal(other.encode_text(["a red bird"]), teacher.encode_text(["a red bird"]))
    assert load_text(tensor, teacher=other).rows.shape == (3, 16)


def test_a_tensor_without_manifest_is_taken_as_it_is(tmp_path: Path) -> None:
    torch.save(torch.eye(4).half(), tmp_path / "seed.pt")
    text = load_text(tmp_path / "seed.pt", width=4, rows=4)
    assert text.names == () and torch.equal(text.rows, torch.eye(4))
    assert torch.equal(text.order_by(["a", "b", "c", "d"], "photos").rows, torch.eye(4))
    with pytest.raises(DataError, match="4 rows without names, photos has 3 classes"):
        text.order_by(["a", "b", "c"], "photos")


def test_rows_in_another_order_are_put_into_the_folders_order(tensor: Path) -> None:
    text = load_text(tensor)
    ordered = text.order_by(["001.Red_bird", "002.Green_bird", "003.Blue_bird"], "photos")
    assert torch.equal(ordered.rows, text.rows[[1, 2, 0]]) and ordered.names == ("Red bird", "Green bird", "Blue bird")
    with pytest.raises(DataError, match="1 classes without a row: Gray bird"):
        text.order_by(["Red bird", "Green bird", "Blue bird", "Gray bird"], "photos")


def test_another_model_is_refused(tensor: Path, tiny_clip: Path, tmp_path: Path) -> None:
    state = {name: value + 0.1 for name, value in torch.load(tiny_clip).items()}
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="made by tiny-text with weights .* the teacher's text tower is .*encode the descriptions again"):
        load_text(tensor, teacher=build_teacher("clip:tiny-text", weights=tmp_path / "other.pt", precision="fp32"))


def test_an_exchanged_or_shortened_tensor_is_refused(tensor: Path, teacher: ClipTeacher) -> None:
    torch.save(torch.load(tensor)[:2], tensor)
    with pytest.raises(WeightsError, match="another file than bird.json describes"):
        load_text(tensor, teacher=teacher)
    tensor.with_suffix(".json").unlink()
    with pytest.raises(WeightsError, match="2 rows .*, 3 are needed"):
        load_text(tensor, rows=3)
    with pytest.raises(WeightsError, match="16 columns .*, 512 are needed"):
        load_text(tensor, width=512)


@pytest.mark.parametrize("change,words", [({"classes": ["Blue bird"]}, "3 rows for 1 class names"), ({"model": None}, "no manifest")])
def test_broken_manifests_are_refused(tensor: Path, change: dict[str, object], words: str) -> None:
    path = tensor.with_suffix(".json")
    content = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
    with pytest.raises(WeightsError, match=words):
        load_text(tensor)


def test_a_named_csv_is_encoded_when_it_or_the_model_changed(
    source: Path, teacher: ClipTeacher, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(source.parent)
    first = ensure_text_tensor("bird.csv", teacher, "tiny-text")
    write_text_tensor(Path("bird.csv"), first, teacher, model="tiny-text", template="a {name}")
    before = first.read_bytes()
    capsys.readouterr()
    assert ensure_text_tensor("bird.csv", teacher, "tiny-text").read_bytes() == before and capsys.readouterr().out == ""
    Path("bird.csv").write_text(CSV.replace("Blue bird", "Azure bird"))
    assert "encoding" in (ensure_text_tensor("bird.csv", teacher, "tiny-text"), capsys.readouterr().out)[1]
    assert first.read_bytes() != before and read_manifest(first).template == "a {name}"
    first.with_suffix(".json").unlink()
    with pytest.raises(WeightsError, match="no manifest says"):
        ensure_text_tensor("bird.csv", teacher, "tiny-text")


def test_a_named_tensor_is_kept_and_its_changed_csv_told(
    tensor: Path, teacher: ClipTeacher, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tensor.parent)
    Path("text_description").mkdir()
    Path("text_description/bird.csv").write_text(CSV + "Gray bird,Gray\n")
    before = tensor.read_bytes()
    assert ensure_text_tensor("bird.pt", teacher, "tiny-text").read_bytes() == before
    assert "has changed since" in capsys.readouterr().out


def run_pretrain(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    import main_pretrain

    monkeypatch.setattr(sys, "argv", ["main_pretrain.py", *TINY.split(), *map(str, words)])
    main_pretrain.main()


def test_descriptions_guide_a_run_in_the_order_of_the_folders(
    photo_tree: Path, source: Path, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)
    run_pretrain(monkeypatch, "--root", photo_tree, "--text-load", "bird.csv", "--teacher-weights", tiny_clip, "--results-dir", "run")
    state = torch.load("run/checkpoint.pt")["method"]
    text = load_text(Path("text_description_tensor/bird_text_tensor.pt"))
    torch.testing.assert_close(state["guide.prototypes.text.rows"], text.order_by(["Red bird", "Green bird", "Blue bird"], "").rows)
    assert not any("teacher" in name for name in state)


def test_rows_that_are_no_classes_stop_a_run_unless_asked_for(
    photo_tree: Path, source: Path, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)
    source.write_text(CSV.replace("Blue bird", "Blue fish"))
    words = ("--root", photo_tree, "--text-load", "bird.csv", "--teacher-weights", tiny_clip, "--results-dir", "run")
    with pytest.raises(DataError, match="(?s)without a row: 003.Blue_bird.*without a class: Blue fish.*--text-rows any"):
        run_pretrain(monkeypatch, *words)
    run_pretrain(monkeypatch, *words, "--text-rows", "any")
    assert isinstance(load_text(Path("text_description_tensor/bird_text_tensor.pt")), TextRows)
    assert torch.load("run/checkpoint.pt")["method"]["guide.prototypes.text.rows"].shape == (3, 16)
