"""The file of a trained classifier: network, class names, data sources, test view; and public files of its kind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from models.arch_names import same_arch
from models.classifiers.classifier import Classifier
from models.classifiers.start import TOKENS, choose_names, load_strictly
from models.network import ClassNetwork, Description
from models.plug_in.module import PlugIn
from models.plug_in.published import is_public_pim, match_public_pim
from models.weights.containers import State
from models.weights.files import read_checkpoint
from models.weights.read import take_apart
from models.weights.styles import CLASSIFIER_FORMAT, CLASSIFIERS, guess_architecture
from runtime.errors import WeightsError
from runtime.side_files import parse_json

META = {"network": {"kind": str, "arch": str}, "class_names": [str], "view": {"recipe": str, "size": int},
        "sources": [{"name": str, "first": int, "classes": int}]}


@dataclass
class SavedClassifier:
    """A trained classifier, in eval mode, and what its file says of it.

    `class_names` in the order of its logits (empty where the file does not tell), `sources` the data sets behind them
    ({"name", "first", "classes"}), `view` how images are to be shown to it ({"recipe", "size"}), `meta` all the rest.
    """

    network: ClassNetwork
    class_names: tuple[str, ...] = ()
    sources: tuple[dict, ...] = ()
    view: dict = field(default_factory=dict)
    meta: dict = field(default_factory=dict)


def save_classifier(
    network: ClassNetwork, path: str | Path, *, class_names: Sequence[str], sources: Sequence[Mapping[str, object]],
    view: Mapping[str, object], meta: Mapping[str, object],
) -> None:
    """Write the weights, what rebuilds the network (`network.describe()`), and what the caller knows."""
    told = {**meta, "network": network.describe(), "class_names": list(class_names),
            "sources": [dict(source) for source in sources], "view": dict(view)}
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    torch.save({"format": CLASSIFIER_FORMAT, "meta": json.dumps(told), "state_dict": state}, path)


def load_classifier(
    path: str | Path, *, arch: str | None = None, size: int | None = None, network: ClassNetwork | None = None,
    device: str | torch.device = "cpu",
) -> SavedClassifier:
    """A classifier from our own file, or from a public one of DeiT, ConvNeXt or PIM, which does not say what it is.

    For public files: `arch` (a timm name) and `size` in pixels (a transformer's shows in the file), or instead of both
    the fresh `network` to fill; a plug-in module needs that, built with the options of its training. Raises
    WeightsError when the file does not fit, strictly, or is of another kind.
    """
    content = read_checkpoint(path)
    if content.get("format") == CLASSIFIER_FORMAT:
        saved = _load_own(content, path)
        _refuse_other_arch(saved, path, arch)
    elif is_public_pim(content):
        saved = _load_public_pim(content, path, network)
    else:
        saved = _load_public(take_apart(content, path).backbone, path, arch, size, network)
    saved.network.to(device).eval()
    return saved


def rebuild_network(description: Description) -> ClassNetwork:
    """A fresh network of what a file's `describe()` says. Raises WeightsError for a kind that is not known here."""
    kind = description.get("kind")
    if kind == "classifier":
        return Classifier.rebuild(description)
    if kind == "pim":
        return PlugIn.rebuild(description)
    raise WeightsError(f"the file holds a network of kind {kind!r}, which this version does not know")


def count_head_classes(state: State, path: str | Path = "the file") -> int:
    """How many classes the head of a public file has. Raises WeightsError when it has none."""
    for prefix in CLASSIFIERS:
        head = state.get(f"{prefix}weight")
        if head is not None and head.ndim == 2:
            return head.shape[0]
    raise WeightsError(f"{path} has no class head, it looks like {guess_architecture(state)}; "
                       "start training from it instead")


def read_size(state: State) -> int | None:
    """The side (pixels) of the images that a transformer's position embeddings are for, or None."""
    if "pos_embed" not in state or state.get("patch_embed.proj.weight") is None:
        return None
    tokens = sum(state[name].shape[1] for name in TOKENS if name in state)
    grid = round((state["pos_embed"].shape[1] - tokens) ** 0.5)
    return grid * state["patch_embed.proj.weight"].shape[-1]


def _load_own(content: Mapping, path: str | Path) -> SavedClassifier:
    remedy = "it is damaged or of another version: copy it again"
    meta = parse_json(content.get("meta", ""), META, source=f"{path} (meta)", remedy=remedy, error=WeightsError)
    try:
        network = rebuild_network(meta["network"])
        network.load_state_dict(content["state_dict"])
    except (KeyError, RuntimeError, TypeError, AttributeError, AssertionError) as error:
        raise WeightsError(f"{path} is damaged or of another version: {error}") from error
    rest = {name: value for name, value in meta.items() if name not in ("class_names", "sources", "view")}
    return SavedClassifier(network, tuple(meta["class_names"]), tuple(meta["sources"]), meta["view"], rest)


def _refuse_other_arch(saved: SavedClassifier, path: str | Path, arch: str | None) -> None:
    own = saved.network.describe()["arch"]
    if arch is not None and not same_arch(arch, own):
        raise WeightsError(f"{path} is a {own}, not a {arch}. Leave the architecture out")


def _load_public(
    state: State, path: str | Path, arch: str | None, size: int | None, network: ClassNetwork | None
) -> SavedClassifier:
    if network is None:
        classes = count_head_classes(state, path)
        if arch is None:
            raise WeightsError(f"{path} does not say what network it belongs to; it looks like "
                               f"{guess_architecture(state)}. "
                               "Name its architecture, as timm calls it")
        network = Classifier(arch, classes, image_size=read_size(state) or size)
    load_strictly(network, choose_names(state, network.backbone, network.backbone.state_dict()), source=str(path))
    warps = "convnext" in network.describe()["arch"] and network.size >= 384  # as its authors test it
    view = {"recipe": "warp" if warps else "deit-eval", "size": network.size}
    return SavedClassifier(network, view=view, meta={"network": network.describe()})


def _load_public_pim(content: Mapping, path: str | Path, network: ClassNetwork | None) -> SavedClassifier:
    if not isinstance(network, PlugIn):
        raise WeightsError(f"{path} holds a plug-in module of the public code, which does not say its backbone and "
                           "options: a fresh plug-in module that has them is needed to load it")
    network.load_state_dict(match_public_pim(content, network, source=str(path)))
    view = {"recipe": "pim-eval", "size": network.size}
    return SavedClassifier(network, view=view, meta={"network": network.describe()})
