"""What a GPU computes is what the CPU computes, within tolerances; each method steps, resumes and mixes formats there.

Skipped without CUDA; `pytest -m gpu tests/gpu` runs these alone. TF32 is off meanwhile, so that float32 is float32.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from datasets.images import scan
from datasets.views.recipes import View
from DDT.descriptors import MapReading, prepare_backbone, stream_maps
from engine import checkpoint
from engine.flags.finetune.arguments import parse as parse_finetune
from engine.flags.metric.arguments import parse as parse_metric
from engine.flags.pretrain.arguments import parse as parse_pretrain
from engine.trainer import Trainer
from engine.workflows.build import System, build
from engine.workflows.finetune.system import FINETUNE
from engine.workflows.metric.system import METRIC
from engine.workflows.pretrain.system import PRETRAIN
from evaluation.features.extract import extract
from evaluation.retrieval.score import retrieve
from models.backbones import build_backbone
from models.encoder import Encoder
from models.heads import ProjectionHead

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
              pytest.mark.filterwarnings("ignore:teacher")]
CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
# Of float32 without TF32: another order of summation, and batch norms that divide by small spreads.
LOSS, WEIGHT = {"rtol": 1e-3, "atol": 1e-4}, {"rtol": 1e-2, "atol": 1e-3}
HALF = {"rtol": 0.1, "atol": 0.1}  # bfloat16 has 8 bits, float16 11
COMMON = ["--precision", "fp32", "--num-workers", "0", "--threads", "1", "--epochs", "2", "--batch-size", "8"]
ENCODER = [*COMMON, "-a", "test_resnet", "--pretrained", "none", "--size", "64"]
PRETRAINED = [*ENCODER, "--crop-root", "none", "--cache", "none", "--monitor-every", "1"]
LEAD = [*PRETRAINED, "--teacher", "test_resnet", "--teacher-weights", "none", "--teacher-size", "64", "--prototypes", "4",
        "--teacher-precision", "fp32"]
PIM = ["--method", "pim", "--num-selects", "20", "8", "3", "1", "--fpn-size", "16", "--taps", "layer1", "layer2", "layer3", "layer4"]
FINETUNED = [*COMMON, "--model", "test_resnet", "--finetune", "none", "--size", "64", "--drop-path", "0"]
METHODS: dict[str, tuple[System, Callable, list[str]]] = {
    "lead": (PRETRAIN, parse_pretrain, LEAD),
    "lead-seed": (PRETRAIN, parse_pretrain, [*LEAD, "--recipe", "seed", "--moco-k", "64"]),
    "lead-remembered": (PRETRAIN, parse_pretrain, [*LEAD, "--teacher-view", "clean"]),
    "moco": (PRETRAIN, parse_pretrain, [*PRETRAINED, "--method", "moco"]),
    "byol": (PRETRAIN, parse_pretrain, [*PRETRAINED, "--method", "byol", "--projector-hidden", "16"]),
    "lcr-moco": (PRETRAIN, parse_pretrain, [*PRETRAINED, "--method", "lcr-moco"]),
    "lcr-byol": (PRETRAIN, parse_pretrain, [*PRETRAINED, "--method", "lcr-byol", "--projector-hidden", "16"]),
    "obd-sd": (METRIC, parse_metric, [*ENCODER, "--OBD-SD", "--loss", "multisimilarity", "--embed-dim", "8"]),
    "margin": (METRIC, parse_metric, [*ENCODER, "--loss", "margin", "--embed-dim", "8"]),
    "teacher": (FINETUNE, parse_finetune, FINETUNED),
    "pim": (FINETUNE, parse_finetune, [*FINETUNED, *PIM]),
}


@pytest.fixture(autouse=True)
def exact_float32() -> Iterator[None]:
    """Neither products nor convolutions in TF32 meanwhile."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def make(name: str, photos: Path, folder: Path, device: torch.device, *more: str) -> Trainer:
    system, parse, words = METHODS[name]
    options = parse([*words, "--device", "cpu", "--root", str(photos), "--results-dir", str(folder), *more])
    return build(system, options, device).trainer


def read_steps(folder: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == "step"]


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in checkpoint.trained_state(trainer.method).items()}


@pytest.mark.parametrize("name", METHODS)
def test_first_losses_are_those_of_the_cpu(name: str, photo_tree: Path, tmp_path: Path) -> None:
    """From the same weights: the guides, too, are made on either device."""
    first = []
    for device in (CPU, CUDA):
        trainer = make(name, photo_tree, tmp_path / device.type, device)
        assert all(value.device.type == device.type for value in trainer.method.state_dict().values())
        trainer.method.train()
        trainer.batches.set(0, 0)
        torch.manual_seed(1)
        loss = trainer.method(next(iter(trainer.loader)).to(device), trainer.clock())
        loss.total.backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in trainer.method.parameters() if p.grad is not None])
        first.append({name: float(value.detach()) for name, value in {"total": loss.total, **loss.parts}.items()} | {"norm": float(norm)})
    assert first[0].keys() == first[1].keys()
    for term, value in first[0].items():
        assert first[1][term] == pytest.approx(value, rel=0.02, abs=1e-3), term


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("name", METHODS)
def test_every_format_trains_and_writes_finite_numbers(name: str, precision: str, photo_tree: Path, tmp_path: Path) -> None:
    trainer = make(name, photo_tree, tmp_path / "run", CUDA, "--precision", precision)
    before = weights(trainer)
    trainer.fit()
    steps = read_steps(tmp_path / "run")
    assert [row["step"] for row in steps] == list(range(1, trainer.plan.steps + 1))
    assert all(row["total"] is not None for row in steps)
    assert any(not torch.equal(before[name], value) for name, value in weights(trainer).items())
    assert any(p.is_contiguous(memory_format=torch.channels_last) and p.dim() == 4 for p in trainer.method.parameters())


@pytest.mark.parametrize("name", ["lead", "obd-sd", "pim"])
def test_a_resumed_run_goes_on_as_the_whole_one(name: str, photo_tree: Path, tmp_path: Path) -> None:
    make(name, photo_tree, tmp_path / "whole", CUDA).fit()
    cut = make(name, photo_tree, tmp_path / "cut", CUDA)
    cut.logger.start()
    cut.train_epoch(0)
    cut.finish_epoch(0)
    cut.logger.close()
    again = make(name, photo_tree, tmp_path / "cut", CUDA, "--resume")
    assert again.step == cut.plan.steps_per_epoch
    again.fit()
    whole, parts = read_steps(tmp_path / "whole"), read_steps(tmp_path / "cut")
    assert [row["step"] for row in parts] == [row["step"] for row in whole]
    for one, other in zip(parts, whole):  # atomics of backward passes: not bit for bit
        assert one["total"] == pytest.approx(other["total"], rel=0.02, abs=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_features_and_their_ranking_are_those_of_the_cpu(precision: str, photo_tree: Path) -> None:
    network = Encoder(build_backbone("test_resnet"), ProjectionHead(96, 96, 8)).eval()
    images, view, rows = scan(photo_tree, "test"), View("full", "eval", 64), []
    for device in (CPU, CUDA):
        twin = copy.deepcopy(network).to(device).to(memory_format=torch.channels_last)
        found = extract(twin.outputs, images, view, device=device, precision="fp32" if device == CPU else precision)
        rows.append(found.tensors["backbone"])
    torch.testing.assert_close(rows[1], rows[0], **(WEIGHT if precision == "fp32" else HALF))
    here, there = (retrieve(rows[0].to(device), images.labels.to(device)) for device in (CPU, CUDA))
    torch.testing.assert_close(there.average_precision.cpu(), here.average_precision.cpu(), rtol=1e-6, atol=1e-6)


def test_maps_of_ddt_are_those_of_the_cpu(photo_tree: Path) -> None:
    samples, maps = scan(photo_tree, "test").samples, []
    for device in (CPU, CUDA):
        torch.manual_seed(0)
        backbone = prepare_backbone(build_backbone("test_resnet", device=device))
        reading = MapReading(size=64, batch_size=4, precision="fp32")
        maps.append(torch.cat([batch.maps.float().cpu() for batch in stream_maps(backbone, reading, device, [samples[:4], samples[4:8]])]))
    torch.testing.assert_close(maps[1], maps[0], **WEIGHT)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_ranks_by_nccl_train_one_network(photo_tree: Path, tmp_path: Path) -> None:
    words = [*PRETRAINED, "--method", "moco", "--device", "cuda", "--root", str(photo_tree), "--results-dir", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "main_pretrain.py",
                           *words], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [row["step"] for row in read_steps(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]


def test_tf32_is_as_torch_has_it() -> None:
    """Convolutions may round to TF32, products may not: rankings depend on their last digits. Nothing here changes it."""
    command = ("import torch, main_pretrain, engine.workflows.pretrain.system, evaluation.features.subject;"
               "print(torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)")
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
