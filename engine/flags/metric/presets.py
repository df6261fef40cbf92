"""The published settings of OBD-SD as data: data set and width of the embedding."""

from __future__ import annotations

from engine.flags.presets import Presets, Settings

ALL: Settings = {"loss": "multisimilarity", "PSD": True, "OBDP": True, "batch_size": 112, "samples_per_class": 2,
                 "lr": 1e-5, "wd": 4e-4, "optimizer": "adam", "seed": 0, "normalize": True, "frozen_bn": True}
CUB: Settings = {**ALL, "dataset": "cub200", "epochs": 150, "kd_lambda": 1000.0, "diffusion_w": 0.3}
CARS: Settings = {**ALL, "dataset": "cars196", "diffusion_w": 0.99}
SOP: Settings = {**ALL, "dataset": "online_products", "diffusion_w": 0.5, "diffusion_tau": 0.005}
WIDE: Settings = {"embed_dim": 512, "pool": "avg+max"}

RUNS: dict[str, Settings] = {
    "cub-128": {**CUB, "embed_dim": 128},
    "cub-512": {**CUB, **WIDE},
    "cars-128": {**CARS, "embed_dim": 128, "epochs": 150, "kd_lambda": 75.0},
    "cars-512": {**CARS, **WIDE, "epochs": 300, "kd_lambda": 200.0, "schedule": [200, 250], "gamma": 0.3},
    "sop-128": {**SOP, "embed_dim": 128, "epochs": 100, "kd_lambda": 100.0},
    "sop-512": {**SOP, **WIDE, "epochs": 200, "kd_lambda": 200.0, "schedule": [70, 100], "gamma": 0.2},
}

PRESETS = Presets(methods={}, named={**{name: {"obdsd": settings} for name, settings in RUNS.items()},
                                     "seed": {"obdsd": {"precision": "fp32"}}})
