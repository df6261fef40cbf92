"""The trees of metric learning's data sets: CUB-200-2011, Cars196 and Stanford Online Products, as they are

distributed and as the public code's archives pack them again (`images/` and, for products, `Info_Files/`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datasets.files import DataError, walk_images
from datasets.images import Sample
from datasets.layouts import is_cub, read_listing
from datasets.listing import show
from datasets.tables import read_table

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


def read_collection(root: str | Path, dataset: str | None = None) -> Collection:
    """The data set in `root`, or in its folder under `root` when `dataset` names it; any other labelled tree too.

    A tree with train and test folders of the same classes is read whole. Raises DataError for a missing folder,
    missing files, or images without labels.
    """
    root = find_root(Path(root).expanduser(), dataset)
    if products_lists(root) is not None:
        return read_products(root)
    if (root / "images").is_dir() and not is_cub(root):
        return read_class_folders(root)
    listing = read_listing(root)
    unlabelled = sum(entry.class_name is None for entry in listing.entries)
    if unlabelled:
        raise DataError(f"{root}: {unlabelled} of {len(listing.entries)} images have no label; metric learning needs "
                        "class folders, or a list with a label column")
    number = {name: label for label, name in enumerate(listing.classes)}
    samples = tuple(Sample(entry.path, entry.key, number[entry.class_name]) for entry in listing.entries)
    return Collection(listing.root, samples, listing.classes)


def find_root(root: Path, dataset: str | None) -> Path:
    """`root`, or the data set's own folder in it; raises DataError when neither is there."""
    if not root.exists():
        raise DataError(f"{root}: no such folder; give the data set's folder, or its parent and --dataset")
    inside = [root / name for name in FOLDERS.get(dataset or "", ()) if (root / name).is_dir()]
    return inside[0] if inside else root


def read_class_folders(root: Path) -> Collection:
    """`images/<class>/...` with classes in the order of their names; files of macOS's archives (`._*`) are no images.

    Raises DataError when there is none.
    """
    paths = [path for path in walk_images(root / "images") if not path.name.startswith("._")
             and not path.relative_to(root).parts[1].startswith("._")]
    keyed = sorted((path.relative_to(root).as_posix(), path) for path in paths)
    loose = [key for key, _ in keyed if key.count("/") < 2]
    if loose or not keyed:
        raise DataError(f"{root}/images: should hold a folder of images for each class, but "
                        + (f"{show(loose)} lie beside them" if loose else "holds no image"))
    classes = tuple(sorted({key.split("/")[1] for key, _ in keyed}))
    number = {name: label for label, name in enumerate(classes)}
    return Collection(root, tuple(Sample(path, key, number[key.split("/")[1]]) for key, path in keyed), classes)


def products_lists(root: Path) -> Path | None:
    """The folder of Stanford Online Products' lists (`root` or its Info_Files/), None for another data set."""
    return next((folder for folder in (root / "Info_Files", root) if (folder / "Ebay_train.txt").is_file()), None)


def read_products(root: Path) -> Collection:
    """Stanford Online Products with its own split, in the order of its lists.

    Lines are `image_id class_id super_class_id path` below a header; paths start at `root` or at its images/.
    """
    folder, samples, counts = products_lists(root), [], []
    base = root / "images" if (root / "images").is_dir() else root
    for name in ("Ebay_train.txt", "Ebay_test.txt"):
        if not (folder / name).is_file():
            raise DataError(f"{folder}: there is no {name} beside the other list; unpack the data set again")
        rows = [line.split() for line in read_table(folder / name).values()][1:]
        wrong = [" ".join(row) for row in rows if len(row) != 3 or not row[0].isdecimal()]
        if wrong:
            raise DataError(f"{folder / name}: lines must be `image_id class_id super_class_id path`, but not "
                            f"{show(wrong)}; unpack the data set again")
        samples += [Sample(base / path, (base / path).relative_to(root).as_posix(), int(number) - 1)
                    for number, _, path in rows]
        counts.append(len({int(number) for number, *_ in rows}))
    present = {sample.label for sample in samples}
    if present != set(range(sum(counts))):
        raise DataError(f"{folder}: class ids of the two lists overlap or have gaps; unpack the data set again")
    classes = tuple(str(label + 1) for label in range(sum(counts)))
    return Collection(root, check_files(tuple(samples), folder), classes, counts[0])


def check_files(samples: tuple[Sample, ...], source: Path) -> tuple[Sample, ...]:
    """The samples, when all their files exist; raises DataError."""
    absent = [sample.key for sample in samples if not sample.path.is_file()]
    if absent:
        raise DataError(f"{source}: {len(absent)} listed images are missing ({show(absent)}); unpack it again")
    return samples
