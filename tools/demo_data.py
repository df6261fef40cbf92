"""Real photographs for the demo from PyPI's elpv-dataset: solar cells, mono- or polycrystalline, sound or defective.

python -m tools.demo_data --out demo/elpv
The pictures are CC BY-NC-SA 4.0 (Buerhop-Lutz et al., 2018; Deitsch et al., 2019); a notice is laid beside them.
"""

from __future__ import annotations

import importlib.util
import random
import shutil
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from engine.flags.command import exit_cleanly
from engine.flags.parser import Parser, add_options, gather_options
from runtime.errors import ConfigError
from runtime.files import write_atomically, write_text
from runtime.folders.claims import claim_folder
from runtime.options import Options, flag
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


@dataclass(frozen=True, kw_only=True)
class DemoOptions(Options):
    """How many photographs are drawn, and where their folders are made."""

    out: str = flag("demo/elpv", None, "where the folders are made", metavar="DIR")
    train: int = flag(90, COUNT_OR_0, "training images of a class, 0 = all")
    test: int = flag(60, COUNT_OR_0, "test images of a class, 0 = none")
    seed: int = flag(0, SEED, "of the draw")


def parse(argv: Sequence[str] | None = None) -> DemoOptions:
    """The options; raises ConfigError with every problem."""
    parser = Parser(prog="python -m tools.demo_data", description="Solar cells from PyPI as train/test class folders.")
    add_options(parser, DemoOptions)
    options, problems = gather_options(parser, DemoOptions, argv)
    problems.refuse()
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    from engine.results_folder import hold_results  # after the flags: --help does without torch

    out = Path(options.out)
    found = read_classes(find_package())
    with hold_results(out):
        claim_folder(out, "tools.demo_data", ("train", "test", LICENCE))
        write_text(out / LICENCE, NOTICE)
        copy_all(found, out, options)


def copy_all(found: dict[str, list[Path]], out: Path, options: DemoOptions) -> None:
    """Every class's draw, in its folders; prints how many."""
    for name, files in found.items():
        for split, chosen in draw_split(files, options.train, options.test, options.seed).items():
            folder = out / split / name
            folder.mkdir(parents=True)
            for path in chosen:
                write_atomically(folder / path.name, partial(shutil.copyfile, path), sync=False)
            print(f"{split:>5} {name:<16} {len(chosen)}")


if __name__ == "__main__":
    exit_cleanly(main)
