"""The house rules that a machine can check: who imports whom, what a function's length is, what a script may look like."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("DDT", "models", "losses", "methods", "datasets", "engine", "runtime", "tools", "benchmarks")
LEAVES = {"losses": {"losses"}, "models": {"models", "runtime"}, "datasets": {"datasets", "runtime"},
          "methods": {"methods", "models", "losses", "datasets", "engine.distributed", "runtime"},
          "engine": {"engine", "methods", "models", "losses", "datasets", "runtime"},
          "DDT": {"DDT", "models", "datasets", "runtime"}, "runtime": {"runtime"}}
FORBIDDEN = {"cv2", "skimage", "pandas", "lightning", "pytorch_lightning", "hydra", "lightly"}


def product_files() -> list[Path]:
    return sorted([*ROOT.glob("main_*.py"), *(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))])


def imports(path: Path) -> Iterator[str]:
    """Full names of the modules that a file imports, also within functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(name: str) -> bool:
    return name.split(".")[0] in (*PACKAGES, *(path.stem for path in ROOT.glob("main_*.py")))


def allowed(name: str, rules: set[str]) -> bool:
    """Whether a module is one of the allowed ones, lies in one, or (an `import a` of `from a import b`) leads to one."""
    return any(name == rule or name.startswith(f"{rule}.") or rule.startswith(f"{name}.") for rule in rules)


@pytest.mark.parametrize("layer", LEAVES)
def test_layers_import_downwards_only(layer: str) -> None:
    commands = {ROOT / "DDT" / "__main__.py"}
    for path in set((ROOT / layer).rglob("*.py")) - commands:
        wrong = [name for name in imports(path) if own(name) and not allowed(name, LEAVES[layer])]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_nothing_imports_commands_or_tools() -> None:
    for path in product_files():
        wrong = [name for name in imports(path) if name.split(".")[0].startswith("main_") or name.split(".")[0] == "tools"]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_unwanted_libraries_stay_out_and_open_clip_has_one_door() -> None:
    doors = []
    for path in product_files():
        tops = {name.split(".")[0] for name in imports(path)}
        assert not tops & FORBIDDEN, path
        doors += [path.relative_to(ROOT).as_posix()] * ("open_clip" in tops)
    assert doors == ["models/teachers.py"]


def test_functions_and_files_stay_short_and_public_ones_are_documented() -> None:
    for path in product_files():
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 250, f"{path} has two ideas in it"
        assert max((len(line) for line in text.splitlines()), default=0) <= 120, path
        tree = ast.parse(text)
        assert ast.get_docstring(tree), f"{path} does not say what it is"
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                assert isinstance(node, ast.ClassDef) or node.end_lineno - node.lineno < 60, f"{path}: {node.name}"
                assert not isinstance(node, ast.FunctionDef) or node.returns is not None or node.name.startswith("_"), (
                    f"{path}: {node.name} does not say what it returns")
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path}: {node.name} has no docstring"


def test_shell_scripts_are_short_strict_and_executable() -> None:
    scripts = sorted(ROOT.glob("run_*.sh"))
    assert len(scripts) >= 6
    for path in scripts:
        text = path.read_text()
        assert "set -euo pipefail" in text and text.count("\n") <= 25, path
        assert path.stat().st_mode & 0o111, path


@pytest.mark.parametrize("script", ["run_ddt.sh", "run_train.sh", "run_linear.sh", "run_retrieval.sh", "run_train_test.sh"])
def test_scripts_called_wrongly_tell_their_usage(script: str) -> None:
    done = subprocess.run([str(ROOT / script), "bird"], capture_output=True, text=True)
    assert done.returncode == 2 and "usage:" in done.stderr and "TASK" in done.stderr


def test_libraries_import_from_the_root_although_our_folders_bear_pypi_names() -> None:
    code = ("import timm, open_clip, torchvision, sklearn, datasets, models, losses, tools\n"
            "from pathlib import Path\n"
            "assert all(Path(m.__file__).parent.parent == Path.cwd() for m in (datasets, models, losses, tools))")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
