"""The network of a checkpoint of the public plug-in module: what its tensors tell, and what has to be said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from models.plug_in.module import PlugIn, PlugInOptions, build_plug_in
from models.plug_in.presets import PRESETS, SELECTS
from models.plug_in.published import read_public_pim
from runtime.errors import ConfigError

# Published numbers of kept positions by their sum, which is all that a file holds of them.
PUBLISHED = {sum(counts): counts for counts in SELECTS.values()}
LOGITS = r"(combiner\.classifier|fpn_classifier_\w+\.3|selector\.classifier_l_\w+)\.weight"


def build_public_pim(
    content: Mapping[str, object], source: str, *, name: str | None, size: int | None = None,
    selects: Sequence[int] | None = None,
) -> PlugIn:
    """A fresh network that the content of a public file fits; `name` is its builder's (swin-t, ...), or timm's.

    `selects` are its kept positions by level. Raises ConfigError for what the file does not tell.
    """
    if name is None:
        raise ConfigError(f"{source} is a plug-in module of the public code; name its backbone with --model: "
                          f"{', '.join(PRESETS)}")
    state = read_public_pim(content)
    return build_plug_in(name, count_plug_in_classes(state, source), size=size, class_token=True,
                         options=read_plug_in_options(state, source, selects))


def count_plug_in_classes(state: Mapping[str, Tensor], source: str) -> int:
    """The number of classes, from any of its classifiers."""
    for name, value in state.items():
        if re.fullmatch(LOGITS, name):
            return value.shape[0]
    raise ConfigError(f"{source} has no classifier of a plug-in module's")


def read_plug_in_options(state: Mapping[str, Tensor], source: str, selects: Sequence[int] | None) -> PlugInOptions:
    """Which parts there are and how wide, as the tensors' names and shapes tell."""
    widths = [value.shape[0] for name, value in state.items() if re.fullmatch(r"fpn\.Proj_\w+\.2\.weight", name)]
    slots = state.get("combiner.param_pool0.weight")
    joined = state.get("combiner.conv1.weight")
    if slots is not None and selects is None and slots.shape[1] not in PUBLISHED:
        raise ConfigError(f"{source} keeps {slots.shape[1]} positions in all; say how many of each level, shallow to "
                          "deep: --num-selects 2048 512 128 32")
    counts = tuple(selects) if selects else PUBLISHED[slots.shape[1]] if slots is not None else 32
    return PlugInOptions(use_fpn=bool(widths), fpn_size=widths[0] if widths else 512, selects=counts,
                         use_combiner=slots is not None, combiner_size=joined.shape[0] if joined is not None else 512)
