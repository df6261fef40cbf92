"""PIM as a method: the plain transcription's values, its terms in every configuration, two ranks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from test_distributed import run_ranks
from two_ranks_pim import CASES, CLASSES, make_batch, make_method

from benchmarks.reference.pim import ReferencePim
from benchmarks.timed.finetune_step import Stages
from datasets.views.recipes import View
from engine.checkpoint import load_trained_state, trained_state
from methods.method import Clock
from methods.pim import Pim, PimOptions
from methods.supervised import Supervision
from models.plug_in import parts as pim_parts
from models.plug_in.module import PlugInOptions, build_plug_in
from models.plug_in.published import match_public_pim

NOW = Clock(0, 10, 0, 1)


@pytest.mark.usefixtures("float64")
def test_a_step_gives_the_plain_transcriptions_values_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    confidence = pim_parts.find_confidence  # positions are ranked by the bits of single precision, whatever came before
    monkeypatch.setattr(pim_parts, "find_confidence", lambda logits: confidence(logits).to(torch.float32))
    selects = [64, 32, 12, 3]
    plain = ReferencePim(Stages("resnet18"), [64, 128, 256, 512], CLASSES, width=16, selects=selects)
    options = PlugInOptions(fpn_size=16, selects=selects)
    ours = Pim(build_plug_in("resnet18", CLASSES, size=64, options=options),
               Supervision(classes=CLASSES, view=View("full", "probe", 64), smoothing=0.0)).train()
    published = {name.replace("backbone.parts", "backbone"): value for name, value in plain.state_dict().items()}
    stages = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
    for number, name in stages.items():
        published = {key.replace(f"backbone.{number}.", f"backbone.{name}."): value for key, value in published.items()}
    ours.network.load_state_dict(match_public_pim({"model": published, "epoch": 3}, ours.network))
    for combiner, alpha in ((ours.network.combiner, ours.network.combiner.alpha),
                            (plain.combiner, plain.combiner.alpha1)):
        alpha.data.fill_(0.4)
        combiner.dropout.p = 0.0
    batch, levels = make_batch(4, 64), ours.network.levels
    found = ours(batch, NOW)
    expected = plain((batch.views["v"] / 255 - levels.mean) / levels.std, batch.label)
    for name, value in {**found.parts, "total": found.total}.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-6, msg=name, check_dtype=False)
    found.total.backward()
    expected["total"].backward()
    pairs = [(ours.network.backbone.conv1, plain.backbone.parts[0]), (ours.network.combiner.key, plain.combiner.conv_k1),
             (ours.network.fpn.project["layer2"][2], plain.fpn.Proj_layer2[2]),
             (ours.network.classify["layer3"].hidden, plain.fpn_classifier_layer3[0])]
    for own, other in pairs:
        slope = other.weight.grad.flatten()
        assert slope.abs().max() > 0
        torch.testing.assert_close(own.weight.grad.flatten(), slope, rtol=1e-6, atol=1e-7 * float(slope.abs().max()))


@pytest.mark.parametrize("options, parts", [
    ({}, {"layer", "dropped", "combiner"}),
    ({"use_combiner": False}, {"layer", "dropped"}),
    ({"use_fpn": False}, {"layer", "dropped", "combiner"}),
    ({"use_selection": False, "use_combiner": False}, {"layer"})])
def test_every_configuration_trains_a_step(options: dict, parts: set[str]) -> None:
    method, batch = make_method(**options), make_batch()
    groups = [{"params": group.params} for group in method.param_groups()]
    optimizer = torch.optim.SGD(groups, lr=1e-3)
    before = [value.clone() for value in method.parameters()]
    loss = method(batch, NOW)
    assert set(loss.parts) == parts
    loss.total.backward()
    assert all(p.grad is not None for p in method.parameters() if p.requires_grad)
    optimizer.step()
    assert method(batch, NOW).total < loss.total
    assert sum(not torch.equal(old, new) for old, new in zip(before, method.parameters(), strict=True)) > 10


def test_terms_are_weighed_as_asked_and_the_selected_one_asks_kept_positions() -> None:
    terms = PimOptions(lambda_b=0.25, lambda_s=2.0, lambda_n=3.0, lambda_c=0.5)
    method, batch = make_method(terms), make_batch()
    method.network.combiner.dropout.p = 0.0
    loss = method(batch, NOW)
    weighed = 0.25 * loss.parts["layer"] + 2 * loss.parts["selected"] + 3 * loss.parts["dropped"]
    torch.testing.assert_close(loss.total, weighed + 0.5 * loss.parts["combiner"])
    answer = method.network(batch.views["v"])
    plain = 0
    for name, logits in answer.levels.items():
        rows = torch.cat([logits[b, chosen] for b, chosen in enumerate(answer.selections[name].kept)])
        plain = plain + F.cross_entropy(rows, batch.label.repeat_interleave(len(rows) // len(batch)))
    torch.testing.assert_close(loss.parts["selected"], plain)
    assert set(loss.stats) == {"accuracy", *(f"accuracy_{name}" for name in
                                             ("layer1", "layer2", "layer3", "combiner"))}
    assert loss.stats["accuracy_layer2"] == (answer.levels["layer2"].mean(1).argmax(1) == batch.label).float().mean()


def test_mixed_and_smoothed_labels_reach_every_term() -> None:
    terms = PimOptions(lambda_s=0.5)
    method = make_method(terms, supervision={"mixup": 0.8, "smoothing": 0.1})
    loss = method(make_batch(), NOW)
    assert torch.isfinite(loss.total) and "selected" in loss.parts
    plain, smooth = (make_method(terms, supervision={"smoothing": value})(make_batch(), NOW).parts for value in (0, 0.1))
    assert plain["dropped"] == smooth["dropped"]
    assert all(plain[name] != smooth[name] for name in ("layer", "combiner", "selected"))


def test_losses_are_float32_under_autocast() -> None:
    method = make_method(PimOptions(lambda_s=1.0))
    with torch.autocast("cpu", torch.bfloat16):
        loss = method(make_batch(), NOW)
    assert {value.dtype for value in (loss.total, *loss.parts.values())} == {torch.float32}
    loss.total.backward()
    assert torch.isfinite(method.network.backbone.steps[0].weight.grad).all()


def test_average_and_resume_state_hold_the_whole_module() -> None:
    method, batch = make_method(supervision={"ema_decay": 0.5}), make_batch()
    twin = make_method(supervision={"ema_decay": 0.5})
    optimizer = torch.optim.SGD([p for p in method.network.parameters() if p.requires_grad], lr=1e-2)
    method(batch, NOW).total.backward()
    optimizer.step()
    method.after_step(NOW)
    load_trained_state(twin, trained_state(method))
    method.eval(), twin.eval()
    with torch.no_grad():
        images = batch.views["v"]
        assert torch.equal(twin.outputs(images)["combiner"], method.outputs(images)["combiner"])
        assert torch.equal(twin.averaged.outputs(images)["layer1"], method.averaged.outputs(images)["layer1"])
        assert not torch.equal(method.averaged.outputs(images)["layer1"], method.outputs(images)["layer1"])


@pytest.mark.slow
def test_two_ranks_agree(tmp_path: Path) -> None:
    ranks = run_ranks(tmp_path / "result", Path(__file__).with_name("two_ranks_pim.py"))
    for case in CASES:
        first, second = (rank[case] for rank in ranks)
        assert first["losses"] == second["losses"] and first["losses"][-1] < first["losses"][0]
        for name, value in first["weights"].items():
            assert torch.equal(value, second["weights"][name]), name
