"""MODEL_CARD.md: what the network is, what was measured of it, how it is loaded; and what only its owner can say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.workflows.export.check import Agreement
from engine.workflows.export.int8 import Price
from engine.workflows.export.package import CARD, Package
from engine.workflows.export.photographs import CheckPictures
from engine.workflows.export.pixels import SHAPES, read_square, write_preparation
from engine.workflows.export.subject import Exportable
from evaluation.ledger import Row, read_results
from evaluation.reports.grid import Grid, markdown_grid
from evaluation.run_record import as_list, show_value
from runtime.errors import ConfigError

OWN = "<!-- What follows is yours: it stays as you write it when the card is made again. -->"
TO_FILL_IN = f"""{OWN}
## Licence and use

- Licence of these weights: FILL IN
- Licence of the photographs they were trained on: FILL IN
- Licence of the weights that training started from, and of its teachers: FILL IN
- Meant for: FILL IN
- Not meant for: FILL IN
- Contact: FILL IN
"""
SHOWN = ("map", "rank1", "rank5", "top1", "knn", "nmi")  # the numbers of a row that a card shows, where it has them
TRAINED = ("method", "task", "root", "pretrained", "teacher", "epochs", "batch_size", "size", "seed", "loss",
           "partition", "select")
PATHS = ("root", "pretrained")  # a card is published: of a path its last part


def write_card(
    exportable: Exportable, package: Package, agreement: Agreement, photographs: CheckPictures, price: Price | None,
    folder: Path,
) -> str:
    """The card's text, with what its owner wrote into the one that lies in `folder`."""
    return "\n".join([
        f"# {exportable.arch}{f', {exportable.method}' if exportable.method else ''}: {', '.join(package.files)}", "",
        tell_load(exportable, package), "", tell_contents(exportable, package), "", tell_training(exportable), "",
        tell_numbers(exportable), "", tell_checks(package, agreement, photographs, price), "", read_own_part(folder)])


def tell_load(exportable: Exportable, package: Package) -> str:
    """Pixels, and the three lines."""
    return f"""## Load it

Pixels (NumPy and Pillow; `paths` are picture files):

```python
{write_preparation(exportable, package.pixels)}

pixels = numpy.stack([prepare(path) for path in paths])
```

The network, in the folder of this card:

```python
{chr(10).join(package.lines)}
```"""


def tell_contents(exportable: Exportable, package: Package) -> str:
    """What goes in and comes out."""
    size = exportable.view.size
    rows = [
        ("file", f"{package.remark}; {package.describe_sizes()}"),
        ("pixels", f"RGB, {SHAPES[package.pixels].format(size)}"),
        ("picture to square", read_square(exportable.view).describe(size) + tell_banner(exportable.crop_bottom)),
        ("mean, std", f"{show_numbers(exportable.mean)}; {show_numbers(exportable.std)}"
                      + ("" if package.pixels == "standardised" else " (applied inside)")),
        ("outputs", tell_outputs(exportable)),
        ("weights, sha256", exportable.sha256)]
    names = [f"{number} {name}" for number, name in enumerate(exportable.names)]
    told = f"\n\nClasses, in the order of the logits: {'; '.join(names)}." if names else ""
    return f"## What it is\n\n{make_table(('', ''), rows)}{told}"


def tell_outputs(exportable: Exportable) -> str:
    """The outputs by name."""
    kind = "logits, float32 [N, classes]" if exportable.kind != "encoder" else (
        "embeddings of length 1, float32 [N, D]" if exportable.unit else "embeddings, float32 [N, D]")
    return f"{', '.join(exportable.chosen)}: {kind}"


def tell_banner(rows: int) -> str:
    """Rows that are dropped first."""
    return f", after the last {rows} pixel rows were dropped" if rows else ""


def tell_training(exportable: Exportable) -> str:
    """Data and protocol, as the run's own settings tell."""
    known = {name: exportable.settings.get(name) for name in TRAINED}
    rows = [(name, show_setting(name, value)) for name, value in known.items() if value not in (None, "", [])]
    if not rows:
        return "## Training\n\nNothing is known of it here: the weights came without the settings of a run."
    return f"## Training\n\n{make_table(('', ''), rows)}"


def show_setting(name: str, value: object) -> str:
    """A setting for publication: of paths the last part."""
    if name in PATHS:
        return ", ".join(Path(part).name for part in as_list(value))
    return show_value(value)


def tell_numbers(exportable: Exportable) -> str:
    """What the run's ledger says of exactly these weights."""
    rows = [] if exportable.folder is None else read_results(exportable.folder / "results.jsonl")
    own = [row for row in rows
           if row.get("weights_sha256") == exportable.sha256 and isinstance(row.get("metrics"), dict)]
    if not own:
        return ("## Measured\n\nNo row of a results.jsonl is of these weights: main_retrieval.py, main_linear.py or "
                "tools.evaluate measure them.")
    heads = ("kind", "data", "images", "feature", "view", "numbers", "date")
    return f"## Measured\n\n{make_table(heads, [show_row(row) for row in own])}"


def show_row(row: Row) -> tuple[str, ...]:
    """A row of the ledger as a line of the card."""
    metrics = row["metrics"]
    numbers = ", ".join(f"{name} {metrics[name]:.4f}" for name in SHOWN if isinstance(metrics.get(name), float))
    view = f"{row.get('input')}, {row.get('view')} {row.get('size')} px{', centred' if row.get('centred') else ''}"
    return (str(row.get("kind")), f"{row.get('task')} ({row.get('split')})", str(row.get("images")),
            str(row.get("feature")), view, numbers, str(row.get("date"))[:10])


def tell_checks(package: Package, agreement: Agreement, photographs: CheckPictures, price: Price | None) -> str:
    """What was compared on the day of the export."""
    lines = [f"On {photographs.source}: {agreement.describe()}."]
    if package.full is not None:
        lines += ["", "Linear layers in 8 bits, activations quantised as they come. "
                  + (price.describe() + "." if price else "What that costs and gains was not measured: no --root was "
                     "given.")]
    return "## Checked against torch\n\n" + "\n".join(lines)


def make_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    return markdown_grid(Grid("", "", head, rows, ()))


def show_numbers(values: list[float]) -> str:
    """Three numbers of a channel each."""
    return ", ".join(f"{value:.4g}" for value in values)


def read_own_part(folder: Path) -> str:
    """What the owner wrote into an earlier card, else the questions."""
    path = folder / CARD
    if not path.is_file():
        return TO_FILL_IN
    earlier = path.read_bytes()
    if OWN.encode() not in earlier:
        raise ConfigError(f"{path} is no card of this command's, and would be lost; move it away, or choose another "
                          "--out")
    return OWN + earlier.partition(OWN.encode())[2].decode("utf-8", "replace")
