"""The losses of metric learning by name, and the options of each with its default: known without torch."""

from __future__ import annotations

# Of each loss, the arguments of its class but for the number of classes and the embedding's width.
LOSS_OPTIONS: dict[str, dict[str, float]] = {
    "contrastive": {"pos_margin": 0.0, "neg_margin": 1.0},
    "triplet": {"margin": 0.2},
    "margin": {"margin": 0.2, "beta": 1.2, "beta_rate": 0.0005, "nu": 0.0, "constant": False},
    "quadruplet": {"margin_alpha_1": 0.2, "margin_alpha_2": 0.2},
    "snr": {"margin": 0.2, "reg_lambda": 0.005},
    "multisimilarity": {"pos_weight": 2.0, "neg_weight": 40.0, "margin": 0.1, "thresh": 0.5},
    "npair": {"l2": 0.005},
    "angular": {"alpha": 45.0, "npair_ang_weight": 2.0, "npair_l2": 0.005},
    "lifted": {"neg_margin": 1.0, "l2": 0.005},
    "histogram": {"nbins": 65},
    "smooth-ap": {"temperature": 0.01},
    "proxynca": {"lrmulti": 50.0},
    "proxyanchor": {"alpha": 32.0, "delta": 0.1, "lrmulti": 2000.0},
    "softmax": {"rate": 1e-5, "temperature": 0.05},
    "arcface": {"rate": 0.0005, "angular_margin": 0.5, "feature_scale": 16.0},
    "softtriplet": {"n_centroids": 2, "margin_delta": 0.01, "gamma": 0.1, "scale": 8.0, "reg_weight": 0.2,
                    "lrmulti": 1.0},
}
# Names of the public code for one of the above; self-distillation is a switch here, not another loss.
ALIASES = {"multisimilarity_obd_sd": "multisimilarity", "margin_obd_sd": "margin", "contrastive_lsd": "contrastive",
           "ap_loss": "smooth-ap"}
REFUSED = {"adversarial_separation": "its two projections need the embeddings of a second network (DiVA)"}


def resolve_criterion(name: str) -> str:
    """The name under which a loss is kept here; raises ValueError, with the reason, where there is none."""
    name = ALIASES.get(name, name)
    if name in REFUSED:
        raise ValueError(f"the loss {name} is not offered: {REFUSED[name]}")
    if name not in LOSS_OPTIONS:
        raise ValueError(f"no loss {name!r}; there are {', '.join(LOSS_OPTIONS)}")
    return name
