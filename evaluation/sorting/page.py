"""What a sorting leaves for people: tables, contact sheets, and one HTML page that needs no other file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from datasets.images import ImageSet
from evaluation.reports.html import embed_picture, render
from evaluation.reports.sheet import SIDE, Cell, draw_sheet
from evaluation.sorting.cloud import ODD
from evaluation.sorting.groups import GroupEstimate
from evaluation.sorting.spread import Spread
from runtime.files import open_table, write_atomically, write_cells, write_text
from runtime.names.spelling import show_name

COLUMNS, SHOWN = 8, 64  # pictures in a line and on a sheet
FEW = 16  # pictures of the odd sheet where none is odd
OpenImage = Callable[[int], Image.Image]


@dataclass(frozen=True)
class Sorting:
    """A finished sorting of N images, in their order.

    `groups` int64 [N] from 0, the largest; `typicality` [N] the cosine with the group's mean; `oddness` [N] in robust
    deviations; `given` the expert's labels by index; `name_first` indices to name next, best first; `spread` labels
    over `names`, None without labels; `estimate` None where the number of groups was given.
    """

    images: ImageSet
    groups: Tensor
    typicality: Tensor
    oddness: Tensor
    given: dict[int, str]
    name_first: list[int]
    names: tuple[str, ...]
    spread: Spread | None
    estimate: GroupEstimate | None

    def key(self, index: int) -> str:
        """An image's path from the root."""
        return self.images.samples[index].key

    def label(self, index: int) -> str:
        """An image's label, "" where there are none."""
        return self.names[int(self.spread.labels[index])] if self.spread else ""

    def folders(self) -> list[str]:
        """Where each image belongs: its label, or its group without labels."""
        places = range(len(self.images))
        return [self.label(index) or name_group(int(self.groups[index])) for index in places]

    def members(self, group: int) -> list[int]:
        """A group's images, the most typical first."""
        inside = (self.groups == group).nonzero().flatten()
        return inside[self.typicality[inside].argsort(descending=True, stable=True)].tolist()

    def odd(self) -> list[int]:
        """Images far from all others, the farthest first."""
        order = self.oddness.argsort(descending=True, stable=True)
        return order[self.oddness[order] > ODD].tolist()

    def count(self) -> int:
        """Number of groups."""
        return int(self.groups.max()) + 1


def name_group(group: int) -> str:
    """A group's name in files and folders: they count from 1."""
    return f"group_{group + 1:02d}"


HEAD = ("path", "group", "typicality", "outlier_score", "name_first", "label", "confidence", "unlike")
OLDER_HEAD = HEAD[:-1]


def is_sorting(folder: Path) -> bool:
    """Whether a folder holds what this command wrote, now or before `unlike` was told: a sort.csv with its own head."""
    try:
        with open(folder / "sort.csv", encoding="utf-8") as file:
            return tuple(file.readline().strip().split(",")) in (HEAD, OLDER_HEAD)
    except (OSError, ValueError):
        return False


def write_sorting_table(path: Path, sorting: Sorting) -> None:
    """sort.csv: a line for every image."""
    rank = {index: place for place, index in enumerate(sorting.name_first, start=1)}
    with open_table(path) as writer:
        writer.writerow(HEAD)
        for index in range(len(sorting.images)):
            trust = [""] * 2
            if sorting.spread:
                trust = [f"{float(value[index]):.4f}" for value in (sorting.spread.confidence, sorting.spread.unlike)]
            numbers = f"{float(sorting.typicality[index]):.4f}", f"{float(sorting.oddness[index]):.2f}"
            writer.writerow([sorting.key(index), int(sorting.groups[index]) + 1, *numbers, rank.get(index, ""),
                             sorting.label(index), *trust])


def write_form(path: Path, sorting: Sorting) -> None:
    """name_these.csv, which is what `--labels` reads: all labels given so far, then what to name next, left blank."""
    done = [(sorting.key(index), label) for index, label in sorting.given.items()]
    blank = [(sorting.key(index), "") for index in sorting.name_first]
    write_cells(path, [("path", "label"), *done, *blank])


def write_sheets(folder: Path, sorting: Sorting, open_image: OpenImage) -> None:
    """A contact sheet for every group, one of odd pictures and one of those to name first; older ones are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("group_*.png"), *folder.glob("odd.png"), *folder.glob("name_first.png")):
        old.unlink()
    for name, title, members in tqdm(list(list_sheets(sorting)), desc="contact sheets", unit="sheet"):
        cells = [Cell(index, describe_picture(sorting, index), None) for index in members]
        write_atomically(folder / f"{name}.png", draw_sheet(cells, COLUMNS, open_image, title).save)


def list_sheets(sorting: Sorting) -> Iterator[tuple[str, str, list[int]]]:
    """File name, title and images of every sheet; nothing of a large group but evenly spaced ranks."""
    if sorting.name_first:
        yield "name_first", "name these, in this order", sorting.name_first
    for group in range(sorting.count()):
        members = sorting.members(group)
        shown = space_evenly(members, SHOWN)
        yield name_group(group), f"group {group + 1}: {tell_shown(shown, members)}, most typical first", shown
    odd = sorting.odd()
    few = sorting.oddness.argsort(descending=True, stable=True)[:FEW].tolist()
    title = f"unlike all others: {tell_shown(odd[:SHOWN], odd)}" if odd else "no picture is odd; these are the oddest"
    yield "odd", title, odd[:SHOWN] or few


def tell_shown(shown: Sequence[int], members: Sequence[int]) -> str:
    """"12 pictures", or "64 of 300 pictures"."""
    return f"{len(members)} pictures" if len(shown) == len(members) else f"{len(shown)} of {len(members)} pictures"


def space_evenly(members: Sequence[int], most: int) -> list[int]:
    """At most `most` of the members, from the first to the last."""
    if len(members) <= most:
        return list(members)
    return [members[place] for place in torch.linspace(0, len(members) - 1, most).round().long().tolist()]


def describe_picture(sorting: Sorting, index: int) -> str:
    """The caption of a picture: its label and how sure it is, else its file's name."""
    if sorting.spread is None:
        return show_name(sorting.images.samples[index].path.stem)
    return f"{float(sorting.spread.confidence[index]):.2f} {show_name(sorting.label(index))}"


def write_sorting_page(path: Path, sorting: Sorting, open_image: OpenImage, lead: str) -> None:
    """sort.html: what to name first, a table of groups, all contact sheets (read from groups/ beside it)."""
    first = [(sorting.key(index), embed_picture(ImageOps.fit(open_image(index), (SIDE, SIDE))))
             for index in sorting.name_first]
    sheets = []
    for name, title, _ in list_sheets(sorting):
        if name != "name_first":
            with Image.open(path.parent / "groups" / f"{name}.png", formats=("PNG",)) as sheet:
                sheets.append((name, title, embed_picture(sheet)))
    write_text(path, render("sort", lead=lead, sorting=sorting, first=first, sheets=sheets,
                            groups=list_groups(sorting)))


def list_groups(sorting: Sorting) -> list[dict[str, object]]:
    """What the page tells of each group."""
    groups = []
    for group in range(sorting.count()):
        members = sorting.members(group)
        labels = Counter(sorting.label(index) for index in members) if sorting.spread else Counter()
        groups.append({"name": name_group(group), "number": group + 1, "pictures": len(members),
                       "typicality": float(sorting.typicality[members].mean()), "typical": sorting.key(members[0]),
                       "labels": labels.most_common(3)})
    return groups
