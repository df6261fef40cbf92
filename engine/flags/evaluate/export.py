"""The command line of tools/export.py."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from datasets.options import RootOptions
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, add_options
from engine.flags.unread import Readers, find_unread
from evaluation.options import ClassifierOptions
from runtime.options import MachineOptions, again, flag, list_given, switch, word
from runtime.ranges import BATCH, whole_number

FORMATS = ("onnx", "torchscript", "timm", "safetensors")
PIXELS = ("standardised", "chw", "hwc")
NEEDED = {"onnx": ("onnx", "onnxruntime")}  # packages that requirements.txt does not ask for


@dataclass(frozen=True, kw_only=True)
class ExportOptions(RootOptions):
    """Which network is written, of which kind the file is, and what of the network it holds."""

    title: ClassVar[str | None] = "export"

    pretrained: str = word("a finished run of any training command (a folder, also under checkpoints/), a checkpoint, "
                           "or what --pretrained takes elsewhere", "RUN")
    to: str = flag(None, FORMATS, "the kind of file", required=True)
    feature: str = flag("auto", None, "of an encoder backbone (gap), masked, head or joint; of a classifier a branch "
                        "(cls, dist, average, layer1, ..., combiner); all = each as an output of its name; auto = what "
                        "the network is evaluated by: what its run chose without labels, head of metric learning, "
                        "masked where there is a rationale branch, a classifier's answer", metavar="NAME")
    pixels: str = flag("standardised", PIXELS, "what goes in: standardised = float32 [N, 3, S, S], (x / 255 - mean) / "
                       "std done outside; chw = uint8 [N, 3, S, S], hwc = uint8 [N, S, S, 3], both standardised in the "
                       "graph")
    unit: bool | None = switch(None, "an encoder's rows leave with length 1, as tools.embed writes them (default true)")
    quantise: str = flag("none", ("none", "int8"), "linear layers in 8 bits, activations as they come, for CPUs; with "
                         "--root what that costs and gains is measured")
    opset: int = flag(17, whole_number(13, 20), "of ONNX")
    split: str = flag("auto", ("auto", "test", "val", "train"), "which part of the photographs the file is checked on; "
                      "auto = test where there is one")
    out: str | None = flag(None, None, "where the files go; default: export/ and the kind in the run's folder",
                           metavar="DIR")
    batch_size: int = flag(32, BATCH, "images at a time where int8 is measured", "-b")
    arch: str | None = again(ClassifierOptions, "arch", None)
    num_selects: tuple[int, ...] | None = again(ClassifierOptions, "num_selects", None)
    class_names: str | None = again(ClassifierOptions, "class_names", None)
    size: int = again(ClassifierOptions, "size", 0)
    eval_view: str = again(ClassifierOptions, "eval_view", "auto")
    threads: int = again(MachineOptions, "threads", 0)
    seed: int = again(MachineOptions, "seed", 123)

    def as_evaluation(self) -> dict[str, Any]:
        """The settings of an evaluation of the same network: on the CPU, in float32, of whole images."""
        return self.settings() | {"device": "cpu", "precision": "fp32", "input": "full", "feature": "auto"}


READERS = (
    Readers(("feature",), "another --to than safetensors, which holds the whole network",
            lambda told: told.to != "safetensors"),
    Readers(("pixels", "unit", "quantise"), "--to onnx or torchscript", lambda told: told.to in FORMATS[:2]),
    Readers(("opset",), "--to onnx", lambda told: told.to == "onnx"),
)


def parse(argv: Sequence[str] | None = None) -> ExportOptions:
    """The options; raises ConfigError with every problem."""
    parser = Parser(prog="python -m tools.export", description="A finished network as a file for other programs.")
    add_options(parser, ExportOptions)
    add_list_left_out(parser)
    args, problems = parser.gather(argv)  # ends here for --help, before torch is imported
    from engine.flags.absent import check_present
    from evaluation.features.sources import find_source

    options = ExportOptions.read(vars(args), list_given(args))
    problems.lines += find_unread(options, READERS) + list_absent_packages(options.to)
    problems.refuse(lambda: find_source(options.pretrained), lambda: check_present(options))
    return options


def list_absent_packages(kind: str) -> list[str]:
    """A problem line for the packages that a kind of file needs and that are not installed."""
    absent = [name for name in NEEDED.get(kind, ()) if importlib.util.find_spec(name) is None]
    return [f"--to {kind}: not installed here: {', '.join(absent)}; `pip install {' '.join(absent)}`"] if absent else []
