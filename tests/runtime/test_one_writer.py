"""Nothing in the product writes a file past runtime/: a kill or a full disk would leave half of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("engine", "tools", "DDT", "datasets", "models", "methods", "losses")
METHODS = {"write_text", "write_bytes", "touch", "rmtree", "copy", "copy2", "copyfile", "copytree", "move"}
CALLS = {"os.replace", "os.rename", "os.remove", "os.truncate", "np.save", "np.savez", "np.savez_compressed", "torch.save",
         "figure.savefig", "json.dump", "shutil.copy", "shutil.copy2", "shutil.copyfile", "shutil.rmtree", "shutil.move"}
# Written where nobody reads yet: a draft's writer, a buffer in memory, a map that is renamed when it is full.
ALLOWED = {
    ("models/encoder.py", "torch.save"), ("models/classifiers/file.py", "torch.save"),  # given a draft's path
    ("engine/workflows/linear.py", "torch.save"), ("evaluation/features/store.py", "os.replace"),
    ("DDT/state.py", "np.savez"), ("text/figures.py", "figure.savefig")}  # into memory


def find_writers(path: Path) -> Iterator[str]:
    """Calls that write a file themselves, outside a `lambda draft: ...`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    drafted = {id(node) for one in ast.walk(tree) if isinstance(one, ast.Lambda)
               and [arg.arg for arg in one.args.args] in (["draft"], ["path"]) for node in ast.walk(one)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or id(node) in drafted:
            continue
        name = ast.unparse(node.func)
        modes = [arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant)]
        method = isinstance(node.func, ast.Attribute) and node.func.attr in METHODS - {"copy", "move"}
        opens = name.split(".")[-1] == "open"
        if (name in CALLS or (method and name.split(".")[0] != "runtime")
                or (opens and any(set(str(mode)) & set("wax+") and len(str(mode)) < 4 for mode in modes))):
            yield name


def test_every_file_goes_through_the_one_writer() -> None:
    found = {(path.relative_to(ROOT).as_posix(), name) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")
             for name in find_writers(path)}
    assert found - ALLOWED == set()
