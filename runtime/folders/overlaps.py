"""Outputs that would fall on inputs: found before any work, however links spell the places."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

SplitFinder = Callable[[Sequence[str]], Collection[str]]


def find_overlaps(
    outputs: Mapping[str, Path], inputs: Collection[tuple[str, Path]], *, writes: Collection[str] = (),
    defaults: Collection[str] = (), find_splits: SplitFinder = lambda names: (),
) -> list[str]:
    """A problem line for every output that is an input, or lies in the folder of one.

    Both are told by the words of the user's command line. `writes` are the names of files that the outputs will hold.
    An output among `defaults`, which were not chosen, may lie beside train/ and test/, which `find_splits` finds by the
    names of folders: nothing there is read.
    """
    problems = []
    for flag, output in outputs.items():
        for word, source in inputs:
            if source.is_dir():
                beside = flag in defaults and lies_beside_splits(output, source, find_splits)
                if not beside and any(lies_in(output, folder) for folder in (source, *linked_folders(source))):
                    problems.append(f"{flag} {output} lies in {word} {source}, where what is written would be taken "
                                    "for data and might overwrite it; choose a place beside it")
            elif is_same_path(output, source) or (source.name in writes and is_same_path(output / source.name, source)):
                what = "is" if is_same_path(output, source) else f"would hold a {source.name} in place of"
                problems.append(f"{flag} {output} {what} the input {word} {source}, which would be overwritten; "
                                "give it another place")
    return problems


def lies_in(path: Path, folder: Path) -> bool:
    """Whether a path is the folder or leads into it, as it is spelled or once its links are followed."""
    if not folder.exists():
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
    own = os.stat(folder)
    return any(os.path.samestat(os.stat(one), own) for one in list_ancestors(path))


def list_ancestors(path: Path) -> Iterator[Path]:
    """A path and all folders above it that exist, as it is spelled and with its links followed."""
    for start in dict.fromkeys((Path(os.path.abspath(path)), Path(os.path.realpath(path)))):
        yield from (one for one in (start, *start.parents) if one.exists())


def is_same_path(one: Path, other: Path) -> bool:
    """Whether two paths are one file, also one that is not there yet."""
    if one.exists() and other.exists():
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)


def linked_folders(root: Path) -> list[Path]:
    """Where a data set's own links lead: split folders and class folders may lie elsewhere."""
    found = []
    for folder in (root, *(path for path in list_subfolders(root) if not path.is_symlink())):
        found += [path for path in list_subfolders(folder) if path.is_symlink()]
    return found


def list_subfolders(folder: Path) -> list[Path]:
    """The folders in a folder; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir()]
    except OSError:
        return []


def lies_beside_splits(output: Path, root: Path, find_splits: SplitFinder) -> bool:
    """Whether the root is split into folders, in none of which the output lies."""
    folders = {folder.name: folder for folder in list_subfolders(root)}
    splits = [folders[name] for name in find_splits(list(folders))]
    return bool(splits) and not is_same_path(output, root) and not any(lies_in(output, folder) for folder in splits)
