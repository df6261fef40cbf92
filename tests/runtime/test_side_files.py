"""JSON of another shape is told by file, place and expectation, whoever reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.errors import ConfigError, DataError
from runtime.side_files import find_shape_faults, read_json

SHAPE = {"size": int, "rate": float, "name?": (str, None), "rows": [{"path": str}], "more?": {str: int}}
GOOD = {"size": 3, "rate": 1, "rows": [{"path": "a"}], "name": None, "other": object.__name__, "more": {"x": 1}}


@pytest.mark.parametrize("change,words", [
    ({"size": "3"}, "'size' is a text, not a whole number"), ({"size": True}, "'size' is true or false"),
    ({"rate": None}, "'rate' is null, not a number"), ({"name": 4}, "'name' is a whole number, not a text or null"),
    ({"rows": {}}, "'rows' is a table of names, not a list"), ({"rows": [{}]}, r"'rows'\[0\] has no 'path'"),
    ({"rows": [3]}, r"'rows'\[0\] is a whole number, not a table"), ({"more": {"x": 1.5}}, "'more'.x is a number")])
def test_what_differs_is_named(change: dict[str, object], words: str, tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(DataError, match=f"note.json is not what it should be: {words}.*; run it again"):
        read_json(path, SHAPE, remedy="run it again")
    assert not list(find_shape_faults(GOOD, SHAPE))


@pytest.mark.parametrize("content,words", [
    (b"{", "is not JSON"), (b"", "is not JSON"), (b"\xff\xfe{}", "is not text in UTF-8"), (b"[" * 100_000, "is not JSON"),
    (b"[1]", "it is a list, not a table of names"), (b"null", "it is null, not a table"), (b"3", "it is a whole number")])
def test_content_that_is_no_table(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        read_json(path, SHAPE, remedy="run it again", error=ConfigError)


def test_a_file_that_cannot_be_read_is_named_and_a_mark_at_its_start_is_fine(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone.json cannot be read .*No such file"):
        read_json(tmp_path / "gone.json", dict, remedy="run it again")
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf{}")
    assert read_json(tmp_path / "a.json", dict, remedy="") == {}


def test_a_log_with_foreign_lines_still_has_its_curves(tmp_path: Path) -> None:
    from engine.curves import draw_curves, read_log

    lines = ['{"kind": "epoch", "epoch": 0, "total": 1.5, "text": "x"}', "[1]", '{"kind": "epoch"}', "\ufffd{",
             '{"kind": "epoch", "epoch": 1, "total": 1.0}']
    (tmp_path / "log.jsonl").write_bytes("\n".join(lines).encode() + b"\n\xff")
    assert read_log(tmp_path / "log.jsonl") == [{"kind": "epoch", "epoch": 0, "total": 1.5},
                                                {"kind": "epoch", "epoch": 1, "total": 1.0}]
    draw_curves(tmp_path / "log.jsonl", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 0


@pytest.mark.parametrize("change", [{"meta": None}, {"meta": "3"}, {"meta": "{"}, {"centre": 4}, {"state_dict": "x"},
                                    {"meta": '{"attention": 3}'}, {"state_dict": []}])
def test_our_own_files_with_other_parts_are_told_by_name(change: dict[str, object], tmp_path: Path) -> None:
    import torch

    from models.encoder import load_encoder
    from runtime.errors import WeightsError

    own = {"format": "plumage-encoder", "meta": "{}", "centre": {}, "state_dict": {}}
    torch.save(own | change, tmp_path / "model_last.pth")
    with pytest.raises(WeightsError, match="model_last.pth.*copy it again"):
        load_encoder(tmp_path / "model_last.pth", arch="test_resnet")


@pytest.mark.parametrize("name,content,read", [
    ("args.json", '{"size": "big"}', lambda folder: __import__("evaluation.run_record").run_record.read_args(folder)),
    ("args.json", "[]", lambda folder: __import__("evaluation.run_record").run_record.read_args(folder)),
    ("ddt.json", '{"root": 3}', lambda folder: __import__("DDT.state").state.read_note(folder)),
    ("ddt.json", '{"root": "x", "settings": []}', lambda folder: __import__("DDT.state").state.read_note(folder)),
    ("meta.json", '{"images": "7"}', lambda folder: __import__("evaluation.features.store").features.store
     .read_embeddings(folder)),
    ("t.json", '{"model": 3}', lambda folder: __import__("text.tensor").tensor.read_manifest(folder / "t.pt")),
    ("results.jsonl", '{"kind": "retrieval"}', lambda folder: __import__("evaluation.ledger").ledger
     .read_measurements(folder / "results.jsonl"))])
def test_every_reader_tells_the_file(name: str, content: str, read: object, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=f"{name}.*(not what it should be|is not JSON).*;"):
        read(tmp_path)
