"""report.html of a results folder, made of what the folder holds: at the start, after each epoch, at the end, later.

The page is worth less than the run: whatever prevents it is a note, and the run goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from datasets.layouts.findings import count_of
from engine.logger import Logger
from engine.workflows.report.curves import ChartGroup, History, group_charts, read_history
from engine.workflows.report.facts import tell_memory_use, tell_now
from evaluation.ledger import read_measurements
from evaluation.reports.grid import Grid
from evaluation.reports.html import render
from evaluation.reports.run.charts import Chart, draw_chart
from evaluation.reports.run.facts import FACTS, RunFacts, load_facts, save_facts
from evaluation.reports.run.neighbours import load_neighbourhood
from evaluation.reports.run.pictures import find_plates
from evaluation.reports.run.results import list_result_grids
from runtime.errors import Problems
from runtime.files import write_bytes
from runtime.names.spelling import ON_ERROR, show_name

PAGE = "report.html"


@dataclass
class LivePage:
    """The page of a run that trains; the logger calls it with every line, and it is written when an epoch is over.

    `describe` makes its facts when they are first needed. A page that is not `active` (ranks above 0) does nothing.
    """

    folder: Path
    describe: Callable[[], RunFacts]
    device: torch.device
    active: bool = True
    told: bool = False

    @cached_property
    def facts(self) -> RunFacts:
        """What does not change while the run goes on."""
        return self.describe()

    @contextmanager
    def follow(self, logger: Logger) -> Iterator[None]:
        """Write the page now, after every epoch within, and where training is stopped by an error or a person."""
        self.write("training has begun")
        logger.sinks.append(self)
        try:
            yield
        except BaseException as error:
            self.write(f"stopped by {type(error).__name__}: {error}".rstrip(": "))
            raise
        finally:
            logger.sinks.remove(self)

    def __call__(self, kind: str, numbers: Mapping[str, float], step: int) -> None:
        """After the line of an epoch."""
        if kind == "epoch":
            self.write(f"{count_of(int(numbers['epoch']) + 1, 'epoch')} of {{epochs}} trained")

    def write(self, state: str) -> None:
        """Write the page with what is known now; failures are said once and stop nothing."""
        if self.active:
            self.told |= not try_to_write(lambda: self.put_down(state), self.folder, quiet=self.told)

    def put_down(self, state: str) -> None:
        """The same; raises whatever prevents it."""
        shown = f"{state.replace('{epochs}', str(self.facts.epochs))} ({tell_now()})"
        write_page(self.folder, replace(self.facts, state=shown, memory=tell_memory_use(self.device)))


def try_to_write(work: Callable[[], object], folder: Path, *, quiet: bool = False) -> bool:
    """Do it; False, with a note unless `quiet`, where that fails, whatever the cause."""
    try:
        work()
    except Exception as error:  # a page must never cost the numbers that it shows
        if not quiet:
            print(f"note: {folder / PAGE} could not be written ({type(error).__name__}: {error}); everything else goes "
                  "on", file=sys.stderr)
        return False
    return True


def write_page(folder: Path, facts: RunFacts) -> None:
    """Keep the facts, and make the page of them and of what lies in the folder."""
    save_facts(folder, facts)
    write_bytes(folder / PAGE, compose_page(folder, facts).encode("utf-8", ON_ERROR), sync=False)


def refresh_pages(folders: Iterable[Path]) -> None:
    """Make pages anew where there are any, after results have been added to their folders."""
    for folder in folders:
        if (folder / FACTS).is_file():
            try_to_write(lambda: write_page(folder, load_facts(folder)), folder)


def compose_page(folder: Path, facts: RunFacts) -> str:
    """The page as one text."""
    history = read_history(folder / "log.jsonl")
    groups = [*group_charts(history, facts), *group_own_charts(facts)]
    problems = Problems()
    grids = problems.attempt(lambda: list_result_grids(read_measurements(folder / "results.jsonl")))
    near = problems.attempt(lambda: load_neighbourhood(folder))
    return render("run", facts=facts, title=show_name(facts.headline), problems=problems.lines, grids=grids or [],
                  groups=[(group.title, group.note, [draw_chart(chart) for chart in group.charts]) for group in groups],
                  about=tabulate_pairs(facts.about), data=tabulate_pairs(facts.data),
                  flags=tabulate_changes(facts.flags), near=near,
                  time=tabulate_pairs([*tell_time(history, facts), *facts.memory]),
                  plates=list(find_plates(folder, Path(facts.crops) if facts.crops else None)))


def group_own_charts(facts: RunFacts) -> list[ChartGroup]:
    """Charts that no log keeps, such as a linear probe's."""
    charts = [Chart(title, {name: [(epoch + 1.0, value) for epoch, value in enumerate(values)]
                            for name, values in lines.items() if values}) for title, lines in facts.charts.items()]
    return [ChartGroup("Curves", "", [chart for chart in charts if chart.lines])] if charts else []


def tell_time(history: History, facts: RunFacts) -> list[tuple[str, str]]:
    """How long it took so far, how fast it was, and how long the rest will take at the last epoch's speed."""
    rows = [row for row in history.speeds if row.get("seconds")]
    if not rows:
        return []
    total, last = sum(row["seconds"] for row in rows), rows[-1]
    left = (facts.epochs - int(last["epoch"]) - 1) * last["seconds"]
    said = [("training so far", show_duration(total)), ("last epoch", show_duration(last["seconds"])),
            ("speed", f"{last.get('images_per_second') or 0:.1f} images a second, "
             f"{last.get('data_wait') or 0:.0%} of the time waiting for them")]
    return said + ([("left at this speed", f"about {show_duration(left)}, without monitors")] if left > 0 else [])


def show_duration(seconds: float) -> str:
    """Hours, minutes or seconds, as one would say it."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{seconds:.1f} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def tabulate_pairs(pairs: Sequence[Sequence[str]]) -> Grid:
    """Names and what is said of them."""
    return Grid("", "", ("", ""), [tuple(map(show_name, pair)) for pair in pairs], ())


def tabulate_changes(rows: Sequence[Sequence[str]]) -> Grid:
    """Flags that are not at their defaults."""
    return Grid("", "", ("flag", "value", "default", "set"), [tuple(map(show_name, row)) for row in rows], ())
