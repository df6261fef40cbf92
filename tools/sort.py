"""Sort a folder of photographs that only an expert can sort: groups first, then labels from a few named pictures.

python -m tools.sort photos --out sort                                     groups, odd pictures, which to name first
python -m tools.sort photos --out sort --labels sort/name_these.csv        labels for all, once those are filled in
python -m tools.sort photos --out sort --labels sort/name_these.csv --apply copy
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor

from datasets.images import ImageSet, first_split
from engine.flags.command import exit_cleanly
from engine.flags.evaluate.readers import CROPS, settle_evaluation
from engine.flags.evaluate.sources import check_evaluation_sources
from engine.flags.evaluate.subject import add_subject
from engine.flags.parser import Parser, toggle
from engine.flags.ranges import BATCH, COUNT_OR_0, LARGEST, whole_number
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

FIRST_WEIGHTS = "package:efficientnet-lite0"
BUDGETS, DRAWS = (20, 50, 100), 5


def make_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="python -m tools.sort", description="Sort photographs into groups and labels.",
                    epilog=f"Without --pretrained, {FIRST_WEIGHTS} looks at the pictures.")
    parser.add_argument("folder", metavar="FOLDER", help="the photographs: any layout that --root takes elsewhere")
    add_subject(parser, look_at="full", feature="gap")
    parser.set_defaults(centre=True)
    sort = parser.add_argument_group("sorting")
    sort.add_argument("--split", choices=("auto", "train", "val", "test"), default="auto",
                      help="which part, if there are any; auto = train, or what there is")
    sort.add_argument("--groups", type=whole_number(1, LARGEST, "auto"), default="auto",
                      help="how many; auto = by silhouette")
    sort.add_argument("--labels", metavar="FILE.csv", help="columns path,label; blank labels are not read")
    sort.add_argument("--name-first", type=COUNT_OR_0, default=20, metavar="N", help="pictures to propose for naming")
    sort.add_argument("--apply", choices=("none", "link", "copy"), default="none",
                      help="fill OUT/sorted/ with a folder for each label (else group): hard links where possible, "
                           "else symbolic ones; or copies")
    sort.add_argument("--out", default=None, metavar="DIR", help="where everything goes; default --results-dir or sort")
    toggle(sort, "--score", False, "hide the folders' labels, sort, and measure against them")
    parser.add_argument("-b", "--batch-size", type=BATCH, default=64, help="images at a time through the encoder")
    return parser


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Flags with automatic values resolved; raises ConfigError with every problem."""
    words = sys.argv[1:] if argv is None else argv
    args, problems = make_parser().gather(["--pretrained", FIRST_WEIGHTS, *words])
    settle_evaluation(args, problems, CROPS)
    args.root, args.out = args.folder, Path(args.out or args.results_dir or "sort")
    problems.lines += check_out(args)
    problems.refuse(lambda: check_evaluation_sources(args))
    return args


def check_out(args: argparse.Namespace) -> list[str]:
    """What is wrong with the output folder."""
    out, folder = args.out, Path(args.folder)
    if folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
        return [f"{out} lies in {folder}, so its pictures would be sorted next time; give --out another place"]
    if out.exists() and (not out.is_dir() or (list_strangers(out) and not sorting_page.is_sorting(out))):
        return [f"{out} exists and is no earlier sorting; give --out another place"]
    target = out / "sorted"
    if args.apply != "none" and target.exists() and (not target.is_dir() or any(target.iterdir())):
        return [f"{target} is not empty; move it away, or give --out another place"]
    form = out / "name_these.csv"
    in_use = args.labels is not None and Path(args.labels).resolve() == form.resolve()
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


def sort_images(sight: Sight, images: ImageSet, given: dict[int, str], args: argparse.Namespace) -> Sorting:
    """Groups, odd pictures, which to name next, and labels where some are given."""
    cloud = sight.cloud
    estimate = estimate_groups(cloud.reduced, show=True) if args.groups == "auto" else None
    groups = group(cloud.smooth, estimate.count if estimate else args.groups)
    names = tuple(sorted(set(given.values())))
    labels = torch.full((len(images),), -1)
    for index, name in given.items():
        labels[index] = names.index(name)
    return Sorting(images, groups, rate_typicality(cloud.embeddings, groups), sight.oddness, given,
                   choose_to_name(cloud.reduced, args.name_first, sorted(given)), names,
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
    args = parse()
    subject = open_subject(args, torch.device(args.device), args.batch_size)
    split = args.split if args.split != "auto" else first_split(subject.root, "train")
    images = subject.images(split, "searched" if args.score else "ignored")
    problems = Problems()
    problems.attempt(lambda: check_image_count(images, args.groups))
    given = problems.attempt(lambda: read_labels(args.labels, images) if args.labels else {})
    problems.attempt(lambda: check_classes(images, args.num_classes) if args.score else None)
    problems.refuse()
    assert given is not None  # else there was a problem
    with hold_results(args.out):
        sight = extract_features(subject, images)
        sorting = sort_images(sight, images, given, args)
        write_sorting(sorting, subject, args.out)
        print(tell_sorting(sorting, args.out))
        if args.apply != "none":
            filed = file_pictures(images, sorting.folders(), args.out / "sorted", args.apply)
            print(f"  {filed} photographs in {args.out / 'sorted'}")
        if args.score:
            record_sorting(subject, sorting, sight, args.out)


if __name__ == "__main__":
    exit_cleanly(main)
