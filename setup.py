"""Where setuptools finds the package: the rooms of the tree are laid under plumage/, so that no other name is taken."""

import ast
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def read_rooms() -> list[str]:
    """The rooms that plumage/finder.py finds, without importing it: they stand there once."""
    for node in ast.parse((HERE / "plumage" / "finder.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ROOMS":
            return sorted(ast.literal_eval(node.value.args[0]))  # type: ignore[attr-defined]  # frozenset({...})
    raise SystemExit("plumage/finder.py has no ROOMS")


ROOMS = read_rooms()
INNER = [f"{room}.{name}" for room in ROOMS for name in find_packages(str(HERE / room))]
setup(
    packages=["plumage", *(f"plumage.{name}" for name in sorted([*ROOMS, *INNER]))],
    package_dir={"plumage": "plumage"} | {f"plumage.{room}": room for room in ROOMS},
    package_data={"": ["py.typed", "static/*", "templates/*"]},
)
