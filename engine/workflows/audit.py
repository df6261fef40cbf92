"""A folder of photographs audited: files opened, features compared, labels judged, and what is written of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets.crops import need_crops
from datasets.files import decode
from datasets.images import ImageSet, take_split
from datasets.layouts.findings import announce
from datasets.layouts.read import read_listing
from datasets.suffixes import find_remedy
from evaluation.audit.copies import Copies, find_copies, find_like_details
from evaluation.audit.flaws import (
    KINDS,
    Flaw,
    PhotoAudit,
    group_twins,
    list_copy_flaws,
    list_label_flaws,
    list_odd_pictures,
    list_twins,
    sort_flaws,
)
from evaluation.audit.label_errors import measure_doubts, plant_errors, rate_labels
from evaluation.audit.odd_files import list_oddities
from evaluation.audit.page import SIDE, write_audit_page, write_audit_table
from evaluation.audit.pictures import FileFacts, inspect_files, stack_small
from evaluation.features.subject import Subject
from evaluation.ledger import append_result
from evaluation.metrics.similarity import normalise_embeddings
from evaluation.sorting.cloud import DIRECTIONS, NEIGHBOURS, find_nearest_others, rate_oddness, reduce
from runtime.errors import DataError

FEWEST = 3  # pictures that can be compared
PLANTED, DRAWS = 0.05, 5  # share of labels made wrong, and how often, where an audit is scored


@dataclass(frozen=True)
class Shelf:
    """All photographs of a folder, of one or of every split: `splits` [N] names that of each."""

    images: ImageSet
    splits: tuple[str, ...]
    unread: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Comparison:
    """What the network saw of the M pictures that decode: `points` [M, d], `near` [M, k], `cosine`, `oddness` [M]."""

    points: Tensor
    near: Tensor
    cosine: Tensor
    oddness: Tensor
    speed: float


def read_shelf(root: Path, split: str) -> Shelf:
    """The photographs of a split, or of "all"; raises DataError where there are none. Unclear labels are not used."""
    listing = read_listing(root, "ignored")
    if split != "all" and split not in listing.splits:
        raise DataError(f"{root}: no split {split!r}, only {', '.join(listing.splits)}; ask for another --split")
    announce(listing)
    parts = [take_split(listing, name) for name in (listing.splits if split == "all" else (split,))]
    samples = tuple(sample for part in parts for sample in part.samples)
    splits = tuple(part.split for part in parts for _ in part.samples)
    unread = tuple((str(one.path), f"{one.kind}: {find_remedy(one.kind)}") for one in listing.left_out
                   if find_remedy(one.kind))
    whole = ImageSet(listing.root, "+".join(part.split for part in parts), samples, listing.classes)
    return Shelf(whole, splits, unread)


def compare_photographs(subject: Subject, images: ImageSet) -> Comparison | None:
    """Features of pictures that decode and how they lie; None where fewer than three differ for the network."""
    if len(images) < FEWEST:
        return None
    if subject.view.source == "crop":
        assert subject.crops is not None  # `choose_crops` found them
        need_crops(subject.crops, images, subject.task, subject.root)
    features = subject.extract(images)
    values = features.tensors[subject.feature].cpu()
    centre = values.mean(dim=0)
    if float((values - centre).norm(dim=1).max()) <= 1e-5 * float(centre.norm()):
        return None
    embeddings = normalise_embeddings(values - centre if subject.centred else values)
    near, cosine = find_nearest_others(embeddings, NEIGHBOURS)
    return Comparison(reduce(embeddings, DIRECTIONS), near, cosine, rate_oddness(values), features.images_per_second)


def audit_files(shelf: Shelf, facts: Sequence[FileFacts]) -> list[Flaw]:
    """What single files have: broken ones, odd ones."""
    flaws = [Flaw("broken", index, one.fault) for index, one in enumerate(facts) if one.fault is not None]
    names = [sample.path.name for sample in shelf.images.samples]
    odd = enumerate(list_oddities(names, facts))
    return flaws + [Flaw("odd file", index, "; ".join(texts)) for index, texts in odd if texts]


def search_copies(facts: Sequence[FileFacts], sound: Sequence[int], seen: Comparison) -> Copies:
    """Copies among the sound pictures, by their indices in the whole set: near for the network, or of like detail."""
    small = stack_small([facts[index] for index in sound])
    near, cosine = (torch.cat(both, dim=1) for both in zip((seen.near, seen.cosine), find_like_details(small)))
    found = find_copies(near, cosine, small, show=True)
    return replace(found, pairs=torch.tensor(sound)[found.pairs])


def judge_shelf(shelf: Shelf, facts: Sequence[FileFacts], sound: Sequence[int], seen: Comparison | None) -> PhotoAudit:
    """All flaws; `sound` are the indices of the pictures that `seen` is of, None where they could not be compared."""
    place = torch.tensor(sound, dtype=torch.long)
    twins = list_twins(facts, search_copies(facts, sound, seen) if seen is not None else None)
    groups = group_twins(len(shelf.images), twins)
    flaws = [*audit_files(shelf, facts), *list_copy_flaws(shelf.images, shelf.splits, twins, groups)]
    agreement = None
    if seen is not None:
        images = take_images(shelf.images, sound)
        own = list(list_odd_pictures(seen.oddness))
        if len(images.labels[images.labels >= 0].unique()) > 1:
            doubts = rate_labels(seen.points, images.labels, groups[place], show=True)
            own += list_label_flaws(images, doubts, seen.near)
            agreement = doubts.agreement()
        flaws += [replace(flaw, index=sound[flaw.index]) for flaw in own]
    return PhotoAudit(shelf.images, shelf.splits, sort_flaws(flaws), shelf.unread, agreement)


def take_images(images: ImageSet, indices: Sequence[int]) -> ImageSet:
    """Some of the images, in this order."""
    return replace(images, samples=tuple(images.samples[index] for index in indices))


def audit_shelf(subject: Subject, shelf: Shelf) -> tuple[PhotoAudit, Comparison | None, list[int]]:
    """Open every file, compare those that decode, judge: the audit, and what it was judged by."""
    facts = inspect_files(shelf.images.samples, subject.workers, subject.crop_bottom)
    sound = [index for index, one in enumerate(facts) if one.fault is None]
    seen = compare_photographs(subject, take_images(shelf.images, sound))
    return judge_shelf(shelf, facts, sound, seen), seen, sound


def tell_limits(audit: PhotoAudit, seen: Comparison | None) -> list[str]:
    """How far the network can be trusted with these labels; or what could not be looked for here, and why."""
    if seen is None:
        return ["too few different pictures to compare: only equal files and the files themselves were judged"]
    known = audit.images.labels[audit.images.labels >= 0]
    if not len(known):
        return ["no labels, so none were judged"]
    if len(known.unique()) < 2:
        return ["one label only, so labels were not judged"]
    if audit.agreement is None:
        return ["no label has two pictures that could be compared with those of another, so none were judged"]
    few = "; so few that doubts mean little: give another network with --pretrained" if audit.agreement < 0.5 else ""
    return [f"the other pictures speak for {audit.agreement:.0%} of the labels{few}"]


def find_example(images: ImageSet, seen: Comparison, label: int, index: int) -> int:
    """The image of a label that is most like image `index`, by their places among those compared; -1 for none."""
    likeness = seen.points @ seen.points[index]
    likeness[(images.labels != label) | (torch.arange(len(likeness)) == index)] = -torch.inf
    best = int(likeness.argmax())
    return best if bool(likeness[best].isfinite()) else -1


def write_audit(audit: PhotoAudit, subject: Subject, seen: Comparison | None, sound: Sequence[int], out: Path,
                remarks: Sequence[str]) -> None:
    """Table and page."""
    compared = take_images(audit.images, sound)

    def show_image(index: int) -> Image.Image:
        return decode(audit.images.samples[index].path, subject.crop_bottom, size_hint=2 * SIDE)

    def find_like(flaw: Flaw) -> int:
        assert seen is not None  # else no label was judged
        label = audit.images.classes.index(flaw.suggested)
        found = find_example(compared, seen, label, sound.index(flaw.index))
        return sound[found] if found >= 0 else -1

    out.mkdir(parents=True, exist_ok=True)
    write_audit_table(out / "audit.csv", audit)
    write_audit_page(out / "audit.html", audit, show_image, find_like, subject.describe(), remarks)


def measure_audit(images: ImageSet, points: Tensor, groups: Tensor) -> dict[str, float]:
    """How well labels that are made wrong for this are found: means over draws; nothing of the folder is changed."""
    draws = []
    for seed in range(DRAWS):
        planted = plant_errors(images.labels, PLANTED, seed)
        draws.append(measure_doubts(rate_labels(points, planted, groups), planted != images.labels))
    return {name: float(np.mean([draw[name] for draw in draws])) for name in draws[0]}


def record_audit(subject: Subject, audit: PhotoAudit, seen: Comparison, sound: Sequence[int], out: Path) -> None:
    """Measure, print, and add a row to OUT/results.jsonl; raises DataError for pictures of one label."""
    images = take_images(audit.images, sound)
    metrics = measure_audit(images, seen.points, audit.copy_groups()[torch.tensor(sound)])
    details = {"classes": len(images.classes), "planted": PLANTED, "draws": DRAWS,
               "found": {kind: len(audit.of_kind(kind)) for kind in KINDS}}
    row = subject.result("audit", images, seen.speed, metrics, details=details)
    append_result(out / "results.jsonl", row.to_dict())
    told = "   ".join(f"{name} {value:.1%}" for name, value in metrics.items())
    print(f"  {PLANTED:.0%} of the labels made wrong, {DRAWS} times: {told}")
