"""The audit of text: each number against one worked out by hand, and what the verdict and the page make of it."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor

from text.audit import Audit, TextReading, audit, find_near_duplicates, gate_at, match_entropy, nearest_others
from text.findings import list_findings, to_json
from text.page import render_audit

LABELS = torch.tensor([0, 1, 2] * 4)


def make_audit(**changes: object) -> Audit:
    """Three unit rows, the last two alike; twelve images that lie near the first two of them."""
    rows = torch.nn.functional.normalize(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 1, 0.1]]), dim=1)
    features = torch.nn.functional.normalize(torch.eye(3)[torch.tensor([0, 1, 1] * 4)] + 0.05, dim=1)
    readings = [TextReading("Red <bird>", "Red.", 4, ""), TextReading("Blue bird", "Blue.", 5, ""), TextReading("Teal bird", "long", 80, "end of it")]
    kept = {"temperature": 0.02, "labels": LABELS, "names": ["Red <bird>", "Blue bird", "Teal bird"], "readings": readings, **changes}
    return audit(rows, features, **kept)


def test_twins_are_pairs_above_the_threshold_closest_first() -> None:
    rows = torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [1, 0.04]])
    assert [(pair.first, pair.second) for pair in find_near_duplicates(rows)] == [(0, 3), (1, 3), (0, 1)]
    assert find_near_duplicates(torch.eye(3)) == []
    assert [pair.second for pair in nearest_others(rows)] == [3, 3, 1, 0] and nearest_others(rows[:1]) == []


def naive_entropy(logits: Tensor) -> float:
    weights = [math.exp(float(value)) for value in logits]
    shares = [weight / sum(weights) for weight in weights]
    return -sum(share * math.log(share) for share in shares) / math.log(len(shares))


def test_entropy_follows_the_formula_and_the_gate_its_square() -> None:
    features = torch.nn.functional.normalize(torch.randn(9, 5), dim=1)
    rows = torch.nn.functional.normalize(torch.randn(4, 5), dim=1)
    gating = gate_at(features, rows, 0.3)
    expected = [naive_entropy(line) for line in features @ rows.T / 0.3]
    torch.testing.assert_close(gating.entropy, torch.tensor(expected), atol=1e-5, rtol=0)
    weights = [1 - value**2 for value in expected]
    assert gating.closed == pytest.approx(sum(weight < 0.1 for weight in weights) / 9)
    assert gating.open == pytest.approx(sum(weight > 0.9 for weight in weights) / 9)
    assert gate_at(features, rows, 1e4).closed == 1 and gate_at(features, rows, 1e-4).open == 1


def test_the_matched_temperature_meets_its_target() -> None:
    features = torch.nn.functional.normalize(torch.randn(50, 8), dim=1)
    rows = torch.nn.functional.normalize(torch.randn(6, 8), dim=1)
    assert match_entropy(features, rows, 0.4).mean == pytest.approx(0.4, abs=2e-3)
    assert match_entropy(features, rows[:1].expand(3, 8), 0.4) is None


def test_an_audit_counts_uses_mistakes_and_cut_texts() -> None:
    found = make_audit()
    assert found.uses.tolist()[0] == 4 and int(found.uses.sum()) == 12 and len(found.unused) == 1
    assert [reading.name for reading in found.truncated] == ["Teal bird"]
    assert found.accuracy.top1 == pytest.approx(8 / 12) and len(found.near_duplicates) == 1
    assert make_audit(labels=None).accuracy is None


def test_the_verdict_names_every_fault_and_the_json_holds_its_numbers() -> None:
    found = make_audit()
    told = {finding.text.split(" (")[0]: finding.good for finding in list_findings(found)}
    assert told["1 row is truncated: CLIP stops reading after 77 tokens"] is False
    assert told["1 pair is indistinguishable"] is False
    assert any(text.startswith("at tau 0.02 the gate is closed for 0% of images") for text in told)
    content = json.loads(json.dumps(to_json(found), allow_nan=False))
    assert content["uses"]["Red <bird>"] == 4 and content["twins"][0]["rows"] == ["Blue bird", "Teal bird"]
    assert content["zero_shot"]["top1"] == pytest.approx(8 / 12) and len(content["sweep"]) == 31


def test_a_verdict_without_faults_finds_none() -> None:
    rows = torch.eye(4)
    found = audit(rows, rows.repeat(5, 1), temperature=0.02, labels=torch.arange(4).repeat(5))
    assert [finding.text for finding in list_findings(found) if finding.good is False] == []
    assert make_audit(readings=()).truncated == [] and "not known" in list_findings(make_audit(readings=()))[0].text


def test_the_page_needs_no_other_file_and_escapes_names() -> None:
    page = render_audit(make_audit(), "Studio", "3 rows")
    assert page.count("data:image/png;base64,") == 5 and "http" not in page
    assert "Red &lt;bird&gt;" in page and "<bird>" not in page and "end of it" in page
    assert "What the teacher confuses" not in render_audit(make_audit(labels=None), "Studio", "3 rows")
