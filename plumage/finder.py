"""The rooms of the tree (models/, datasets/, ...) as modules below `plumage`, and nowhere else.

Their files import each other by names that others' packages have too: `from datasets.images import ImageSet`. Here each
file is read where it lies, and its imports of our own rooms are turned into `from plumage.datasets.images import
ImageSet` before it is compiled. So nothing of ours is ever called `datasets` or `models` in somebody's program.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import marshal
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

HERE = Path(__file__).resolve().parent
# The folder of the rooms: this one where pip copied them into it, the one above in a checkout.
TREE = HERE if (HERE / "runtime" / "__init__.py").is_file() else HERE.parent
ROOMS = frozenset({
    "DDT", "datasets", "desk", "engine", "evaluation", "losses", "methods", "models", "runtime", "text"})
# Compiled code is kept beside the tree's own under a name of its own, which changes with what is written here.
TAG = f"plumage{zlib.crc32(Path(__file__).read_bytes()):08x}{sys.flags.optimize or ''}"
HEADER = 16  # bytes of a .pyc before its code (PEP 552): magic number, flags, time and size of the source


class Prefixer(ast.NodeTransformer):
    """`from models.encoder import Encoder` -> `from plumage.models.encoder import Encoder`; other nodes as they are."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        """Absolute imports of our rooms; relative ones stay right by themselves."""
        if node.level == 0 and node.module is not None and is_in_room(node.module):
            node.module = f"plumage.{node.module}"
        return node

    def visit_Import(self, node: ast.Import) -> ast.Import | list[ast.stmt]:
        """`import runtime.files as files` too; without `as`, the room is what gets a name here."""
        bare = [alias.name for alias in node.names if is_in_room(alias.name) and not alias.asname]
        for alias in node.names:
            if is_in_room(alias.name) and alias.asname:
                alias.name = f"plumage.{alias.name}"
        if not bare:
            return node
        rest = [alias for alias in node.names if alias.name not in bare]
        lines: list[ast.stmt] = [ast.Import(rest)] if rest else []
        for name in bare:
            room = name.partition(".")[0]
            # The first brings the inner module in, the second leaves the name as the file expects it.
            lines += [ast.Import([ast.alias(f"plumage.{name}", room)]),
                      ast.ImportFrom("plumage", [ast.alias(room, None)], 0)]
        return [ast.fix_missing_locations(ast.copy_location(line, node)) for line in lines]


class RoomLoader(importlib.machinery.SourceFileLoader):
    """Loads a file of the tree with its imports turned; source, line numbers and `__file__` are those of the file."""

    def get_code(self, fullname: str) -> CodeType:
        """The code, from this loader's own cache where it is newer than the source; never from the tree's own .pyc."""
        path = self.get_filename(fullname)
        facts = self.path_stats(path)
        stamp = b"".join(int(facts[name]).to_bytes(8, "little")[:4] for name in ("mtime", "size"))
        header = importlib.util.MAGIC_NUMBER + bytes(4) + stamp
        cached = locate_cache(path)
        code = self._read(cached, header)
        if code is None:
            code = compile(Prefixer().visit(ast.parse(self.get_data(path), path)), path, "exec", dont_inherit=True)
            if not sys.dont_write_bytecode:
                self.set_data(cached, header + marshal.dumps(code))  # a folder that is not ours to write to is let be
        return code

    def _read(self, cached: str, header: bytes) -> CodeType | None:
        """The kept code, None where there is none of just this source."""
        try:
            kept = self.get_data(cached)
            code = marshal.loads(kept[HEADER:]) if kept[:HEADER] == header else None
        except (OSError, EOFError, ValueError, TypeError):
            return None
        return code if isinstance(code, CodeType) else None


class RoomFinder:
    """Finds `plumage.<room>` and what lies in it; says nothing of any other name."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Where a module below one of our rooms is; None for every other name, and for a file that is not there."""
        first, _, rest = fullname.partition(".")
        if first != "plumage" or not is_in_room(rest):
            return None
        place = TREE.joinpath(*rest.split("."))
        package = (place / "__init__.py").is_file()
        file = str(place / "__init__.py" if package else place.with_suffix(".py"))
        if not Path(file).is_file():
            return None
        spec = importlib.util.spec_from_file_location(
            fullname, file, loader=RoomLoader(fullname, file),
            submodule_search_locations=[str(place)] if package else None)
        if spec is not None:
            spec.cached = locate_cache(file)
        return spec


def is_in_room(name: str) -> bool:
    """Whether an absolute name such as `datasets.images` begins with one of our rooms."""
    return name.partition(".")[0] in ROOMS


def locate_cache(path: str) -> str:
    """Where the code of a file is kept once its imports are turned."""
    return importlib.util.cache_from_source(path, optimization=TAG)


def install_finder() -> None:
    """Ask RoomFinder before the finders of Python, which would load an installed room with its imports as written."""
    if RoomFinder not in sys.meta_path:
        sys.meta_path.insert(0, RoomFinder)
