"""The code of docs/pim_custom.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "pim_custom.md"


def test_the_guides_code_runs_and_its_first_block_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 3 and blocks[0].count("\n") <= 20
    names: dict[str, object] = {"__name__": "guide"}
    for block in blocks:
        exec(compile(block, str(GUIDE), "exec"), names)
    assert {"layer", "combiner", "dropped"} == set(eval(capsys.readouterr().out))
    assert names["method"].network.levels.shapes["layer3"].positions == 64
