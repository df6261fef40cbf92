"""What plain folders mean: splits, classes, what only lies around a data set; or that it is ambiguous."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datasets.layouts.findings import describe_left_out
from datasets.layouts.folders.account import Account, is_run, join_names, part_notes, prune_notes
from datasets.layouts.folders.doubts import (
    LIST_REMEDY,
    doubt_labels,
    find_split_names,
    refuse_double,
    refuse_inner_splits,
    refuse_masks,
    split_names,
)
from datasets.layouts.folders.names import (
    NOTES_BESIDE_CONTAINERS,
    UNLABELLED,
    is_container,
    plain_name,
    recognise_split,
)
from datasets.layouts.listing import Entry, Listing, make_listing
from datasets.walk import Folder, LeftOut
from runtime.errors import DataError


def need_pictures(folder: Folder) -> None:
    """Raise DataError, naming what lies there instead, for a folder without a picture."""
    if folder.holds_pictures():
        return
    inside = "; ".join(describe_left_out(folder.all_left_out())).replace("left out: ", "only ") or "it is empty"
    raise DataError(f"{folder.path}: no image found ({inside}); it should hold train/<class>/ and test/<class>/, "
                    "or images")


def unwrap_folder(folder: Folder, account: Account) -> Folder | None:
    """The only folder with pictures, where it is no class and no split but lies around the data set; None elsewhere."""
    kept, notes = part_notes(folder)
    if folder.pictures or len(kept) != 1:
        return None
    only = kept[0]
    is_part = recognise_split(only.path.name) and len(split_names(only)) < 2  # Training/{train,test}/ is no split
    if is_part or (only.pictures and not is_container(only.path.name)):
        return None
    enter(folder, only, notes, account)
    return only


def enter(folder: Folder, only: Folder, notes: Sequence[Folder], account: Account) -> None:
    """Note that the data set is one of a folder's folders."""
    account.entered.append(only.path.name)
    leave(folder, only, account)
    account.drop(notes, "in")


def leave(folder: Folder, only: Folder, account: Account) -> None:
    """Count what lies in a folder around the one that is entered."""
    account.left_out += folder.left_out
    account.left_out += [one for other in folder.folders if other is not only and not other.holds_pictures()
                         for one in other.all_left_out()]


def read_tree(folder: Folder, account: Account) -> Listing:
    """The images of split folders, class folders or a flat folder.

    Raises DataError naming both readings where it could be one or the other.
    """
    splits = find_splits(folder, account)
    if not splits:
        entries = read_part(folder, folder.path, "train", account)
        return account.complete(make_listing(folder.path, entries), folder)
    refuse_inner_splits(folder, list(splits.values()))
    entries = []
    for split, part in splits.items():
        if plain_name(part.path.name) != split:
            account.notes.append(f"{part.path.name}/ is read as {split}")
        entries += read_part(unwrap_split(part, list(splits.values()), account), folder.path, split, account)
    account.left_out += folder.left_out
    account.left_out += [LeftOut(path, "beside the splits") for path in folder.pictures]
    return account.complete(make_listing(folder.path, entries), folder)


def find_splits(folder: Folder, account: Account) -> dict[str, Folder]:
    """The folders of the splits, in order; {} where the folders are classes. Raises DataError where both may be."""
    filled, names = folder.filled(), find_split_names(folder)
    named = [(names[part.path.name], part) for part in filled if part.path.name in names]
    if not named:
        return {}
    others = [part for part in filled if part.path.name not in names]
    notes = [part for part in others if plain_name(part.path.name) in NOTES_BESIDE_CONTAINERS or is_run(part)]
    extra = [part for part in others if part not in notes]
    if extra and not is_split_apart(folder, named, extra, account):
        return {}
    refuse_double(folder, named)
    account.drop(notes, "in")
    account.drop(extra, "beside the splits in")
    account.left_out += [one for other in folder.folders if not other.holds_pictures() for one in other.all_left_out()]
    return {split: part for wanted in ("train", "val", "test") for split, part in named if split == wanted}


def is_split_apart(
    folder: Folder, named: Sequence[tuple[str, Folder]], extra: Sequence[Folder], account: Account
) -> bool:
    """Whether folders named as splits are splits although others lie beside them; raises DataError where unclear."""
    parts, names = [part for _, part in named], {split for split, _ in named}
    nested = any(part.filled() for part in parts)
    if nested and len(names) > 1:
        return True
    flat = not nested and all(other.pictures and not other.filled() for other in extra)
    if flat and len(parts) == 1 and (names in ({"train"}, {"val"}) and len(extra) > 1 or is_antonym(parts[0], extra)):
        account.notes.append(f"{parts[0].path.name}/ is read as a class beside {join_names(extra)}")
        return False
    raise DataError(
        f"{folder.path}: {join_names(parts)} beside {join_names(extra)} can be read in several ways. Either "
        f"{join_names(parts)} is a split and the others are no part of it: then move the others away. Or they are "
        f"splits too: then name them train, val or test. Or all of them are classes: then move all of them into one "
        f"folder named train, {LIST_REMEDY}")


def is_antonym(part: Folder, extra: Sequence[Folder]) -> bool:
    """Whether the only other folder says the opposite: valid/ beside invalid/, or not_valid/."""
    name = plain_name(part.path.name)
    return [plain_name(other.path.name) for other in extra] in ([f"in{name}"], [f"not{name}"])


def unwrap_split(part: Folder, all_parts: Sequence[Folder], account: Account) -> Folder:
    """The folder inside a split's that holds its classes: train/train/, train/images/, or the same way in every one."""
    kept, notes = part_notes(part)
    if part.pictures or len(kept) != 1:
        return part
    only, name = kept[0], plain_name(kept[0].path.name)
    says_nothing = (is_container(only.path.name) or name == plain_name(part.path.name)
                    or recognise_split(only.path.name) or (name in UNLABELLED and not only.filled()))
    if says_nothing or (len(all_parts) > 1 and all(is_wrapped(other) for other in all_parts)):
        account.notes.append(f"entered {part.path.name}/{only.path.name}/")
        leave(part, only, account)
        account.drop(notes, "in")
        return unwrap_split(only, [only], account)
    return part


def is_wrapped(part: Folder) -> bool:
    """Whether a split's folder holds a single folder of folders."""
    filled = part.filled()
    return not part.pictures and len(filled) == 1 and not filled[0].pictures


def read_part(folder: Folder, root: Path, split: str, account: Account) -> list[Entry]:
    """Images of one split: class folders, or loose images without labels."""
    kept, notes = part_notes(folder)
    refuse_masks(folder, kept)
    refuse_inner_splits(folder, kept)
    account.drop(notes, "in")
    kept = [prune_notes(inner, account) for inner in kept]
    empty = [inner for inner in folder.folders if not inner.holds_pictures()]
    account.left_out += [*folder.left_out, *(one for inner in (*kept, *empty) for one in inner.all_left_out())]
    if is_camera(folder):
        account.notes.append("folders in DCIM/ are a camera's, no classes")
    else:
        doubt_labels(folder, kept, account)
    if kept and (bare := [inner for inner in empty if plain_name(inner.path.name) not in NOTES_BESIDE_CONTAINERS]):
        account.notes.append(f"no images in {join_names(bare)}")
    entries = [make_entry(path, root, None, split) for path in folder.pictures]
    for inner in kept:
        name = None if is_camera(folder) else inner.path.name
        entries += [make_entry(path, root, name, split) for path in inner.all_pictures()]
    return entries


def is_camera(folder: Folder) -> bool:
    """Whether a camera made the folders in it, by number or application."""
    return plain_name(folder.path.name) == "dcim"


def make_entry(path: Path, root: Path, class_name: str | None, split: str) -> Entry:
    """An image under its key."""
    return Entry(path, path.relative_to(root).as_posix(), class_name, split)
