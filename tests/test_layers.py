"""The house rules that a machine can check: who imports whom, what a function's length is, what a script may look like."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("DDT", "models", "losses", "methods", "datasets", "evaluation", "text", "engine", "desk", "runtime", "tools",
            "benchmarks", "plumage")
NETWORKS = {"methods", "models", "losses", "datasets"}
# What each room may import besides itself and runtime; a room within a room that is not named here follows the outer one.
LAW = {
    "runtime": set(),
    "runtime/processes": set(),
    "losses": set(),
    "models": set(),
    "models/weights": {"models.arch_names"},
    "datasets": set(),
    "datasets/views": {"datasets.files"},
    "datasets/sampling": set(),
    "datasets/tars": {"datasets.walk", "datasets.suffixes"},
    "datasets/layouts": {"datasets.walk", "datasets.suffixes", "datasets.files", "datasets.tars"},
    "methods": NETWORKS,
    "DDT": {"models", "datasets"},
    "evaluation": NETWORKS,
    "evaluation/metrics": NETWORKS,
    "evaluation/features": {*NETWORKS, "evaluation.ledger", "evaluation.options", "evaluation.run_record", "evaluation.metrics"},
    "evaluation/labelfree": {*NETWORKS, "evaluation.metrics"},
    "evaluation/reports": {*NETWORKS, "evaluation.ledger", "evaluation.options", "evaluation.metrics"},
    "evaluation/retrieval": {*NETWORKS, "evaluation.ledger", "evaluation.options", "evaluation.run_record", "evaluation.metrics",
                             "evaluation.features", "evaluation.reports"},
    "evaluation/collections": {*NETWORKS, "evaluation.options", "evaluation.metrics", "evaluation.features"},
    "evaluation/classifier": {*NETWORKS, "evaluation.ledger", "evaluation.options", "evaluation.run_record", "evaluation.metrics",
                              "evaluation.features", "evaluation.reports"},
    "evaluation/sorting": {*NETWORKS, "evaluation.metrics", "evaluation.features", "evaluation.reports"},
    "evaluation/audit": {*NETWORKS, "evaluation.metrics", "evaluation.features", "evaluation.reports", "evaluation.sorting"},
    "evaluation/atlas": {*NETWORKS, "evaluation.image_log", "evaluation.metrics", "evaluation.reports", "evaluation.sorting",
                         "evaluation.audit"},
    "evaluation/library": {*NETWORKS, "evaluation.options", "evaluation.run_record", "evaluation.metrics",
                           "evaluation.features", "evaluation.classifier"},
    "evaluation/heatmaps": {*NETWORKS, "evaluation"},
    "text": {*NETWORKS, "evaluation"},
    "engine": {*NETWORKS, "evaluation", "engine.gradients"},
    "engine/gradients": NETWORKS,
    "engine/flags": {*NETWORKS, "evaluation", "text", "engine.options"},
    "engine/workflows": {*NETWORKS, "evaluation", "text", "engine"},
    "engine/workflows/export": {*NETWORKS, "evaluation", "engine.flags"},  # imported by tools/export.py alone
    "desk": {"DDT", "models", "datasets", "evaluation", "engine"},
    "desk/search": {"DDT", "models", "datasets", "evaluation", "engine", "desk.album", "desk.boxes", "desk.web"},
    "plumage": set(),  # the rooms only as plumage.<room>: it hands on what programs of others may call
}
LOOP = tuple(f"engine.{path.stem}" for path in (ROOT / "engine").glob("*.py"))
# Names that several files may define, for everybody expects them there: what a command is called by, and the sides that
# benchmarks compare, ours and the plain one, with their limit.
SHARED = {"main", "parse", "make_parser"}
SHARED_IN_BENCHMARKS = {"guard", "make_ours", "make_reference", "run_ours", "run_plain"}
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


def imports_at_start(path: Path) -> Iterator[str]:
    """Full names of the modules that are imported with a file: not within functions, not for type checkers alone."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
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


def find_room(path: Path) -> str | None:
    """The innermost room of the law that a file lies in; None for commands."""
    place = path.relative_to(ROOT).as_posix()
    return max((room for room in LAW if place.startswith(f"{room}/")), key=len, default=None)


def list_allowed(room: str) -> set[str]:
    """What files of a room may import: itself, runtime, and what stands below it."""
    itself = {room.replace("/", ".")}
    if room == "engine":  # the loop's parts know neither flags nor workflows
        itself = set(LOOP)
    elif room == "evaluation":  # the ledger and the record of a run know none of what is measured
        itself = {f"evaluation.{path.stem}" for path in (ROOT / "evaluation").glob("*.py")}
    return itself | LAW[room] | ({"runtime"} if room != "losses" else set())


@pytest.mark.parametrize("room", LAW)
def test_rooms_import_downwards_only(room: str) -> None:
    commands = {ROOT / "DDT" / "__main__.py"}
    files = [path for path in product_files() if find_room(path) == room and path not in commands]
    assert files, f"{room} is empty"
    for path in files:
        wrong = [name for name in imports(path) if own(name) and not allowed(name, list_allowed(room))]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_rooms_that_import_each_other_are_one_room() -> None:
    """No two sibling folders import in both directions."""
    reached: dict[tuple[str, str], str] = {}
    for path in product_files():
        here = path.relative_to(ROOT).parent.as_posix().replace("/", ".")
        for name in filter(own, imports(path)):
            there = name.rpartition(".")[0]
            if (ROOT / there.replace(".", "/")).is_dir() and there != here and here.count(".") == there.count(".") > 0:
                reached.setdefault((here, there), f"{path.relative_to(ROOT)} imports {name}")
    both = [(one, reached[pair[::-1]]) for pair, one in reached.items() if pair[::-1] in reached and pair < pair[::-1]]
    assert not both


def test_no_file_imports_itself_by_way_of_others() -> None:
    """Whichever module is imported first, all of its names are there."""
    module = {path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."): path for path in product_files()}
    edges = {name: {other for other in imports_at_start(path) if other in module} for name, path in module.items()}
    while leaves := [name for name, others in edges.items() if not others]:
        edges = {name: others.difference(leaves) for name, others in edges.items() if others}
    assert not edges, f"these import each other in a circle, or import such: {sorted(edges)}"


def test_folders_hold_few_files_and_prefixes_are_folders() -> None:
    folders = {path.parent for path in product_files()} - {ROOT}
    for folder in folders:
        names = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
        assert len(names) <= (18 if folder == ROOT / "tools" else 15), f"{folder.relative_to(ROOT)}: {len(names)} files"
        if folder == ROOT / "tools":  # its files are commands, and their names are the users'
            continue
        prefixes = [name.partition("_")[0] for name in names if "_" in name and not name.startswith("_")]
        twice = {prefix for prefix in prefixes if prefixes.count(prefix) > 1}
        assert not twice, f"{folder.relative_to(ROOT)}: {sorted(twice)} are folders"


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
    assert doors == ["models/teachers/pretrained_clip.py"]


def test_a_name_means_one_thing() -> None:
    """No public function or class at a file's top level has the name of another file's.

    The plain transcriptions under benchmarks/reference/ speak of the same things as what they transcribe.
    """
    places: dict[str, set[str]] = {}
    for path in product_files():
        place = path.relative_to(ROOT).as_posix()
        if place.startswith("benchmarks/reference/"):
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                places.setdefault(node.name, set()).add(place)
    twice = {name: sorted(files) for name, files in places.items() if len(files) > 1 and name not in SHARED}
    wrong = {name: files for name, files in twice.items()
             if name not in SHARED_IN_BENCHMARKS or not all(place.startswith("benchmarks/") for place in files)}
    assert not wrong, "these names are defined twice; give each its own"


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
