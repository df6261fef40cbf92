"""What a continued run has to agree in with its beginning, also where an earlier release began it."""

from __future__ import annotations

import json

import pytest

from engine.identity import agree
from runtime.errors import ConfigError


def identity(**flags: object) -> dict[str, object]:
    return {"flags": json.dumps(flags), "data": "d", "crops": "none", "precision": "fp32", "threads": 1, "world": 1,
            "accum_steps": 1, "device": "cpu"}


def test_a_flag_that_changed_is_named_with_both_values() -> None:
    with pytest.raises(ConfigError, match="--lr was 0.1 and is 0.2 now"):
        agree(identity(lr=0.1, wd=0.0), identity(lr=0.2, wd=0.0))
    assert agree(identity(lr=0.1), identity(lr=0.1))["precision"] == "fp32"


def test_a_run_of_an_earlier_release_is_continued() -> None:
    old = identity(lr=0.1, port=None, asked_size=True, OBD_SD=False, miner_distance_lower_cutoff=0.4,
                   schedule=[120, 160], schedule_kind="cosine")
    new = {"lr": 0.1, "lars_norm": "apart", "rows_as_stored": False, "class_token": False, "run": None, "OBD_SD": None,
           "miner_semihard_margin": None, "miner_distance_lower_cutoff": 0.4, "miner_rho_distance_lower_cutoff": 0.4,
           "schedule": [60, 80], "schedule_kind": "cosine"}
    assert agree(old, identity(**new))["flags"] == old["flags"]
    with pytest.raises(ConfigError, match="(?s)2 problems.*was apart and is joint.*cutoff was 0.4 and is 0.5"):
        agree(old, identity(**{**new, "lars_norm": "joint", "miner_rho_distance_lower_cutoff": 0.5}))


def test_milestones_count_where_they_are_read() -> None:
    with pytest.raises(ConfigError, match=r"--schedule was \[120, 160\] and is \[60, 80\] now"):
        agree(identity(schedule=[120, 160], schedule_kind="step"), identity(schedule=[60, 80], schedule_kind="step"))
