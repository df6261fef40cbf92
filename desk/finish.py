"""The end of a sorting: every picture in a folder of its name, and a table that says why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from desk.album import Album
from desk.standing import NAMED, NOTHING, UNKNOWN, UNUSABLE, Standing
from evaluation.sorting.filing import file_pictures
from runtime.errors import DataError
from runtime.files import open_table

UNSURE_FOLDER, UNKNOWN_FOLDER, UNUSABLE_FOLDER = "unsure", "unknown", "no_object"
UNLIKE = 0.5  # from here on a picture more likely shows a kind that nobody has named
SAID = {NAMED: "named", UNKNOWN: "said to be of an unknown kind", UNUSABLE: "said to show no such object"}


def choose_folder(standing: Standing, index: int, threshold: float) -> str:
    """A picture's folder: its name, where that was given or is at least as sure as `threshold`; else why not."""
    state = int(standing.states[index])
    if state == UNUSABLE:
        return UNUSABLE_FOLDER
    if state == UNKNOWN:
        return UNKNOWN_FOLDER
    if state == NAMED or (standing.labels[index] >= 0 and float(standing.confidence[index]) >= threshold):
        return standing.name(index)
    return UNKNOWN_FOLDER if float(standing.unlike[index]) >= UNLIKE else UNSURE_FOLDER


def choose_folders(standing: Standing, threshold: float) -> list[str]:
    """The folder of every picture; raises DataError where a name is the name of one of ours."""
    taken = {UNSURE_FOLDER, UNKNOWN_FOLDER, UNUSABLE_FOLDER}.intersection(name.casefold() for name in standing.names)
    if taken:
        raise DataError(f"{', '.join(sorted(taken))} is what a folder of pictures without a name is called; rename "
                        "that kind")
    return [choose_folder(standing, index, threshold) for index in range(len(standing.labels))]


def write_labels(path: Path, album: Album, standing: Standing, folders: list[str]) -> None:
    """labels.csv: path, label, confidence, how it came about, folder and content of every picture."""
    with open_table(path) as writer:
        writer.writerow(["path", "label", "confidence", "how", "folder", "sha256"])
        for index, sample in enumerate(album.images.samples):
            state = int(standing.states[index])
            name = standing.name(index)
            how = SAID[state] if state != NOTHING else "spread" if name else ""
            sure = f"{float(standing.confidence[index]):.4f}" if name else ""
            writer.writerow([sample.key, name, sure, how, folders[index], album.contents[index]])


def fill(album: Album, standing: Standing, out: Path, how: str, threshold: float) -> tuple[Path, dict[str, int]]:
    """Write labels.csv into `out` and file every picture below out/sorted, or sorted_2, ... where that is taken.

    `how` is "link", "copy", or "none" for the table alone. Returns the folder and how many pictures each name has.
    """
    folders = choose_folders(standing, threshold)
    write_labels(out / "labels.csv", album, standing, folders)
    if how == "none":
        return out / "labels.csv", dict(Counter(folders))
    target, number = out / "sorted", 1
    while target.exists() and (not target.is_dir() or any(target.iterdir())):
        number += 1
        target = out / f"sorted_{number}"
    file_pictures(album.images, folders, target, how)
    return target, dict(Counter(folders))
