"""run_train.sh guided by text, with CLIP's real architecture and random weights: one step, then a search by words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
CSV = "class name,description\nBlue bird,Blue\nRed bird,Red all over\nGreen bird,Green back\n"


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory, save_openai_archive: Callable) -> Path:
    """ViT-B-16.pt as OpenAI packs it, with random weights."""
    import open_clip

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("openai") / "ViT-B-16.pt"
    save_openai_archive(open_clip.create_model("ViT-B-16-quickgelu", load_weights=False), path)
    return path


def run(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    places = os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])
    env = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "PYTHONPATH": places}
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, cwd=cwd, env=env)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["tensor", "csv"])
def test_one_step_under_openais_vit_and_a_search_by_words(text: str, vit: Path, photo_tree: Path, tmp_path: Path) -> None:
    source = tmp_path / f"{tmp_path.name}-{text}.csv"
    source.write_text(CSV)
    made = ROOT / "text_description_tensor" / f"{source.stem}_text_tensor.pt"
    try:
        if text == "tensor":
            made = tmp_path / "bird_text_tensor.pt"
            done = run(sys.executable, "-m", "tools.encode_text", source, "--weights", vit, "--out", made, cwd=ROOT)
            assert done.returncode == 0, done.stderr
        flags = ("--teacher-weights", vit, "--crop-root", "none", "-a", "test_resnet", "--pretrained", "none", "--size", "32", "--batch-size", "24",
                 "--epochs", "1", "--num-workers", "0", "--precision", "fp32", "--threads", "1", "--monitor-every", "0", "--results-dir", tmp_path / "run")
        done = run(ROOT / "run_train.sh", "bird", photo_tree, made if text == "tensor" else source, "birds", "3", "cpu", *flags, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        manifest = json.loads(made.with_suffix(".json").read_text())
        assert manifest["shape"] == [3, 512] and manifest["weights_sha256"].endswith("-quickgelu")
    finally:
        if text == "csv":
            made.unlink(missing_ok=True)
            made.with_suffix(".json").unlink(missing_ok=True)
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    steps = [line for line in log if line["kind"] == "step"]
    assert len(steps) == 1 and steps[0]["distill"] > 0
    state = torch.load(tmp_path / "run" / "checkpoint.pt")["method"]
    assert state["guide.prototypes.text.rows"].shape == (3, 512)
    done = run(sys.executable, "-m", "tools.search", photo_tree, "--pretrained", tmp_path / "run", "--text", "red crown, white wing bars",
               "--device", "cpu", "-j", "0", "--cache", "none", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "search" / "query_01.png").is_file()
