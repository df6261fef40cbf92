"""The published files as we write them down are those that the published codes write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.reference.public_files import (
    list_tensors,
    write_convnext,
    write_lcr_byol,
    write_lcr_moco,
    write_lead,
    write_lead_linear,
    write_obdsd,
    write_pim_swin,
    write_pim_vit,
)

FILES: dict[str, Callable[[], dict]] = {
    "lead_model_last": write_lead, "lead_linear": write_lead_linear, "lcr_moco": write_lcr_moco,
    "lcr_byol": write_lcr_byol, "obdsd_net": write_obdsd, "pim_swin": write_pim_swin, "pim_vit": write_pim_vit,
    "convnext_teacher": write_convnext}


@pytest.mark.shared
@pytest.mark.parametrize("name", FILES)
def test_names_types_and_shapes_are_the_published_ones(name: str, shared_data: Path) -> None:
    path = shared_data.parent / "specs" / "keys" / f"{name}.tsv"
    if not path.is_file():
        pytest.skip(f"no list of names at {path}")
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    published = {key: (kind, *more) if more else (kind, "") for key, kind, *more in rows}
    with torch.device("meta"):
        ours = list_tensors(FILES[name]())
    assert ours == published
