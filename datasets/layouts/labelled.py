"""Data sets of supervised recognition as they are distributed, and the list of all their readers."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from datasets.layouts.cars import is_cars, read_cars
from datasets.layouts.listing import Entry, Listing, check_files, make_listing, show_first
from datasets.layouts.tables import read_mat, read_table
from runtime.errors import DataError

DOG_LISTS = ("train_list.mat", "test_list.mat")
FOOD_LISTS = {"train": "train_info.csv", "test": "val_info.csv"}  # the labels of FoodX's own test set are not public


def find_dog_lists(root: Path) -> tuple[Path, ...]:
    """Stanford Dogs' lists that are there, in splits/, in lists/ or beside Images/."""
    folders = (root / "splits", root / "lists", root)
    found = (next((folder / name for folder in folders if (folder / name).is_file()), None) for name in DOG_LISTS)
    return tuple(path for path in found if path is not None)


def is_dogs(root: Path) -> bool:
    """True for an unpacked Stanford Dogs with at least one of its lists."""
    return (root / "Images").is_dir() and bool(find_dog_lists(root))


def read_dogs(root: Path) -> Listing:
    """Stanford Dogs with its own split, keys Images/<folder>/<file>, classes in the order of their folders.

    Raises DataError for a missing list, a damaged one, missing images, or images that are in both lists.
    """
    lists = find_dog_lists(root)
    absent = [name for name in DOG_LISTS if name not in {path.name for path in lists}]
    if absent:
        raise DataError(f"{root}: no {', '.join(absent)} beside the other list; unpack lists.tar again")
    names = {path.name.split("_")[0]: [str(name) for name in read_mat(path, "file_list")] for path in lists}
    both = sorted(set(names["train"]) & set(names["test"]))
    if both:
        raise DataError(f"{root}: {len(both)} images are in both lists ({show_first(both)}); unpack lists.tar again")
    entries = [Entry(root / "Images" / name, f"Images/{name}", name.split("/")[0], split)
               for split, chosen in names.items() for name in chosen]
    return make_listing(root, check_files(entries, lists[0].parent))


def is_food(root: Path) -> bool:
    """True for an unpacked FoodX-251."""
    return any((root / "annot" / name).is_file() for name in FOOD_LISTS.values())


def read_food(root: Path) -> Listing:
    """FoodX-251: train_set/ by train_info.csv, val_set/ by val_info.csv as test; labels are the lists' own numbers.

    Classes are named by class_list.txt, or by their number without it. Raises DataError naming every bad line.
    """
    rows = {split: read_numbered_images(root / "annot" / name) for split, name in FOOD_LISTS.items()
            if (root / "annot" / name).is_file()}
    numbers = {number for chosen in rows.values() for _, number in chosen}
    if not numbers:
        raise DataError(f"{root}/annot: the lists are empty; unpack the data set again")
    names = name_foods(root / "annot" / "class_list.txt", max(numbers) + 1)
    folders = {"train": "train_set", "test": "val_set"}
    entries = [Entry(root / folders[split] / image, f"{folders[split]}/{image}", names[number], split)
               for split, chosen in rows.items() for image, number in chosen]
    return make_listing(root, check_files(entries, root / "annot"), classes=names)


def read_numbered_images(path: Path) -> list[tuple[str, int]]:
    """Image names and class numbers of a list `image_name,label`, with or without that header; raises DataError."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = [(number, [cell.strip() for cell in row]) for number, row in enumerate(csv.reader(file), start=1)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({error}); unpack the data set again") from error
    lines = [(number, row) for number, row in lines if any(row)]
    if lines and len(lines[0][1]) > 1 and lines[0][1][1].lower() in ("label", "class", "class_id"):
        lines = lines[1:]
    bad = [number for number, row in lines if len(row) < 2 or not row[0] or not row[1].isdecimal()]
    if bad:
        raise DataError(f"{path}: line {show_first(bad)} is not `image_name,label` with a whole number as label; "
                        "unpack the data set again")
    repeated = [name for name, times in Counter(row[0] for _, row in lines).items() if times > 1]
    if repeated:
        raise DataError(f"{path}: {len(repeated)} images come twice ({show_first(repeated)}); remove the second lines")
    return [(row[0], int(row[1])) for _, row in lines]


def name_foods(path: Path, count: int) -> tuple[str, ...]:
    """The names of classes 0, 1, ... in lines `<number> <name>`; at least `count`, or their numbers without a list."""
    if not path.is_file():
        return tuple(str(number) for number in range(count))
    table = read_table(path)
    absent = [number for number in range(max(count, len(table))) if str(number) not in table]
    if absent:
        raise DataError(f"{path}: names no class {show_first(absent)}, which the lists use or later lines follow; "
                        "unpack the data set again")
    return tell_apart([str(number) for number in range(len(table))], table)


def is_nabirds(root: Path) -> bool:
    """True for an unpacked NABirds: CUB's lists, over folders that are named by the number of their class."""
    lists = ("images.txt", "train_test_split.txt", "classes.txt")
    if not all((root / name).is_file() for name in lists) or not (root / "images").is_dir():
        return False
    with open(root / "images.txt", encoding="utf-8", errors="replace") as file:
        return file.readline().strip().partition(" ")[2].split("/")[0].isdecimal()


def read_nabirds(root: Path) -> Listing:
    """NABirds with its own split, keys images/<number>/<file>; classes in the order of their folders.

    They have the names of classes.txt, which also names groups of classes that hold no image.
    Raises DataError for lists that do not fit together, or missing images.
    """
    split, names = read_split_files(root), read_table(root / "classes.txt")
    folders = sorted({name.split("/")[0] for name in split})
    numbers = [str(int(folder)) if folder.isdecimal() else folder for folder in folders]
    unnamed = [number for number in numbers if number not in names]
    if unnamed:
        raise DataError(f"{root}/classes.txt: names no class {show_first(unnamed)}; unpack the data set again")
    classes = dict(zip(folders, tell_apart(numbers, names)))
    entries = [Entry(root / "images" / name, f"images/{name}", classes[name.split("/")[0]], part)
               for name, part in split.items()]
    return make_listing(root, check_files(entries, root / "images.txt"), classes=list(classes.values()))


def read_split_files(root: Path) -> dict[str, str]:
    """Image name -> train or test, by the images.txt and train_test_split.txt of CUB and NABirds; raises DataError."""
    names, train = (read_table(root / name) for name in ("images.txt", "train_test_split.txt"))
    unsplit = sorted(names.keys() ^ train.keys())
    if unsplit:
        raise DataError(f"{root}: images.txt and train_test_split.txt differ on image {show_first(unsplit)}; "
                        "unpack it again")
    return {name: "train" if train[number] == "1" else "test" for number, name in names.items()}


def tell_apart(numbers: Sequence[str], names: dict[str, str]) -> tuple[str, ...]:
    """The classes' names in the order of `numbers`; those that several classes bear have their number added."""
    times = Counter(names[number] for number in numbers)
    return tuple(names[number] if times[names[number]] == 1 else f"{names[number]} [{number}]" for number in numbers)


def is_cub(root: Path) -> bool:
    """True for an unpacked CUB-200-2011."""
    lists = ("images.txt", "train_test_split.txt")
    return all((root / name).is_file() for name in lists) and (root / "images").is_dir()


def read_cub(root: Path) -> Listing:
    """A raw CUB-200-2011 tree: the official split, keys images/<class>/<file>, classes named as their folders."""
    entries = [
        Entry(root / "images" / name, f"images/{name}", name.split("/")[0], split)
        for name, split in read_split_files(root).items()
    ]
    return make_listing(root, check_files(entries, root / "images.txt"))


def variant_folder(root: Path) -> Path | None:
    """The folder of FGVC-Aircraft's variant lists (`root` or its data/), None for another layout."""
    for folder in (root, root / "data"):
        if (folder / "images_variant_trainval.txt").is_file() or (folder / "images_variant_test.txt").is_file():
            return folder
    return None


def read_aircraft(root: Path) -> Listing:
    """A raw FGVC-Aircraft-2013b tree by variant: trainval is train; slashes leave the class names."""
    folder = variant_folder(root)
    assert folder is not None, f"{root} has no variant lists"
    entries = []
    for split, name in (("train", "images_variant_trainval.txt"), ("test", "images_variant_test.txt")):
        if not (folder / name).is_file():
            continue
        for image, variant in read_table(folder / name).items():
            path = folder / "images" / f"{image}.jpg"
            entries.append(Entry(path, path.relative_to(root).as_posix(), variant.replace("/", ""), split))
    return make_listing(root, check_files(entries, folder))


# Whether a folder has a layout, and its reader. Tried in this order, so that a layout which is recognised by less comes
# after one which has the same files and more: NABirds before CUB.
READERS: tuple[tuple[Callable[[Path], object], Callable[[Path], Listing]], ...] = (
    (is_cars, read_cars),
    (is_dogs, read_dogs),
    (is_food, read_food),
    (is_nabirds, read_nabirds),
    (is_cub, read_cub),
    (variant_folder, read_aircraft),
)
