"""Sort a folder of photographs that only an expert can sort: groups first, then labels from a few named pictures.

python -m tools.sort photos --serve                                        a page to name pictures on
python -m tools.sort photos --out sort                                     groups, odd pictures, which to name first
python -m tools.sort photos --out sort --labels sort/name_these.csv        labels for all, once those are filled in
python -m tools.sort photos --out sort --labels sort/name_these.csv --apply copy
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from engine.flags.command import exit_cleanly
from engine.flags.evaluate.arguments import make_parser, read_evaluation, refuse_or_note
from engine.flags.evaluate.options import SortOptions
from runtime.errors import Problems
from runtime.files import DRAFT
from runtime.folders.locks import NAME as LOCK
from runtime.names.safe import safe_name

JOURNAL = "journal.jsonl"  # of the answers that were given on the page


def parse(argv: Sequence[str] | None = None) -> SortOptions:
    """The options, automatic values resolved; raises ConfigError with every problem."""
    parser = make_parser("python -m tools.sort", "Sort photographs into groups and labels.", SortOptions)
    options, problems, _ = read_evaluation(parser, SortOptions, argv)
    options = replace(options, out=options.out or options.results_dir or choose_out(options))
    problems.lines += check_out(options)
    refuse_or_note(options, problems)
    return options


def choose_out(options: SortOptions) -> str:
    """Where everything goes unless the user says."""
    return f"sorting/{safe_name(Path(options.folder).resolve().name)}" if options.serve else "sort"


def check_out(options: SortOptions) -> list[str]:
    """What is wrong with the output folder."""
    from evaluation.sorting.filing import has_written_labels

    out, folder = options.place, Path(options.folder)
    if folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
        return [f"{out} lies in {folder}, so its pictures would be sorted next time; give --out another place"]
    if out.exists() and (not out.is_dir() or (list_strangers(out) and not is_sorted_here(out))):
        return [f"{out} exists and is no earlier sorting; give --out another place"]
    if options.serve:
        return []
    target = out / "sorted"
    if options.apply != "none" and target.exists() and (not target.is_dir() or any(target.iterdir())):
        return [f"{target} is not empty; move it away, or give --out another place"]
    form = out / "name_these.csv"
    in_use = options.labels is not None and Path(options.labels).resolve() == form.resolve()
    if form.is_file() and not in_use and has_written_labels(form):
        return [f"{form} holds labels that would be lost; give it with --labels, or move it away"]
    return []


def is_sorted_here(out: Path) -> bool:
    """Whether a folder holds a sorting, with a page to work on or without."""
    from evaluation.sorting.page import is_sorting

    return is_sorting(out) or (out / JOURNAL).is_file()


def list_strangers(out: Path) -> list[str]:
    """What lies in a folder, apart from the lock and the drafts that a killed command leaves."""
    return [path.name for path in out.iterdir() if path.name != LOCK and not DRAFT.fullmatch(path.name)]


def main() -> None:
    """The command."""
    options = parse()
    if options.serve:
        from desk.web.serve import serve

        return serve(options)
    import torch

    from datasets.images import first_split
    from engine.results_folder import hold_results
    from engine.workflows.sort import (
        check_image_count,
        extract_features,
        record_sorting,
        sort_images,
        tell_sorting,
        write_sorting,
    )
    from evaluation.features.subject import check_classes, open_subject
    from evaluation.sorting.filing import file_pictures, need_linkable, read_labels

    subject = open_subject(options, torch.device(options.device), options.batch_size)
    split = options.split if options.split != "auto" else first_split(subject.root, "train")
    images = subject.images(split, "searched" if options.score else "ignored")
    problems = Problems()
    problems.attempt(lambda: check_image_count(images, options.groups))
    problems.attempt(lambda: need_linkable(images) if options.apply == "link" else None)
    given = problems.attempt(lambda: read_labels(options.labels, images) if options.labels else {})
    problems.attempt(lambda: check_classes(images, options.num_classes) if options.score else None)
    problems.refuse()
    assert given is not None  # else there was a problem
    with hold_results(options.place):
        sight = extract_features(subject, images)
        sorting = sort_images(sight, images, given, options)
        write_sorting(sorting, subject, options.place)
        print(tell_sorting(sorting, options.place))
        if options.apply != "none":
            filed = file_pictures(images, sorting.folders(), options.place / "sorted", options.apply)
            print(f"  {filed} photographs in {options.place / 'sorted'}")
        if options.score:
            record_sorting(subject, sorting, sight, options.place)


if __name__ == "__main__":
    exit_cleanly(main)
