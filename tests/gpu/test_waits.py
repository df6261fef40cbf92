"""The pretended device refuses what a GPU refuses, and the host waits for it as seldom as is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from datasets.loader import Batch
from engine.flags.finetune.arguments import parse as parse_finetune
from engine.flags.metric.arguments import parse as parse_metric
from engine.flags.pretrain.arguments import parse as parse_pretrain
from engine.workflows.build import build
from engine.workflows.finetune.system import FINETUNE
from engine.workflows.metric.system import METRIC
from engine.workflows.pretrain.system import PRETRAIN
from evaluation.metrics.ranking import rank_columns
from tests.gpu.pretend import CUDA, pretend_cuda

STEPS = 10
COMMON = ["--device", "cpu", "--precision", "fp32", "--num-workers", "0", "--threads", "1", "--epochs", "9", "--batch-size", "2"]
ENCODER = [*COMMON, "-a", "test_resnet", "--pretrained", "none", "--size", "32"]
PRETRAINED = [*ENCODER, "--crop-root", "none", "--cache", "none"]
LEAD = [*PRETRAINED, "--teacher", "test_resnet", "--teacher-weights", "none", "--teacher-size", "32", "--prototypes", "4",
        "--teacher-precision", "fp32"]
PIM = ["--method", "pim", "--num-selects", "20", "8", "3", "1", "--fpn-size", "16", "--size", "64", "--taps", "layer1", "layer2",
       "layer3", "layer4"]
FINETUNED = [*COMMON, "--model", "test_resnet", "--finetune", "none", "--size", "32"]
CASES = {
    "lead": (PRETRAIN, parse_pretrain, LEAD, 3),  # loss and gradient norm, per-image numbers, histogram
    "lead read in every step": (PRETRAIN, parse_pretrain, [*LEAD, "--log-every", "1"], 4 * STEPS),
    "lead in fp16": (PRETRAIN, parse_pretrain, [*LEAD, "--precision", "fp16"], 3 + 2 * STEPS),  # the scaler asks twice
    "lead in balance": (PRETRAIN, parse_pretrain, [*LEAD, "--balance", "1"], 3 + STEPS),  # the next step's factor
    "moco": (PRETRAIN, parse_pretrain, [*PRETRAINED, "--method", "moco"], 1),
    "lcr-byol": (PRETRAIN, parse_pretrain, [*PRETRAINED, "--method", "lcr-byol", "--projector-hidden", "8", "--size", "64"], 1),
    "obd-sd": (METRIC, parse_metric, [*ENCODER, "--OBD-SD", "--loss", "multisimilarity"], 1),
    "margin": (METRIC, parse_metric, [*ENCODER, "--loss", "margin", "--batch-size", "4"], 1 + STEPS),  # how many anchors
    "teacher": (FINETUNE, parse_finetune, FINETUNED, 1),
    "pim": (FINETUNE, parse_finetune, [*FINETUNED, *PIM], 1),
}
pytestmark = [pytest.mark.filterwarnings("ignore:teacher"), pytest.mark.filterwarnings("ignore:.*pin_memory")]


@pytest.mark.parametrize("name", CASES)
def test_how_often_ten_steps_wait(name: str, photo_tree: Path, tmp_path: Path) -> None:
    system, parse, words, expected = CASES[name]
    options = parse([*words, "--root", str(photo_tree), "--results-dir", str(tmp_path / "run")])
    with pretend_cuda() as host:
        trainer = build(system, options, CUDA).trainer
        trainer.logger.start()
        trainer.method.train()
        trainer.step = 4 * trainer.plan.steps_per_epoch  # where teachers of the last epoch and warm-ups have begun
        trainer.batches.set(4, 0)

        def forever() -> Iterator[Batch]:
            while True:
                yield from trainer.loader

        stream = forever()
        trainer.plan = trainer.plan.__class__(**{**vars(trainer.plan), "steps_per_epoch": 1000})
        host.waits.clear()
        for _ in range(STEPS):
            trainer.train_step(stream)
        assert len(host.waits) == expected, Counter(host.waits).most_common()


def test_a_mix_of_devices_is_refused() -> None:
    with pretend_cuda():
        here, there = torch.ones(3), torch.ones(3, device="cuda")
        assert (there * torch.tensor(2.0)).device.type == "cuda"  # a scalar may lie anywhere
        for mixed in (lambda: here + there, lambda: torch.cat([here, there]), lambda: there @ here, lambda: here[there.long()],
                      lambda: torch.where(there > 0, there, here), lambda: there.gather(0, here.long())):
            with pytest.raises(RuntimeError, match="device"):
                mixed()


def test_what_the_host_waits_for_is_counted() -> None:
    with pretend_cuda() as host:
        values = torch.rand(4, device="cuda")
        for ask, count in ((lambda: float(values.sum()), 1), (values.tolist, 1), (lambda: values[values > 0], 1),
                           (lambda: values.nonzero(), 1), (lambda: torch.zeros(4).to("cuda"), 1), (values.cpu, 1),
                           (lambda: torch.zeros(4).to("cuda", non_blocking=True), 0), (lambda: values * 2, 0),
                           (lambda: bool((values > 0).all()), 1), (lambda: values[torch.tensor([0])], 1)):
            host.waits.clear()
            ask()
            assert len(host.waits) == count


def test_ranking_waits_once_for_a_chunk() -> None:
    with pretend_cuda() as host:
        scores, columns = torch.rand(300, 50, device="cuda"), torch.zeros(300, 2, dtype=torch.long, device="cuda")
        assert rank_columns(scores, columns, columns > 0).device.type == "cuda"
        assert len(host.waits) == 1
