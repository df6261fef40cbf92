"""Real photographs for the demo from PyPI's elpv-dataset: solar cells, mono- or polycrystalline, sound or defective.

python -m tools.demo_data --out demo/elpv
The pictures are CC BY-NC-SA 4.0 (Buerhop-Lutz et al., 2018; Deitsch et al., 2019); a notice is laid beside them.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import shutil
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from engine.flags.command import exit_cleanly
from engine.flags.parser import Parser
from engine.results_folder import hold_results
from runtime.errors import ConfigError
from runtime.files import write_atomically, write_text
from runtime.folders.claims import claim_folder
from runtime.ranges import COUNT_OR_0, SEED

LICENCE = "LICENSE.txt"
STATES = {"0.0": "sound", "1.0": "defective"}  # the expert's two sure answers; "maybe" cells are left out
NOTICE = """Photographs of solar cells from the elpv-dataset (https://github.com/zae-bayern/elpv-dataset),
licensed under Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International.
Buerhop-Lutz, C.; Deitsch, S.; Maier, A.; Gallwitz, F.; Berger, S.; Doll, B.; Hauch, J.; Camus, C.; Brabec, C. J.:
A Benchmark for Visual Identification of Defective Solar Cells in Electroluminescence Imagery. EU PVSEC 2018.
Deitsch, S.; Christlein, V.; Berger, S.; Buerhop-Lutz, C.; Maier, A.; Gallwitz, F.; Riess, C.:
Automatic classification of defective photovoltaic module cells in electroluminescence images. Solar Energy 185, 2019.
"""


def find_package() -> Path:
    """The data folder inside the installed package, found without importing it; raises ConfigError when absent."""
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or spec.origin is None:
        raise ConfigError("the package elpv-dataset is not installed; `pip install elpv-dataset`")
    return Path(spec.origin).parent / "data"


def read_classes(source: Path) -> dict[str, list[Path]]:
    """Files by class, e.g. "poly-defective", in the order of the package's list."""
    classes = defaultdict(list)
    for line in (source / "labels.csv").read_text().splitlines():
        name, probability, kind, *_ = line.split()  # 1.0.0 has a fourth column
        if probability in STATES:
            classes[f"{kind}-{STATES[probability]}"].append(source / name)
    return dict(sorted(classes.items()))


def draw_split(files: list[Path], train: int, test: int, seed: int) -> dict[str, list[Path]]:
    """A fixed draw without overlap; 0 for train means all that test leaves."""
    order = list(files)
    random.Random(seed).shuffle(order)
    rest = order[test:]
    return {"test": order[:test], "train": rest[:train] if train else rest}


def main() -> None:
    """The command."""
    parser = Parser(prog="python -m tools.demo_data", description="Solar cells from PyPI as train/test class folders.")
    parser.add_argument("--out", default="demo/elpv", metavar="DIR", help="where the folders are made")
    parser.add_argument("--train", type=COUNT_OR_0, default=90, help="training images of a class, 0 = all")
    parser.add_argument("--test", type=COUNT_OR_0, default=60, help="test images of a class, 0 = none")
    parser.add_argument("--seed", type=SEED, default=0, help="of the draw")
    args = parser.parse_args()
    out = Path(args.out)
    found = read_classes(find_package())
    with hold_results(out):
        claim_folder(out, "tools.demo_data", ("train", "test", LICENCE))
        write_text(out / LICENCE, NOTICE)
        copy_all(found, out, args)


def copy_all(found: dict[str, list[Path]], out: Path, args: argparse.Namespace) -> None:
    """Every class's draw, in its folders; prints how many."""
    for name, files in found.items():
        for split, chosen in draw_split(files, args.train, args.test, args.seed).items():
            folder = out / split / name
            folder.mkdir(parents=True)
            for path in chosen:
                write_atomically(folder / path.name, partial(shutil.copyfile, path), sync=False)
            print(f"{split:>5} {name:<16} {len(chosen)}")


if __name__ == "__main__":
    exit_cleanly(main)
