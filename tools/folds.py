"""A fixed fifth of the training split held out as a test split of its own, to choose settings without touching test.

python -m tools.folds --root bird --fold 0 --out folds/bird_0
Fold k holds every fifth image of each class, counted in the order of the keys (position % 5 == k); without labels every
fifth of all. The new data set is a tree of symbolic links; the real test split has no part in it. Kept images are keyed
train/<class>/<file> as in a data set of train/ and test/ folders, so that its crops serve: --crop-root <its crops>.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datasets.images import ImageSet, Sample, scan
from engine.args import ConfigError, Parser, add_list_left_out, exit_cleanly
from engine.folders import claim_folder
from engine.ranges import whole

FOLDS = 5
MARKER = ".fold"  # only folders that this command made are ever emptied


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


def place(sample: Sample, split: str, classes: tuple[str, ...]) -> Path:
    """Where a sample is linked: its key below train/, or its class and its key with "_" for "/" in other layouts."""
    if sample.key.startswith("train/"):
        return Path(split, sample.key.removeprefix("train/"))
    folder = classes[sample.label] if sample.label is not None else ""
    return Path(split, folder, sample.key.replace("/", "_"))


def link_fold(root: Path, fold: int, out: Path) -> dict[str, list[Sample]]:
    """Make the tree of links in `out`; raises DataError for no data set, ConfigError for a folder that is not ours."""
    images = scan(root, "train")
    splits = split_fold(images, fold)
    if root.is_dir() and root.resolve() in (out.resolve(), *out.resolve().parents):
        raise ConfigError(f"--out {out} lies in the data set itself; choose a folder beside it")
    claim_folder(out, MARKER)
    for split, samples in splits.items():
        for sample in samples:
            target = out / place(sample, split, images.classes)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(os.path.abspath(sample.path))
    return splits


def main() -> None:
    """The command."""
    parser = Parser(prog="python -m tools.folds", description="A fifth of the training split as a test split.")
    parser.add_argument("--root", required=True, metavar="DIR", help="the data set, in any layout")
    add_list_left_out(parser)
    parser.add_argument("--fold", type=whole(0, FOLDS - 1), choices=range(FOLDS), default=0,
                        help="which fifth is held out")
    parser.add_argument("--out", required=True, metavar="DIR", help="where the links are made; an earlier fold goes")
    args = parser.parse_args()
    splits = link_fold(Path(args.root), args.fold, Path(args.out))
    print(f"{args.out}: {len(splits['train'])} training images, {len(splits['test'])} held out as test (fold "
          f"{args.fold} of {FOLDS})")
    if not all(sample.key.startswith("train/") for sample in splits["train"]):
        print("note: the data set has no train/ folder, so keys are new and its crops do not serve", file=sys.stderr)


if __name__ == "__main__":
    exit_cleanly(main)
