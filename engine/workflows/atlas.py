"""The atlas of a run: its log of single images, its encoder's neighbours, its boxes and its labels, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from datasets.crops import crop_folder
from datasets.files import Photo, load_photo
from datasets.images import ImageSet
from engine.flags.evaluate.options import AtlasOptions
from engine.workflows.audit import PLANTED, measure_audit
from evaluation.atlas.boxes import JudgedBox, judge_box, read_found_boxes
from evaluation.atlas.page import NAME, SHEETS, Atlas, write_atlas
from evaluation.atlas.sprites import Sprites, draw_sprites
from evaluation.atlas.trajectories import follow_images
from evaluation.audit.label_errors import rate_labels
from evaluation.features.extract import Features
from evaluation.features.sources import inherit
from evaluation.features.subject import Subject, open_start
from evaluation.image_log import NAME as LOG
from evaluation.image_log import ImageHistory, read_image_log
from evaluation.ledger import append_result
from evaluation.metrics.similarity import normalise_embeddings
from evaluation.run_record import NETWORKS, read_meta
from evaluation.sorting.cloud import DIRECTIONS, find_nearest_others, reduce
from runtime.errors import ConfigError, DataError, WeightsError
from runtime.folders.claims import claim_folder
from text.tensor import load_text, name_text_files

FEWEST = 3  # images that have neighbours


@dataclass(frozen=True)
class Likeness:
    """How the images lie for a network: `near` int64 [N, k] nearest others, `points` [N, d], and images/s."""

    near: Tensor
    points: Tensor
    speed: float


def choose_place(options: AtlasOptions, subject: Subject) -> Path:
    """Where the atlas goes: --out, --results-dir, or atlas/ in the run's folder; raises ConfigError for no run."""
    if subject.folder is None:
        raise ConfigError(f"{options.pretrained} is no run: an atlas needs its {LOG}; name a folder under checkpoints/")
    return Path(options.out or options.results_dir or subject.folder / "atlas")


def make_atlas(options: AtlasOptions, subject: Subject, out: Path) -> None:
    """Look at everything, then write the page; what was made before in `out` is replaced."""
    images, history = open_log(subject)
    claim_folder(out, "tools.atlas", (NAME, SHEETS, "results.jsonl"))
    after = compare_images(subject, images, options.neighbours)
    start = open_start(subject, options.before) if options.before else None
    before = find_near(start, start.extract(images), options.neighbours) if start else None
    sprites = draw_thumbnails(subject, images, options.side)
    labelled = len(images.labels[images.labels >= 0].unique()) > 1
    doubts = rate_labels(after.points, images.labels, show=True) if labelled and options.judge_labels else None
    atlas = Atlas(images, history, follow_images(history), sprites, after.near, before,
                  judge_boxes(options, subject, images, sprites), doubts, name_prototypes(subject, images))
    path = write_atlas(out, atlas, f"Atlas of {Path(options.pretrained).name}", f"{len(images)} training images, "
                       f"epochs {history.epochs[0] + 1} to {history.epochs[-1] + 1}; {subject.describe()}")
    print("\n".join([*tell_atlas(atlas), f"look at {path}"]))
    if options.score:
        record_planted(subject, images, after, out)


def open_log(subject: Subject) -> tuple[ImageSet, ImageHistory]:
    """The training images in their order, and what was logged of them; raises ConfigError where they are others."""
    assert subject.folder is not None  # `choose_place` sees to it
    images = subject.images("train", "ignored")
    trained = read_meta(subject.folder / NETWORKS[0]).get("data_sha256")
    if trained not in (None, images.fingerprint()):
        raise ConfigError(f"the training images of {subject.root} are not those that {subject.folder} was trained on: "
                          "names or labels differ, so that no number could be put to its image; name the folder as it "
                          "was with --root, with --skip-bad where the run left images out")
    if len(images) < FEWEST:
        raise DataError(f"{subject.root} has {len(images)} training images, too few for neighbours")
    return images, read_image_log(subject.folder / LOG, len(images))


def find_near(subject: Subject, features: Features, count: int) -> Tensor:
    """The nearest others of every image: int64 [N, count]."""
    return find_nearest_others(subject.embeddings(features, subject.centre()).cpu(), count)[0]


def compare_images(subject: Subject, images: ImageSet, count: int) -> Likeness:
    """Features of the images, and how they lie."""
    features = subject.extract(images)
    values = features.tensors[subject.feature].cpu()
    centred = normalise_embeddings(values - values.mean(dim=0))
    return Likeness(find_near(subject, features, count), reduce(centred, DIRECTIONS), features.images_per_second)


def draw_thumbnails(subject: Subject, images: ImageSet, side: int) -> Sprites:
    """Thumbnails of the whole pictures."""
    def open_photo(index: int, hint: int) -> Photo:
        return load_photo(images.samples[index].path, subject.crop_bottom, hint)

    return draw_sprites(len(images), open_photo, side)


def judge_boxes(
    options: AtlasOptions, subject: Subject, images: ImageSet, sprites: Sprites
) -> Sequence[JudgedBox | None] | None:
    """The boxes of the crops that the run was trained on; None where they tell none."""
    told = inherit(replace(options, root=str(subject.root)), subject.folder)
    folder = crop_folder(told)
    if folder is None or not folder.exists():
        return None
    boxes = read_found_boxes(folder)
    if not boxes:
        return None
    found = [(boxes.get(sample.key), frame) for sample, frame in zip(images.samples, sprites.frames)]
    return [None if box is None else judge_box(box, frame.original_width, frame.original_height)
            for box, frame in found]


def name_prototypes(subject: Subject, images: ImageSet) -> tuple[str, ...]:
    """The names of a run's rows of text in their order, () where it has none or its text is not here any more."""
    told = subject.settings.get("text_load")
    if not told:
        return ()
    try:
        text = load_text(name_text_files(str(told))[0])
        if text.names and images.classes and subject.settings.get("text_rows", "classes") == "classes":
            text = text.order_by(images.classes, str(images.root))
    except (WeightsError, DataError, OSError) as error:
        print(f"note: prototypes have numbers instead of names: {error}")
        return ()
    return text.names


def tell_atlas(atlas: Atlas) -> list[str]:
    """How many images deserve a look, and why."""
    lines = [f"{len(atlas.images)} training images, {len(atlas.history.epochs)} epochs",
             f"  {int(atlas.trajectories.disagrees.sum())} where the teacher is sure and the student disagrees"]
    if atlas.boxes is not None:
        lines.append(f"  {sum(bool(box and box.faults) for box in atlas.boxes)} suspicious boxes")
    if atlas.doubts is not None:
        lines.append(f"  {int(atlas.doubts.flagged.sum())} possible label errors")
    return lines


def record_planted(subject: Subject, images: ImageSet, seen: Likeness, out: Path) -> None:
    """How well labels that are made wrong are found by this encoder: printed, and a row of results.jsonl."""
    alone = torch.full((len(images),), -1)
    metrics = measure_audit(images, seen.points, alone)
    row = subject.result("audit", images, seen.speed, metrics, details={"planted": PLANTED, "copies": "not looked for"})
    append_result(out / "results.jsonl", row.to_dict())
    told = "   ".join(f"{name} {value:.1%}" for name, value in metrics.items())
    print(f"  {PLANTED:.0%} of the labels made wrong: {told}")
