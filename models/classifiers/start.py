"""How a classifier starts: weights of any source, fitted to another image size, other classes, a second head.

What cannot fit by nature is adapted and said; everything else must match name by name, shape by shape.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones import download_backbone
from models.classifiers.layer_decay import classifier_names
from models.network import ClassNetwork, TimmNetwork, create_network
from models.weights.containers import State
from models.weights.match import match_state, rename_candidates
from models.weights.read import describe_max_pool, read_parts
from models.weights.styles import drop_classifier

TOKENS = ("cls_token", "dist_token", "reg_token")
SECOND = "head_dist."


def start_from(network: nn.Module, source: str | Path) -> list[str]:
    """Fill a `Classifier` or a bare timm network from a source; returns what had to be adapted, in words.

    Sources: a path (ImageNet weights, our encoders and classifiers, public DeiT and ConvNeXt files),
    `package:efficientnet-lite0|1|2`, `hub`, `none`. Position embeddings are resized (bicubic, the tokens' own kept bit
    for bit), a distillation token that the file lacks copies the class token, heads of other classes start afresh.
    Raises WeightsError for whatever else does not fit; the network is untouched then.
    """
    if str(source) == "none":
        return []
    if str(source) == "hub":
        return adapt(network, _download(network), source="hub")
    parts = read_parts(source)
    notes = [f"{source} {note}" for note in describe_max_pool(parts, find_net(network))]
    return notes + adapt(network, parts.backbone, source=str(source))


def adapt(network: nn.Module, state: State, *, source: str = "the weights") -> list[str]:
    """`start_from` with tensors that are already read."""
    net = find_net(network)
    notes: list[str] = []
    state = fit_positions(state, net, notes, zoom=getattr(network, "position_zoom", "bicubic"))
    state = add_distillation_token(state, net, notes)
    wanted = _wanted(network)
    state = fit_heads(choose_names(state, net, wanted), wanted, _head_names(network), notes)
    load_strictly(network, state | _find_idle(network, state, notes), source=source)
    return notes


def _find_idle(network: nn.Module, state: State, notes: list[str]) -> State:
    """What no level of a plug-in module reads and the file lacks: a public one has no norm behind its last tap."""
    if not isinstance(network, ClassNetwork) or getattr(network, "levels", None) is None:
        return {}
    idle = {name: p.detach() for name, p in network.backbone.named_parameters() if not p.requires_grad}
    lacking = {name: value for name, value in idle.items() if name not in state}
    if lacking:
        notes.append(f"{', '.join(lacking)} start afresh: the file has none, and no level reads them")
    return lacking


def load_strictly(network: nn.Module, state: State, *, source: str = "the weights") -> None:
    """Load tensors under their final names, strictly. Raises WeightsError."""
    net = find_net(network)
    second_head = getattr(network, "head_dist", None)
    if net is network or second_head is None:
        net.load_state_dict(match_state(state, net, source=source))
        return
    second = {name.removeprefix(SECOND): value for name, value in state.items() if name.startswith(SECOND)}
    rest = {name: value for name, value in state.items() if not name.startswith(SECOND)}
    matched = match_state(rest, net, source=source), match_state(second, second_head, source=source)
    net.load_state_dict(matched[0])
    second_head.load_state_dict(matched[1])


def find_net(network: nn.Module) -> nn.Module:
    """The timm network in a `Classifier`, or the network itself."""
    return getattr(network, "backbone", network)


def fit_positions(state: State, net: nn.Module, notes: list[str], *, zoom: str = "bicubic") -> State:
    """Position embeddings [1, tokens + h w, D] on the grid of `net`: bicubic, corners not aligned, no antialiasing.

    Or, with `zoom` "bilinear", corners aligned, as PIM's public code has it.

    How many tokens come first is what the file has; theirs stay bit for bit.
    """
    given, own = state.get("pos_embed"), getattr(net, "pos_embed", None)
    grid = getattr(getattr(net, "patch_embed", None), "grid_size", None)
    if given is None or own is None or grid is None or given.ndim != 3:
        return state
    prefix = count_position_tokens(state, net)
    side = round((given.shape[1] - prefix) ** 0.5)
    if side**2 != given.shape[1] - prefix or (side, side) == tuple(grid):
        return state
    own_tokens, patches = given[:, :prefix], given[:, prefix:].float()
    # timm's resample_abs_pos_embed cannot align corners.
    patches = F.interpolate(patches.transpose(1, 2).unflatten(2, (side, side)), tuple(grid), mode=zoom,
                            align_corners=zoom == "bilinear")
    resized = torch.cat([own_tokens, patches.flatten(2).transpose(1, 2).to(given.dtype)], dim=1)
    notes.append(f"position embeddings {side} x {side} resized to {grid[0]} x {grid[1]}")
    return state | {"pos_embed": resized}


def count_position_tokens(state: State, net: nn.Module) -> int:
    """How many tokens besides the patches have a position in a file."""
    if getattr(net, "no_embed_class", False):
        return 0
    return sum(state[name].shape[1] for name in TOKENS if name in state)


def add_distillation_token(state: State, net: nn.Module, notes: list[str]) -> State:
    """The class token and its position once more as the distillation token's, where only the network has one."""
    if not hasattr(net, "dist_token") or "dist_token" in state or "cls_token" not in state:
        return state
    added = {"dist_token": state["cls_token"].clone()}
    if "pos_embed" in state and count_position_tokens(state, net):
        first, rest = state["pos_embed"].split([1, state["pos_embed"].shape[1] - 1], dim=1)
        added["pos_embed"] = torch.cat([first, first, rest], dim=1)
    notes.append("the distillation token starts as the class token")
    return state | added


def choose_names(state: State, net: nn.Module, wanted: State) -> State:
    """The naming of `state` under which most tensors fit; some tell by their order, with a classifier or without."""
    def count(candidate: State) -> int:
        return sum(name in candidate and candidate[name].shape == tensor.shape for name, tensor in wanted.items())

    bare = drop_classifier(state, net.state_dict())
    return max([*rename_candidates(state, net), *rename_candidates(bare, net)], key=count)


def fit_heads(state: State, wanted: State, heads: list[str], notes: list[str]) -> State:
    """`state` with a tensor for every head: the file's, a copy of its first head for the second, or the fresh one.

    A file's head is dropped only where its shape is another one. `heads` are the beginnings of the heads' names.
    """
    state, kept = dict(state), []
    for head in heads:
        own = {name: tensor for name, tensor in wanted.items() if name.startswith(head)}
        given = {name: state[name] for name in own if name in state}
        first = {name: state.get(heads[0] + name.removeprefix(head)) for name in own}
        if given and all(given[name].shape == own[name].shape for name in given):
            kept.append(head)
        elif not given and heads[0] in kept:
            state |= {name: value.clone() for name, value in first.items() if value is not None}
            notes.append("the second head starts as the first one")
        else:
            state |= own
            notes.append(_describe_fresh(head, given, own))
    extra = [name for name in state if name.startswith(SECOND) and name not in wanted]
    # A second head beside the first; a token would leave a trace in the rest.
    if SECOND not in heads and extra and "dist_token" not in state:
        state = {name: value for name, value in state.items() if name not in extra}
        notes.append("the file's second head is left out")
    return state


def _describe_fresh(head: str, given: State, own: State) -> str:
    rows = [next(iter(tensors.values())).shape[0] for tensors in (given, own) if tensors]
    reason = f"the file's has {rows[0]} classes, not {rows[-1]}" if given else "the file has none"
    return f"{head.rstrip('.')} starts afresh: {reason}"


def _wanted(network: nn.Module) -> State:
    """All tensors of the network, a second head beside the timm network under its own name."""
    net = find_net(network)
    second = getattr(network, "head_dist", None) if net is not network else None
    extra = {SECOND + name: value for name, value in second.state_dict().items()} if second is not None else {}
    return net.state_dict() | extra


def _head_names(network: nn.Module) -> list[str]:
    net, wanted = find_net(network), _wanted(network)
    names = [name for name in classifier_names(net) if any(key.startswith(name) for key in wanted)]
    return names + [SECOND] * (SECOND not in names and any(key.startswith(SECOND) for key in wanted))


def _download(network: nn.Module) -> dict[str, Tensor]:
    config = cast(TimmNetwork, find_net(network)).pretrained_cfg  # only such come from timm's hub
    arch = getattr(network, "arch", None) or ".".join(filter(None, (config["architecture"], config.get("tag"))))
    return download_backbone(partial(create_network, arch, pretrained=True), arch).state_dict()
