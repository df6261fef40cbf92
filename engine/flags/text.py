"""The options of tools that deal with descriptions of classes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from datasets.options import RootOptions
from runtime.errors import Problems
from runtime.options import again, flag, word
from runtime.ranges import BETWEEN, COUNT_OR_0, TEMPERATURE
from runtime.words import device
from text.options import TEXT_TEMPERATURE, AskingOptions, ClipOptions, EncodingOptions

TEMPLATE = "a photo of a {name}."


@dataclass(frozen=True, kw_only=True)
class AblationOptions(AskingOptions):
    """Which words for the same classes are compared, on which photographs; `place` is where the table goes."""

    title: ClassVar[str | None] = "ablation"

    csv: str = word("descriptions, columns `class name,description`", "FILE.csv")
    root: str = again(RootOptions, "root", None, required=True)
    random_labels: str | None = flag(None, None, "descriptions of classes that are not there; default FILE_random.csv "
                                     "where it exists", metavar="FILE.csv")
    template: str = flag(TEMPLATE, None, "of the names, with {name}")
    variants: str = flag("all", None, "only these lines of the table, by their keys", metavar="A,B")
    tau: float = flag(TEXT_TEMPERATURE, TEMPERATURE, "temperature of every line", "--temperature")
    match_entropy: float | None = flag(None, BETWEEN, "in place of --tau: each line the temperature at which the mean "
                                       "entropy is H", metavar="H")
    prototypes: int = flag(0, COUNT_OR_0, "centroids without text; 0 = as many as classes")
    train: int = flag(0, COUNT_OR_0, "also pre-train a student for each line", metavar="EPOCHS")
    out: str = flag(None, None, "default ablation/<the CSV's name>", metavar="DIR")

    @property
    def place(self) -> Path:
        """The folder of all that is written."""
        return Path(self.out)


@dataclass(frozen=True, kw_only=True)
class StudioOptions(EncodingOptions, AskingOptions):
    """Which text is audited, against which photographs. `place` is where the page goes."""

    title: ClassVar[str | None] = "studio"

    text: str = word("descriptions (.csv) or a text tensor (.pt)", "FILE")
    split: str = flag("train", ("train", "val", "test"), "which images")
    root: str = again(RootOptions, "root", None, required=True)
    tau: float = flag(TEXT_TEMPERATURE, TEMPERATURE, "temperature of p_t", "--temperature")
    target_entropy: float = flag(0.5, BETWEEN, "mean entropy to find a temperature for")
    out: str = flag(None, None, "default studio/<the text's name>", metavar="DIR")

    @property
    def place(self) -> Path:
        """The folder of all that is written."""
        return Path(self.out)


@dataclass(frozen=True, kw_only=True)
class EncodeOptions(EncodingOptions, ClipOptions):
    """Which descriptions become a tensor, by which CLIP."""

    title: ClassVar[str | None] = None

    csv: str = word("columns `class name,description`", "FILE.csv")
    out: str | None = flag(None, None, "default text_description_tensor/<csv's name>_text_tensor.pt",
                           metavar="FILE.pt")
    device: str = flag("cpu", device, "cpu or cuda")


def settle_asking(args: argparse.Namespace, problems: Problems) -> None:
    """What every command that shows photographs to CLIP settles: the device, and the rows cut off below."""
    from datasets.files import find_crop_bottom
    from runtime.devices import list_device_problems, resolve_device

    problems.lines += list_device_problems(args.device)
    args.device = resolve_device(args.device)
    args.crop_bottom = find_crop_bottom(args.crop_bottom, args.task)
