"""Pages are one file with one style sheet, and nothing that people gave is taken for markup."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from jinja2 import UndefinedError
from PIL import Image

from evaluation.reports.classifier_page import PAGE, write_classifier_page
from evaluation.reports.grid import Grid, markdown_grid
from evaluation.reports.html import TEMPLATES, embed_picture, render

ODD = "<b>&\"'"
ESCAPED = "&lt;b&gt;&amp;&#34;&#39;"
METRICS = ("top1", "top1_low", "top1_high", "top3", "top5", "precision", "recall", "f1", "ece")


def test_names_are_escaped_wherever_they_stand() -> None:
    grid = Grid(ODD, ODD, [ODD, "n"], [[ODD, "1"], ["a", ODD]], numbers=[1], strong={(1, 1)})
    page = render("report", title=ODD, lead=ODD, grids=[grid], pictures=[(ODD, "data:,")])
    assert page.count(ESCAPED) == 10 and ODD not in page  # title, headline, lead; four of the table; heading, alt
    assert f'<td class="n"><b>{ESCAPED}</b></td>' in page and '<td class="n">1</td>' in page


def test_a_class_name_is_no_markup_on_a_classifiers_page(tmp_path: Path) -> None:
    row = SimpleNamespace(metrics=dict.fromkeys(METRICS, 0.5), images=4, split="test", details={"classes": 2}, weights=ODD)
    write_classifier_page(tmp_path, row, "resnet18", {"Hardest classes": [{"class": ODD, "f1": 0.25, "support": 3}], "None": []})
    page = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert f"<title>{ESCAPED}</title>" in page and ODD not in page and "<h2>None</h2>" not in page
    cells = re.findall(r"<td.*?>.*?</td>", page)[-3:]
    assert cells == [f"<td>{ESCAPED}</td>", '<td class="n">25.0%</td>', '<td class="n">3</td>']


def test_a_value_that_was_forgotten_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="lead"):
        render("report", title="t", grids=[], pictures=[])


def test_there_is_one_style_sheet_for_light_dark_and_paper_and_no_outside_request() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in TEMPLATES.glob("*.html")}
    assert len(texts) > 5 and [name for name, text in texts.items() if "<style" in text] == ["base.html"]
    assert not [name for name, text in texts.items() if re.search(r"https?:|//|@import|\burl\(|<script|\|\s*safe|style=", text)]
    assert "screen and (prefers-color-scheme: dark)" in texts["base.html"] and "@media print" in texts["base.html"]
    for name, text in texts.items():
        assert name == "macros.html" or "<table" not in text, f"{name}: a table that does not scroll within itself"


def test_pictures_are_jpegs_and_files_stay_as_they_are() -> None:
    kind, _, content = embed_picture(Image.new("RGBA", (8, 6))).partition(",")
    assert kind == "data:image/jpeg;base64" and Image.open(io.BytesIO(base64.b64decode(content))).size == (8, 6)
    for name in ("png", "jpeg"):
        file = io.BytesIO()
        Image.new("RGB", (3, 2)).save(file, name)
        assert embed_picture(file.getvalue()) == f"data:image/{name};base64,{base64.b64encode(file.getvalue()).decode()}"


def test_a_table_in_markdown_escapes_its_cells_and_leaves_out_an_empty_caption() -> None:
    grid = Grid("a|b", "", ["x", "y"], [["p|q", "1"], ["r", "2"]], numbers=[1], strong={(1, 1)})
    assert markdown_grid(grid) == "**a\\|b**\n\n| x | y |\n| --- | --- |\n| p\\|q | 1 |\n| r | **2** |"
