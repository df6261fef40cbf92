"""Where an encoder looks: its maps of pictures, scored by boxes and drawn."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from datasets.crops import Box
from datasets.files import decode
from datasets.images import ImageSet, first_split, sample_images
from datasets.views.recipes import make_transform
from engine import checkpoint
from engine.flags.pretrain.options import PretrainOptions
from engine.workflows.build import build_student
from engine.workflows.pretrain.methods import build_pretrain_method
from evaluation.features.extract import extract
from evaluation.features.subject import Subject, open_subject
from evaluation.heatmaps.box_scores import average_scores, measure_maps
from evaluation.heatmaps.encoder_maps import (
    CAM,
    NORM,
    RATIONALE,
    Losses,
    byol_losses,
    contrast_losses,
    make_map_function,
)
from evaluation.heatmaps.sheet import draw_heat_sheet
from evaluation.heatmaps.table import find_view_boxes, write_box_table
from evaluation.options import ClassMapOptions
from evaluation.run_record import is_resumable, read_args
from methods.byol import Byol
from runtime.files import write_atomically
from runtime.names.spelling import show_name

WORDS = {RATIONALE: "M, the predicted rationale", CAM: "G, the CAM of the loss", NORM: "norm of the map"}


def choose_losses(subject: Subject, images: ImageSet, sign: str) -> tuple[Losses | None, str]:
    """What G is the CAM of, and its name; with the sign "similarity" the loss is turned round."""
    losses, name = find_losses(subject, images)
    trained = str(read_args(subject.folder).get("cam_sign", "loss"))
    if losses is None or (trained if sign == "auto" else sign) == "loss":
        return losses, name
    return lambda *given: -losses(*given), f"the opposite of {name}"


def find_losses(subject: Subject, images: ImageSet) -> tuple[Losses | None, str]:
    """BYOL's own loss where its run is kept, InfoNCE where there is a head, else none."""
    trained = read_args(subject.folder)
    if subject.folder and trained.get("method") in ("byol", "lcr-byol") and is_resumable(subject.folder):
        told = PretrainOptions.read({**trained, "pretrained": "none"})
        method = build_pretrain_method(told, len(images), build_student(told), None)
        assert isinstance(method, Byol)  # LCR on BYOL is one too
        checkpoint.load_trained_state(method, checkpoint.load_resume_state(subject.folder)["method"])
        return byol_losses(method.to(subject.device).eval()), "BYOL's loss against the mirrored picture"
    if subject.encoder.head is None:
        return None, ""
    rows = subject.extract(images).tensors["head"].to(subject.device)
    return contrast_losses(subject.encoder, rows), "InfoNCE of the mirrored picture among these"


def compute_maps(subject: Subject, images: ImageSet, losses: Losses | None) -> dict[str, Tensor]:
    """Square maps [N, h, w] by name, rationale first."""
    found = extract(make_map_function(subject.encoder, losses), images, subject.view, batch_size=subject.batch_size,
                    workers=subject.workers, device=subject.device, crop_bottom=subject.crop_bottom).tensors
    side = round(found[NORM].shape[1] ** 0.5)  # views are square
    return {name: found[name].unflatten(1, (side, side)) for name in (RATIONALE, CAM, NORM) if name in found}


def draw_heatmaps(subject: Subject, images: ImageSet, maps: dict[str, Tensor], boxes: list[Box | None],
                  rows: list[dict[str, float]], shown: int) -> Image.Image:
    """The sheet of evenly chosen pictures."""
    chosen = [number * len(images) // min(shown, len(images)) for number in range(min(shown, len(images)))]
    transform = make_transform(subject.view)
    pictures = [Image.fromarray(transform(decode(images.samples[n].path, subject.crop_bottom)).permute(1, 2, 0).numpy())
                for n in chosen]
    first = next(iter(maps))
    captions = [show_name(Path(images.samples[n].key).name)[:32]
                + (f"   {rows[n][f'{first}_energy']:.0%} of {first} in the box, uniform {rows[n]['area']:.0%}"
                   if f"{first}_energy" in rows[n] else "") for n in chosen]
    return draw_heat_sheet(pictures, {name: heat[chosen] for name, heat in maps.items()}, [boxes[n] for n in chosen],
                           captions, title=f"{subject.source} ({subject.encoder.backbone.arch}), {images.split}",
                           words=WORDS)


def draw_encoder(options: ClassMapOptions, *, keep: bool = True) -> None:
    """The maps of an encoder."""
    subject = open_subject(options, torch.device(options.device), options.batch_size)
    split = options.split if options.split != "auto" else first_split(subject.root, "test", "train")
    images = sample_images(subject.images(split, "ignored"), options.images)
    losses, name = choose_losses(subject, images, options.cam_sign)
    maps = compute_maps(subject, images, losses)
    boxes = find_view_boxes(images, subject.root, options.boxes, subject.view, subject.crop_bottom)
    rows = measure_maps(maps, boxes)
    means = average_scores(rows)
    if keep:
        out = Path(options.out)
        write_box_table(out / "heatmap.csv", images, rows, means)
        write_atomically(out / "heatmap.png", draw_heatmaps(subject, images, maps, boxes, rows, options.shown).save)
    print(f"{len(images)} {split} pictures of {subject.describe()}")
    print(f"G is the CAM of {name}" if losses is not None else "these weights have no head: no loss, so no G")
    for heat in (heat for heat in maps if f"{heat}_energy" in means):
        print(f"  {WORDS[heat]:<28} peak in the box {means[f'{heat}_pointing']:.1%}, "
              f"mass in the box {means[f'{heat}_energy']:.1%}")
    print(f"  {'a uniform map':<28} {means['area']:.1%} for both" if means else "no boxes, no scores (--boxes FILE)")
    if keep:
        print(f"written to {options.out}")
