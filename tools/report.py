"""Tables from ledgers: results.jsonl in, Markdown or one self-contained HTML page out.

python -m tools.report demo/results.jsonl                        print the table
python -m tools.report docs/results.jsonl --write README.md      put it between the markers of a Markdown file
python -m tools.report demo/results.jsonl --html report.html --picture "Boxes=boxes.png" ...
"""

from __future__ import annotations

import argparse
import base64
import html
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from engine.args import ConfigError, Parser, exit_cleanly
from engine.evaluate.ledger import read_results

START, END = "<!-- results: made by tools/report.py, do not edit -->", "<!-- end of results -->"
COLUMNS = {"rank-1": "rank1", "rank-5": "rank5", "mAP": "map", "kNN": "knn", "linear": "top1"}
METHODS = {"lead": "LEAD++", "moco": "MoCo v2"}


@dataclass
class Line:
    """One network under one protocol: shares in [0, 1] by metric name, and how fast its features came."""

    name: str
    task: str
    protocol: str
    metrics: dict[str, float] = field(default_factory=dict)
    images_per_second: float = 0.0


def collect(rows: Iterable[dict[str, object]]) -> list[Line]:
    """Ledger rows as table lines: a network's retrieval and probe stand in one line, a later row replaces an earlier."""
    lines: dict[tuple[str, str, str], Line] = {}
    for row in rows:
        key = (str(row["task"]), name_network(row), describe_protocol(row))
        line = lines.setdefault(key, Line(key[1], key[0], key[2]))
        line.metrics |= {name: value for name, value in row["metrics"].items() if isinstance(value, float)}
        line.images_per_second = row["images_per_second"] or line.images_per_second
    return list(lines.values())


def name_network(row: dict[str, object]) -> str:
    """What a reader calls this network: the method that trained it, or its frozen weights."""
    details = row.get("details") or {}
    label = details.get("label") if isinstance(details, dict) else None
    name = label or METHODS.get(str(row["method"]), "") or f"{row['arch']}, {row['weights']}"
    return f"{name}, centred" if row["centred"] else str(name)


def describe_protocol(row: dict[str, object]) -> str:
    """Feature and picture: lines with another protocol are not to be compared."""
    return f"{row['feature']}, {row['input']} image, {row['view']} {row['size']} px, {row['split']}"


def best_values(lines: Sequence[Line]) -> dict[str, float]:
    """The highest value of each column."""
    return {key: max((line.metrics[key] for line in lines if key in line.metrics), default=-1.0) for key in COLUMNS.values()}


def cells(line: Line, best: dict[str, float], strong: str) -> list[str]:
    """A line's numbers as text, the column's best in `strong`."""
    texts = []
    for key in COLUMNS.values():
        value = line.metrics.get(key)
        text = "–" if value is None else f"{100 * value:.1f}"
        texts.append(strong.format(text) if value is not None and value == best[key] else text)
    return [*texts, f"{line.images_per_second:.0f}" if line.images_per_second else "–"]


def markdown(lines: Sequence[Line]) -> str:
    """A Markdown table per task; percentages, the best of each column in bold."""
    parts = []
    for task in dict.fromkeys(line.task for line in lines):
        chosen = [line for line in lines if line.task == task]
        best = best_values(chosen)
        head = ["network", *COLUMNS, "images/s", "protocol"]
        rows = [[line.name, *cells(line, best, "**{}**"), line.protocol] for line in chosen]
        table = [head, ["---"] * len(head), *rows]
        parts.append(f"**{task}**\n\n" + "\n".join("| " + " | ".join(row) + " |" for row in table))
    return "\n\n".join(parts)


def insert(text: str, table: str) -> str:
    """The text with everything between the markers replaced; raises ConfigError when it has no markers."""
    if START not in text or END not in text:
        raise ConfigError(f"no place for the table: put the lines `{START}` and `{END}` into the file")
    before, rest = text.split(START, 1)
    return f"{before}{START}\n{table}\n{END}{rest.split(END, 1)[1]}"


def html_table(lines: Sequence[Line]) -> str:
    """The table as HTML."""
    best = best_values(lines)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ["network", *COLUMNS, "images/s", "protocol"])
    rows = []
    for line in lines:
        numbers = "".join(f"<td class=n>{cell}</td>" for cell in cells(line, best, "<b>{}</b>"))
        rows.append(f"<tr><td>{html.escape(line.name)}</td>{numbers}<td class=p>{html.escape(line.protocol)}</td></tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def embed(picture: Path) -> str:
    """A picture as a data URI, so that the page opens anywhere."""
    kind = "jpeg" if picture.suffix.lower() in (".jpg", ".jpeg") else "png"
    return f"data:image/{kind};base64,{base64.b64encode(picture.read_bytes()).decode()}"


STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2430; max-width: 1100px; margin: 2.5rem auto; padding: 0 1.2rem }
h1 { font-size: 1.7rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem }
p.lead { color: #566274; margin-top: 0 } img { max-width: 100%; border: 1px solid #dde3ea; border-radius: 6px }
table { border-collapse: collapse; font-size: .93rem } td, th { padding: .32rem .7rem; border-bottom: 1px solid #e4e9ef; text-align: left }
th { border-bottom: 2px solid #8fa0b3 } td.n { text-align: right; font-variant-numeric: tabular-nums } td.p { color: #7a8696; font-size: .82rem }
b { color: #0a6b3d } pre { background: #f4f6f8; padding: .8rem 1rem; border-radius: 6px; overflow-x: auto; font-size: .85rem }
"""


def page(title: str, lead: str, lines: Sequence[Line], pictures: Sequence[tuple[str, Path]], notes: str = "") -> str:
    """One HTML page with table, notes and pictures inside it."""
    figures = "".join(f"<h2>{html.escape(name)}</h2><img src='{embed(path)}' alt='{html.escape(name)}'>"
                      for name, path in pictures if path.is_file())
    return (f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
            f"<title>{html.escape(title)}</title><style>{STYLE}</style><h1>{html.escape(title)}</h1>"
            f"<p class=lead>{html.escape(lead)}</p><h2>Results</h2>{html_table(lines)}{notes}{figures}</html>")


def make_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="python -m tools.report", description="Tables from results.jsonl files.")
    parser.add_argument("ledgers", nargs="+", metavar="RESULTS.jsonl", help="ledgers, in the order of the table")
    parser.add_argument("--write", metavar="FILE.md", help="put the table between the markers of this file")
    parser.add_argument("--html", metavar="FILE.html", help="write one page with the table and the pictures")
    parser.add_argument("--picture", action="append", default=[], metavar="TITLE=FILE", help="a picture for the page")
    parser.add_argument("--title", default="Plumage results", help="headline of the page")
    return parser


def read_ledgers(paths: Sequence[str]) -> list[Line]:
    """Lines of all ledgers; raises ConfigError naming those that are missing or empty."""
    empty = [path for path in paths if not read_results(path)]
    if empty:
        raise ConfigError(f"no results in {', '.join(empty)}; run_linear.sh and run_retrieval.sh write them")
    return collect(row for path in paths for row in read_results(path))


def main() -> None:
    """The command."""
    args: argparse.Namespace = make_parser().parse_args()
    lines = read_ledgers(args.ledgers)
    if args.write:
        path = Path(args.write)
        path.write_text(insert(path.read_text(encoding="utf-8"), markdown(lines)), encoding="utf-8")
    if args.html:
        pictures = [(title, Path(path)) for title, _, path in (text.partition("=") for text in args.picture)]
        Path(args.html).write_text(page(args.title, "", lines, pictures), encoding="utf-8")
    if not args.write and not args.html:
        print(markdown(lines))


if __name__ == "__main__":
    exit_cleanly(main)
