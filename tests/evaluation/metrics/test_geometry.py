"""Distances and spectrum against pairs taken one by one and a plain SVD."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from evaluation.metrics import geometry
from evaluation.metrics.geometry import measure_geometry, singular_values


def test_distances_equal_pairs_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "CHUNK", 7)
    features, labels = torch.randn(40, 6), torch.arange(40) % 5
    labels[:3], labels[3] = -1, 9
    unit = torch.nn.functional.normalize(features.double(), dim=1)
    within, centres = [], []
    for label in (0, 1, 2, 3, 4, 9):
        own = unit[labels == label]
        centres.append(torch.nn.functional.normalize(own.mean(0), dim=0))
        pairs = [float(1 - own[i] @ own[j]) for i in range(len(own)) for j in range(i)]
        within += [np.mean(pairs)] if pairs else []
    between = np.mean([float(1 - centres[i] @ centres[j]) for i in range(6) for j in range(i)])
    found = measure_geometry(features * 3, labels)
    assert found["dist_intra"] == pytest.approx(np.mean(within), abs=1e-6)
    assert found["dist_inter"] == pytest.approx(between, abs=1e-6)
    assert found["dist_ratio"] == pytest.approx(np.mean(within) / between, abs=1e-6)


def test_spectrum_equals_scipy_on_a_plain_svd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "CHUNK", 11)
    rows = torch.nn.functional.normalize(torch.randn(50, 16), dim=1)
    values = np.linalg.svd(rows.double().numpy(), compute_uv=False)
    assert singular_values(rows).numpy() == pytest.approx(values, abs=1e-10)
    found = measure_geometry(rows, torch.arange(50) % 4)
    for mode in (1, 2, 10):
        kept = values[mode - 1 :]
        assert found[f"rho_spectrum_{mode}"] == pytest.approx(entropy(np.ones(len(kept)), kept), abs=1e-7)
    assert found["rho_spectrum_-1"] == pytest.approx(entropy(values, np.ones(16)), abs=1e-7)


def test_an_even_spectrum_is_zero_and_one_class_has_no_distance_between() -> None:
    found = measure_geometry(torch.eye(8), torch.zeros(8, dtype=torch.long))
    assert found["rho_spectrum_1"] == pytest.approx(0, abs=1e-9) and found["dist_intra"] == pytest.approx(1)
    assert math.isnan(found["dist_inter"])


def test_distances_of_close_rows_are_not_those_of_their_rounding() -> None:
    centre = torch.randn(1, 64)
    features = centre + 1e-3 * torch.randn(60, 64)
    exact = torch.nn.functional.normalize(features.double(), dim=1)
    apart = float(1 - (exact.sum(dim=0).square().sum() - 60) / (60 * 59))
    assert measure_geometry(features, torch.zeros(60))["dist_intra"] == pytest.approx(apart, rel=1e-4)
