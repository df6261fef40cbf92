"""One run from images to a crop folder: check the files, fit, localise, report; each continues where it stopped."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import torch

from datasets.crops import Box
from datasets.images import ImageSet, find_undecodable, without
from datasets.layouts.listing import Sample, show_first
from DDT.boxes import BoxRow, RowLog, format_lines
from DDT.corloc import Score, format_table, score_splits
from DDT.crops import SHEET, CropWriter, check_crops
from DDT.descriptors import MapBatch, MapReading, Samples, prepare_backbone, slice_batches, stream_maps
from DDT.directions.account import describe_directions, list_numbers, tabulate_groups
from DDT.directions.grouped import GroupedDirections
from DDT.directions.leaves import LEAST
from DDT.scratch import Scratch
from DDT.sheet import save_sheet
from DDT.stages import Rule, find_boxes, fit_direction, fit_groups, localise, restore_crops
from DDT.state import Fit, Setting, load_fit, open_folder, save_fit, write_note
from models.backbones import Backbone
from models.weights.read import fingerprint
from runtime.errors import DataError
from runtime.files import write_text

ReadMaps = Callable[[Sequence[Samples]], Iterator[MapBatch]]  # batches of samples -> their maps, in order


@dataclass(frozen=True)
class Job:
    """A run's parts: images by split, how they are read, what becomes of their maps, where results go.

    truth: boxes by key, only to be scored against. skip_bad: leave undecodable images out instead of refusing.
    scratch: bytes of disk that the maps of the fit may take until the boxes are found. seed: the public code's recipe.
    directions: how many groups of images have a direction of their own, None to find it.
    """

    task: str
    splits: dict[str, ImageSet]
    truth: dict[str, Box]
    device: torch.device
    reading: MapReading
    rule: Rule
    folder: Path
    write_crops: bool = True
    skip_bad: bool = False
    restart: bool = False
    scratch: float = 0
    seed: bool = False
    directions: int | None = 1

    @property
    def root(self) -> Path:
        """The original data set."""
        return self.splits["train"].root


@dataclass(frozen=True)
class Note:
    """What ddt.json says: enough to find the originals, to continue, and to know how the boxes came about.

    direction: the one of all images; groups: those that found the objects, one where all share the first.
    """

    root: str
    task: str
    finished: bool
    settings: dict[str, Setting]
    undecodable: dict[str, str]
    direction: dict[str, float] | None = None
    groups: list[dict[str, float]] | None = None
    counts: dict[str, int] | None = None
    cut_rates: dict[str, int] | None = None
    scores: list[dict[str, object]] | None = None


def run_job(job: Job, backbone: Backbone) -> None:
    """Do or continue a job; raises DataError for bad images, changed settings, or paths that cannot be mirrored."""
    begun = time.perf_counter()
    if job.write_crops:
        check_crops(job.folder, (sample.key for images in job.splits.values() for sample in images.samples))
    network = list_network_settings(job.reading, backbone)
    settings = network | list_settings(job)
    note = open_folder(job.folder, settings, restart=job.restart)
    bad = note["undecodable"] if "undecodable" in note else find_bad(job)
    job = leave_out(job, bad)
    report = Note(str(job.root.resolve()), job.task, False, settings, bad)
    write_note(job.folder, asdict(report))
    batches = slice_batches((images.samples for images in job.splits.values()), job.reading.batch_size)
    samples, log = list(chain.from_iterable(batches)), RowLog(job.folder)
    compute = partial(stream_maps, prepare_backbone(backbone), job.reading, job.device)
    with Scratch(job.folder, job.scratch) as scratch:
        directions = fit_once(job, network, lambda train: scratch.record(compute(train)),
                              lambda train: scratch.recall(train, compute))
        done = log.recover([sample.key for sample in samples])
        rows = localise_rest(job, directions, lambda rest: scratch.recall(rest, compute), batches, done, log)
    write_summary(job, report, directions, samples, rows)
    seconds = time.perf_counter() - begun
    fresh = len(rows) - len(done)
    print(f"{fresh} images localised ({len(done)} were done) in {seconds:.0f} s, {fresh / seconds:.1f} images/s")


def list_settings(job: Job) -> dict[str, Setting]:
    """All that the boxes depend on besides the network, so that a folder is never continued with something else."""
    images = {f"{split}_images": found.fingerprint() for split, found in job.splits.items()}
    rule = {"policy": str(job.rule.policy), "cut_rate": job.rule.rate or "search"}
    # Folders of an older seed recipe, which cut images without a mask to their central 85 %, are not continued.
    recipe = "seed, whole image without a mask" if job.seed else "default"
    rule |= {"over_num": job.rule.over_num, "recipe": recipe, "directions": name_directions(job)}
    # So neither are those of releases before masks of a speck or of everything counted as none.
    rule |= {"no_mask": "empty" if job.rule.any_mask else "empty, a speck or everything"}
    return images | rule


def name_directions(job: Job) -> Setting:
    """The number of groups, or the word for finding it."""
    return job.directions or "auto"


def list_network_settings(reading: MapReading, backbone: Backbone) -> dict[str, Setting]:
    """All that feature maps depend on; batch size and machine are left out, since a run may move."""
    maps = {name: value for name, value in asdict(reading).items() if name not in ("batch_size", "workers")}
    return maps | {"arch": backbone.arch, "weights": fingerprint(backbone)}


def find_bad(job: Job) -> dict[str, str]:
    """Undecodable images of all splits, key -> reason; raises DataError naming them unless they may be skipped."""
    bad: dict[str, str] = {}
    for images in job.splits.values():
        bad |= find_undecodable(images, job.reading.workers, job.reading.crop_bottom)
    if bad and not job.skip_bad:
        raise DataError(
            f"{len(bad)} images cannot be decoded; repair or remove them, or leave them out with --skip-bad\n  "
            + "\n  ".join(bad.values())
        )
    return bad


def leave_out(job: Job, bad: dict[str, str]) -> Job:
    """The job without undecodable images; raises DataError when a split would be empty."""
    if not bad:
        return job
    print(f"left out {len(bad)} images that cannot be decoded: {show_first(list(bad))}")
    return replace(job, splits={split: without(images, bad) for split, images in job.splits.items()})


def fit_once(job: Job, network: dict[str, Setting], read: ReadMaps, again: ReadMaps) -> GroupedDirections:
    """The directions in fit.npz when they were made with the same settings, else new ones.

    `read` gives maps for the first time, `again` those of the same batches.
    """
    train = job.splits["train"]
    batches = slice_batches([train.samples], job.reading.batch_size)
    images = sum(map(len, batches))
    settings = network | {"fitted_images": train.fingerprint(), "directions": name_directions(job)}
    saved = load_fit(job.folder / "fit.npz")
    if saved and saved.settings == settings:
        one = job.directions == 1  # earlier releases did not save the number of images
        return GroupedDirections.of_one(saved.directions.whole, images) if one else saved.directions
    if job.directions == 1:
        directions = GroupedDirections.of_one(fit_direction(read(batches), images), images)
    else:
        directions = fit_groups(read(batches), lambda: again(batches), images, job.directions)
        tell_missing_groups(directions, job.directions or 1, images)
    save_fit(job.folder / "fit.npz", Fit(directions, settings))
    return directions


def tell_missing_groups(directions: GroupedDirections, wanted: int, images: int) -> None:
    """Say so when images are too few, or too much alike, for as many groups as are asked for."""
    made = len(directions.groups)
    if made < wanted:
        print(f"note: --directions {wanted}: {images} training images make {made} groups of {LEAST} images or more")


def localise_rest(
    job: Job, directions: GroupedDirections, read: ReadMaps, batches: Sequence[Samples], done: list[BoxRow], log: RowLog
) -> list[BoxRow]:
    """Rows of all images: the finished ones, whose lost crops are written again, and the rest, found now.

    Batches that are not finished are repeated whole, so that their maps come out the same.
    """
    reading, finished = job.reading, {row.path for row in done}
    rest = [batch for batch in batches if any(sample.key not in finished for sample in batch)]
    found = find_boxes(read(rest), directions, job.rule, reading)
    samples = list(chain.from_iterable(batches))
    with CropWriter(
        job.folder, crop_bottom=reading.crop_bottom, threads=reading.workers, enabled=job.write_crops
    ) as writer:
        restore_crops(done, samples, writer)
        return localise(found, samples, done, log, writer) if rest else done


def write_summary(
    job: Job, report: Note, directions: GroupedDirections, samples: Sequence[Sample], rows: Sequence[BoxRow]
) -> None:
    """Write the finished ddt.json, corloc.csv and boxes.png, and say what is in them."""
    scores = score_truth(job, rows)
    rates = Counter(f"{row.rate:g}" for row in rows if not row.empty)
    counts = {split: len(images) for split, images in job.splits.items()}
    counts |= {"images": len(rows), "undecodable": len(report.undecodable)}
    counts["empty_masks"] = sum(row.empty for row in rows)
    note = replace(report, finished=True, direction=list_numbers(directions.whole), groups=tabulate_groups(directions),
                   counts=counts, cut_rates=dict(rates), scores=[asdict(score) for score in scores])
    title = f"DDT boxes: {job.task}, {report.settings['arch']} at {job.reading.size} px, policy {job.rule.policy}"
    save_sheet(job.folder / SHEET, samples, rows, job.truth, title=title)
    write_note(job.folder, asdict(note))
    print(describe_directions(directions))
    print(describe_job(note, job.folder))


def score_truth(job: Job, rows: Sequence[BoxRow]) -> list[Score]:
    """Scores against the ground truth, printed and kept in corloc.csv; none without a ground truth."""
    if not job.truth:
        return []
    keys = {split: [sample.key for sample in images.samples] for split, images in job.splits.items()}
    scores = score_splits(rows, job.truth, keys)
    lines = [[s.split, s.box, str(s.images), f"{s.corloc:.4f}", f"{s.mean_iou:.4f}"] for s in scores]
    write_text(job.folder / "corloc.csv", format_lines([["split", "box", "images", "corloc", "mean_iou"], *lines]))
    print(format_table(scores))
    return scores


def describe_job(note: Note, folder: Path) -> str:
    """The numbers that tell whether a run went well."""
    counts = note.counts
    assert counts is not None and note.cut_rates is not None  # it is finished
    rates = ", ".join(f"{rate} for {count}" for rate, count in sorted(note.cut_rates.items()))
    return (
        f"cut rates: {rates or 'none'}; {counts['empty_masks']} of {counts['images']} images have no mask\n"
        f"boxes, crops, ddt.json and boxes.png are in {folder}"
    )
