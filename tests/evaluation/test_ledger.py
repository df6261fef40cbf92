"""results.jsonl keeps whole lines."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evaluation.ledger import Result, append_result, read_results
from runtime.errors import ConfigError


def make_result(map_score: float = 0.5) -> Result:
    return Result(kind="retrieval", task="bird", dataset_sha256="d", split="test", images=3, weights="none",
                  weights_sha256="w", arch="resnet18", feature="backbone", input="full", view="eval", size=32,
                  centred=False, seed=1, precision="fp32", images_per_second=2.0, metrics={"map": map_score})


def test_rows_come_back_in_order_with_protocol_versions_and_date(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.jsonl"
    for value in (0.25, 0.75):
        append_result(path, make_result(value).to_dict())
    rows = read_results(path)
    assert [row["metrics"]["map"] for row in rows] == [0.25, 0.75]
    assert {"torch", "timm", "plumage"} <= rows[0]["versions"].keys() and rows[0]["date"].endswith("+00:00")
    assert rows[0]["view"] == "eval" and rows[0]["selection"] == ""


def test_writers_at_the_same_time_never_interleave(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: append_result(path, {"n": number, "text": "x" * 5000}), range(200)))
    assert sorted(row["n"] for row in read_results(path)) == list(range(200))


def test_missing_file_is_empty_and_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    assert read_results(path) == []
    path.write_text(json.dumps({"a": 1}) + "\n{half\n")
    with pytest.raises(ValueError, match="line 2"):
        read_results(path)


@pytest.mark.parametrize(("line", "words"), [
    ('{"a": "é'.encode()[:-1], "line 2 is not JSON .*delete the line"),
    (b"\0" * 9, "line 2 is not JSON .*delete the line"),
    (b'{"a": 1}{"a": 2}', "line 2 is not JSON .*put a line break between"),
])
def test_a_damaged_line_is_named_with_what_to_do(tmp_path: Path, line: bytes, words: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(b'{"a": 1}\r\n' + line)
    with pytest.raises(ConfigError, match=words):
        read_results(path)
    path.write_bytes(path.read_bytes().decode("latin-1").encode("utf-16"))
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        read_results(path)


def test_other_line_breaks_of_unicode_break_no_row(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text('\ufeff{"a": "x\u2028y\x85z"}\n', encoding="utf-8")
    assert read_results(tmp_path / "results.jsonl") == [{"a": "x\u2028y\x85z"}]


def test_a_line_cut_off_by_a_kill_does_not_take_the_next_row_with_it(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps({"n": 1}) + "\n" + '{"n": 2, "te')
    append_result(path, {"n": 3})
    assert json.loads(path.read_text().splitlines()[2]) == {"n": 3}


def test_a_short_write_loses_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, content: real(handle, bytes(content)[:7]))
    for number in (1, 2):
        append_result(tmp_path / "results.jsonl", {"n": number})
    monkeypatch.undo()
    assert read_results(tmp_path / "results.jsonl") == [{"n": 1}, {"n": 2}]
