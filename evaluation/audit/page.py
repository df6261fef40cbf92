"""What an audit leaves for people: a table, one HTML page that needs no other file, and a few lines of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from datasets.layouts.findings import count_of
from evaluation.audit.flaws import COPIES, KINDS, Flaw, PhotoAudit
from evaluation.reports.html import embed_picture, render
from runtime.files import open_table, write_text
from runtime.names.spelling import show_name

HEAD = ("finding", "path", "split", "label", "group", "other", "suggested", "score", "detail")
SHOWN = 30  # pictures, or groups of copies, of one kind on the page
MEMBERS = 8  # pictures of one group on the page
SIDE = 160  # pixels of the longer side
NAMED = 3  # paths of one kind in the text
NOTES = {
    "leak": "What was seen in training is no test. Keep each picture in one split only.",
    "conflict": "One of the labels is wrong, or both are right and the picture shows two things.",
    "label": "Other pictures speak for another label than the one given, the most doubtful first. Look before you "
             "change anything: some are rare views, not errors.",
    "duplicate": "A picture that is there twice counts twice, in training and in every measurement.",
    "odd file": "They can be read, and differ from the rest of the folder.",
    "odd picture": "Their nearest others are farther than usual: other things, other views, or the only one of a "
                   "kind.",
}
OpenImage = Callable[[int], Image.Image]


@dataclass(frozen=True)
class Figure:
    """A picture within the page, as a data URI, what it shows for those who cannot see it, and the lines below it."""

    source: str
    alt: str
    lines: list[str]


def is_audit(folder: Path) -> bool:
    """Whether a folder holds what this command wrote: an audit.csv with its own head."""
    try:
        with open(folder / "audit.csv", encoding="utf-8") as file:
            return file.readline().strip() == ",".join(HEAD)
    except (OSError, ValueError):
        return False


def write_audit_table(path: Path, audit: PhotoAudit) -> None:
    """audit.csv: a line for every flaw, in the order of the page, then the files that no reader here can open."""
    with open_table(path) as writer:
        writer.writerow(HEAD)
        for flaw in audit.flaws:
            sample = audit.images.samples[flaw.index]
            other = audit.images.samples[flaw.other].key if flaw.other >= 0 else ""
            writer.writerow([flaw.kind, sample.key, audit.splits[flaw.index], audit.label(flaw.index),
                             flaw.group + 1 if flaw.group >= 0 else "", other, flaw.suggested,
                             "" if flaw.score is None else f"{flaw.score:.4f}", flaw.detail])
        for name, reason in audit.unread:
            writer.writerow(["not read", name, "", "", "", "", "", "", reason])


def tell_audit(audit: PhotoAudit, remarks: Sequence[str] = ()) -> str:
    """The audit for people, in a few lines: what was looked at, then each kind with its first few paths."""
    lines = [describe_audit(audit)]
    for kind in KINDS:
        flaws = audit.of_kind(kind)
        if flaws:
            first = [show_name(audit.images.samples[flaw.index].key) for flaw in flaws[:NAMED]]
            lines.append(f"{count_kind(audit, kind)}: {', '.join(first)}{', ...' if len(flaws) > NAMED else ''}")
    if not audit.flaws:
        lines.append("nothing is wrong that this can see")
    if audit.unread:
        lines.append(f"{count_of(len(audit.unread), 'file')} that cannot be read here")
    return "\n  ".join([*lines, *remarks])


def describe_audit(audit: PhotoAudit) -> str:
    """`543 photographs, train 300, test 243, 10 labels`."""
    parts = [f"{split} {audit.splits.count(split)}" for split in dict.fromkeys(audit.splits)]
    known = audit.images.classes and bool((audit.images.labels >= 0).any())
    labels = count_of(len(audit.images.classes), "label") if known else "no labels"
    return ", ".join([count_of(len(audit.images), "photograph"), *parts, labels])


def count_kind(audit: PhotoAudit, kind: str) -> str:
    """`3 pictures in several splits (6 files)`, or `2 broken files`."""
    count = len(audit.of_kind(kind))
    if kind in COPIES:
        return f"{count_of(len(audit.groups(kind)), *KINDS[kind])} ({count_of(count, 'file')})"
    return count_of(count, *KINDS[kind])


def write_audit_page(
    path: Path, audit: PhotoAudit, open_image: OpenImage, examples: Callable[[Flaw], int], lead: str,
    remarks: Sequence[str] = (),
) -> None:
    """audit.html: the counts, then every kind with its pictures; `examples` gives an image with the suggested label."""
    verdict = [(kind, count_kind(audit, kind)) for kind in KINDS if audit.of_kind(kind)]
    sections = []
    for kind, title in verdict:
        if kind == "broken":
            continue
        groups = audit.groups(kind) if kind in COPIES else [[flaw] for flaw in audit.of_kind(kind)]
        blocks = []
        for group in groups[:SHOWN]:
            figures = [draw_flaw(audit, flaw, open_image) for flaw in group[:MEMBERS]]
            if kind == "label":
                figures += draw_example(audit, examples(group[0]), open_image)
            blocks.append((name_group_of(audit, group), figures))
        sections.append({"kind": kind, "title": title, "note": NOTES[kind], "blocks": blocks,
                         "more": len(groups) - len(blocks), "joined": kind in (*COPIES, "label")})
    broken = [(audit.images.samples[flaw.index].key, flaw.detail) for flaw in audit.of_kind("broken")]
    write_text(path, render("audit", lead=lead, about=describe_audit(audit), verdict=verdict, sections=sections,
                            broken=broken, unread=audit.unread, remarks=remarks))


def name_group_of(audit: PhotoAudit, group: Sequence[Flaw]) -> str:
    """What stands above pictures that belong together: their labels, or the two that are in question."""
    if group[0].suggested:
        return show_name(f"{audit.label(group[0].index)}, or {group[0].suggested}?")
    labels = dict.fromkeys(filter(None, (audit.label(flaw.index) for flaw in group)))
    more = f", {len(group)} files" if len(group) > MEMBERS else ""
    return show_name(" / ".join(labels) or "the same picture") + more


def draw_flaw(audit: PhotoAudit, flaw: Flaw, open_image: OpenImage) -> Figure:
    """An image with what is wrong with it."""
    key, label = show_name(audit.images.samples[flaw.index].key), audit.label(flaw.index)
    if flaw.kind == "label":
        text = [f"doubt {flaw.score:.2f}, {flaw.detail}"]
    elif flaw.kind in COPIES:
        where = [audit.splits[flaw.index]] * (flaw.kind == "leak") + [label] * (flaw.kind == "conflict")
        text = [*where, f"{flaw.detail} ({flaw.score:.2f})"]
    else:
        text = [flaw.detail if flaw.score is None else f"{flaw.detail} ({flaw.score:.1f})"]
    return Figure(embed_small(open_image(flaw.index)), f"{flaw.kind}: {key}", [*map(show_name, text), key])


def draw_example(audit: PhotoAudit, index: int, open_image: OpenImage) -> list[Figure]:
    """An image to compare with, none for -1."""
    if index < 0:
        return []
    key = show_name(audit.images.samples[index].key)
    return [Figure(embed_small(open_image(index)), f"for comparison: {key}",
                   [f"for comparison, a {show_name(audit.label(index))}", key])]


def embed_small(image: Image.Image) -> str:
    """A data URI of the whole picture, SIDE pixels at its longer side."""
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    return embed_picture(small)
