"""Organising: each raw tree lands in train/<class>/ and test/<class>/, or nothing is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from datasets.images import scan
from runtime.errors import ConfigError, DataError
from tools.organize import main

ROOT = Path(__file__).resolve().parents[2]


def put(root: Path, *names: str) -> None:
    """Small images, each of its own colour."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number * 40, 0, 0)).save(root / name)


def write_structs(path: Path, key: str, rows: list[dict[str, object]], **others: object) -> None:
    """A MATLAB file with a struct array, as the devkits have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kinds = [(name, object) for name in rows[0]]
    savemat(path, {key: np.array([tuple(row.values()) for row in rows], dtype=kinds), **others})


def cells(*values: str) -> np.ndarray:
    """A MATLAB cell array of strings."""
    return np.array(values, dtype=object)


def make_cub(root: Path) -> set[str]:
    """Raw CUB-200-2011; returns what organising should give."""
    names = ["001.Black_footed_Albatross/a.jpg", "001.Black_footed_Albatross/b.jpg", "002.Laysan_Albatross/c.jpg"]
    put(root / "images", *names)
    (root / "images.txt").write_text("".join(f"{number} {name}\n" for number, name in enumerate(names, 1)))
    (root / "train_test_split.txt").write_text("1 1\n2 0\n3 1\n")
    return {f"train/{names[0]}", f"test/{names[1]}", f"train/{names[2]}"}


def make_aircraft(root: Path) -> set[str]:
    """Raw FGVC-Aircraft."""
    put(root / "data/images", "1.jpg", "2.jpg", "3.jpg")
    (root / "data/images_variant_trainval.txt").write_text("1 F/A-18\n2 Cessna 172\n")
    (root / "data/images_variant_test.txt").write_text("3 F/A-18\n")
    return {"train/FA-18/1.jpg", "train/Cessna 172/2.jpg", "test/FA-18/3.jpg"}


def make_cars(root: Path) -> set[str]:
    """Stanford Cars with a list for each split; the two splits share file names."""
    put(root, "cars_train/1.jpg", "cars_train/2.jpg", "cars_test/cars_test/1.jpg")
    train = [{"fname": "1.jpg", "class": 2}, {"fname": "2.jpg", "class": 1}]
    write_structs(root / "devkit/cars_train_annos.mat", "annotations", train)
    write_structs(root / "cars_test_annos_withlabels.mat", "annotations", [{"fname": "1.jpg", "class": 2}])
    savemat(root / "devkit/cars_meta.mat", {"class_names": cells("Ram C/V Cargo Van 2012", "AM General Hummer 2000")})
    return {
        "train/AM General Hummer 2000/1.jpg",
        "train/Ram CV Cargo Van 2012/2.jpg",
        "test/AM General Hummer 2000/1.jpg",
    }


def make_old_cars(root: Path) -> set[str]:
    """Stanford Cars with the single list."""
    put(root, "car_ims/000001.jpg", "car_ims/000002.jpg")
    rows = [
        {"relative_im_path": "car_ims/000001.jpg", "class": 1, "test": 0},
        {"relative_im_path": "car_ims/000002.jpg", "class": 2, "test": 1},
    ]
    write_structs(root / "cars_annos.mat", "annotations", rows, class_names=cells("Audi S4", "BMW M3"))
    return {"train/Audi S4/000001.jpg", "test/BMW M3/000002.jpg"}


def make_split_cars(root: Path) -> set[str]:
    """Stanford Cars as train and test folders already."""
    put(root, "train/Audi S4/1.jpg", "test/Audi S4/2.jpg")
    return {"train/Audi S4/1.jpg", "test/Audi S4/2.jpg"}


def make_dogs(root: Path) -> set[str]:
    """Stanford Dogs."""
    names = ["n02085620-Chihuahua/n02085620_1.jpg", "n02085620-Chihuahua/n02085620_2.jpg", "n02111889-Samoyed/n0_3.jpg"]
    put(root / "Images", *names)
    (root / "lists").mkdir()
    savemat(root / "lists/train_list.mat", {"file_list": cells(names[0], names[2])})
    savemat(root / "lists/test_list.mat", {"file_list": cells(names[1])})
    return {f"train/{names[0]}", f"train/{names[2]}", f"test/{names[1]}"}


MAKERS = [
    ("cub", make_cub),
    ("aircraft", make_aircraft),
    ("cars", make_cars),
    ("cars", make_old_cars),
    ("cars", make_split_cars),
    ("dogs", make_dogs),
]


def files(folder: Path) -> set[str]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def run(name: str, source: Path, out: Path, *more: str) -> None:
    """The command."""
    main([name, "--source", str(source), "--out", str(out), *more])


def refuse(name: str, source: Path, out: Path) -> str:
    """The command's refusal."""
    with pytest.raises(DataError) as caught:
        run(name, source, out)
    return str(caught.value)


@pytest.mark.parametrize(("name", "make"), MAKERS)
def test_every_tree(name: str, make: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = make(tmp_path / "raw")
    run(name, tmp_path / "raw", tmp_path / "out")
    assert files(tmp_path / "out") == expected
    trained = sum(target.startswith("train/") for target in expected)
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert table[1][0] == "train" and table[1][2:] == [str(trained)] * 2
    assert len(scan(tmp_path / "out")) == trained


def test_pixels_follow_their_labels(tmp_path: Path) -> None:
    make_cars(tmp_path / "raw")
    run("cars", tmp_path / "raw", tmp_path / "out")
    source = (tmp_path / "raw/cars_test/cars_test/1.jpg").read_bytes()
    assert (tmp_path / "out/test/AM General Hummer 2000/1.jpg").read_bytes() == source


@pytest.mark.parametrize("link", ["none", "hard", "soft"])
def test_links(link: str, tmp_path: Path) -> None:
    make_cub(tmp_path / "raw")
    run("cub", tmp_path / "raw", tmp_path / "out", "--link", link)
    source = tmp_path / "raw/images/001.Black_footed_Albatross/a.jpg"
    target = tmp_path / "out/train/001.Black_footed_Albatross/a.jpg"
    assert target.is_symlink() == (link == "soft") and os.path.samefile(source, target) == (link != "none")
    assert target.read_bytes() == source.read_bytes()


def test_again_is_fine_and_completes(tmp_path: Path) -> None:
    expected = make_cub(tmp_path / "raw")
    run("cub", tmp_path / "raw", tmp_path / "out")
    gone = tmp_path / "out" / sorted(expected)[0]
    gone.rename(gone.with_name(f"{gone.name}.part"))
    run("cub", tmp_path / "raw", tmp_path / "out")
    assert files(tmp_path / "out") == expected


@pytest.mark.parametrize("stranger", ["train/owl/1.jpg", "train/002.Laysan_Albatross/c.jpg"])
def test_other_files_in_the_way(stranger: str, tmp_path: Path) -> None:
    make_cub(tmp_path / "raw")
    put(tmp_path / "out", stranger)
    assert stranger in refuse("cub", tmp_path / "raw", tmp_path / "out")
    assert files(tmp_path / "out") == {stranger}


def test_all_missing_images_are_listed_before_anything_is_written(tmp_path: Path) -> None:
    make_dogs(tmp_path / "raw")
    for path in (tmp_path / "raw/Images/n02085620-Chihuahua").iterdir():
        path.unlink()
    message = refuse("dogs", tmp_path / "raw", tmp_path / "out")
    assert "n02085620_1.jpg" in message and "n02085620_2.jpg" in message and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("cub", ["images.txt", "train_test_split.txt"]),
        ("aircraft", ["images_variant_trainval.txt", "images_variant_test.txt"]),
        ("cars", ["cars_train_annos.mat", "cars_test_annos_withlabels.mat", "cars_meta.mat"]),
        ("dogs", ["train_list.mat", "test_list.mat"]),
    ],
)
def test_all_missing_lists_are_named(name: str, parts: list[str], tmp_path: Path) -> None:
    message = refuse(name, tmp_path, tmp_path / "out")
    assert all(part in message for part in parts)


def test_a_damaged_list(tmp_path: Path) -> None:
    make_dogs(tmp_path / "raw")
    (tmp_path / "raw/lists/test_list.mat").write_bytes(b"not a list")
    assert "test_list.mat" in refuse("dogs", tmp_path / "raw", tmp_path / "out")


def test_an_empty_word_is_no_folder(tmp_path: Path) -> None:
    make_cub(tmp_path / "raw")
    with pytest.raises(ConfigError, match="--out is empty, perhaps a variable"):
        main(["cub", "--source", str(tmp_path / "raw"), "--out", ""])


@pytest.mark.parametrize("flags", [("--ds", "--out"), ("--cub_root", "--output_root"), ("--cub-root", "--output-root")])
def test_older_flags(flags: tuple[str, str], tmp_path: Path) -> None:
    expected = make_cub(tmp_path / "raw")
    main(["cub", flags[0], str(tmp_path / "raw"), flags[1], str(tmp_path / "out")])
    assert files(tmp_path / "out") == expected


@pytest.mark.parametrize("start", [["-m", "tools.organize"], [str(ROOT / "tools/organize.py")]])
def test_starts_as_module_and_as_file(start: list[str], tmp_path: Path) -> None:
    expected = make_cub(tmp_path / "raw")
    command = [sys.executable, *start, "cub", "--source", str(tmp_path / "raw"), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "out") == expected
