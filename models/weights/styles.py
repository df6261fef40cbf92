"""The layouts in which published checkpoints keep a network, brought to plain backbone, head and attention tensors.

Known: whatever `models.weights.containers` finds a network in; and, taken apart here, MoCo v1/v2 (`encoder_q`), MoCo v3
(`base_encoder`), LEAD and LCR (`encoder_q`, `conv16`, `bn16` or `conv`, `bn`), BYOL and LCR's BYOL (`online_*`), OBD-SD
(`model.` beside `model.last_linear`) and this project's exports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from models.weights.containers import PROJECTION, State, drop_pretext, extract_network, flatten_tensors, strip_prefixes
from runtime.errors import WeightsError
from runtime.side_files import Shape, check_shape, parse_json

EXPORT_FORMAT = "plumage-encoder"
EXPORT = {"arch?": (str, None), "head_pool?": (str, None), "unit_head?": (bool, None), "skips_max_pool?": (bool, None),
          "attention?": ({"normalise?": str}, None)}
OURS = {"state_dict": dict, "meta?": str, "centre?": (dict, None)}  # the parts of our own files
COPY_AGAIN = "it is damaged or of another version: copy it again"
CLASSIFIER_FORMAT = "plumage-classifier"
CLASSIFIERS = ("fc.", "classifier.", "head.", "head.fc.", "head_dist.", "_fc.", "last_linear.")
# Those of them that are a layer, or a projection head in its place: other things lie in some networks' `head.` too.
OUTPUTS = tuple(place + end for place in CLASSIFIERS for end in ("weight", "bias", "mlp.", "0.", "1.", "2.", "3."))
QUERY_ENCODERS = ("encoder_q.", "base_encoder.")
# BYOL's online network; the projector lies beside the backbone, or behind it in a Sequential.
ONLINE_ENCODERS = ("online_encoder.0.", "online_backbone.", "online_encoder.net.", "online_encoder.", "online_network.")
ONLINE_ONLY = ("online_", "target_", "projector.", "predictor.", "backbone.")
# What a contrastive checkpoint holds besides its query encoder and rationale branch; never needed again. The last five
# are LCR's second, masked contrast, which is in its every file and was never trained.
TRAINING_ONLY = ("encoder_k.", "momentum_encoder.", "predictor.", "queue", "clip_model.", "clip.", "teacher.",
                 "conv16_2.", "bn16_2.", "qmax.", "kmax.", "fc.")
AVERAGES = {"encoder_q.": "encoder_k", "base_encoder.": "momentum_encoder"}
BRANCH = {"conv16.": "conv.", "bn16.": "bn.", "conv.": "conv.", "bn.": "bn."}


@dataclass(frozen=True)
class EncoderState:
    """A checkpoint's parts: backbone tensors under timm's names, head ("0.weight", ..., or "weight" of a linear one),

    rationale branch ("conv.weight", "bn.weight", ...), joint feature ("mean", "components", ...), what the file says of
    itself, feature means by name, and which of several networks was taken, in words ("" where there is one).
    `arch_hint`: a foreign file's word for its network.
    """

    backbone: State
    head: State | None = None
    attention: State | None = None
    joint: State | None = None
    meta: dict = field(default_factory=dict)
    centre: State = field(default_factory=dict)
    choice: str = ""
    arch_hint: str = ""


def unwrap_checkpoint(checkpoint: Mapping) -> State:
    """The backbone's tensors of any known layout. Non-tensors beside them (epoch, optimiser, arguments) are dropped."""
    return split_encoder_state(checkpoint).backbone


def split_encoder_state(checkpoint: Mapping) -> EncoderState:
    """Sort a checkpoint into backbone, head and attention. An unknown layout comes back whole, as the backbone."""
    if checkpoint.get("format") in (EXPORT_FORMAT, CLASSIFIER_FORMAT):
        check_shape(dict(checkpoint), OURS, source="the file", remedy=COPY_AGAIN, error=WeightsError)
        state = strip_prefixes(dict(flatten_tensors(checkpoint["state_dict"])))
        return (_split_export if checkpoint["format"] == EXPORT_FORMAT else _split_classifier)(checkpoint, state)
    found = extract_network(dict(flatten_tensors(checkpoint)), _is_known)
    parts = _split_known(found.state, checkpoint) if _is_known(found.state) else EncoderState(found.state)
    hint = checkpoint.get("arch")
    return replace(parts, choice=parts.choice or found.choice, arch_hint=hint if isinstance(hint, str) else "")


def _is_known(state: State) -> bool:
    """Whether it is a layout with more than a network in it that is taken apart here."""
    metric = "model.last_linear.weight" in state and any(name.startswith("layer_blocks.") for name in state)
    return metric or any(name.startswith((*QUERY_ENCODERS, *ONLINE_ENCODERS)) for name in state)


def _split_known(state: State, checkpoint: Mapping) -> EncoderState:
    for query in QUERY_ENCODERS:
        if any(name.startswith(query) for name in state):
            return _split_contrastive(state, query)
    online = any(name.startswith(ONLINE_ENCODERS) for name in state)
    return _split_online(state) if online else _split_metric(state, checkpoint)


def drop_classifier(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> State:
    """`state` without the classifier when the network has none, and without a projection head in its place."""
    state = {name: value for name, value in state.items() if name in wanted or not PROJECTION.match(name)}
    if any(f"{place}weight" in wanted for place in CLASSIFIERS):
        return state
    return {name: value for name, value in state.items() if name in wanted or not name.startswith(CLASSIFIERS)}


def guess_architecture(state: Mapping[str, Tensor]) -> str:
    """A guess, in words, at the architecture that a state dict belongs to."""
    if any(name.startswith("visual.") for name in state):
        return f"a CLIP model with {_name_clip_tower(state)} (a teacher, not a student)"
    if any(name.startswith("_conv_stem.") for name in state):
        return f"EfficientNet in efficientnet_pytorch's names with {_count(state, '_blocks')} blocks"
    if "layer4.0.conv1.weight" in state:
        return _name_resnet([_count(state, f"layer{n}") for n in range(1, 5)], "layer1.0.conv3.weight" in state)
    if "cls_token" in state:
        return f"a ViT with {_count(state, 'blocks')} blocks of width {state['cls_token'].shape[-1]}"
    if any(".layer.0.attention." in name for name in state):
        return "a network in transformers' names, which timm's do not match: take timm's file of it"
    if any(name.startswith(("encoder.layers.encoder_layer_0.", "features.0.0.")) for name in state):
        return "a network of torchvision's whose names timm's do not match: take timm's file of it"
    if "conv_stem.weight" in state:
        return f"a timm EfficientNet or MobileNet with {_count(state, 'blocks')} stages"
    return f"no architecture known here (first names: {', '.join(list(state)[:3]) or 'none, it holds no tensors'})"


def _split_export(checkpoint: Mapping, state: State) -> EncoderState:
    backbone = {name.removeprefix("net."): value for name, value in (_under(state, "backbone.") or {}).items()}
    meta = _read_meta(checkpoint, EXPORT)
    centre = dict(checkpoint.get("centre") or {})
    return EncoderState(backbone, _under(state, "head."), _under(state, "attention."), _under(state, "joint."), meta,
                        centre)


def _read_meta(checkpoint: Mapping, shape: Shape) -> dict:
    """What a file of ours says of itself; raises WeightsError for another shape."""
    return parse_json(checkpoint.get("meta", "{}"), shape, source="what the file says of itself (meta)",
                      remedy=COPY_AGAIN, error=WeightsError)


def _split_classifier(checkpoint: Mapping, state: State) -> EncoderState:
    """A classifier keeps its head, which may fit; of a plug-in module only the backbone is of use elsewhere."""
    meta = _read_meta(checkpoint, {"network?": {"arch?": str}}).get("network", {})
    backbone = _under(state, "levels.net.") or {name.removeprefix("net."): value for name, value in state.items()}
    return EncoderState(backbone, meta=meta)


def _split_contrastive(state: State, query: str) -> EncoderState:
    encoder = _under(state, query) or {}
    head = _under(encoder, "fc.")
    branch = _find_branch(state) or _find_branch(encoder)
    backbone = {name: value for name, value in encoder.items() if not name.startswith(("fc.", *BRANCH))}
    known = (query, *TRAINING_ONLY, *BRANCH)
    # An undocumented name stays with the backbone, so that strict matching reports it.
    unknown = {name: value for name, value in state.items() if not name.startswith(known)}
    return EncoderState(drop_pretext(backbone) | unknown, head, branch, choice=_tell(state, query, AVERAGES[query]))


def _tell(state: State, taken: str, other: str) -> str:
    """Which of two networks was taken, in words; "" where the other is not in the file."""
    taken, rivals = taken.split(".")[0], any(name.startswith(f"{other}.") for name in state)
    return f"holds {taken} and {other}: {taken} is taken" if rivals else ""


def _split_online(state: State) -> EncoderState:
    """BYOL. Heads are left behind; LCR's BYOL, which alone has a branch, trains without the ResNet's max-pool."""
    online = next((prefix for prefix in ONLINE_ENCODERS if any(name.startswith(prefix) for name in state)), "backbone.")
    inside = _under(state, online) or {}
    branch = _find_branch(state) or _find_branch(inside)
    backbone = {name: value for name, value in inside.items() if not name.startswith((*OUTPUTS, *BRANCH))}
    known = (*ONLINE_ONLY, *BRANCH)
    backbone.update({name: value for name, value in state.items() if not name.startswith(known)})
    target = online.split(".")[0].replace("online", "target")
    meta = {"skips_max_pool": True} if branch else {}
    return EncoderState(backbone, None, branch, meta=meta, choice=_tell(state, online, target))


def _split_metric(state: State, checkpoint: Mapping) -> EncoderState:
    """OBD-SD's public code, which has every stage twice: `model.layer1.*` is `layer_blocks.0.*` again.

    Its best checkpoints keep the arguments of the run, whose `arch` tells how the head is fed and whether its rows are
    of length 1; its `net.pth` does not.
    """
    inside = _under(state, "model.") or {}
    backbone = {name: value for name, value in inside.items() if not name.startswith("last_linear.")}
    # An undocumented name stays with the backbone, so that strict matching reports it.
    backbone.update({name: value for name, value in state.items() if not name.startswith(("model.", "layer_blocks."))})
    told = getattr(checkpoint.get("opt"), "arch", None)
    meta = {"head_pool": "avg+max" if "double" in told else "avg", "unit_head": "normalize" in told} if isinstance(
        told, str) else {}
    return EncoderState(backbone, _under(inside, "last_linear."), meta=meta)


def _find_branch(state: State) -> State | None:
    """The rationale branch under its public names, renamed."""
    found = {new + name: value for old, new in BRANCH.items() for name, value in (_under(state, old) or {}).items()}
    return found or None


def _under(state: State, prefix: str) -> State | None:
    """The tensors below a prefix, without it; None when there are none."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)} or None


def _count(state: Mapping[str, Tensor], folder: str) -> int:
    """How many numbered parts a state dict has under a name."""
    return len({name.split(".")[1] for name in state if name.startswith(f"{folder}.")})


def _name_clip_tower(state: Mapping[str, Tensor]) -> str:
    stem = state.get("visual.conv1.weight")
    if "visual.class_embedding" not in state or stem is None:
        return "an image tower that is no plain ViT"
    return f"a ViT image tower of width {stem.shape[0]} and patch {stem.shape[-1]}"


def _name_resnet(blocks: list[int], bottleneck: bool) -> str:
    depths: dict[tuple[int, ...], int] = {
        (2, 2, 2, 2): 18, (3, 4, 6, 3): 50 if bottleneck else 34, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152}
    depth = depths.get(tuple(blocks))
    return f"resnet{depth}" if depth else f"a ResNet with blocks {blocks}"
