"""Where plain folders can be read in two ways: both readings and the remedy; refused, or only doubted."""

from __future__ import annotations

from collections.abc import Sequence

from datasets.layouts.findings import count_of, name_some
from datasets.layouts.folders.account import Account, join_names
from datasets.layouts.folders.names import NOTES, are_parts, is_container, plain_name, recognise_splits
from datasets.walk import Folder
from runtime.errors import DataError

LIST_REMEDY = "or give a .csv list with columns path,label,split"


def doubt_labels(folder: Folder, kept: Sequence[Folder], account: Account) -> None:
    """Note why class folders may be none, or not at the level that is read."""
    containers = [inner for inner in kept if is_container(inner.path.name)]
    few = len(folder.pictures) < len(kept)  # a cover or an overview, no folder's worth of pictures
    if few:
        account.loose += folder.pictures
    if kept and not few:
        account.doubts.append(f"{folder.path} holds {count_of(len(folder.pictures), 'loose image')} beside folders of "
                              f"images ({join_names(kept)}), so that labels are unclear; move the loose ones away, "
                              f"{LIST_REMEDY}")
    elif containers and len(kept) > 1:
        account.doubts.append(f"{folder.path}: {join_names(kept)} are either classes, or {join_names(containers)} "
                              "is the data set and the others are no part of it; move away what is none, give a "
                              f"class another name, {LIST_REMEDY}")
    elif len(kept) > 1 and are_parts([inner.path.name for inner in kept]):
        account.doubts.append(f"{folder.path}: {join_names(kept)} are either classes, or parts of one set that say "
                              "nothing of classes; join them into one folder, or give classes names of their own, "
                              f"{LIST_REMEDY}")
    if len(kept) > 1 and not any(inner.pictures for inner in kept):
        below = sorted({part.path.name for inner in kept for part in inner.filled()})
        if all(map(is_container, below)):
            return
        account.notes.append(f"the classes are {join_names(kept)}, although all images lie deeper, in "
                             f"{name_some([f'{name}/' for name in below])}: if those are the classes, move them up, "
                             f"{LIST_REMEDY}")


def refuse_double(folder: Folder, named: Sequence[tuple[str, Folder]]) -> None:
    """Raise DataError for a split that two folders name."""
    for split in dict.fromkeys(split for split, _ in named):
        same = [part for other, part in named if other == split]
        if len(same) > 1:
            raise DataError(f"{folder.path}: {join_names(same)} all name the {split} split; join them, or rename all "
                            f"but one, {LIST_REMEDY}")


def refuse_inner_splits(folder: Folder, kept: Sequence[Folder]) -> None:
    """Raise DataError for folders that hold splits of their own."""
    whole = [inner for inner in kept if len(split_names(inner)) > 1]
    if whole:
        parts = join_names([part for part in whole[0].filled() if part.path.name in find_split_names(whole[0])])
        raise DataError(
            f"{folder.path}: {parts} lie in {join_names(whole)}, which can be read in two ways. Either it is a data "
            f"set of its own: then give that folder. Or it is a class that is split within: then make train/<class>/ "
            f"and test/<class>/ of it, {LIST_REMEDY}")


def split_names(folder: Folder) -> set[str]:
    """The splits that folders right in a folder name."""
    return set(find_split_names(folder).values())


def find_split_names(folder: Folder) -> dict[str, str]:
    """The splits of folders right in a folder, by the folders' names."""
    return recognise_splits([part.path.name for part in folder.filled()])


def refuse_masks(folder: Folder, kept: Sequence[Folder]) -> None:
    """Raise DataError for a folder that seems to hold the masks of its neighbours' pictures, by name and file names."""
    for inner in kept if len(kept) > 1 else ():
        if plain_name(inner.path.name) not in NOTES:
            continue
        stems = {path.stem for path in inner.all_pictures()}
        others = {path.stem for other in kept if other is not inner for path in other.all_pictures()}
        if 2 * len(stems & others) >= len(stems):
            rest = [other for other in kept if other is not inner]
            raise DataError(
                f"{folder.path}: {inner.path.name}/ holds files of the same names as {join_names(rest)}. Either they "
                f"are masks or the like of those pictures: then move {inner.path.name}/ away. Or it is a class: then "
                f"give it another name, {LIST_REMEDY}")
