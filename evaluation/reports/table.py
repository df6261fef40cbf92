"""Ledger rows as tables for people: one line per network and protocol, every metric, the best of a column marked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.ledger import Row, read_measurements
from evaluation.reports.grid import Grid, markdown_grid
from runtime.errors import ConfigError

ONE_OUT, BY_TRAIN = "knn_one_out", "knn_by_train"  # kNN within the split, and with the training split's votes
COLUMNS = {"rank-1": "rank1", "rank-5": "rank5", "mAP": "map", "kNN, one left out": ONE_OUT,
           "kNN, train votes": BY_TRAIN, "linear": "top1"}
OWN_TABLES = ("audit", "naming", "sort", "study", "text")  # kinds whose numbers are not a network's under a protocol
OPTIONAL = {"zero-shot": "zeroshot", "fine-tuned": "fine_tuned"}
RARE = {ONE_OUT, BY_TRAIN, *OPTIONAL.values()}  # columns of tables where some line has the number
METHODS = {"lead": "LEAD++", "moco": "MoCo v2"}


@dataclass
class Measurement:
    """One network under one protocol: shares in [0, 1] by metric name, and how fast its features came."""

    name: str
    task: str
    protocol: str
    metrics: dict[str, float] = field(default_factory=dict)
    images_per_second: float = 0.0


def collect(rows: Iterable[Row]) -> list[Measurement]:
    """Ledger rows as table lines: retrieval and probe of a network share a line, a later row replaces an earlier."""
    lines: dict[tuple[str, ...], Measurement] = {}
    for row in rows:
        # A classifier's last epoch stands in tables: nothing has chosen it.
        if row["epoch"] == "best" or row["kind"] in OWN_TABLES:
            continue
        name, protocol = name_network(row), describe_protocol(row)
        key = (str(row["task"]), name, protocol, str(row["weights_sha256"]), str(row["dataset_sha256"]))
        line = lines.setdefault(key, Measurement(name, str(row["task"]), protocol))
        found = name_knn(row, {name: value for name, value in row["metrics"].items() if isinstance(value, float)})
        # A network with a classifier of its own is no linear probe.
        line.metrics |= {"fine_tuned": found["top1"]} if row["kind"] == "classify" else found
        line.images_per_second = row["images_per_second"] or line.images_per_second
    return list(lines.values())


def name_knn(row: Row, metrics: dict[str, float]) -> dict[str, float]:
    """The metrics of a row with its kNN accuracy by who voted: numbers of two protocols never share a column."""
    details = row["details"] if isinstance(row.get("details"), dict) else {}
    by_train = str(details.get("knn_protocol", "")).startswith("train")
    return {{"knn": BY_TRAIN if by_train else ONE_OUT}.get(name, name): value for name, value in metrics.items()}


def name_network(row: Row) -> str:
    """What a reader calls this network: the method that trained it, or its frozen weights."""
    name = row.get("label") or METHODS.get(str(row["method"]), "") or f"{row['arch']}, {row['weights']}"
    return f"{name}, centred" if row["centred"] else str(name)


def describe_protocol(row: Row) -> str:
    """Feature and picture: lines with another protocol are not to be compared."""
    details = row["details"] if isinstance(row.get("details"), dict) else {}
    searched = str(details.get("protocol", "")) if row["kind"] == "retrieval" else ""
    how = [searched.removesuffix(", full ranking")] * (searched.split(",")[0] not in ("", "leave-one-out"))
    how += [str(details.get("rerank"))] * bool(details.get("rerank"))
    return ", ".join([str(row["feature"]), f"{row['input']} image", f"{row['view']} {row['size']} px",
                      str(row["split"]), *how])


def choose_columns(lines: Sequence[Measurement]) -> dict[str, str]:
    """Headings and metrics of a table: the usual ones, and the rarer ones that occur."""
    return {title: key for title, key in {**COLUMNS, **OPTIONAL}.items()
            if key not in RARE or any(key in line.metrics for line in lines)}


def tabulate_measurements(lines: Sequence[Measurement], title: str = "") -> Grid:
    """The lines as a table of percentages; the highest value of each column stands out."""
    columns = choose_columns(lines)
    best = {key: max((line.metrics.get(key, -1.0) for line in lines), default=-1.0) for key in columns.values()}
    strong = {(place, column) for place, line in enumerate(lines) for column, key in enumerate(best, start=1)
              if line.metrics.get(key) == best[key]}
    cells = [(line.name, *(f"{100 * line.metrics[key]:.1f}" if key in line.metrics else "–" for key in best),
              f"{line.images_per_second:.0f}" if line.images_per_second else "–", line.protocol) for line in lines]
    return Grid(title, "", ("network", *columns, "images/s", "protocol"), cells, range(1, len(columns) + 2), strong)


def markdown(lines: Sequence[Measurement]) -> str:
    """A Markdown table per task; percentages, the best of each column in bold."""
    return "\n\n".join(markdown_grid(tabulate_measurements([line for line in lines if line.task == task], task))
                       for task in dict.fromkeys(line.task for line in lines))


def read_ledgers(paths: Sequence[str], *, may_be_empty: bool = False) -> list[Measurement]:
    """Lines of all ledgers; raises ConfigError naming those that are missing, or empty unless they `may_be`."""
    empty = [path for path in paths if not read_measurements(path)]
    if empty and not (may_be_empty and all(Path(path).is_file() for path in empty)):
        raise ConfigError(f"no results in {', '.join(empty)}; run_linear.sh and run_retrieval.sh write them")
    return collect(row for path in paths for row in read_measurements(path))
