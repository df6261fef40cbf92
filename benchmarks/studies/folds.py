"""A fixed fifth of the training split held out as a test split of its own, to choose settings without touching test.

python -m benchmarks.studies.folds --root bird --fold 0 --out folds/bird_0
Fold k holds every fifth image of each class, counted in the order of the keys (position % 5 == k); without labels every
fifth of all. The new data set is a tree of symbolic links; the real test split has no part in it. Kept images are keyed
train/<class>/<file> as in a data set of train/ and test/ folders, so that its crops serve: --crop-root <its crops>.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from datasets.images import ImageSet, scan
from datasets.layouts.listing import Sample, show_first
from datasets.layouts.read import need_root
from engine.flags.command import exit_cleanly
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser
from engine.results_folder import hold_results
from runtime.errors import ConfigError, DataError, refuse
from runtime.folders.claims import claim_folder
from runtime.folders.overlaps import find_overlaps, lies_in
from runtime.names.safe import name_each, safe_name
from runtime.ranges import whole_number

FOLDS = 5


def split_fold(images: ImageSet, fold: int) -> dict[str, list[Sample]]:
    """Samples by split: "test" the fold, "train" the rest. Raises ConfigError when either would be empty."""
    seen: Counter[int | None] = Counter()
    splits: dict[str, list[Sample]] = {"train": [], "test": []}
    for sample in sorted(images.samples, key=lambda sample: sample.key):
        splits["test" if seen[sample.label] % FOLDS == fold else "train"].append(sample)
        seen[sample.label] += 1
    if not all(splits.values()):
        raise ConfigError(f"{images.root}: fold {fold} of {len(images)} training images would leave a split empty; "
                          f"no class has more than {max(seen.values())}, give --fold 0 or more images")
    return splits


def place_link(sample: Sample, split: str, folders: Mapping[str, str], classes: tuple[str, ...]) -> Path:
    """Where a sample is linked, within the split whatever labels and keys say.

    Its key below train/ where the folder there is its class, else its class's folder and its key with "_" for "/".
    """
    parts, label = sample.key.split("/"), classes[sample.label] if sample.label is not None else None
    if parts[0] == "train" and ".." not in parts and label in (None, parts[1]):
        return Path(split, *parts[1:])
    folder = folders[label] if label is not None else ""
    return Path(split, folder, safe_name(sample.key))


def plan_links(splits: Mapping[str, Sequence[Sample]], classes: tuple[str, ...]) -> dict[Path, Sample]:
    """Every link to be made; raises DataError for classes or images that would share a place."""
    folders = name_each(classes, "classes")
    links: dict[Path, Sample] = {}
    clashes = []
    for split, samples in splits.items():
        for sample in samples:
            other = links.setdefault(place_link(sample, split, folders, classes), sample)
            if other is not sample:
                clashes.append(f"{other.key} and {sample.key}")
    if clashes:
        raise DataError(f"these images would share a link, rename one of each: {show_first(clashes)}")
    return links


def list_link_overlaps(root: Path, out: Path) -> list[str]:
    """A line when the links would lie among the photographs."""
    return find_overlaps({"--out": out}, [("--root", root)])


def link_fold(root: Path, fold: int, out: Path) -> dict[str, list[Sample]]:
    """Make the tree of links in `out`; raises DataError for no data set, ConfigError for a folder that is not ours."""
    images = scan(root, "train")
    splits = split_fold(images, fold)
    links = plan_links(splits, images.classes)
    refuse(list_link_overlaps(root, out)
           or [f"--out {out} holds {sample.path}, which it would be emptied of; give it a place outside"
              for sample in images.samples if lies_in(sample.path, out)][:1])
    with hold_results(out):
        claim_folder(out, "benchmarks.studies.folds", tuple(splits))
        for place, sample in links.items():
            (out / place).parent.mkdir(parents=True, exist_ok=True)
            (out / place).symlink_to(os.path.abspath(sample.path))
    return splits


def main() -> None:
    """The command."""
    parser = Parser(prog="python -m benchmarks.studies.folds",
                    description="A fifth of the training split as a test split.")
    parser.add_argument("--root", required=True, metavar="DIR", help="the data set, in any layout")
    add_list_left_out(parser)
    parser.add_argument("--fold", type=whole_number(0, FOLDS - 1), choices=range(FOLDS), default=0,
                        help="which fifth is held out")
    parser.add_argument("--out", required=True, metavar="DIR", help="where the links are made; an earlier fold goes")
    args, problems = parser.gather()
    root, out = Path(args.root), Path(args.out)
    problems.lines += list_link_overlaps(root, out)
    problems.refuse(lambda: need_root(root))
    splits = link_fold(root, args.fold, out)
    print(f"{args.out}: {len(splits['train'])} training images, {len(splits['test'])} held out as test (fold "
          f"{args.fold} of {FOLDS})")
    if not all(sample.key.startswith("train/") for sample in splits["train"]):
        print("note: the data set has no train/ folder, so keys are new and its crops do not serve", file=sys.stderr)


if __name__ == "__main__":
    exit_cleanly(main)
