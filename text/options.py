"""What commands about text are told: which CLIP reads descriptions and looks at images, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from datasets.options import CropOptions
from models.weights.usual import CLIP_ARCH
from runtime.options import MachineOptions, Options, again, flag
from runtime.ranges import SIDE_OR_0

PLAIN = "{description}"  # the template that adds nothing
AGGREGATES = ("whole", "sentences")
TEXT_TEMPERATURE = 0.02  # of the softmax over text rows


@dataclass(frozen=True, kw_only=True)
class ClipOptions(Options):
    """CLIP under the names of main_pretrain.py, and under shorter ones."""

    title: ClassVar[str | None] = "CLIP"

    teacher_weights: str | None = flag(None, None, "a file (OpenAI's or open_clip's), hub (OpenAI's weights) or "
                                       "hub:TAG (open_clip's tag); default: the architecture's usual file, if it is "
                                       "here",
                                       "--weights", metavar="WEIGHTS")
    teacher_arch: str = flag(CLIP_ARCH, None, "open_clip's name of the model; QuickGELU is recognised from OpenAI's "
                             "files", "--arch", metavar="NAME")
    teacher_norm: str = "own"
    teacher_size: int = 0


@dataclass(frozen=True, kw_only=True)
class AskingOptions(ClipOptions, CropOptions, MachineOptions):
    """How CLIP looks at images: as main_pretrain.py says it, so that answers are shared with training by `cache`."""

    title: ClassVar[str | None] = "CLIP"

    teacher: str = "clip"
    crop_bottom: int = again(CropOptions, "crop_bottom", "auto")  # a number before anyone reads it
    teacher_norm: str = flag("own", ("own", "student"), "mean and std for the teacher")
    teacher_size: int = flag(0, SIDE_OR_0, "pixels the teacher sees; 0 = its own")
    cache: str = flag("cache", None, "where its answers are kept, or none", metavar="DIR")


@dataclass(frozen=True, kw_only=True)
class EncodingOptions(Options):
    """How a description becomes a row."""

    title: ClassVar[str | None] = "encoding"

    template: str = flag(PLAIN, None, "what CLIP reads, with {name} and {description} filled in", metavar="TEXT")
    aggregate: str = flag("whole", AGGREGATES, "sentences = encode each apart and average: nothing is cut at CLIP's 77 "
                          "tokens")
