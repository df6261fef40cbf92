"""JSON of another shape is told by file, place and expectation, whoever reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.errors import ConfigError, DataError
from runtime.side_files import find_faults, read_json

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
    assert not list(find_faults(GOOD, SHAPE))


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
