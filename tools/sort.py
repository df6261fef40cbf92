"""Sort a folder of photographs that only an expert can sort: groups first, then labels from a few named pictures.

python -m tools.sort photos --out sort                                     groups, odd pictures, which to name first
python -m tools.sort photos --out sort --labels sort/name_these.csv        labels for all, once those are filled in
python -m tools.sort photos --out sort --labels sort/name_these.csv --apply copy
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from engine.flags.evaluate.arguments import make_parser, read_images
from evaluation.options import ImagesOptions
from runtime.options import again, flag, switch

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor

from datasets.images import ImageSet, first_split
from engine.flags.command import exit_cleanly
from engine.flags.evaluate.sources import check_evaluation_sources
from engine.results_folder import hold_results
from evaluation.features.subject import Subject, check_classes, open_subject
from evaluation.ledger import append_result
from evaluation.metrics.similarity import normalise_embeddings
from evaluation.reports.sheet import SIDE
from evaluation.sorting import page as sorting_page
from evaluation.sorting.filing import file_pictures, has_written_labels, read_labels
from evaluation.sorting.groups import (
    Cloud,
    choose_to_name,
    estimate_groups,
    group,
    match_accuracy,
    naming_accuracy,
    rate_oddness,
    rate_typicality,
    spread_labels,
    survey,
)
from evaluation.sorting.page import Sorting
from runtime.errors import ConfigError, DataError, Problems
from runtime.files import DRAFT
from runtime.folders.locks import NAME as LOCK
from runtime.ranges import COUNT_OR_0, LARGEST, whole_number

FIRST_WEIGHTS = "package:efficientnet-lite0"
BUDGETS, DRAWS = (20, 50, 100), 5


@dataclass(frozen=True, kw_only=True)
class SortOptions(ImagesOptions):
    """Which photographs are sorted, how finely, and what is written. `place` is where everything goes."""

    title: ClassVar[str | None] = "sorting"

    pretrained: str = again(ImagesOptions, "pretrained", FIRST_WEIGHTS)
    centre: bool = again(ImagesOptions, "centre", True)
    groups: int | str = flag("auto", whole_number(1, LARGEST, "auto"), "how many; auto = by silhouette")
    labels: str | None = flag(None, None, "columns path,label; blank labels are not read", metavar="FILE.csv")
    name_first: int = flag(20, COUNT_OR_0, "pictures to propose for naming", metavar="N")
    apply: str = flag("none", ("none", "link", "copy"), "fill OUT/sorted/ with a folder for each label (else group): "
                      "hard links where possible, else symbolic ones; or copies")
    out: str = flag(None, None, "where everything goes; default --results-dir or sort", metavar="DIR")
    score: bool = switch(False, "hide the folders' labels, sort, and measure against them")

    @property
    def place(self) -> Path:
        """The folder of all that is written."""
        return Path(self.out)


def parse(argv: Sequence[str] | None = None) -> SortOptions:
    """The options, automatic values resolved; raises ConfigError with every problem."""
    words = sys.argv[1:] if argv is None else argv
    parser = make_parser("python -m tools.sort", "Sort photographs into groups and labels.", SortOptions)
    parser.epilog = f"Without --pretrained, {FIRST_WEIGHTS} looks at the pictures."
    options, problems = read_images(parser, SortOptions, ["--pretrained", FIRST_WEIGHTS, *words])
    options = replace(options, out=options.out or options.results_dir or "sort")
    problems.lines += check_out(options)
    problems.refuse(lambda: check_evaluation_sources(options))
    return options


def check_out(options: SortOptions) -> list[str]:
    """What is wrong with the output folder."""
    out, folder = options.place, Path(options.folder)
    if folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
        return [f"{out} lies in {folder}, so its pictures would be sorted next time; give --out another place"]
    if out.exists() and (not out.is_dir() or (list_strangers(out) and not sorting_page.is_sorting(out))):
        return [f"{out} exists and is no earlier sorting; give --out another place"]
    target = out / "sorted"
    if options.apply != "none" and target.exists() and (not target.is_dir() or any(target.iterdir())):
        return [f"{target} is not empty; move it away, or give --out another place"]
    form = out / "name_these.csv"
    in_use = options.labels is not None and Path(options.labels).resolve() == form.resolve()
    if form.is_file() and not in_use and has_written_labels(form):
        return [f"{form} holds labels that would be lost; give it with --labels, or move it away"]
    return []


def list_strangers(out: Path) -> list[str]:
    """What lies in a folder, apart from the lock and the drafts that a killed command leaves."""
    return [path.name for path in out.iterdir() if path.name != LOCK and not DRAFT.fullmatch(path.name)]


def check_image_count(images: ImageSet, groups: int | str) -> None:
    """Raise ConfigError when there are too few images to be grouped."""
    least = max(3, groups if isinstance(groups, int) else 0)
    if len(images) < least:
        what = f"{groups} groups" if least > 3 else "sorting"
        raise ConfigError(f"{images.root} has {len(images)} photographs, and {what} needs at least {least}")


@dataclass(frozen=True)
class Sight:
    """What the encoder saw: the pictures as points around their own mean, how odd each is [N], images per second."""

    cloud: Cloud
    oddness: Tensor
    speed: float


def extract_features(subject: Subject, images: ImageSet) -> Sight:
    """Extract features; raises DataError when all pictures look the same."""
    features = subject.extract(images)
    values = features.tensors[subject.feature].cpu()
    centre = values.mean(dim=0)
    if float((values - centre).norm(dim=1).max()) <= 1e-5 * float(centre.norm()):
        raise DataError(f"{images.root}: all {len(images)} photographs look the same to {subject.source}; "
                        "give different pictures, or another network with --pretrained")
    embeddings = normalise_embeddings(values - centre if subject.centred else values)
    return Sight(survey(embeddings), rate_oddness(values), features.images_per_second)


def sort_images(sight: Sight, images: ImageSet, given: dict[int, str], options: SortOptions) -> Sorting:
    """Groups, odd pictures, which to name next, and labels where some are given."""
    cloud = sight.cloud
    estimate = estimate_groups(cloud.reduced, show=True) if options.groups == "auto" else None
    groups = group(cloud.smooth, estimate.count if estimate else options.groups)
    names = tuple(sorted(set(given.values())))
    labels = torch.full((len(images),), -1)
    for index, name in given.items():
        labels[index] = names.index(name)
    return Sorting(images, groups, rate_typicality(cloud.embeddings, groups), sight.oddness, given,
                   choose_to_name(cloud.reduced, options.name_first, sorted(given)), names,
                   spread_labels(cloud.smooth, labels) if given else None, estimate)


def measure_groups(sorting: Sorting, cloud: Cloud) -> dict[str, float]:
    """Groups against the hidden labels, and accuracy on the rest after naming some: our choice and random ones."""
    known = sorting.images.labels >= 0
    labels, groups, smooth = sorting.images.labels[known], sorting.groups[known], cloud.smooth[known]
    metrics = {"clustering": match_accuracy(groups, labels),
               "nmi": float(normalized_mutual_info_score(labels.numpy(), groups.numpy()))}
    for budget in (budget for budget in BUDGETS if budget < len(labels)):
        ours = naming_accuracy(smooth, labels, choose_to_name(cloud.reduced[known], budget))
        drawn = [naming_accuracy(smooth, labels, draw_random_images(len(labels), budget, seed))
                 for seed in range(DRAWS)]
        metrics |= {f"named{budget}": ours, f"random{budget}": float(np.mean(drawn))}
    return metrics


def draw_random_images(count: int, budget: int, seed: int) -> list[int]:
    """A random choice of images."""
    return np.random.default_rng(seed).permutation(count)[:budget].tolist()


def record_sorting(subject: Subject, sorting: Sorting, sight: Sight, out: Path) -> None:
    """Measure, print, and add a row to OUT/results.jsonl."""
    metrics = measure_groups(sorting, sight.cloud)
    details = {"groups": sorting.count(), "classes": len(sorting.images.classes), "draws": DRAWS,
               "groups_chosen_by": "silhouette" if sorting.estimate else "given", "centre": "of these images"}
    row = subject.result("sort", sorting.images, sight.speed, metrics, details=details)
    append_result(out / "results.jsonl", row.to_dict())
    print("  " + "   ".join(f"{name} {value:.1%}" for name, value in metrics.items()))


def write_sorting(sorting: Sorting, subject: Subject, out: Path) -> None:
    """Tables, sheets and page."""
    def show_image(index: int) -> Image.Image:
        return subject.picture(sorting.images.samples[index], 2 * SIDE)

    out.mkdir(parents=True, exist_ok=True)
    sorting_page.write_sorting_table(out / "sort.csv", sorting)
    sorting_page.write_form(out / "name_these.csv", sorting)
    sorting_page.write_sheets(out / "groups", sorting, show_image)
    sorting_page.write_sorting_page(out / "sort.html", sorting, show_image, subject.describe())


def tell_sorting(sorting: Sorting, out: Path) -> str:
    """The result for people, in a few lines."""
    sizes = torch.bincount(sorting.groups).tolist()
    lines = [f"{len(sorting.images)} photographs in {len(sizes)} groups of {', '.join(map(str, sizes))}; "
             f"{len(sorting.odd())} odd ones"]
    if sorting.estimate:
        scores = ", ".join(f"{count}: {score:.3f}" for count, score in sorting.estimate.silhouettes.items())
        lines.append(f"numbers of groups compared by silhouette: {scores}")
    if sorting.spread:
        lines.append(f"labels for all, mean confidence {float(sorting.spread.confidence.mean()):.2f}")
    return "\n  ".join([*lines, f"look at {out / 'sort.html'}"])


def main() -> None:
    """The command."""
    options = parse()
    subject = open_subject(options, torch.device(options.device), options.batch_size)
    split = options.split if options.split != "auto" else first_split(subject.root, "train")
    images = subject.images(split, "searched" if options.score else "ignored")
    problems = Problems()
    problems.attempt(lambda: check_image_count(images, options.groups))
    given = problems.attempt(lambda: read_labels(options.labels, images) if options.labels else {})
    problems.attempt(lambda: check_classes(images, options.num_classes) if options.score else None)
    problems.refuse()
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
