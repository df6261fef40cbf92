"""From options to an optimiser: which parameters learn at which rate."""

from __future__ import annotations

from dataclasses import replace

import torch

from engine.lars import Lars
from methods.method import Method, ParamGroup


def build_optimizer(
    kind: str, method: Method, *, lr: float, decay: float, momentum: float = 0.9,
    betas: tuple[float, ...] = (0.9, 0.999), eps: float = 1e-8, joint: bool = False,
    decay_moves: bool = False,
) -> torch.optim.Optimizer:
    """The optimiser called `kind` (sgd, nesterov, adam, adamw, lars) over the method's groups, at `lr` to begin with.

    The trainer sets the rates, and the decays where `decay_moves`. `joint`: see `Lars`.
    """
    if kind == "lars":
        return Lars(adapted_groups(method, decay), lr=lr, momentum=momentum, joint=joint)
    groups = [describe_group(group, decay) for group in method.param_groups()]
    if decay_moves:
        groups = [group | {"decay": group["weight_decay"]} for group in groups]
    if kind == "adamw":
        return torch.optim.AdamW(groups, lr=lr, betas=(betas[0], betas[1]), eps=eps, foreach=True)
    if kind == "adam":
        return torch.optim.Adam(groups, lr=lr, foreach=True)
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, foreach=True, nesterov=kind == "nesterov" and momentum > 0)


def describe_group(group: ParamGroup, decay: float) -> dict[str, object]:
    """A group in torch's words."""
    return {"params": group.params, "lr_scale": group.lr_scale, "start_epoch": group.start_epoch,
            "weight_decay": decay if group.weight_decay is None else group.weight_decay}


def adapted_groups(method: Method, decay: float) -> list[dict[str, object]]:
    """A method's groups for LARS, each in two: layers' weights, which have two dimensions or more, are adapted; biases
    and norms are plain SGD's and do not decay.
    """
    groups = []
    for group in method.param_groups():
        for adapt in (True, False):
            part = replace(group, params=[p for p in group.params if (p.ndim > 1) == adapt],
                           weight_decay=group.weight_decay if adapt else 0.0)
            groups.append(describe_group(part, decay) | {"adapt": adapt})
    return groups
