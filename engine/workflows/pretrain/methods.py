"""How each method of main_pretrain.py is built from its options; `engine.flags.pretrain.methods` has its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.flags.pretrain.options import PretrainOptions
from methods.byol import Byol, ByolOptions
from methods.lcr import LcrByol, LcrMoco
from methods.lead import Lead, LeadOptions
from methods.method import Method
from methods.moco import ContrastOptions, Moco, MocoOptions
from methods.rationale import RationaleOptions
from models.backbones import Backbone
from models.teachers.guide import Guide
from runtime.errors import ConfigError

# Flags that LEAD's options take over under their own names.
LEAD_FLAGS = ("alpha", "beta", "cross_weight", "cam_weight", "cam_temperature", "branch_width", "cosine_weight",
              "six_passes", "early_enqueue", "log_of_softmax", "distill_sum", "cam", "attention_normalise")

# Options, number of training images, the network that learns, and the guide of a method that reads "guidance".
Builder = Callable[[PretrainOptions, int, Backbone, Guide | None], Method]


def build_pretrain_method(options: PretrainOptions, images: int, backbone: Backbone, guide: Guide | None) -> Method:
    """The chosen method on its backbone, for that many training images; `guide` is LEAD's, None for the others."""
    return BUILDERS[options.method](options, images, backbone, guide)


def build_lead(options: PretrainOptions, images: int, backbone: Backbone, guide: Guide | None) -> Lead:
    """LEAD. Raises ConfigError when the head's width is not the guide's."""
    assert guide is not None  # its row reads "guidance"
    return Lead(backbone, guide, lead_options(options, guide, contrast_options(options, images)), seed=options.seed)


def build_moco(options: PretrainOptions, images: int, backbone: Backbone, _: Guide | None) -> Moco:
    """MoCo."""
    return Moco(backbone, moco_options(options, images), seed=options.seed)


def build_lcr_moco(options: PretrainOptions, images: int, backbone: Backbone, _: Guide | None) -> LcrMoco:
    """LCR on MoCo."""
    return LcrMoco(backbone, moco_options(options, images), rationale_options(options), seed=options.seed)


def build_byol(options: PretrainOptions, images: int, backbone: Backbone, _: Guide | None) -> Byol:
    """BYOL."""
    return Byol(backbone, byol_options(options))


def build_lcr_byol(options: PretrainOptions, images: int, backbone: Backbone, _: Guide | None) -> LcrByol:
    """LCR on BYOL."""
    return LcrByol(backbone, byol_options(options), rationale_options(options))


BUILDERS: dict[str, Builder] = {
    "lead": build_lead,
    "moco": build_moco,
    "byol": build_byol,
    "lcr-moco": build_lcr_moco,
    "lcr-byol": build_lcr_byol,
}


def shared_options(options: PretrainOptions) -> dict[str, Any]:
    """What every method's options have: views' size, momentum, how the backbone learns."""
    return {"size": options.size, "momentum": options.moco_m, "backbone_lr_scale": options.backbone_lr_scale,
            "head_warmup_epochs": options.head_warmup_epochs, "frozen_bn": options.frozen_bn}


def contrast_options(options: PretrainOptions, images: int) -> dict[str, Any]:
    """The same and what methods with a queue have, by the names of ContrastOptions."""
    return {**shared_options(options), "queue_size": queue_size(options, images), "temperature": options.moco_t,
            "queue_mask": options.queue_mask, "shuffle_keys": options.shuffle_keys, "view_recipe": options.view_recipe}


def moco_options(options: PretrainOptions, images: int) -> MocoOptions:
    """MoCo's choices from the flags."""
    contrast = contrast_options(options, images) | ({} if options.aug_plus else {"view_recipe": "mocov1"})
    return MocoOptions(**contrast, dim=pick_dim(options, ContrastOptions.dim), source=options.moco_source,
                       mlp=options.mlp)


def byol_options(options: PretrainOptions) -> ByolOptions:
    """BYOL's choices from the flags."""
    return ByolOptions(**shared_options(options), dim=pick_dim(options, ByolOptions.dim),
                       hidden=options.projector_hidden, source=options.moco_source,
                       momentum_schedule=options.tau_schedule)


def pick_dim(options: PretrainOptions, usual: int) -> int:
    """The head's width, a method's usual one unless it was given."""
    return usual if options.moco_dim is None else options.moco_dim


def lead_options(options: PretrainOptions, guide: Guide, common: dict[str, Any]) -> LeadOptions:
    """LEAD's choices from the flags; raises ConfigError when the head's width is not the prototypes'."""
    if options.moco_dim not in (None, guide.dim):
        raise ConfigError(f"--moco-dim {options.moco_dim}: the prototypes have {guide.dim} numbers; leave it out")
    by_classes = options.entropy_by == "num-classes"
    classes = (options.num_classes or None) if by_classes else None  # 0 = as many as prototypes
    return LeadOptions(**common, **{name: getattr(options, name) for name in LEAD_FLAGS}, entropy_classes=classes)


def rationale_options(options: PretrainOptions) -> RationaleOptions:
    """LCR's choices from the flags."""
    return RationaleOptions(weight=options.cam_weight, cam=options.cam, temperature=options.cam_temperature,
                            sign=options.cam_sign, normalise=options.attention_normalise, width=options.branch_width)


def queue_size(options: PretrainOptions, images: int) -> int:
    """`--moco-k`; auto = the largest power of two that is at most N - batch (at least 2)."""
    if options.moco_k != "auto":
        return options.moco_k
    room = max(images - options.batch_size, 2)
    return 2 ** (room.bit_length() - 1)
