"""The further steps of one desk: started, watched, and what came of them used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from desk.desk import Desk
from desk.standing import SURE
from desk.steps.chain import Steps
from desk.steps.measure import compare_sights
from desk.steps.plans import choose_run, plan_better, plan_classifier, write_examples
from engine.flags.evaluate.options import SortOptions
from engine.workflows.sort import extract_features
from evaluation.features.subject import Subject, open_subject
from runtime.errors import DataError
from runtime.files import write_json
from runtime.side_files import read_json

BETTER, CLASSIFIER = "better", "classifier"
NAMES = (BETTER, CLASSIFIER)
SIZE = 224  # pixels: what sorts best by a network that learnt from smaller views (docs/sort.md)
RESULT = {"run": str}
REMEDY = "start the step again"


class Workshop:
    """The steps of a desk, in a folder of its state. `use` lets the desk sort by a network."""

    def __init__(self, folder: Path, desk: Desk, options: SortOptions, use: Callable[[Path | None], object]) -> None:
        self.desk, self.options, self.use = desk, options, use
        self.steps = Steps(folder, desk.touch)

    def describe(self, used: Path | None) -> dict[str, dict[str, object]]:
        """What the page shows of the steps: those at work, and what came of earlier ones; `used` is the run in use."""
        told = self.steps.describe()
        for name in NAMES:
            if told.get(name, {}).get("state") in (None, "done") and (run := self.find_result(name)):
                text = "You sort by it." if run == used else "Done."
                told[name] = {"state": "done", "used": run == used, "text": text}
        return told

    def find_result(self, name: str) -> Path | None:
        """The run that a step ended with last, None where it never did; raises DataError for a strange file."""
        path = self.steps.place(name) / "result.json"
        return self.steps.place(name) / read_json(path, RESULT, remedy=REMEDY)["run"] if path.is_file() else None

    def take(self, name: str, do: str) -> None:
        """Start a step, stop it, use the network that it made, or leave it; raises DataError where that cannot be."""
        if name not in NAMES or do not in ("start", "stop", "use", "leave"):
            raise DataError(f"there is no step {name} that one could {do}")
        if do == "stop":
            self.steps.stop(name)
        elif do == "leave":
            self.use(None)
        elif do == "use":
            run = self.find_result(name)
            if name != BETTER or run is None:
                raise DataError(f"{name} has made no network to sort by")
            self.use(run)
        elif name == BETTER:
            self._start_better()
        else:
            self._start_classifier()

    def _start_better(self) -> None:
        folder = self.steps.place(BETTER)
        run = choose_run(folder)
        links = plan_better(self.desk.album.images.root.resolve(), folder.resolve(), self.options.device, run.resolve())
        self.steps.start(BETTER, links, lambda: self._compare(run))

    def _start_classifier(self) -> None:
        folder = self.steps.place(CLASSIFIER)
        run, table = choose_run(folder), folder / "examples.csv"
        standing = self.desk.stand()
        folder.mkdir(parents=True, exist_ok=True)
        write_examples(table, self.desk.album, standing, SURE)
        links = plan_classifier(table.resolve(), self.options.device, run.resolve())
        self.steps.start(CLASSIFIER, links, lambda: write_json(folder / "result.json", {"run": run.name}))

    def _compare(self, run: Path) -> None:
        """Write how much better the new network spreads the names that are given."""
        standing, album, sorter = self.desk.stand(), self.desk.album, self.desk.sorter
        assert sorter is not None  # there is a standing
        sight = extract_features(open_run(self.options, run), album.images)
        result = compare_sights(sorter.cloud, sight.cloud, standing)
        write_json(self.steps.place(BETTER) / "result.json", {"run": run.name, **result})


def open_run(options: SortOptions, run: Path) -> Subject:
    """The network of a run, through the feature that it chose."""
    told = replace(options, pretrained=str(run.resolve()), feature="auto", size=SIZE, arch=None)
    return open_subject(told, torch.device(options.device), options.batch_size)
