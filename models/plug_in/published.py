"""Checkpoints of the public plug-in module, {"model": ...}, brought to the names and shapes of ours.

Mapped, by the names that the public code writes for Swin and ViT (benchmarks/reference/public_files.py lists them):

    backbone.*                          -> levels.net.*, by `match_state`: Swin as timm 0.4.12 has it (patches merge
                                           at the end of stages 0-2), ResNet and ViT, whose names are timm's own
    fpn.Proj_<level>.0|2, fpn.Up_<level> -> fpn.project.<level>.0|2, fpn.rise.<level>
    fpn_classifier_<level>.0|1|3        -> classify.<level>.hidden|norm|logits
    selector.classifier_l_<level>       -> classify.<level> (without pyramid)
    combiner.proj_<level>               -> combiner.project.<level> (without pyramid)
    combiner.param_pool0|1, adj1, alpha1, conv1, batch_norm1, conv_q1, conv_k1, classifier
                                        -> combiner.pool, merge, adjacency, alpha, mix, norm, query, key, classifier

1x1 convolutions become linear layers. A class head of the backbone is dropped, and what lies behind the last tap may
be missing: nothing reads either. The public EfficientNet-B7 is torchvision's, which pads its convolutions otherwise
than timm's `tf_` networks: it is refused rather than loaded into a network that computes something else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from models.plug_in.module import PlugIn
from models.weights.containers import State
from models.weights.match import compare, match_state
from runtime.errors import WeightsError

INSIDE = "levels.net."
BEFORE = "backbone."
WRAPPER = "model"
_RULES = (
    (r"fpn\.Proj_(\w+)\.(.+)", r"fpn.project.\1.\2"),
    (r"fpn\.Up_(\w+)\.(.+)", r"fpn.rise.\1.\2"),
    (r"fpn_classifier_(\w+)\.0\.(.+)", r"classify.\1.hidden.\2"),
    (r"fpn_classifier_(\w+)\.1\.(.+)", r"classify.\1.norm.\2"),
    (r"fpn_classifier_(\w+)\.3\.(.+)", r"classify.\1.logits.\2"),
    (r"selector\.classifier_l_(\w+)\.(.+)", r"classify.\1.\2"),
    (r"combiner\.proj_(\w+)\.(.+)", r"combiner.project.\1.\2"),
    (r"combiner\.param_pool0\.(.+)", r"combiner.pool.\1"),
    (r"combiner\.param_pool1\.(.+)", r"combiner.merge.\1"),
    (r"combiner\.adj1", "combiner.adjacency"),
    (r"combiner\.alpha1", "combiner.alpha"),
    (r"combiner\.conv_q1\.(.+)", r"combiner.query.\1"),
    (r"combiner\.conv_k1\.(.+)", r"combiner.key.\1"),
    (r"combiner\.conv1\.(.+)", r"combiner.mix.\1"),
    (r"combiner\.batch_norm1\.(.+)", r"combiner.norm.\1"),
    (r"combiner\.classifier\.(.+)", r"combiner.classifier.\1"),
)


def is_public_pim(content: Mapping) -> bool:
    """Whether a file's content is a checkpoint of the public plug-in module."""
    return any(re.match(r"fpn\.Proj_|fpn_classifier_|selector\.classifier_l_|combiner\.param_pool", name)
               for name in read_public_pim(content))


def match_public_pim(content: Mapping, plug_in: PlugIn, *, source: str = "the weights") -> State:
    """Everything that `plug_in.load_state_dict` needs, from a file's content or its "model".

    Strict: raises WeightsError that names tensors that are missing, left over or of another shape.
    """
    state = read_public_pim(content)
    inside = {name.removeprefix(BEFORE): value for name, value in state.items() if name.startswith(BEFORE)}
    if any(name.startswith("features.") for name in inside):
        raise WeightsError(f"{source} holds torchvision's EfficientNet, which pads otherwise than timm's: it has no "
                           "counterpart here. Train the preset `efficient` anew")
    problems = []
    try:
        found = {INSIDE + name: value for name, value in _match_backbone(inside, plug_in, source).items()}
    except WeightsError as error:
        found, problems = {}, [str(error)]
    if plug_in.levels.prefix_tokens > plug_in.levels.kept_prefix:
        problems.append("the public code's class token is a position that can be kept, here it is none: build the "
                        "module with class_token=True (--class-token)")
    wanted = {name: value for name, value in plug_in.state_dict().items() if not name.startswith(INSIDE)}
    heads = {_rename(name): value for name, value in state.items() if not name.startswith(BEFORE)}
    heads = {name: _squeeze(value, wanted.get(name)) for name, value in heads.items()}
    problems += compare(heads, wanted).describe()
    if problems:
        raise WeightsError(f"{source} does not fit this plug-in module (classes, widths and kept positions are those "
                           "of its training):\n  " + "\n  ".join(problems))
    return found | wanted | heads


def read_public_pim(content: Mapping) -> State:
    """The tensors of a file's content, or of its "model", by name."""
    state = content.get(WRAPPER, content)
    return {name.removeprefix("module."): value for name, value in state.items() if isinstance(value, Tensor)}


def _match_backbone(state: State, plug_in: PlugIn, source: str) -> State:
    """The backbone's tensors; its own numbers stand in for parameters that no level depends on."""
    net = plug_in.backbone
    idle = {name: p.detach() for name, p in net.named_parameters() if not p.requires_grad and name not in state}
    return match_state(state | idle, net, source=f"{source}, {BEFORE}*")


def _rename(name: str) -> str:
    for pattern, ours in _RULES:
        if found := re.fullmatch(pattern, name):
            return found.expand(ours)
    return name


def _squeeze(value: Tensor, wanted: Tensor | None) -> Tensor:
    """A 1x1 convolution's weight [F, C, 1(, 1)] as a linear layer's [F, C]."""
    if wanted is None or value.numel() != wanted.numel() or value.shape[:2] != wanted.shape:
        return value
    return value.reshape(wanted.shape)
