"""Finished runs compared: their rows of retrieval, query by query, their flags and their curves."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from engine.flags.compare import CompareOptions
from engine.identity import FREE
from engine.overlay import draw_overlay, read_epochs
from engine.results_folder import hold_results
from engine.workflows.retrieval import run_search, write_search
from evaluation.features.sources import find_source
from evaluation.features.subject import open_subject
from evaluation.ledger import Row, read_measurements
from evaluation.options import SearchOptions
from evaluation.reports.grid import Grid, markdown_grid
from evaluation.reports.latex import latex_grid
from evaluation.reports.paired import (
    MeasuredRun,
    list_columns,
    list_compared_numbers,
    read_per_query,
    refuse_other_protocols,
    tabulate_gains,
    tabulate_runs,
)
from evaluation.run_record import Settings, read_args, show_value
from runtime.devices import resolve_device
from runtime.errors import ConfigError, Problems
from runtime.files import write_cells, write_text

UNCOMPARED = FREE - {"root", "crop_root", "precision", "accum_steps"} | {"started_in"}  # flags that change no number


def compare_runs(options: CompareOptions) -> None:
    """Print the tables of the runs, and write them where the options say; raises ConfigError for unlike protocols."""
    folders = find_runs(options.runs)
    labels = label_runs(folders)
    reference = choose_reference(options, folders)
    logs = zip(labels, folders) if options.figure else ()
    epochs = {label: read_epochs(folder / "log.jsonl") for label, folder in logs}
    runs = [find_measured(options, folder, label) for folder, label in zip(folders, labels)]
    refuse_other_protocols(runs)
    columns = list_columns(runs, options.metric, reference)
    grids = [tabulate_runs(runs, columns), tabulate_gains(runs, columns, reference),
             *tabulate_flags(labels, [read_args(folder) for folder in folders])]
    text = "\n\n".join(markdown_grid(grid) for grid in grids)
    print(text)
    if options.markdown:
        write_text(Path(options.markdown), f"{text}\n")
    if options.latex:
        write_text(Path(options.latex), "\n\n".join(latex_grid(grid) for grid in grids) + "\n")
    if options.csv:
        write_cells(Path(options.csv), list_compared_numbers(runs, columns, reference))
    if options.figure:
        draw_overlay(epochs, Path(options.figure))


def find_runs(named: Sequence[str]) -> list[Path]:
    """The folders of the runs; raises one ConfigError with every name that is of no finished run."""
    problems = Problems()
    folders = [problems.attempt(lambda: find_run_folder(name)) for name in named]
    problems.refuse()
    return [folder for folder in folders if folder is not None]


def find_run_folder(named: str) -> Path:
    """The folder of a finished run; raises ConfigError for anything else."""
    folder = find_source(named)[1]
    if folder is None:
        raise ConfigError(f"{named} is no run; several networks are measured with --network LABEL={named}")
    return folder


def label_runs(folders: Sequence[Path]) -> list[str]:
    """The folders' names; their paths where two share one."""
    names = [folder.resolve().name for folder in folders]
    return [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders)]


def choose_reference(options: CompareOptions, folders: Sequence[Path]) -> int:
    """The place of the run that the others are compared with: --against, else the first.

    Raises ConfigError for a run that is named twice, and for one that is not among them.
    """
    places = [folder.resolve() for folder in folders]
    if len(set(places)) < len(places):
        raise ConfigError(f"a run is named twice: {', '.join(map(str, folders))}")
    if not options.against:
        return 0
    meant = [index for index, place in enumerate(places)
             if options.against in (place.name, str(folders[index])) or Path(options.against).resolve() == place]
    if len(meant) != 1:
        raise ConfigError(f"--against {options.against}: name one of {', '.join(label_runs(folders))}")
    return meant[0]


def find_measured(options: CompareOptions, folder: Path, label: str) -> MeasuredRun:
    """What main_retrieval.py left in the run's folder; measured now, as it would, where it left nothing."""
    place = folder / "retrieval"
    row = find_row(place)
    if row is None or not (place / "per_query.csv").is_file():
        print(f"note: {folder} was not searched yet; it is now, into {place}", file=sys.stderr)
        asked = SearchOptions.read({"pretrained": str(folder), "device": options.device, "cache": options.cache,
                                    "num_workers": options.num_workers})
        device = torch.device(resolve_device(options.device))
        with hold_results(place):
            write_search(run_search(open_subject(asked, device, asked.batch_size), asked), place, asked)
        row = find_row(place)
    if row is None:
        raise ConfigError(f"{folder}: its pictures have no labels, so there is no number to compare")
    return MeasuredRun(label, row, *read_per_query(place / "per_query.csv"))


def find_row(place: Path) -> Row | None:
    """The row that was written with the folder's per_query.csv: the last of a retrieval."""
    rows = [row for row in read_measurements(place / "results.jsonl") if row["kind"] == "retrieval"]
    return rows[-1] if rows else None


def tabulate_flags(labels: Sequence[str], settings: Sequence[Settings]) -> list[Grid]:
    """The flags in which runs differ, a line each, but for those that change no number; no table where none do."""
    names = sorted({name for one in settings for name in one} - UNCOMPARED)
    told = {name: [show_value(one[name]) if name in one else "–" for one in settings] for name in names}
    lines = [(f"--{name.replace('_', '-')}", *values) for name, values in told.items() if len(set(values)) > 1]
    return [Grid("flags that differ", "", ("flag", *labels), lines, ())] if lines else []
