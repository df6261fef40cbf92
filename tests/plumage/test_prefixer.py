"""How imports of our rooms are turned, and that nothing in the rooms imports in a way that could not be."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from plumage.finder import ROOMS, TREE, Prefixer, RoomFinder, locate_cache

ROOT = Path(__file__).resolve().parents[2]
FILES = [path for room in sorted(ROOMS) for path in sorted((ROOT / room).rglob("*.py"))]


@pytest.mark.parametrize(("line", "turned"), [
    ("from models.encoder import Encoder, load_encoder as l", "from plumage.models.encoder import Encoder, load_encoder as l"),
    ("from runtime import files", "from plumage.runtime import files"),
    ("import runtime.files as files", "import plumage.runtime.files as files"),
    ("import datasets", "import plumage.datasets as datasets\nfrom plumage import datasets"),
    ("import os, runtime.files, numpy as np",
     "import os, numpy as np\nimport plumage.runtime.files as runtime\nfrom plumage import runtime"),
    ("from .inner import x", "from .inner import x"), ("from . import models", "from . import models"),
    ("from timm.models import create_model", "from timm.models import create_model"),
    ("import textwrap, modelscope", "import textwrap, modelscope"),
    ("def f():\n    from datasets.files import decode", "def f():\n    from plumage.datasets.files import decode"),
    ("models.x = 'from models import x'", "models.x = 'from models import x'")])
def test_imports_of_rooms_are_turned_and_nothing_else(line: str, turned: str) -> None:
    assert ast.unparse(Prefixer().visit(ast.parse(line))) == turned


def test_lines_stay_where_they_are() -> None:
    tree = Prefixer().visit(ast.parse("x = 1\n\nimport runtime.files\nimport os\n"))
    compile(tree, "file.py", "exec")
    assert [(node.lineno, node.end_lineno) for node in tree.body] == [(1, 1), (3, 3), (3, 3), (4, 4)]


def find_imports_by_name(path: Path) -> Iterator[str]:
    """Calls that import, or look up, a module by a string which names one of ours."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in (
                "import_module", "__import__", "find_spec", "run_module", "resource_filename", "PackageLoader", "files"):
            words = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            yield from (word for word in words if word.partition(".")[0] in ROOMS)
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "sys.modules":
            yield from [ast.unparse(node)] * isinstance(node.slice, ast.Constant)


def test_no_room_imports_another_by_a_string() -> None:
    """Such strings are left as they are: they would find somebody else's package."""
    assert len(FILES) > 300
    assert {path: names for path in FILES if (names := list(find_imports_by_name(path)))} == {}


def test_no_room_imports_what_is_outside_of_all_rooms() -> None:
    """tools/, benchmarks/ and main_*.py are commands, which do not come along."""
    outside = {path.stem for path in ROOT.glob("*.py")} | {"tools", "benchmarks", "tests"}
    for path in FILES:
        names = [node.module for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                 if isinstance(node, ast.ImportFrom) and node.level == 0]
        assert not {name.partition(".")[0] for name in names} & outside, path


def test_every_room_of_the_tree_is_named() -> None:
    commands = {"tools", "benchmarks", "tests", "plumage"}
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} - commands == ROOMS and TREE == ROOT


@pytest.mark.parametrize("name", ["datasets", "models.encoder", "plumage", "plumage.finder", "plumage.tools.embed",
                                  "plumage.models.absent", "plumages.models", "torch"])
def test_other_names_are_none_of_its_business(name: str) -> None:
    assert RoomFinder.find_spec(name) is None


def test_code_is_kept_beside_the_tree_s_own_and_never_over_it() -> None:
    path = str(ROOT / "models" / "encoder.py")
    spec = RoomFinder.find_spec("plumage.models.encoder")
    assert spec.origin == path and spec.cached == locate_cache(path) != importlib.util.cache_from_source(path)
    assert ".opt-plumage" in locate_cache(path) and Path(locate_cache(path)).parent.name == "__pycache__"
