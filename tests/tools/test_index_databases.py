"""tools.index --to a database, as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.collections.lance import hide_own_datasets
from runtime.errors import ConfigError
from tools import embed, index

SMALL = ["--pretrained", "none", "--arch", "resnet18", "--size", "32", "-j", "0", "-b", "4", "--device", "cpu",
         "--cache", "none"]


def test_a_table_follows_a_folder(photo_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with hide_own_datasets():
        lancedb = pytest.importorskip("lancedb", reason="--to lancedb is by lancedb")
    out, words = tmp_path / "out", ["--to", "lancedb", "--url", str(tmp_path / "base"), "--table", "birds"]

    def run() -> str:
        embed.main([str(photo_tree), "--out", str(out), "--to", "npy", "--shard-size", "5", *SMALL])
        capsys.readouterr()
        index.main([str(out), *words])
        return capsys.readouterr().out.strip()

    assert run() == "lancedb, table birds: 12 rows; 12 added, 0 changed, 0 removed, 0 kept"
    assert run() == "lancedb, table birds: 12 rows; 0 added, 0 changed, 0 removed, 12 kept"
    next((photo_tree / "test").glob("*/*.jpg")).unlink()
    assert run() == "lancedb, table birds: 11 rows; 0 added, 0 changed, 1 removed, 11 kept"
    table = lancedb.connect(str(tmp_path / "base")).open_table("birds")
    row = table.search().limit(1).to_list()[0]
    nearest = table.search(row["vector"]).distance_type("cosine").limit(2).to_list()
    assert nearest[0]["path"] == row["path"] and nearest[0]["_distance"] == pytest.approx(0, abs=1e-5)
    assert not list(out.glob("index-*"))


def test_what_is_missing_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.requirements.find_installed", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        index.main([str(tmp_path), "--to", "qdrant", "--index", "ivf", "--queries", "9"])
    told = str(caught.value)
    assert 'pip install "qdrant-client"' in told and "--to qdrant needs --url" in told
    assert "--index is of indices in files" in told and "--queries is of indices in files" in told
