"""The requirements files agree: whatever is asked for was tested, with an admitted release; --oldest pins them all."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from runtime.requirements import find_installed, read_requirements, read_tested, release_numbers

ROOT = Path(__file__).resolve().parents[1]
ASKED = [one for name in ("", "-demo", "-tests") for one in read_requirements(ROOT / f"requirements{name}.txt")]


def test_every_package_has_a_tested_release_that_is_admitted() -> None:
    tested = read_tested(ROOT)
    assert [one.name for one in ASKED] == list(tested)
    for one in ASKED:
        assert re.fullmatch(r"\d[\w.]*", tested[one.name]), one.name
        assert not one.oldest or release_numbers(tested[one.name]) >= release_numbers(one.oldest), one.name


def test_lines_are_read_without_comments_options_and_conditions(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("# why\n-r other.txt\na_b[x]>=1.2,<3  # so\nc; platform_system == 'Linux'\n\n")
    assert [(one.name, one.oldest) for one in read_requirements(tmp_path / "r.txt")] == [("a_b", "1.2"), ("c", "")]
    assert read_tested(tmp_path) == {} and find_installed("no-such-package-here") is None


@pytest.mark.parametrize(("version", "numbers"), [
    ("2.14.1+cpu", [2, 14, 1]), ("6.0", [6, 0, 0]), ("1.0.0.post1", [1, 0, 0])])
def test_releases_compare_by_their_numbers(version: str, numbers: list[int]) -> None:
    assert release_numbers(version) == numbers


def test_the_oldest_environment_pins_every_oldest_release() -> None:
    (command,) = re.findall(r"sed .*? requirements\.txt requirements-demo\.txt requirements-tests\.txt", (ROOT / "run_tests.sh").read_text())
    pins = subprocess.run(command, shell=True, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert pins == [f"{one.name}=={one.oldest}" if one.oldest else one.name for one in ASKED]
