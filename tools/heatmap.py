"""Where does a network look? Maps laid over pictures, and their scores against boxes.

python -m tools.heatmap --pretrained my_lcr --root bird --out heat
python -m tools.heatmap --pretrained my_birds --root bird --class true
python -m tools.heatmap --pretrained my_birds --image photo.jpg --class "Blue Jay"

Of an encoder: its rationale M, the CAM G of its loss, the norm of its map. Of a classifier: attention roll-out of a
vision transformer's tokens, a plug-in module's levels and what they selected, else the class's activation map.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from methods.byol import Byol

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from PIL import Image
from torch import Tensor

from datasets.crops import Box
from datasets.files import decode
from datasets.images import ImageSet, first_split, sample_images
from datasets.places import list_overlaps
from datasets.views.recipes import make_transform
from engine import checkpoint
from engine.flags.command import exit_cleanly
from engine.flags.evaluate.classifier import FOR_PUBLIC, add_public
from engine.flags.evaluate.sources import check_evaluation_sources
from engine.flags.evaluate.subject import add_subject
from engine.flags.parser import Parser, architecture
from engine.flags.ranges import BATCH, COUNT, SHARE, WEIGHT
from engine.results_folder import hold_results, is_chosen
from engine.workflows.pretrain.system import build_pretrain_method, build_student
from evaluation.classifier.trained import holds_classifier
from evaluation.features.extract import extract
from evaluation.features.subject import Subject, open_subject
from evaluation.heatmaps.box_scores import average_scores, measure_maps
from evaluation.heatmaps.classifier_maps import draw_classifier
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
from evaluation.run_record import is_resumable, read_args
from runtime.devices import list_device_problems, resolve_device
from runtime.files import write_atomically
from runtime.names.spelling import show_name

WORDS = {RATIONALE: "M, the predicted rationale", CAM: "G, the CAM of the loss", NORM: "norm of the map"}


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags."""
    parser = Parser(prog="python -m tools.heatmap", description="Where does a network look?")
    add_subject(parser, look_at="full", feature="auto")
    group = parser.add_argument_group("pictures")
    group.add_argument("--split", choices=("auto", "test", "val", "train"), default="auto",
                       help="auto = test, or what there is in its place")
    group.add_argument("--boxes", default="auto", metavar="FILE",
                       help="path,x1,y1,x2,y2 in pixels; auto = boxes.csv in the data set, if there; or none")
    group.add_argument("--cam-sign", choices=("auto", "loss", "similarity"), default="auto",
                       help="G is where activation raises the loss, or lowers it; auto = as the run was trained")
    group.add_argument("--images", type=COUNT, default=500, help="at most so many pictures are measured, evenly chosen")
    group.add_argument("--shown", type=COUNT, default=16, help="pictures on the sheet")
    group.add_argument("-b", "--batch-size", type=BATCH, default=32, help="images at a time; changes no number")
    group.add_argument("--out", default="heatmap", metavar="DIR", help="where heatmap.png and heatmap.csv go")
    add_class_maps(parser)
    args, problems = parser.gather(argv)
    problems.lines += list_device_problems(args.device)
    args.device, args.input = resolve_device(args.device), "full"
    problems.lines += list_overlaps(args, ("heatmap.csv", "heatmap.png"))
    problems.refuse(lambda: check_evaluation_sources(args))
    return args


def add_class_maps(parser: Parser) -> None:
    """The flags that serve classifiers alone."""
    group = parser.add_argument_group("classifiers")
    group.add_argument("--image", nargs="+", default=None, metavar="FILE", help="these pictures, in place of --root")
    group.add_argument("--class", dest="wanted", default="predicted", metavar="CLASS",
                       help="the class of class maps: predicted, true, a class name, or its number")
    group.add_argument("--level-weights", type=WEIGHT, nargs="+", default=None, metavar="W",
                       help="weights that fuse a plug-in module's levels, shallow to deep; default 8 4 2 1 for four")
    group.add_argument("--threshold", type=SHARE, default=0.0, metavar="SHARE",
                       help="what lies below this share of a map's range counts as 0, drawn and scored")
    group.add_argument("--model", type=architecture, default=None, metavar="NAME", help=FOR_PUBLIC)
    add_public(group)


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
    kept = subject.folder is not None and is_resumable(subject.folder)
    if subject.folder is not None and kept and trained.get("method") in ("byol", "lcr-byol"):
        args = argparse.Namespace(**{**trained, "pretrained": "none"})
        method = build_pretrain_method(args, len(images), build_student(args), None)
        assert isinstance(method, Byol)
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


def main() -> None:
    """The command."""
    args = parse()
    with hold_results(args.out, needed=is_chosen(args)) as kept:
        if args.model or holds_classifier(args.pretrained):
            args.arch = args.model or args.arch
            draw_classifier(args, keep=kept)
        else:
            draw_encoder(args, keep=kept)


def draw_encoder(args: argparse.Namespace, *, keep: bool = True) -> None:
    """The maps of an encoder."""
    subject = open_subject(args, torch.device(args.device), args.batch_size)
    split = args.split if args.split != "auto" else first_split(subject.root, "test", "train")
    images = sample_images(subject.images(split, "ignored"), args.images)
    losses, name = choose_losses(subject, images, args.cam_sign)
    maps = compute_maps(subject, images, losses)
    boxes = find_view_boxes(images, subject.root, args.boxes, subject.view, subject.crop_bottom)
    rows = measure_maps(maps, boxes)
    means = average_scores(rows)
    if keep:
        out = Path(args.out)
        write_box_table(out / "heatmap.csv", images, rows, means)
        write_atomically(out / "heatmap.png", draw_heatmaps(subject, images, maps, boxes, rows, args.shown).save)
    print(f"{len(images)} {split} pictures of {subject.describe()}")
    print(f"G is the CAM of {name}" if losses is not None else "these weights have no head: no loss, so no G")
    for heat in (heat for heat in maps if f"{heat}_energy" in means):
        print(f"  {WORDS[heat]:<28} peak in the box {means[f'{heat}_pointing']:.1%}, "
              f"mass in the box {means[f'{heat}_energy']:.1%}")
    print(f"  {'a uniform map':<28} {means['area']:.1%} for both" if means else "no boxes, no scores (--boxes FILE)")
    if keep:
        print(f"written to {args.out}")


if __name__ == "__main__":
    exit_cleanly(main)
