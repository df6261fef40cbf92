"""The trees of metric learning's data sets: CUB-200-2011, Cars196 and Stanford Online Products, as they are

distributed and as the public code's archives pack them again (`images/` and, for products, `Info_Files/`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from datasets.layouts.findings import announce, describe_listing
from datasets.layouts.folders.account import Account
from datasets.layouts.folders.meaning import read_part
from datasets.layouts.folders.names import recognise_split
from datasets.layouts.listing import Entry, Listing, Sample, check_files, make_listing, show_first
from datasets.layouts.read import Labels, find_reader, need_root, recognise_layout, settle_labels
from datasets.layouts.tables import read_table
from datasets.walk import LeftOut, is_skipped, read_folder
from runtime.errors import DataError

# Names of the data sets, and of the folder that each is in under a common parent.
FOLDERS = {"cub200": ("cub200", "CUB_200_2011"), "cars196": ("cars196", "stanford_cars"),
           "online_products": ("online_products", "Stanford_Online_Products")}


@dataclass(frozen=True)
class Collection:
    """All labelled images of a data set; `classes` in label order, the first `train_classes` of them for training.

    `train_classes` is None where the data set has no split of its own.
    """

    root: Path
    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    train_classes: int | None = None


def read_collection(root: str | Path, dataset: str | None = None, labels: Labels = "searched") -> Collection:
    """The data set in `root`, or in its folder under `root` when `dataset` names it; any other labelled tree too.

    A tree with train and test folders of the same classes is read whole. What was found is said once a run. Raises
    DataError for a missing folder, missing files, images without labels, or (labels "learned") classes that differ by
    their spelling only.
    """
    root = find_products_root(Path(root).expanduser(), dataset)
    if products_lists(root) is not None:
        return read_products(root)
    found = read_class_folders(root) if holds_class_folders(root) else recognise_layout(root)
    listing = leave_unlabelled(settle_labels(found, labels))
    unlabelled = sum(entry.class_name is None for entry in listing.entries)
    if unlabelled:
        raise DataError(f"{root}: {unlabelled} of {len(listing.entries)} images have no label "
                        f"({describe_listing(listing)}); "
                        "metric learning needs class folders, or a list with a label column")
    announce(listing)
    number: dict[str | None, int] = {name: label for label, name in enumerate(listing.classes)}
    samples = tuple(Sample(entry.path, entry.key, number[entry.class_name]) for entry in listing.entries)
    return Collection(listing.root, samples, listing.classes)


def leave_unlabelled(listing: Listing) -> Listing:
    """The listing without splits that have no labels at all, as competitions hand out their test images."""
    bare = {split for split in listing.splits if not listing.present_classes(split)}
    if len(bare) == len(listing.splits):
        return listing
    left = tuple(LeftOut(entry.path, f"of {entry.split} without labels") for entry in listing.entries
                 if entry.split in bare)
    entries = tuple(entry for entry in listing.entries if entry.split not in bare)
    return replace(listing, entries=entries, left_out=(*listing.left_out, *left))


def find_products_root(root: Path, dataset: str | None) -> Path:
    """`root`, the data set's own folder in it, or the only folder in it that is Stanford Online Products.

    Raises DataError when there is no such folder.
    """
    need_root(root)
    named = [root / name for name in FOLDERS.get(dataset or "", ()) if (root / name).is_dir()]
    if named or not root.is_dir():
        return named[0] if named else root
    inside = visible_folders(root)
    return root / inside[0] if len(inside) == 1 and products_lists(root / inside[0]) is not None else root


def visible_folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, without hidden ones."""
    with os.scandir(folder) as found:
        return sorted(entry.name for entry in found if entry.is_dir() and not is_skipped(entry.name))


def holds_class_folders(root: Path) -> bool:
    """True for the archives of the public code: images/ with a folder for each class, and no list of CUB's."""
    images = root / "images"
    if not images.is_dir() or find_reader(root) is not None:
        return False
    return not any(recognise_split(name) for name in visible_folders(images)) and not any(
        recognise_split(name) for name in visible_folders(root))


def read_class_folders(root: Path) -> Listing:
    """`images/<class>/...` with classes in the order of their names; raises DataError when there is none."""
    folder, account = read_folder(root / "images"), Account()
    if folder.pictures or not folder.holds_pictures():
        raise DataError(f"{root}/images: should hold a folder of images for each class, but "
                        + (f"{show_first([path.name for path in folder.pictures])} lie beside them" if folder.pictures
                           else "holds no image"))
    entries = read_part(folder, root, "train", account)
    return account.complete(make_listing(root, entries), folder)


def products_lists(root: Path) -> Path | None:
    """The folder of Stanford Online Products' lists (`root` or its Info_Files/), None for another data set."""
    return next((folder for folder in (root / "Info_Files", root) if (folder / "Ebay_train.txt").is_file()), None)


def read_products(root: Path) -> Collection:
    """Stanford Online Products with its own split, in the order of its lists.

    Lines are `image_id class_id super_class_id path` below a header; paths start at `root` or at its images/.
    """
    folder, samples, counts = products_lists(root), [], []
    assert folder is not None, f"{root} has no lists of Stanford Online Products"
    base = root / "images" if (root / "images").is_dir() else root
    for name in ("Ebay_train.txt", "Ebay_test.txt"):
        if not (folder / name).is_file():
            raise DataError(f"{folder}: there is no {name} beside the other list; unpack the data set again")
        rows = [line.split() for line in read_table(folder / name).values()][1:]
        wrong = [" ".join(row) for row in rows if len(row) != 3 or not row[0].isdecimal()]
        if wrong:
            raise DataError(f"{folder / name}: lines must be `image_id class_id super_class_id path`, but not "
                            f"{show_first(wrong)}; unpack the data set again")
        samples += [Sample(base / path, (base / path).relative_to(root).as_posix(), int(number) - 1)
                    for number, _, path in rows]
        counts.append(len({int(number) for number, *_ in rows}))
    present = {sample.label for sample in samples}
    if present != set(range(sum(counts))):
        raise DataError(f"{folder}: class ids of the two lists overlap or have gaps; unpack the data set again")
    classes = tuple(str(label + 1) for label in range(sum(counts)))
    entries = [Entry(sample.path, sample.key, classes[sample.known_label],
                     "train" if sample.known_label < counts[0] else "test") for sample in samples]
    check_files(entries, folder)
    announce(Listing(root, tuple(entries), classes, notes=("split by class",)))
    return Collection(root, tuple(samples), classes, counts[0])
