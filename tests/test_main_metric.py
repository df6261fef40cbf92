"""main_metric.py as a user runs it: a run, a run that was interrupted, and messages."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.reference.public_files import write_obdsd
from engine.flags.evaluate.arguments import parse_probe, parse_search
from engine.flags.metric.arguments import parse
from engine.monitor import Monitor
from engine.workflows.build import build
from engine.workflows.linear import run_probe
from engine.workflows.metric.saved import evaluate_saved_embedding
from engine.workflows.metric.system import METRIC
from engine.workflows.retrieval import run_search, write_search
from evaluation.features.subject import open_subject
from models.backbones import build_backbone
from models.encoder import load_encoder
from runtime.errors import ConfigError, WeightsError

ROOT = Path(__file__).resolve().parents[1]
TINY = ["--device", "cpu", "-a", "test_resnet", "--pretrained", "none", "--size", "32", "--batch-size", "8", "--lr", "0.001",
        "--monitor-every", "3", "--precision", "fp32", "--num-workers", "0", "--epochs", "3", "--embed-dim", "8",
        "--OBD-SD", "--loss", "margin", "--pool", "avg+max"]


def run(folder: Path, photos: Path, *words: str) -> dict[str, torch.Tensor]:
    build(METRIC, parse([*TINY, "--root", str(photos), "--results-dir", str(folder), *words]),
          torch.device("cpu")).train()
    return torch.load(folder / "model_last.pth")["state_dict"]


def test_a_run_leaves_an_encoder_numbers_and_can_go_on_after_a_kill(photo_tree: Path, tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", photo_tree, "--save-every", "1")
    row = json.loads((tmp_path / "whole/results.jsonl").read_text())
    assert row["images"] == 12 and row["details"]["classes"] == 1 and row["metrics"]["map"] == 1
    assert row["details"]["protocol"].endswith(", cosine") and row["epoch"] == "last" and row["method"] == "margin+PSD+OBDP(softmax)"
    steps = [json.loads(line) for line in (tmp_path / "whole/log.jsonl").read_text().splitlines()]
    assert any("psd" in line for line in steps) and not any("psd" in line for line in steps if line.get("step") == 1)
    again = parse([*TINY, "--root", str(photo_tree), "--results-dir", str(tmp_path / "whole"), "--evaluate"])
    evaluate_saved_embedding(again, torch.device("cpu"))
    rows = [json.loads(line) for line in (tmp_path / "whole/results.jsonl").read_text().splitlines()]
    assert rows[1]["metrics"] == pytest.approx(rows[0]["metrics"], abs=1e-6)  # the memory format may be another
    assert rows[1]["weights_sha256"] == row["weights_sha256"]
    encoder = load_encoder(tmp_path / "whole/model_last.pth")
    assert encoder.head_pool == "avg+max" and encoder.head.out_features == 8
    args = parse([*TINY, "--root", str(photo_tree), "--results-dir", str(tmp_path / "cut")])
    cut = build(METRIC, args, torch.device("cpu"))
    cut.trainer.logger.start(0)
    cut.trainer.train_epoch(0)
    cut.trainer.finish_epoch(0)
    cut.trainer.batches.set(1)
    cut.trainer.train_step(iter(cut.trainer.loader))
    cut.trainer.save()  # in the middle of the second epoch, where the teacher matters
    cut.trainer.logger.close()
    resumed = run(tmp_path / "cut", photo_tree, "--resume")
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_best_epoch_on_validation_images_is_exact_after_a_kill(
    photo_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Monitor.search
    monkeypatch.setattr(Monitor, "search", lambda self, method: search(self, method) | {"val_map_head": next(looks)})
    words = ("--select", "best-val", "--select-by", "map", "--use-tv-split", "--tv-split-by-samples", "--tv-split-perc",
             "0.5", "--monitor-every", "1", "--lr", "0.02")
    looks = iter([0.5, 0.75, 0.625] * 2)  # the kill comes after the best one, so that it is the saved one that counts
    run(tmp_path / "whole", photo_tree, *words)
    args = parse([*TINY, "--root", str(photo_tree), "--results-dir", str(tmp_path / "cut"), *words])
    cut = build(METRIC, args, torch.device("cpu"))
    cut.trainer.logger.start(0)
    for epoch in range(2):
        cut.trainer.train_epoch(epoch)
        cut.trainer.finish_epoch(epoch)
    cut.trainer.logger.close()
    run(tmp_path / "cut", photo_tree, "--resume", *words)
    log = [json.loads(line) for line in (tmp_path / "whole/log.jsonl").read_text().splitlines()]
    assert [line["val_map_head"] for line in log if line["kind"] == "epoch"] == [0.5, 0.75, 0.625]
    rows = {}
    for name in ("whole", "cut"):
        files = [torch.load(tmp_path / name / file) for file in ("model_best.pth", "model_last.pth")]
        assert json.loads(files[0]["meta"])["epoch"] == 2 and json.loads(files[1]["meta"])["epoch"] == 3
        assert any(not torch.equal(files[0]["state_dict"][key], files[1]["state_dict"][key])
                   for key in files[0]["state_dict"])
        rows[name] = json.loads((tmp_path / name / "results.jsonl").read_text())
        assert rows[name]["epoch"] == "best-val"
        assert rows[name]["selection"].startswith("epoch 2, the best by val_map_head (0.75")
    assert rows["whole"]["metrics"] == rows["cut"]["metrics"]
    assert rows["whole"]["weights_sha256"] == rows["cut"]["weights_sha256"]
    evaluate_saved_embedding(parse([*TINY, "--root", str(photo_tree), "--results-dir", str(tmp_path / "cut"), *words, "--evaluate"]),
                             torch.device("cpu"))
    again = json.loads((tmp_path / "cut/results.jsonl").read_text().splitlines()[1])
    assert again["weights_sha256"] == rows["cut"]["weights_sha256"] and again["selection"] == "model_best.pth of the run"
    with pytest.raises(ConfigError, match="monitor-every-to-select was 1 and is 2 now"):
        run(tmp_path / "cut", photo_tree, "--resume", *words, "--monitor-every", "2")


def test_other_options_run(photo_tree: Path, tmp_path: Path) -> None:
    run(tmp_path / "a", photo_tree, "--loss", "proxynca", "--data-sampler", "without-replacement", "--epochs", "1",
        "--use-tv-split", "--tv-split-by-samples", "--noisy-label", "--noisy-ratio", "0.5", "--augmentation", "adv",
        "--normalize", "false")
    assert json.loads((tmp_path / "a/results.jsonl").read_text())["details"]["protocol"].endswith(", euclid")
    rows = [json.loads(line) for line in (tmp_path / "a/log.jsonl").read_text().splitlines()]
    assert any("val_rank1_head" in row for row in rows)


def test_retrieval_and_probe_take_the_network_of_a_run(
    photo_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(tmp_path / "mine", photo_tree, "--epochs", "1", "--normalize", "false")
    words = ["--pretrained", "mine", "--device", "cpu", "--num-workers", "0", "--feature", "head"]
    args = parse_search(words)
    search = run_search(open_subject(args, torch.device("cpu"), 8), args)
    assert (search.subject.root, search.subject.view.size, len(search.images)) == (photo_tree, 32, 12)
    assert not search.subject.encoder.unit_head and search.subject.encoder.head_pool == "avg+max"
    write_search(search, Path(args.results_dir), args)  # makes checkpoints/mine, which must not hide the run
    args = parse_probe([*words, "--epochs", "2"])
    probe = run_probe(open_subject(args, torch.device("cpu"), 8), args)
    assert probe.subject.view.source == "full"  # trained without crops


def test_the_run_that_resume_names_is_the_one_that_is_measured(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "model_last.pth")
    (tmp_path / "args.json").write_text(json.dumps({"size": 32, "root": str(tmp_path)}))
    args = parse(["--evaluate", "--resume", str(tmp_path)])
    assert args.run == str(tmp_path / "model_last.pth") and args.results_dir == str(tmp_path)
    for words in (["--evaluate", "other"], ["--evaluate", "--pretrained-root", "published", "--root", "x"]):
        with pytest.raises(ConfigError, match="name two networks to evaluate"):
            parse([*words, "--resume", str(tmp_path)])


def test_a_finished_run_is_measured_as_it_was_trained(
    photo_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, words = tmp_path / "mine", ["--device", "cpu", "--num-workers", "0"]
    run(mine, photo_tree, "--epochs", "1", "--partition", "3", "--augmentation", "big", "-t", "birds", "--seed", "7")
    shutil.copytree(photo_tree, tmp_path / "moved")
    shutil.copy(mine / "model_last.pth", tmp_path / "net.pth")
    for asked in (["--evaluate", str(mine)], ["--evaluate", "--results-dir", str(mine), "--size", "32", "-b", "4"],
                  ["--evaluate", str(mine), "--root", str(tmp_path / "moved"), "--loss", "margin"],
                  ["--evaluate", str(tmp_path / "net.pth"), "--root", str(photo_tree), "--results-dir", str(mine)]):
        evaluate_saved_embedding(parse([*words, *asked]), torch.device("cpu"))
    rows = [json.loads(line) for line in (mine / "results.jsonl").read_text().splitlines()]
    assert len(rows) == 5 and "no args.json beside" in capsys.readouterr().err
    for row in rows:
        assert row["metrics"] == pytest.approx(rows[0]["metrics"], abs=1e-6)
        assert {name: row[name] for name in ("task", "size", "view", "seed", "method", "dataset_sha256", "epoch")} == {
            "task": "birds", "size": 32, "view": "short-exact", "seed": 7, "method": "margin+PSD+OBDP(softmax)",
            "dataset_sha256": rows[0]["dataset_sha256"], "epoch": "last"}
        assert row["details"]["partition"] == 3
    with pytest.raises(ConfigError) as caught:
        parse([*words, "--evaluate", str(mine), "--size", "64", "--partition", "1", "--loss", "triplet", "-a",
               "test_resnet_normalize"])
    assert all(line in str(caught.value) for line in (
        "--size is 64", "--partition is 1", "was trained with 3", "--loss is triplet", "--pool is avg by --arch"))
    (photo_tree / "train" / "000.New").mkdir()
    shutil.copytree(photo_tree / "train" / "001.Red_bird", photo_tree / "train" / "000.New", dirs_exist_ok=True)
    with pytest.raises(ConfigError, match="classes that it knows might be searched as unseen"):
        evaluate_saved_embedding(parse([*words, "--evaluate", str(mine)]), torch.device("cpu"))


@pytest.mark.slow
def test_two_processes_train_as_one(photo_tree: Path, tmp_path: Path) -> None:
    run(tmp_path / "one", photo_tree, "--loss", "multisimilarity")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "main_metric.py",
               *TINY, "--loss", "multisimilarity", "--threads", "1", "--root", str(photo_tree)]
    done = subprocess.run([*command, "--results-dir", str(tmp_path / "two")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two = (torch.load(tmp_path / name / "model_last.pth")["state_dict"] for name in ("one", "two"))
    torch.testing.assert_close(two, one, atol=2e-3, rtol=0)
    rows = [(tmp_path / name / "results.jsonl").read_text().splitlines() for name in ("one", "two")]
    assert len(rows[1]) == 1  # the main process writes
    metrics = [json.loads(row[0])["metrics"] for row in rows]
    assert metrics[1]["map"] == pytest.approx(metrics[0]["map"], abs=0.1)


def test_wrong_names_are_refused_before_anything_is_written(photo_tree: Path, tmp_path: Path) -> None:
    single = ["--use-tv-split", "--tv-split-by-samples", "--tv-split-perc", "0.99"]
    for words, message in ((["--loss", "center"], "no loss 'center'"), (["--batch-mining", "parametric"], "debugger"),
                           (["--batch-size", "9"], "groups of 2"), (single, "no class has two images to validate on")):
        with pytest.raises((ConfigError, ValueError), match=message):
            run(tmp_path / "none", photo_tree, *words)
    assert not (tmp_path / "none").exists()


def test_published_networks_are_measured(photo_tree: Path, tmp_path: Path) -> None:
    words = ["--device", "cpu", "--evaluate", "--root", str(photo_tree), "--dataset", "cars196", "--size", "32",
             "--arch", "resnet18_normalize_frozen_double", "--OBD-SD", "--num-workers", "0", "--batch-size", "4",
             "--pretrained-root", str(tmp_path / "published"), "--results-dir", str(tmp_path / "out")]
    with pytest.raises(ConfigError, match="no such network: .*Recall/OBDSD_d128/cars196/net.pth, .*NMI/"):
        evaluate_saved_embedding(parse(words), torch.device("cpu"))
    torch.manual_seed(0)
    for metric in ("Recall", "NMI"):
        folder = tmp_path / "published" / metric / "OBDSD_d128" / "cars196"
        folder.mkdir(parents=True)
        torch.save(write_obdsd("resnet18", 128), folder / "net.pth")
    evaluate_saved_embedding(parse(words), torch.device("cpu"))
    rows = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert [Path(row["weights"]).parts[-4] for row in rows] == ["Recall", "NMI"]
    assert all(row["selection"] == "published: best epoch on the test classes" and not row["epoch"] for row in rows)
    heads = [load_encoder(tmp_path / "published" / metric / "OBDSD_d128" / "cars196" / "net.pth") for metric in
             ("Recall", "NMI")]
    assert all(head.head_pool == "avg+max" for head in heads)  # main_retrieval.py and the others see it too
    file = str(tmp_path / "published/NMI/OBDSD_d128/cars196/net.pth")
    evaluate_saved_embedding(parse(["--evaluate", file, "--root", str(photo_tree), "--size", "32", "--device", "cpu", "--num-workers",
                                    "0", "-a", "resnet18", "--results-dir", str(tmp_path / "one")]), torch.device("cpu"))
    alone = json.loads((tmp_path / "one/results.jsonl").read_text())
    assert alone["metrics"] == pytest.approx(rows[1]["metrics"], abs=1e-6) and alone["selection"] == rows[1]["selection"]
    with pytest.raises(ConfigError, match="--pool is avg, but what is published as OBD-SD was trained with avg.max"):
        parse([*words, "--pool", "avg"])
    assert parse([*words, "--arch", "resnet18"]).pool == "avg+max"
    assert parse([word for word in words if word != "--OBD-SD"][:-4] + words[-4:] + ["--arch", "resnet18"]).pool == "avg"
    assert rows[0]["weights_sha256"] != rows[1]["weights_sha256"] and all("nmi" in row["metrics"] for row in rows)
    plain = build_backbone("resnet18")
    torch.save(plain.net.state_dict(), tmp_path / "out/model_last.pth")
    with pytest.raises(WeightsError, match="no embedding layer"):
        evaluate_saved_embedding(parse([word for word in words if word not in ("--pretrained-root", str(tmp_path / "published"))]),
                                 torch.device("cpu"))


@pytest.mark.slow
def test_the_command_explains_the_missing_space() -> None:
    done = subprocess.run([sys.executable, "main_metric.py", "--root", "x", "--arch", "resnet50_frozen--PSD"],
                          cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "a space is missing" in done.stderr and "Traceback" not in done.stderr


def test_the_script_tells_its_usage() -> None:
    done = subprocess.run([str(ROOT / "run_metric.sh"), "cub", "x", "64", "n", "cpu"], capture_output=True, text=True)
    assert done.returncode == 2 and "usage:" in done.stderr and "128|512" in done.stderr
