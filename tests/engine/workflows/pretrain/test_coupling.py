"""A batch whose images depend on each other is not cut, and LEAD's milestones are where its public code has them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from engine.flags.evaluate.arguments import parse_probe
from engine.flags.pretrain.arguments import parse
from engine.flags.pretrain.checks import find_coupling
from engine.workflows.linear import make_probe_plan as plan_probe
from engine.workflows.pretrain.methods import lead_options, rationale_options
from engine.workflows.pretrain.system import make_pretrain_plan
from runtime.errors import ConfigError

WORDS = ["--root", "x", "--pretrained", "none", "--device", "cpu"]
FACTS = (["--six-passes"], ["--early-enqueue"], ["--distill-sum"], ["--cam", "rows"], ["--attention-normalise", "batch"])


@pytest.mark.parametrize("words", [["--recipe", "seed"], *FACTS], ids=" ".join)
def test_lead_refuses_to_cut_a_coupled_batch(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="--accum-steps 2: .*cutting it would change the loss"):
        parse([*WORDS, *words, "--accum-steps", "2"])
    assert parse([*WORDS, *words]).accum_steps == 1


@pytest.mark.parametrize("words", [
    ["--method", "lcr-moco", "--recipe", "seed"], ["--method", "lcr-byol", "--recipe", "seed"],
    ["--method", "lcr-moco", "--cam", "rows"], ["--method", "lcr-byol", "--cam=positions"],
    ["--method", "lcr-byol", "--attention_normalise", "batch"]], ids=" ".join)
def test_lcr_refuses_too(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="--accum-steps 4"):
        parse([*WORDS, *words, "--accum_steps=4"])


@pytest.mark.parametrize("words", [
    [], ["--log-of-softmax"], ["--entropy-by", "num-classes"], ["--queue-mask", "none"], ["--preset", "small"],
    ["--method", "moco", "--recipe", "seed"], ["--method", "byol", "--recipe", "seed"], ["--method", "lcr-moco"]],
    ids=" ".join)
def test_means_over_images_are_cut(words: list[str]) -> None:
    assert parse([*WORDS, *words, "--accum-steps", "2"]).accum_steps == 2


def test_flags_and_methods_agree_about_what_couples() -> None:
    for words in ([], *FACTS, ["--log-of-softmax"], ["--recipe", "seed"]):
        args = parse([*WORDS, *words])
        assert bool(find_coupling(args)) == lead_options(args, SimpleNamespace(dim=512), {}).couples_batch, words
    for words in ([], ["--cam", "rows"], ["--attention-normalise", "batch"], ["--recipe", "seed"]):
        args = parse([*WORDS, "--method", "lcr-moco", *words])
        assert bool(find_coupling(args)) == rationale_options(args).couples_batch, words


@pytest.mark.parametrize("recipe", ["default", "seed"])
def test_leads_rate_falls_in_its_60th_and_80th_epoch(recipe: str) -> None:
    plan = make_pretrain_plan(parse([*WORDS, "--recipe", recipe, "--cos", "false"]), 7)
    rates = [plan.lr_factor(7 * epoch + 3) for epoch in range(plan.epochs)]
    public = [0.1 ** sum(epoch >= milestone for milestone in (60, 80)) for epoch in range(1, 101)]
    assert rates == pytest.approx(public)
    assert (rates[58], rates[59], rates[78], rates[79]) == pytest.approx((1, 0.1, 0.1, 0.01))
    own = make_pretrain_plan(parse([*WORDS, "--recipe", recipe, "--cos", "false", "--schedule", "1", "3"]), 1)
    assert [own.lr_factor(step) for step in range(4)] == pytest.approx([0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("method", ["moco", "lcr-moco", "byol", "lcr-byol"])
def test_the_others_count_from_0(method: str) -> None:
    words = ["--method", method, "--cos", "false", "--epochs", "170", "--warmup-epochs", "0"]
    plan = make_pretrain_plan(parse([*WORDS, *words]), 1)
    assert [plan.lr_factor(step) for step in (119, 120, 159, 160)] == pytest.approx([1, 0.1, 0.1, 0.01])


def test_the_public_probe_falls_in_its_60th_and_80th_epoch() -> None:
    for words in (["--protocol", "seed"], ["--recipe", "seed"], ["--protocol=seed", "--schedule", "60", "80"]):
        plan = plan_probe(parse_probe(["--pretrained", "none", "--device", "cpu", *words]))
        assert [plan.factor(epoch) for epoch in (0, 58, 59, 78, 79)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    ours = plan_probe(parse_probe(["--pretrained", "none", "--device", "cpu", "--epochs", "50"]))
    assert [ours.factor(epoch) for epoch in (29, 30, 39, 40)] == pytest.approx([1, 0.1, 0.1, 0.01])


def test_no_milestones_are_no_cosine() -> None:
    common = ["--pretrained", "none", "--device", "cpu"]
    flat, cosine = plan_probe(parse_probe([*common, "--schedule"])), plan_probe(parse_probe([*common, "--cos"]))
    assert {flat.factor(epoch) for epoch in range(100)} == {1.0} and cosine.factor(50) == pytest.approx(0.5)
