"""MATLAB lists that a download cut off are named, wherever they end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from datasets.layouts.tables import read_mat
from runtime.errors import DataError


@pytest.mark.parametrize("packed", [False, True])
def test_a_list_cut_off_anywhere_is_named(tmp_path: Path, packed: bool) -> None:
    savemat(tmp_path / "whole.mat", {"labels": np.array(["a", "b"], object)}, do_compression=packed)
    content = (tmp_path / "whole.mat").read_bytes()
    assert read_mat(tmp_path / "whole.mat", "labels").tolist() == ["a", "b"]
    for length in range(len(content) - 8):
        (tmp_path / "cut.mat").write_bytes(content[:length])
        with pytest.raises(DataError, match="cut.mat: not the list it should be.*unpack it again"):
            read_mat(tmp_path / "cut.mat", "labels")
