"""A desk with everything around it: the network that looks, the folder of the state, boxes, folders, further steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from datasets.files import decode
from desk.album import LARGE, Album, Thumbnails, encode_picture
from desk.boxes import Boxes
from desk.desk import Desk, import_names
from desk.finish import fill
from desk.journal import Journal
from desk.looking import Ended, look_over, until_ended
from desk.steps.workshop import Workshop, open_run
from engine.flags.evaluate.options import SortOptions
from engine.workflows.sort import check_image_count
from evaluation.features.subject import Subject, open_subject
from evaluation.sorting.filing import has_written_labels, read_labels
from runtime.errors import ConfigError, DataError
from runtime.files import hash_file, write_json, write_text
from runtime.names.spelling import show_name
from runtime.options import list_given
from runtime.side_files import read_json

CHOICES = {"groups?": int, "network?": str, "tables?": [str]}
FORM = "name_these.csv"
PATIENCE = 20.0  # seconds that work beside may take to end


@dataclass(frozen=True)
class Chosen:
    """The network that looks, and the run of a further step that made it (None: that of the flags)."""

    subject: Subject
    run: Path | None


class Workplace:
    """A folder of photographs being sorted; its state is one folder, `options.place`, that can be carried elsewhere."""

    def __init__(self, options: SortOptions, chosen: Chosen, album: Album) -> None:
        self.options, self.out = options, options.place
        self.subject, self.run = chosen.subject, chosen.run
        self.choices = read_choices(self.out)
        groups = options.groups if isinstance(options.groups, int) else self.choices.get("groups")
        self.desk = Desk(album, Journal(self.out / "journal.jsonl"), groups)
        self.thumbnails = Thumbnails(self.out / "thumbnails", self.subject.crop_bottom)
        self.boxes = Boxes(self.out, self.desk, self.subject)
        self.workshop = Workshop(self.out / "steps", self.desk, options, self._use)
        self.finishing = threading.Lock()  # two at once would fill one folder
        self.failed: BaseException | None = None
        self.threads: list[threading.Thread] = []
        self.give_up: Callable[[], object] = lambda: None
        self.is_ending: Callable[[], bool] = lambda: False  # whether the server waits for the last answers
        answered = self.desk.journal.answers
        if answered and not answered.keys() & album.places.keys():
            raise ConfigError(f"{self.out} holds names of {len(answered)} photographs, none of which is in "
                              f"{album.images.root}; give another --out, or the folder that they are in")

    def import_old_names(self) -> int:
        """Take over a table: `--labels`, or what an earlier sorting without a page left here. How many are new.

        A table is taken over once: later starts of the same command leave what was corrected since.
        """
        form = Path(self.options.labels or self.out / FORM)
        tables = self.choices.get("tables", [])
        if not self.options.labels and (self.desk.journal.number or not form.is_file() or not has_written_labels(form)):
            return 0
        if form.is_file() and hash_file(form) in tables:
            return 0
        new = self.import_table(form)
        self._choose(tables=[*tables, hash_file(form)])
        return new

    def import_table(self, path: Path) -> int:
        """Take over the names of a table with the columns path,label; how many pictures got another name by it."""
        return import_names(self.desk, read_labels(path, self.desk.album.images, least=1))

    def import_text(self, text: str) -> int:
        """The same of a table's text, which is kept beside the state."""
        path = self.out / "imported.csv"
        write_text(path, text)
        return self.import_table(path)

    def open(self) -> None:
        """Begin to look at all photographs; then questions can be asked; then the rest is found out."""
        self._begin(self._prepare)

    def close(self) -> bool:
        """End what goes on beside, at the next occasion; whether all of it did within PATIENCE seconds."""
        self.desk.end()
        self.workshop.steps.stop_all()
        end = time.monotonic() + PATIENCE
        for thread in self.threads:
            thread.join(max(end - time.monotonic(), 0))
        return not any(thread.is_alive() for thread in self.threads)

    def _prepare(self) -> None:
        self._guard(lambda: self.desk.seat(look_over(self.desk, self.subject)))
        self._begin(partial(self.desk.sort_forever, self._fail))
        self._guard(self._explore)

    def _begin(self, work: Callable[[], object]) -> None:
        """Do some work beside."""
        thread = threading.Thread(target=work, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _guard(self, work: Callable[[], object]) -> None:
        """Do some work of the background; a failure ends the server with its message."""
        if self.failed is None:
            try:
                work()
            except Ended:
                return
            except Exception as error:
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self.failed = error
        self.give_up()

    def _explore(self) -> None:
        self.desk.explore(partial(self.thumbnails.shrink_all, self.desk.album, partial(until_ended, self.desk)))

    def choose_scale(self, groups: int) -> None:
        """Show another number of groups, also next time; raises DataError for a number that cannot be."""
        if groups < 1:
            raise DataError(f"{groups} groups: there is one at least")
        check_image_count(self.desk.album.images, groups)
        self.desk.choose_scale(groups)
        self._choose(groups=groups)

    def _choose(self, **choices: object) -> None:
        self.choices |= choices
        write_json(self.out / "choices.json", self.choices)

    def read_large(self, index: int) -> bytes:
        """A photograph that fills the screen, as the network's reader decodes it (JPEG)."""
        return encode_picture(decode(self.desk.album.path(index), self.subject.crop_bottom, LARGE), LARGE, 88)

    def finish(self, how: str, threshold: float) -> dict[str, object]:
        """Fill folders; where they are, and how many pictures each has."""
        if how not in ("none", "link", "copy") or not 0 <= threshold <= 1:
            raise DataError("how is none, link or copy, and the threshold is between 0 and 1")
        with self.finishing:
            target, counts = fill(self.desk.album, self.desk.stand(), self.out, how, threshold)
        folder, table = (show_name(str(path.resolve())) for path in (target, self.out / "labels.csv"))
        return {"folder": folder, "table": table, "counts": counts}

    def describe_steps(self) -> dict[str, dict[str, object]]:
        """What the page shows of the further steps."""
        return self.workshop.describe(self.run)

    def _use(self, run: Path | None) -> None:
        """Sort by the network of a run from now on, None for that of the flags; where it cannot, the old one stays."""
        try:
            chosen = open_chosen(self.options, run)
            self.desk.seat(look_over(self.desk, chosen.subject))
        finally:
            self.desk.tell_stage(None)
        self.subject, self.run = chosen.subject, chosen.run
        self.boxes.look_by(chosen.subject)
        self._choose(network=run.relative_to(self.out).as_posix() if run else "")
        self._begin(partial(self._guard, self._explore))


def read_choices(out: Path) -> dict[str, Any]:
    """What was chosen on the page before."""
    path = out / "choices.json"
    return read_json(path, CHOICES, remedy="remove it: it holds only what is shown") if path.exists() else {}


def keep_features(subject: Subject, out: Path) -> Subject:
    """The subject, which also keeps what it sees among the state, so that it can be opened elsewhere."""
    return replace(subject, caches=(*subject.caches, out / "features"))


def find_chosen(options: SortOptions) -> Path | None:
    """The run whose network was chosen on the page, None where there is none any more, or where the flags name one."""
    run = read_choices(options.place).get("network")
    if not run or "pretrained" in list_given(options) or not (options.place / run / "model_last.pth").is_file():
        return None
    return options.place / run


def open_chosen(options: SortOptions, run: Path | None) -> Chosen:
    """The network of a run, or that of the flags."""
    subject = open_run(options, run) if run else open_subject(options, torch.device(options.device), options.batch_size)
    return Chosen(keep_features(subject, options.place), run)
