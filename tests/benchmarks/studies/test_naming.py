"""Naming by someone who knows the kinds: the command as a user runs it, choices by hand, messages."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.studies.answers import choose_centres, compare_choices, keep_some, rehearse_trust
from benchmarks.studies.naming import main, parse
from benchmarks.studies.options import Looker, NamingOptions, parse_looker
from evaluation.ledger import read_measurements
from evaluation.metrics.similarity import normalise_embeddings
from evaluation.reports.table import collect
from evaluation.sorting.cloud import Cloud, survey
from runtime.errors import ConfigError

QUICK = ("--pretrained", "none", "--size", "32", "--device", "cpu", "-j", "0", "--cache", "none", "--seeds", "0", "1",
         "--draws", "50")


def make_kinds(kinds: int = 8, each: int = 15) -> tuple[Cloud, torch.Tensor]:
    """A cloud of well separated kinds."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(kinds).repeat_interleave(each)
    points = normalise_embeddings(torch.randn(kinds, 32, generator=generator))[labels]
    points = points + 0.08 * torch.randn(len(labels), 32, generator=generator)
    return survey(normalise_embeddings(points - points.mean(dim=0))), labels


def test_the_command_writes_both_tables_and_a_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], photo_tree: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ["--root", str(photo_tree), "--task", "colours", "--out", str(out), "--budgets", "6", "12", *QUICK]
    monkeypatch.setattr(sys, "argv", ["naming", *words])
    main()
    with open(out / "colours_naming.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["named"] for row in rows] == ["proposed", "k-means", "random"]
    with open(out / "colours_naming_trust.csv", encoding="utf-8", newline="") as file:
        assert [row["names"] for row in csv.DictReader(file)] == ["6", "12"]
    (row,) = read_measurements(out / "results.jsonl")
    assert (row["kind"], row["task"], row["images"], row["details"]["withheld"]) == ("naming", "colours", 24, 0.25)
    for budget in (6, 12):
        mean, low, high = (row["metrics"][f"proposed{budget}{end}"] for end in ("", "_low", "_high"))
        assert 0 <= low <= mean <= high <= 1
        assert rows[0][f"{budget} names"] == f"{100 * mean:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    assert not collect([row]) and "| network |" in capsys.readouterr().out


def test_every_choice_names_separated_kinds_right_and_centres_are_one_of_each() -> None:
    cloud, labels = make_kinds()
    centres = choose_centres(cloud, 8, seed=0)
    assert sorted(labels[centres].tolist()) == list(range(8))
    found = compare_choices(cloud, labels, (8, 40), seed=0)
    assert found.shape == (3, 2) and found[0, 1] == found[1].min() == 1 > found[2, 0]


def test_centres_of_equal_pictures_are_named_once() -> None:
    points = torch.eye(3).repeat_interleave(4, dim=0)
    chosen = choose_centres(survey(normalise_embeddings(points - points.mean(dim=0))), 3, seed=0)
    assert len(set(chosen)) == len(chosen) == 3


def test_a_seed_keeps_its_share_in_order() -> None:
    kept = keep_some(50, 0.9, seed=3)
    assert len(kept) == 45 and (kept[1:] > kept[:-1]).all() and not torch.equal(kept, keep_some(50, 0.9, seed=4))


def test_budgets_that_the_nameable_do_not_reach_are_left_out() -> None:
    cloud, labels = make_kinds(4, 10)
    options = NamingOptions(root="kinds", budgets=(10, 35))
    found = rehearse_trust(cloud, labels, options, seed=0)
    assert list(found) == [10] and found[10].asked == 30 and np.isfinite(found[10].on_withheld)


def test_a_feature_follows_the_last_colon() -> None:
    assert parse_looker("package:efficientnet-lite0") == Looker("package:efficientnet-lite0", "gap")
    assert parse_looker("package:efficientnet-lite0:head") == Looker("package:efficientnet-lite0", "head")
    assert parse_looker("birds_0:masked") == Looker("birds_0", "masked") and parse_looker("head") == Looker("head")


def test_messages_name_every_fault(monkeypatch: pytest.MonkeyPatch, photo_tree: Path) -> None:
    with pytest.raises(ConfigError) as error:
        parse(["--root", "gone", "--seeds", "1", "1", "--pretrained", "a", "a", "--withheld", "1", "--kept", "0"])
    for text in ("--seeds names", "--pretrained names", "--withheld 1", "--kept 0", "gone"):
        assert text in str(error.value)
    monkeypatch.setattr(sys, "argv", ["naming", "--root", str(photo_tree), *QUICK, "--budgets", "22"])
    with pytest.raises(ConfigError, match="a seed keeps 22 of 24"):
        main()
