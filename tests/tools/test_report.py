"""Tables from ledgers, and the README's own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from evaluation.reports.ledger_report import END, START, draw_figure, insert, page
from evaluation.reports.table import collect, markdown, read_ledgers
from runtime.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def row(kind: str, metrics: dict[str, float], **changes: object) -> dict[str, object]:
    """A ledger row with the fields that tables read."""
    facts = {"kind": kind, "task": "bird", "label": "", "method": "lead", "arch": "resnet50", "weights": "w", "centred": False,
             "feature": "backbone", "input": "full", "view": "eval", "size": 96, "split": "test", "images_per_second": 12.3,
             "epoch": "", "weights_sha256": "w", "dataset_sha256": "d"}
    return {**facts, "metrics": metrics, **changes}


ROWS = [row("retrieval", {"rank1": 0.5, "rank5": 0.75, "map": 0.25, "knn": 0.5}), row("linear", {"top1": 0.625}),
        row("retrieval", {"rank1": 0.75, "rank5": 0.7, "map": 0.2, "knn": 0.4}, method="", label="initial", centred=True, weights_sha256="v")]


def test_a_network_has_one_line_and_the_best_of_a_column_is_bold() -> None:
    lines = collect(ROWS)
    assert [line.name for line in lines] == ["LEAD++", "initial, centred"]
    table = markdown(lines)
    assert "| LEAD++ | 50.0 | **75.0** | **25.0** | **50.0** | **62.5** | 12 |" in table
    assert "| initial, centred | **75.0** | 70.0 | 20.0 | 40.0 | – | 12 |" in table


def test_runs_of_one_method_are_not_mixed_and_the_best_epoch_stays_out() -> None:
    rows = [row("retrieval", {"map": 0.9}), row("linear", {"top1": 0.5}, weights_sha256="other", epoch="last"),
            row("linear", {"top1": 0.7}, weights_sha256="other", epoch="best")]
    assert [line.metrics for line in collect(rows)] == [{"map": 0.9}, {"top1": 0.5}]


def test_another_protocol_is_another_line() -> None:
    lines = collect([*ROWS, row("linear", {"top1": 0.9}, size=224)])
    assert len(lines) == 3 and lines[2].metrics == {"top1": 0.9}


def test_table_goes_between_the_markers_and_nowhere_else() -> None:
    text = insert(f"before\n{START}\nold\n{END}\nafter", "new")
    assert text == f"before\n{START}\nnew\n{END}\nafter"
    with pytest.raises(ConfigError, match="markers|lines"):
        insert("no markers", "new")


def test_page_needs_no_network_and_escapes_names(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    text = page("T<1>", "lead", collect([row("linear", {"top1": 0.5}, label="<b>x</b>")]), [("A", tmp_path / "a.png")])
    assert "&lt;b&gt;x" in text and "data:image/png;base64," in text
    assert not re.search(r"(src|href)=['\"]?http", text)


def test_knn_by_other_votes_stands_in_a_column_of_its_own() -> None:
    by_train = row("retrieval", {"map": 0.3, "knn": 0.9}, weights_sha256="t", label="asked", details={"knn_protocol": "train to test"})
    one_out = row("retrieval", {"map": 0.3, "knn": 0.8}, weights_sha256="o", label="one", details={"knn_protocol": "leave-one-out in test"})
    table = markdown(collect([by_train, one_out]))
    assert table.splitlines()[2].startswith("| network | rank-1 | rank-5 | mAP | kNN, one left out | kNN, train votes | linear |")
    assert "| – | – | **30.0** | – | **90.0** | – |" in table and "| – | – | **30.0** | **80.0** | – | – |" in table
    assert "train votes" not in markdown(collect([one_out])), "a column is there where somebody has the number"


def test_figure_is_drawn(tmp_path: Path) -> None:
    draw_figure(collect(ROWS), tmp_path / "f.png")
    with Image.open(tmp_path / "f.png") as picture:
        assert picture.width > 600


def test_missing_ledgers_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read_ledgers([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")])
    assert "a.jsonl" in str(error.value) and "b.jsonl" in str(error.value)


def test_the_page_of_the_demo_shows_what_the_ledger_says() -> None:
    page = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
    assert insert(page, markdown(read_ledgers([str(ROOT / "docs" / "results.jsonl")]))) == page


def test_every_row_of_the_ledger_has_its_protocol() -> None:
    for line in (ROOT / "docs" / "results.jsonl").read_text().splitlines():
        found = json.loads(line)
        assert {"feature", "input", "view", "size", "centred", "split", "seed", "versions", "weights_sha256",
                "dataset_sha256", "images_per_second", "epoch", "selection"} <= found.keys()


def test_readme_names_files_that_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"\]\(([\w./-]+)\)", readme) + re.findall(r"\./(run_\w+\.sh)", readme):
        assert (ROOT / name).exists(), name
