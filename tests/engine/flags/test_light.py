"""`--help` and slips of the keyboard are answered before torch is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HEAVY = {"onnx", "onnxruntime", "torch", "timm", "torchvision", "matplotlib", "sklearn", "scipy", "open_clip", "faiss"}
COMMANDS = ["main_pretrain", "main_metric", "main_finetune", "main_linear", "main_retrieval", "tools.embed",
            "tools.atlas", "tools.audit", "tools.sort", "tools.search", "tools.heatmap", "tools.infer", "tools.evaluate",
            "tools.export", "tools.text_studio", "tools.text_ablation", "tools.encode_text"]
MORE = ["DDT.__main__", "tools.compare", "tools.convert_config", "tools.index", "tools.organize",
        "tools.report", *(f"benchmarks.studies.{name}" for name in ("folds", "naming", "partitions", "study", "trials")),
        *(f"benchmarks.{name}" for name in ("ddt", "evaluate", "finetune_step", "linear", "loader", "metric_step",
                                            "pretrain_step", "retrieval", "sorting"))]
RUN = """
import runpy, sys
sys.path.insert(0, {root!r})
sys.argv = [{module!r}, *{words!r}]
try:
    runpy.run_module({module!r}, run_name="__main__")
except SystemExit as end:
    print("ended with", end.code)
print("imported", *sorted(set(sys.modules) & {heavy!r}))
"""


def run(module: str, *words: str) -> str:
    code = RUN.format(root=str(ROOT), module=module, words=words, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", [*COMMANDS, *MORE])
def test_help_needs_no_torch(module: str) -> None:
    said = run(module, "--help")
    assert "usage: " in said and "--help" in said and "ended with 0" in said
    assert said.splitlines()[-1] == "imported"


@pytest.mark.parametrize("module", COMMANDS[:5])
def test_an_unknown_flag_is_told_without_torch(module: str) -> None:
    said = run(module, "--pretrained", "none", "--no-such-flag")
    assert "ended with 2" in said and said.splitlines()[-1] == "imported"


@pytest.mark.parametrize("module", [name for name in [*COMMANDS, *MORE, "tools.doctor"] if name != "DDT.__main__"])
def test_a_command_starts_as_a_file_from_any_folder(module: str, tmp_path: Path) -> None:
    file = ROOT / f"{module.replace('.', '/')}.py"
    done = subprocess.run([sys.executable, str(file), "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "usage: " in done.stdout, done.stderr
