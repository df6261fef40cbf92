"""Stanford Cars (Cars196) as it is distributed: MATLAB lists of the images of each split, or of all images."""

from __future__ import annotations

from pathlib import Path

from datasets.layouts.listing import Entry, Listing, check_files, make_listing
from datasets.layouts.tables import read_mat
from runtime.errors import DataError

ALL_CARS, CAR_NAMES = "cars_annos.mat", "cars_meta.mat"
CAR_LISTS = {"train": "cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}


def find_list(root: Path, name: str) -> Path | None:
    """A list in the folder itself or in its devkit/."""
    return next((path for path in (root / name, root / "devkit" / name) if path.is_file()), None)


def is_cars(root: Path) -> bool:
    """True for an unpacked Stanford Cars: a list and a folder of images that it may be of."""
    whole = (root / "car_ims").is_dir() and find_list(root, ALL_CARS) is not None
    return whole or any(find_list(root, name) is not None and (root / f"cars_{split}").is_dir()
                        for split, name in CAR_LISTS.items())


def read_cars(root: Path) -> Listing:
    """Stanford Cars with its own split and classes in its own order; slashes leave the class names.

    car_ims/ goes by the list of all images where both are there, else cars_train/ and cars_test/ by a list each, whose
    classes are named by cars_meta.mat, or by their numbers without it. Raises DataError for missing or damaged lists
    and missing images.
    """
    whole = find_list(root, ALL_CARS)
    if whole is not None and (root / "car_ims").is_dir():
        return _read_whole(root, whole)
    lists = {split: path for split, name in CAR_LISTS.items() if (path := find_list(root, name)) is not None}
    absent = [name for split, name in CAR_LISTS.items() if split not in lists]
    if absent:
        raise DataError(f"{root}: no {', '.join(absent)} in it or its devkit/; download it to there (the "
                        "cars_test_annos.mat of the devkit has no labels)")
    rows = [(split, path, str(row["fname"]), int(row["class"]))
            for split, path in lists.items() for row in _read_structs(path, ("fname", "class"))]
    classes = _name_classes(root, max(number for *_, number in rows))
    entries = [_make_entry(root, _find_photo(root, split, name), classes[number - 1], split)
               for split, _, name, number in rows]
    return make_listing(root, check_files(entries, lists["train"].parent), classes=classes)


def _read_whole(root: Path, path: Path) -> Listing:
    classes = tuple(str(name).replace("/", "") for name in read_mat(path, "class_names"))
    rows = _read_structs(path, ("relative_im_path", "class", "test"))
    _refuse_unnamed(path, classes, max(int(row["class"]) for row in rows))
    entries = [_make_entry(root, root / str(row["relative_im_path"]), classes[int(row["class"]) - 1],
                           "test" if int(row["test"]) else "train") for row in rows]
    return make_listing(root, check_files(entries, path), classes=classes)


def _read_structs(path: Path, fields: tuple[str, ...]) -> list[dict[str, str | int]]:
    """The rows of `annotations` with these fields; raises DataError."""
    rows = read_mat(path, "annotations")
    absent = [field for field in fields if field not in (rows.dtype.names or ())]
    if absent or not len(rows):
        raise DataError(f"{path}: its annotations have no {', '.join(absent) or 'rows'}; unpack it again")
    return [{field: row[field] for field in fields} for row in rows]


def _name_classes(root: Path, count: int) -> tuple[str, ...]:
    path = find_list(root, CAR_NAMES)
    if path is None:
        return tuple(str(number) for number in range(1, count + 1))
    classes = tuple(str(name).replace("/", "") for name in read_mat(path, "class_names"))
    _refuse_unnamed(path, classes, count)
    return classes


def _refuse_unnamed(path: Path, classes: tuple[str, ...], count: int) -> None:
    if len(set(classes)) < count:
        raise DataError(f"{path}: names {len(set(classes))} classes, and there are {count}; unpack it again")


def _find_photo(root: Path, split: str, name: str) -> Path:
    """A photo in cars_train/ or cars_test/, also when the archive was unpacked into a folder of its own name."""
    folder = root / f"cars_{split}"
    nested = folder / folder.name / name
    return nested if nested.is_file() else folder / name


def _make_entry(root: Path, path: Path, class_name: str, split: str) -> Entry:
    return Entry(path, path.relative_to(root).as_posix(), class_name, split)
