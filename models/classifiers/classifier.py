"""A network that names classes: any timm network with one class head, or with two as distillation asks for."""

from __future__ import annotations

import timm
import torch
from torch import Tensor, nn

from models.arch_names import resolve_arch
from models.backbones import as_input
from models.network import ClassNetwork, Description, TimmNetwork, create_network, find_config
from runtime.errors import WeightsError

TWO_HEADED_FAMILIES = ("deit", "levit", "efficientformer", "efficientformer_v2")
LAYER_SCALE_NAMES = {"convnext": "ls_init_value", "vision_transformer": "init_values", "deit": "init_values"}


class Classifier(ClassNetwork):
    """A timm network with one or two class heads, from images to logits.

    `answer` names the branch that is the network's prediction: "cls" with one head, "average" with two. `size` is the
    side (pixels) it is made for; `mean` and `std` [3, 1, 1] are those its published weights expect. Distilled
    transformers (arXiv 2012.12877) have a token and a head of their own for the teacher; any other network gets, with
    `second_head`, a second linear head on the same features. Heads start with a deviation of
    0.02, as DeiT's, times `head_init_scale`; `options` go to timm. Raises WeightsError for an unknown network or an
    option that it does not take.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, arch: str, classes: int, *, second_head: bool = False, drop: float = 0.0, drop_path: float = 0.0,
        image_size: int | None = None, head_init_scale: float = 1.0, layer_scale_init: float | None = None,
        **options: object,
    ) -> None:
        super().__init__()
        self.arch, self.classes = resolve_arch(arch), classes
        self._description = {"second_head": second_head, "drop": drop, "drop_path": drop_path, "image_size": image_size,
                             "head_init_scale": head_init_scale, "layer_scale_init": layer_scale_init, **options}
        chosen = _timm_options(self.arch, drop, drop_path, image_size, layer_scale_init)
        self.timm_options = chosen | options  # what timm builds the same network with
        self.net = _create(self.arch, classes, self.timm_options)
        self.map = nn.Identity()  # where all heads' gradients meet, and can be looked at
        own = self._has_own_second_head()
        self.head_dist = nn.Linear(self.net.head_hidden_size, classes) if second_head and not own else None
        self.answer = "average" if own or second_head else "cls"
        config = self.net.pretrained_cfg
        self.size = image_size or config["input_size"][-1]
        self.register_buffer("mean", torch.tensor(config["mean"]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config["std"]).view(3, 1, 1), persistent=False)
        for head in self.heads.values():
            _begin(head)
        self.scale_heads(head_init_scale)

    @classmethod
    def rebuild(cls, description: Description) -> Classifier:
        """A fresh network of what `describe` returned."""
        return cls(**{name: value for name, value in description.items() if name != "kind"})

    @property
    def backbone(self) -> TimmNetwork:
        """The timm network."""
        return self.net

    @property
    def heads(self) -> dict[str, nn.Module]:
        """The last layers by the name of their branch: "cls" and, where there is one, "dist"."""
        last = self.net.get_classifier()
        if isinstance(last, tuple):
            return dict(zip(("cls", "dist"), last, strict=True))
        return {"cls": last} if self.head_dist is None else {"cls": last, "dist": self.head_dist}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """uint8 0..255 or float 0..1 [B, 3, H, W] -> logits [B, K] by branch: "cls" and, with two heads, "dist"."""
        return self.classify(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """Images -> what timm's `forward_features` returns: a map, or tokens."""
        return self.map(self.net.forward_features(as_input(images, self.net, self.mean, self.std)))

    def classify(self, features: Tensor) -> dict[str, Tensor]:
        """Features -> the logits that `forward` returns."""
        if self.answer == "cls":
            return {"cls": self.net.forward_head(features)}
        if hasattr(self.net, "dist_token"):
            seen = self.net.head_drop(features[:, :2]).unbind(1)
        else:
            seen = [self.net.forward_head(features, pre_logits=True)] * 2
        return {name: _apply(head, rows) for (name, head), rows in zip(self.heads.items(), seen, strict=True)}

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """Logits for evaluation, float32 [B, K]: `forward`'s and, with two heads, their mean as "average"."""
        logits = {name: value.float() for name, value in self(images).items()}
        return logits | ({"average": (logits["cls"] + logits["dist"]) / 2} if "dist" in logits else {})

    def describe(self) -> Description:
        """What `rebuild` needs; plain JSON types."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in self._description.items()}
        return {"kind": "classifier", "arch": self.arch, "classes": self.classes, **plain}

    @torch.no_grad()
    def scale_heads(self, scale: float) -> None:
        """Multiply the heads' weights and biases, so that a fresh network starts near equal probabilities."""
        for head in self.heads.values():
            for parameter in head.parameters():
                parameter.mul_(scale)

    def _has_own_second_head(self) -> bool:
        if not isinstance(self.net.get_classifier(), tuple):
            return False
        family = type(self.net).__module__.rpartition(".")[2]
        if family not in TWO_HEADED_FAMILIES:
            raise WeightsError(f"{self.arch} has two heads of a kind that is not known here; take another network, "
                               f"or one of the families {', '.join(TWO_HEADED_FAMILIES)}")
        return True


def _apply(head: nn.Module, rows: Tensor) -> Tensor:
    """The network may be in another precision than a head outside it; one in 8 bits has no parameters."""
    return head(rows.to(next((parameter.dtype for parameter in head.parameters()), rows.dtype)))


def _create(arch: str, classes: int, options: dict[str, object]) -> TimmNetwork:
    try:
        return create_network(arch, pretrained=False, num_classes=classes, **options)
    except TypeError as error:
        raise WeightsError(f"{arch} does not take all of {', '.join(options)} ({error}); leave it out") from error


def _timm_options(
    arch: str, drop: float, drop_path: float, image_size: int | None, layer_scale: float | None
) -> dict[str, object]:
    """What is not timm's default, under timm's names. Networks without a fixed size take images of any."""
    shares = {"drop_rate": drop, "drop_path_rate": drop_path}
    options: dict[str, object] = {name: value for name, value in shares.items() if value}
    if image_size and find_config(arch).fixed_input_size:
        options["img_size"] = image_size
    if layer_scale is not None:
        family = timm.models.model_entrypoint(arch).__module__.rpartition(".")[2]
        if family not in LAYER_SCALE_NAMES:
            raise WeightsError(f"{arch} has no layer scale to initialise; leave it out")
        options[LAYER_SCALE_NAMES[family]] = layer_scale
    return options


def _begin(head: nn.Module) -> None:
    """A fresh head says little, whatever the family; timm starts EfficientNets' some twenty times wider."""
    if isinstance(head, nn.Linear):
        nn.init.trunc_normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)
