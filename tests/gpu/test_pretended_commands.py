"""Every command with `--device cuda` where there is none: no operation mixes devices, no tensor is made on the wrong one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import DDT.__main__
import main_finetune
import main_linear
import main_metric
import main_pretrain
import main_retrieval
from models.attention import RationaleBranch
from models.backbones import build_backbone
from models.encoder import Encoder, save_encoder
from models.heads import ProjectionHead
from tests.gpu.pretend import Host, pretend_cuda
from tools import embed, heatmap

CUDA = ["--device", "cuda", "--num-workers", "0", "--threads", "1"]
STEPS = ["--epochs", "1", "--batch-size", "4", "--precision", "fp32"]
SMALL = [*CUDA, *STEPS, "-a", "test_resnet", "--pretrained", "none", "--size", "32", "--monitor-every", "1"]
PRETRAIN = [*SMALL, "--crop-root", "none", "--cache", "none"]
TEACHER = [*PRETRAIN, "--teacher", "test_resnet", "--teacher-weights", "none", "--teacher-size", "32", "--prototypes",
           "4", "--teacher-precision", "fp32"]
METRIC = [*SMALL, "--embed-dim", "8"]
FINETUNE = [*CUDA, *STEPS, "--model", "test_resnet", "--finetune", "none", "--size", "32", "--eval-freq", "1"]
TAPS = ["--num-selects", "20", "8", "3", "1", "--fpn-size", "16", "--size", "64", "--taps", "layer1", "layer2", "layer3", "layer4"]

Call = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = [pytest.mark.filterwarnings("ignore:teacher"), pytest.mark.filterwarnings("ignore:.*pin_memory")]


@pytest.fixture
def host() -> Iterator[Host]:
    with pretend_cuda() as host:
        yield host


def check(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("words", [
    TEACHER, [*TEACHER, "--teacher-view", "augmented", "--precision", "fp16", "--balance", "1"],
    [*TEACHER, "--recipe", "seed", "--moco-k", "64", "--precision", "bf16", "--gradient-every", "2"],
    [*PRETRAIN, "--method", "moco", "--accum-steps", "2", "--optimizer", "lars"],
    [*PRETRAIN, "--method", "byol", "--projector-hidden", "16"], [*PRETRAIN, "--method", "lcr-moco", "--size", "64"],
    [*PRETRAIN, "--method", "lcr-byol", "--size", "64", "--projector-hidden", "16"]], ids=" ".join)
def test_pretraining(host: Host, call_main: Call, photo_tree: Path, tmp_path: Path, words: list[str]) -> None:
    check(call_main(main_pretrain.main, "--root", photo_tree, "--results-dir", tmp_path / "run", *words))


@pytest.mark.parametrize("words", [
    ["--loss", "margin"], ["--OBD-SD", "--loss", "multisimilarity", "--precision", "bf16"], ["--loss", "triplet"]], ids=" ".join)
def test_metric_learning(host: Host, call_main: Call, photo_tree: Path, tmp_path: Path, words: list[str]) -> None:
    check(call_main(main_metric.main, "--root", photo_tree, "--results-dir", tmp_path / "run", *METRIC, "--epochs", "2", *words))


@pytest.mark.parametrize("words", [
    ["--method", "teacher", "--mixup", "0.8", "--cutmix", "1", "--model-ema", "--precision", "bf16"],
    ["--method", "pim", *TAPS, "--precision", "fp16"]], ids=" ".join)
def test_finetuning_and_the_report(host: Host, call_main: Call, photo_tree: Path, tmp_path: Path, words: list[str]) -> None:
    check(call_main(main_finetune.main, "--root", photo_tree, "--results-dir", tmp_path / "run", *FINETUNE, *words))
    check(call_main(main_finetune.main, "--root", photo_tree, "--eval", tmp_path / "run", *CUDA))


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A file of a small network with head and rationale branch."""
    network = Encoder(build_backbone("test_resnet"), ProjectionHead(96, 96, 8), RationaleBranch(96, 4))
    save_encoder(network, tmp_path / "model.pth", {"size": 32})
    return tmp_path / "model.pth"


@pytest.mark.parametrize("words", [
    ["--feature", "backbone"], ["--feature", "masked", "--centre"]], ids=" ".join)
def test_retrieval(encoder: Path, host: Host, call_main: Call, photo_tree: Path, words: list[str]) -> None:
    check(call_main(main_retrieval.main, "--root", photo_tree, "--pretrained", encoder, *CUDA, *words))


def test_linear_probe(encoder: Path, host: Host, call_main: Call, photo_tree: Path) -> None:
    check(call_main(main_linear.main, "--root", photo_tree, "--pretrained", encoder, "--input", "full", "--lr", "1", "--hold-out",
                    "0", *CUDA))


def test_crops(host: Host, call_main: Call, photo_tree: Path, tmp_path: Path) -> None:
    check(call_main(DDT.__main__.main, "--root", photo_tree, "--out", tmp_path / "crops", "-a", "test_resnet", "--pretrained", "none",
                    "--size", "64", *CUDA))


def test_embeddings_search_and_heat_maps(encoder: Path, host: Host, call_main: Call, photo_tree: Path, tmp_path: Path) -> None:
    check(call_main(embed.main, photo_tree, "--out", tmp_path / "embedded", "--pretrained", encoder, *CUDA))
    check(call_main(heatmap.main, "--root", photo_tree, "--out", tmp_path / "heat", "--pretrained", encoder, *CUDA))
