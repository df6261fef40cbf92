"""The rows of a folder's results.jsonl as tables of its page: every number with the protocol under which it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from evaluation.ledger import Row
from evaluation.reports.grid import Grid
from evaluation.reports.table import describe_protocol

Cells = Mapping[str, str]  # by heading


def list_result_grids(rows: Sequence[Row]) -> list[Grid]:
    """A table for each kind of measurement, rows oldest first."""
    kinds = dict.fromkeys(str(row["kind"]) for row in rows if row["kind"] in TABLES)
    return [tabulate_rows(title, caption, [describe(row) for row in rows if row["kind"] == kind])
            for kind in kinds for title, caption, describe in [TABLES[kind]]]


def tabulate_rows(title: str, caption: str, lines: Sequence[Cells]) -> Grid:
    """Lines with the same headings; the last one is the protocol, in words."""
    head = list(lines[0])
    return Grid(title, caption, head, [list(line.values()) for line in lines], range(1, len(head) - 1))


def describe_search_row(row: Row) -> Cells:
    """A retrieval in cells."""
    numbers, details = row["metrics"], read_details(row)
    how = [describe_protocol(row), str(details.get("protocol", "")), count_queries(details),
           f"kNN {details['knn_protocol']}, k {details.get('knn_k')}" if "knn_protocol" in details else "",
           describe_choice(row), sign_row(row)]
    return {"feature": name_feature(row), "rank-1": show_share(numbers, "rank1"),
            "rank-5": show_share(numbers, "rank5"), "mAP": show_interval(numbers, "map"),
            "mAP@R": show_share(numbers, "map_at_r"), "kNN": show_share(numbers, "knn"), "protocol": join_words(how)}


def describe_probe_row(row: Row) -> Cells:
    """An epoch of a linear probe in cells."""
    details = read_details(row)
    images, classes, epochs = (details.get(name, "?") for name in ("train_images", "classes", "epochs"))
    chosen = f"chosen on: {details.get('lr_selection')}"
    how = [describe_protocol(row), f"{details.get('protocol', '')} features of {images} images, {classes} classes",
           f"rate {details.get('lr', '?')} ({chosen})",
           f"epoch {details.get('epoch_number', '?')} of {epochs}, chosen on: {row.get('selection') or 'nothing'}",
           sign_row(row)]
    return {"feature": f"{name_feature(row)}, {row['epoch']} epoch", "top-1": show_share(row["metrics"], "top1"),
            "top-5": show_share(row["metrics"], "top5"), "protocol": join_words(how)}


def describe_classifier_line(row: Row) -> Cells:
    """A classifier's accuracy in cells."""
    numbers = row["metrics"]
    how = [describe_protocol(row), f"{row.get('images', '?')} images", describe_choice(row), sign_row(row)]
    return {"answer": name_feature(row), "top-1": show_interval(numbers, "top1"), "top-5": show_share(numbers, "top5"),
            "F1": show_share(numbers, "f1"), "ECE": show_share(numbers, "ece"), "protocol": join_words(how)}


def read_details(row: Row) -> Mapping[str, object]:
    """What a row keeps of its protocol; rows of other releases may keep none."""
    details = row.get("details")
    return details if isinstance(details, dict) else {}


def name_feature(row: Row) -> str:
    """Which output of which network was measured."""
    label = row.get("label") or row["arch"]
    return f"{label}, {row['feature']}{', centred' * bool(row['centred'])}"


def count_queries(details: Mapping[str, object]) -> str:
    """How many images asked, and how many could not."""
    if "queries" not in details:
        return ""
    return f"{details['queries']} queries, {details.get('skipped', 0)} skipped (no other image of their class)"


def describe_choice(row: Row) -> str:
    """Which epoch's network it is, and what chose it."""
    return f"network of {row['selection']}" if row.get("selection") else ""


def sign_row(row: Row) -> str:
    """Which weights, and when."""
    return f"weights {str(row['weights_sha256'])[:8]}, {str(row.get('date', ''))[:16].replace('T', ' ')}"


def join_words(parts: Sequence[str]) -> str:
    """Those that say something, in a row."""
    return "; ".join(part for part in parts if part)


def show_share(numbers: Mapping[str, float | None], name: str) -> str:
    """A share in percent, a dash where it was not measured."""
    value = numbers.get(name)
    return "–" if value is None else f"{value:.1%}"


def show_interval(numbers: Mapping[str, float | None], name: str) -> str:
    """The same with its 95 % interval."""
    low, high = numbers.get(f"{name}_low"), numbers.get(f"{name}_high")
    shown = show_share(numbers, name)
    return shown if low is None or high is None else f"{shown} [{100 * low:.1f}, {100 * high:.1f}]"


TABLES: dict[str, tuple[str, str, Callable[[Row], Cells]]] = {
    "retrieval": ("Retrieval", "Shares of the query images; 95 % interval of mAP over queries.", describe_search_row),
    "metric": ("Retrieval among classes that were not trained on", "Shares of the query images.", describe_search_row),
    "linear": ("Linear probe", "Nothing has chosen the last epoch; what chose the best one, its line says.",
               describe_probe_row),
    "classify": ("Classifier", "95 % interval of the accuracy over images; ECE is the mean gap between confidence and "
                 "accuracy.", describe_classifier_line),
}
