"""PyPI's elpv-dataset, the demo's photographs: solar cells, mono- or polycrystalline, sound or defective.

The pictures are CC BY-NC-SA 4.0 (Buerhop-Lutz et al., 2018; Deitsch et al., 2019); a notice is laid beside them.
"""

from __future__ import annotations

import importlib.util
import random
import shutil
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from runtime.errors import ConfigError
from runtime.files import write_atomically, write_text
from runtime.folders.claims import claim_folder, is_ours
from runtime.options import Options, flag
from runtime.ranges import COUNT_OR_0, SEED

COMMAND, FORMER = "tools.organize elpv", "tools.demo_data"  # folders of before bear the second mark
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
class ElpvOptions(Options):
    """How many of elpv's photographs are drawn."""

    title: ClassVar[str | None] = "elpv"

    train: int = flag(90, COUNT_OR_0, "training images of a class, 0 = all")
    test: int = flag(60, COUNT_OR_0, "test images of a class, 0 = none")
    seed: int = flag(0, SEED, "of the draw")


def copy_draw(found: dict[str, list[Path]], out: Path, options: ElpvOptions) -> str:
    """Every class's draw in train/ and test/ folders below `out`, beside the notice; how many, as a table.

    Raises ConfigError for a folder that another command made, or a user.
    """
    claim_folder(out, FORMER if is_ours(out, FORMER) else COMMAND, ("train", "test", LICENCE))
    write_text(out / LICENCE, NOTICE)
    lines = []
    for name, files in found.items():
        for split, chosen in draw_split(files, options.train, options.test, options.seed).items():
            folder = out / split / name
            folder.mkdir(parents=True)
            for path in chosen:
                write_atomically(folder / path.name, partial(shutil.copyfile, path), sync=False)
            lines.append(f"{split:>5} {name:<16} {len(chosen)}")
    return "\n".join(lines)
