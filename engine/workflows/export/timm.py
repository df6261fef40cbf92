"""timm: weights in timm's own names and a config.json, which timm.create_model("local-dir:...") reads."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from engine.workflows.export.package import Package, as_texts, list_facts, name_results
from engine.workflows.export.pixels import convert_pixels, read_square
from engine.workflows.export.subject import Exportable
from models.classifiers.classifier import Classifier
from models.encoder import Encoder
from models.network import TimmNetwork, create_network
from runtime.errors import ConfigError

NAME, CONFIG = "model.safetensors", "config.json"
OTHERWISE = "--to onnx and --to torchscript take it"
KEPT_OF_CONFIG = ("first_conv", "classifier", "fixed_input_size")  # of timm's own configuration of the network
CLOSE = 1e-3  # of the largest number: another way of pooling is further off by far; the check is stricter
MAP = "model.forward_features(pixels)"
Way = tuple[str, Callable[[TimmNetwork, Tensor], Tensor]]


def make_timm(exportable: Exportable) -> Package:
    """The network in timm's names; raises ConfigError for what timm's network of that name does not have."""
    net, options = take_timm_network(exportable)
    classes = len(exportable.names) or net.num_classes
    network = create_network(exportable.arch, pretrained=False, num_classes=classes, **options)
    tensors = {name: value.detach().clone().contiguous() for name, value in net.state_dict().items()}
    facts = list_facts(exportable, "standardised")
    content = save_tensors(tensors, {"format": "pt"} | as_texts(facts))
    network.load_state_dict(load_tensors(content))
    text, ask = find_way(network.eval(), exportable)

    @torch.no_grad()
    def run(pixels: np.ndarray) -> dict[str, np.ndarray]:
        return {exportable.chosen[0]: ask(network, torch.from_numpy(pixels)).numpy()}

    lines = ("import timm, torch", 'model = timm.create_model("local-dir:.", pretrained=True).eval()',
             f"{name_results(exportable).rstrip(',')} = {text.replace('pixels', 'torch.from_numpy(pixels)')}")
    config = json.dumps(describe_config(exportable, network, classes, options), indent=1) + "\n"
    return Package({NAME: content, CONFIG: config.encode()}, run, "standardised", lines,
                   f"timm's {exportable.arch}: {NAME} and {CONFIG}")


def take_timm_network(exportable: Exportable) -> tuple[TimmNetwork, dict[str, object]]:
    """The network inside as timm made it, and the options that make it again."""
    network, chosen = exportable.network, ", ".join(exportable.chosen)
    if isinstance(network, Encoder):
        if exportable.chosen != ("backbone",):
            raise ConfigError(f"--feature {chosen}: timm knows the backbone only; {OTHERWISE}")
        if network.backbone.skips_max_pool:
            raise ConfigError(f"this {exportable.arch} was trained without the max-pool that timm's has; {OTHERWISE}")
        averaged = {"global_pool": "avg", "fc_norm": False, "dynamic_img_size": True}
        net = network.backbone.net
        return net, averaged if getattr(net, "dynamic_img_size", False) else {}
    if not isinstance(network, Classifier):
        raise ConfigError(f"timm has no plug-in module around its {exportable.arch}; {OTHERWISE}")
    if len(exportable.chosen) > 1 or (network.head_dist is not None and exportable.chosen != ("cls",)):
        raise ConfigError(f"--feature {chosen}: timm's {exportable.arch} has one head; give --feature cls, or "
                          f"{OTHERWISE}")
    return network.net, network.timm_options


def find_way(network: TimmNetwork, exportable: Exportable) -> Way:
    """How timm's network is asked for what ours answers; raises ConfigError where no way leads there.

    Some of timm's networks pool otherwise than by a plain average, or put a norm behind it.
    """
    prefix = getattr(network, "num_prefix_tokens", 0)
    ways: list[Way] = [("model(pixels)", lambda net, pixels: net(pixels))]
    if exportable.kind == "encoder":
        ways += [(f"{MAP}.mean((2, 3))", lambda net, pixels: net.forward_features(pixels).mean((2, 3))),
                 (f"{MAP}.mean((1, 2))", lambda net, pixels: net.forward_features(pixels).mean((1, 2))),
                 (f"{MAP}[:, {prefix}:].mean(1)", lambda net, pixels: net.forward_features(pixels)[:, prefix:].mean(1))]
    side = exportable.view.size
    images = np.random.default_rng(0).integers(0, 256, (4, 3, side, side), dtype=np.uint8)
    wanted = exportable.answer(torch.from_numpy(images))[exportable.chosen[0]]
    pixels = torch.from_numpy(convert_pixels(images, exportable, "standardised"))
    for text, ask in ways:
        found = try_way(ask, network, pixels)
        if found is not None and found.shape == wanted.shape and bool(
                ((found - wanted).abs() <= CLOSE * wanted.abs().max().clamp(min=1e-6)).all()):
            return text, ask
    raise ConfigError(f"--feature {exportable.chosen[0]}: timm's {exportable.arch} answers otherwise; {OTHERWISE}")


@torch.no_grad()
def try_way(ask: Callable[[TimmNetwork, Tensor], Tensor], network: TimmNetwork, pixels: Tensor) -> Tensor | None:
    """What a way of asking gives, None where the network's map has too few axes for it."""
    try:
        return ask(network, pixels)
    except (IndexError, RuntimeError):
        return None


def describe_config(
    exportable: Exportable, network: TimmNetwork, classes: int, options: dict[str, object]
) -> dict[str, object]:
    """What timm reads: the network, its options, how pictures become pixels, the names of the classes."""
    square, size = read_square(exportable.view), exportable.view.size
    published: Mapping[str, object] = {**network.pretrained_cfg}
    known = {name: published.get(name) for name in KEPT_OF_CONFIG}
    config = {
        **{name: value for name, value in known.items() if value is not None}, "input_size": [3, size, size],
        "mean": exportable.mean, "std": exportable.std, "interpolation": square.interpolation,
        "crop_mode": "center" if len(square.sides) == 1 else "squash",
        "crop_pct": find_crop_share(size, square.sides[0]), "num_classes": classes}
    named = {"label_names": list(exportable.names)} if exportable.names else {}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
    return {"architecture": exportable.arch, "num_classes": classes, "num_features": network.num_features,
            **named, **({"model_args": plain} if plain else {}), "pretrained_cfg": config | named}


def find_crop_share(size: int, side: int) -> float:
    """The share of `side` pixels that a square of `size` is, such that timm's floor(size / share) is `side` again."""
    share = size / side
    return share if math.floor(size / share) == side else size / (side + 0.5)
