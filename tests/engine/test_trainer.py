"""The loop, on a method small enough to be followed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from datasets.loader import Batch
from datasets.sampling.batches import EpochBatches
from datasets.views.recipes import View
from engine.checkpoint import refuse_broken
from engine.logger import Logger
from engine.schedule import TrainingPlan
from engine.trainer import Trainer
from evaluation.image_log import NAME, read_image_log
from methods.method import Clock, LossParts, Method, ParamGroup
from runtime.errors import StopTraining

IMAGES = 12


class Regression(Method):
    """Fits w so that w * (image id) = 2 * (image id), and writes down when it was called."""

    def __init__(self, nan_at: int | None = None) -> None:
        super().__init__()
        self.slope, self.offset = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))
        self.nan_at, self.calls = nan_at, []

    def views(self) -> dict[str, View]:
        return {}

    def encoder(self) -> nn.Module:
        return self

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup([self.slope], start_epoch=1, lr_scale=0.5), ParamGroup([self.offset])]

    def forward(self, batch: Batch, clock: Clock) -> LossParts:
        x = batch.index.float() / IMAGES
        loss = (self.slope * x + self.offset - 2 * x).square().mean()
        if clock.step == self.nan_at:
            loss = loss * float("nan")
        self.per_image = {"slope": self.slope.detach().expand(len(x)) * x}
        return LossParts(loss, {"square": loss}, {"slope": self.slope.detach(), "odd": torch.tensor(float("nan"))})

    def after_step(self, clock: Clock) -> None:
        self.calls.append(("step", clock.step))

    def after_epoch(self, clock: Clock) -> None:
        self.calls.append(("epoch", clock.step))


class Indices:
    """A loader that hands out indices without any pictures."""

    def __init__(self, batches: EpochBatches) -> None:
        self.batches = batches

    def __iter__(self):
        for draws in self.batches:
            index = torch.tensor([draw.index for draw in draws])
            yield Batch({}, index, torch.full_like(index, -1))


def make_trainer(folder: Path, method: Method, *, accum: int = 1, epochs: int = 3, save_every: int = 0,
                 log_every: int = 1) -> Trainer:
    folder.mkdir(exist_ok=True)
    batches = EpochBatches(IMAGES, 4 // accum, seed=1)
    plan = TrainingPlan(epochs=epochs, batch_size=4, accum_steps=accum, steps_per_epoch=3, lr=0.1, schedule="constant",
                        warmup_epochs=0, milestones=(), clip_grad=0, save_every=save_every, monitor_every=2, seed=0)
    groups = [{"params": g.params, "lr_scale": g.lr_scale, "start_epoch": g.start_epoch} for g in method.param_groups()]
    return Trainer(method, optimizer=torch.optim.SGD(groups, lr=0.1, momentum=0.9), batches=batches,
                   loader=Indices(batches), plan=plan, device=torch.device("cpu"), number_format="fp32", folder=folder,
                   logger=Logger(folder), monitor=lambda m, e: {"monitored": e}, names=[f"i{i}.jpg" for i in range(IMAGES)],
                   identity={}, log_every=log_every)


def read_log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def weights(method: Regression) -> list[Tensor]:
    return [method.slope.detach().clone(), method.offset.detach().clone()]


def test_fits_and_calls_the_method_in_order(tmp_path: Path) -> None:
    method = Regression()
    make_trainer(tmp_path, method, epochs=60).fit()
    assert method.slope.item() == pytest.approx(2, abs=0.1)
    assert method.calls[:4] == [("step", 0), ("step", 1), ("step", 2), ("epoch", 3)]
    epochs = [row for row in read_log(tmp_path) if row["kind"] == "epoch"]
    assert [row["epoch"] for row in epochs if "monitored" in row][:2] == [1, 3]


def test_group_waits_for_its_first_epoch_and_scales_its_rate(tmp_path: Path) -> None:
    method = Regression()
    trainer = make_trainer(tmp_path, method, epochs=1)
    trainer.fit()
    assert float(method.slope) == 0 and float(method.offset) != 0
    trainer.set_learning_rate(Clock(3, 9, 1, 3))
    assert [group["lr"] for group in trainer.optimizer.param_groups] == pytest.approx([0.05, 0.1])


def test_accumulation_equals_one_large_batch(tmp_path: Path) -> None:
    whole, parts = Regression(), Regression()
    make_trainer(tmp_path / "a", whole).fit()
    make_trainer(tmp_path / "b", parts, accum=2).fit()
    torch.testing.assert_close(weights(whole), weights(parts))
    assert [c for c in parts.calls if c[0] == "step"] == [c for c in whole.calls if c[0] == "step"]


@pytest.mark.parametrize("stop_after", [1, 2, 4, 5])
def test_resume_from_any_step_is_exact_and_cuts_the_log(tmp_path: Path, stop_after: int) -> None:
    straight, first, second = Regression(), Regression(), Regression()
    make_trainer(tmp_path / "a", straight, save_every=1).fit()
    broken = make_trainer(tmp_path / "b", first, save_every=1)
    original = broken.save_within_epoch

    def die_later() -> None:
        original()
        if broken.step == stop_after:
            broken.logger.write("step", {"step": 99, "note": "written after the checkpoint"})
            raise KeyboardInterrupt

    broken.save_within_epoch = die_later
    with pytest.raises(KeyboardInterrupt):
        broken.fit()
    broken.logger.close()
    resumed = make_trainer(tmp_path / "b", second, save_every=1)
    from engine import checkpoint

    resumed.resume(checkpoint.load_resume_state(tmp_path / "b"))
    resumed.fit()
    assert weights(second) == weights(straight)
    timing = ("speed",)
    kept = [[row for row in read_log(tmp_path / name) if row["kind"] not in timing] for name in "ab"]
    assert kept[0] == kept[1]
    assert (tmp_path / "a" / NAME).read_bytes() == (tmp_path / "b" / NAME).read_bytes()


@pytest.mark.parametrize("accum", [1, 2])
def test_every_image_of_every_epoch_is_logged(tmp_path: Path, accum: int) -> None:
    make_trainer(tmp_path, Regression(), accum=accum, epochs=4).fit()
    found = read_image_log(tmp_path / NAME, IMAGES)
    slopes = found.columns["slope"]
    assert found.epochs == [0, 1, 2, 3] and slopes.shape == (4, IMAGES) and not np.isnan(slopes).any()
    assert not slopes[0].any() and slopes[3, -1] > 0


def test_nan_names_the_term_and_the_images_and_spares_the_weights(tmp_path: Path) -> None:
    method = Regression(nan_at=4)
    trainer = make_trainer(tmp_path, method)
    seen = {}
    original = trainer.accumulate

    def remember(batch: Batch, now: Clock, *, last: bool):
        seen["before"], seen["images"] = weights(method), batch.index.tolist()
        return original(batch, now, last=last)

    trainer.accumulate = remember
    with pytest.raises(StopTraining, match="square"):
        trainer.fit()
    assert weights(method) == seen["before"]
    note = json.loads((tmp_path / "nan_batch.json").read_text())
    assert note["images"] == [f"i{i}.jpg" for i in seen["images"]] and "square" in note["terms"]


@pytest.mark.parametrize("accum", [1, 2])
@pytest.mark.parametrize("log_every", [2, 5])
def test_steps_that_are_read_later_leave_the_same_files(tmp_path: Path, accum: int, log_every: int) -> None:
    for name, every in (("at-once", 1), ("later", log_every)):
        method = Regression()
        method.monitor = {"entropy": torch.rand(4 // accum, generator=torch.Generator().manual_seed(3))}
        make_trainer(tmp_path / name, method, accum=accum, save_every=2, log_every=every).fit()
    logs = [[row for row in read_log(tmp_path / name) if row["kind"] != "speed"] for name in ("at-once", "later")]
    assert logs[0] == logs[1] and [row["kind"] for row in logs[0]].count("step") == 9
    assert (tmp_path / "at-once" / NAME).read_bytes() == (tmp_path / "later" / NAME).read_bytes()


@pytest.mark.parametrize("nan_at", [3, 4, 5])
def test_nan_that_is_read_later_reaches_no_file(tmp_path: Path, nan_at: int) -> None:
    make_trainer(tmp_path / "whole", Regression(), log_every=10, epochs=1).fit()
    sound = torch.load(tmp_path / "whole" / "checkpoint.pt")["method"]
    batches = EpochBatches(IMAGES, 4, seed=1)
    batches.set(1, nan_at - 3)
    with pytest.raises(StopTraining, match=f"square not finite in epoch 2, step {nan_at}.*last checkpoint is untouched"):
        make_trainer(tmp_path / "broken", Regression(nan_at=nan_at), log_every=10).fit()
    assert torch.load(tmp_path / "broken" / "checkpoint.pt")["method"] == sound
    note = json.loads((tmp_path / "broken" / "nan_batch.json").read_text())
    assert note["images"] == [f"i{draw.index}.jpg" for draw in next(iter(batches))] and note["step"] == nan_at


def test_nan_that_is_read_later_is_met_by_a_save_within_the_epoch(tmp_path: Path) -> None:
    with pytest.raises(StopTraining, match="no checkpoint was saved yet"):
        make_trainer(tmp_path, Regression(nan_at=0), log_every=10, save_every=2).fit()
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_gradient_that_is_read_later_is_refused_before_it_is_saved(tmp_path: Path) -> None:
    method = Regression()
    trainer = make_trainer(tmp_path, method, log_every=10)
    method.offset.register_hook(lambda gradient: gradient * (float("inf") if trainer.step == 1 else 1))
    with pytest.raises(StopTraining, match="the gradient of step 1 is not finite although the loss is; no checkpoint"):
        trainer.fit()
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_gradient_that_is_no_number_spares_the_weights(tmp_path: Path) -> None:
    method = Regression()
    trainer = make_trainer(tmp_path, method)
    method.offset.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(StopTraining, match="gradient"):
        trainer.fit()
    assert weights(method) == [torch.zeros(()), torch.zeros(())]


def test_histograms_count_every_sample_of_an_epoch(tmp_path: Path) -> None:
    method = Regression()
    method.monitor = {"entropy": torch.tensor([0.05, 0.55, 1.0000001, 0.95])}
    make_trainer(tmp_path, method, epochs=1).fit()
    (row,) = [row for row in read_log(tmp_path) if row["kind"] == "epoch"]
    assert row["entropy_histogram"] == [0.25, 0, 0, 0, 0, 0.25, 0, 0, 0, 0.5]


def test_a_statistic_that_is_no_number_stops_nothing_and_is_null_in_the_log(tmp_path: Path) -> None:
    make_trainer(tmp_path, Regression(), epochs=1).fit()
    steps = [row for row in read_log(tmp_path) if row["kind"] == "step"]
    assert all(row["odd"] is None for row in steps)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_before_the_first_step(tmp_path: Path, value: float) -> None:
    method = Regression()
    method.register_buffer("running_var", torch.tensor([1.0, value]))
    with pytest.raises(StopTraining, match="1 of the 3 tensors to start from .running_var.: take other"):
        refuse_broken(method)
    method.running_var = torch.tensor([1.0, -1.0])
    with pytest.raises(StopTraining, match="variance below 0"):
        refuse_broken(method)
    method.running_var = torch.tensor([1.0, 0.0])
    refuse_broken(method)
