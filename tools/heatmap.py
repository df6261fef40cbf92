"""Where does a network look? Overlays of its rationale M, of its loss's CAM G, of its map's norm; scores against boxes.

python -m tools.heatmap --pretrained my_lcr --root bird --out heat
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from PIL import Image
from torch import Tensor

from datasets.images import ImageSet, decode, has_split
from datasets.multi_context import Box, read_boxes
from datasets.views import make_transform
from engine import checkpoint
from engine.args import Parser, exit_cleanly, refuse
from engine.build import sample_images
from engine.construct import build_method, build_student
from engine.evaluate.features import extract
from engine.evaluate.heat_sheet import draw_heat_sheet
from engine.evaluate.heatmap import (
    CAM,
    NORM,
    RATIONALE,
    Losses,
    byol_losses,
    contrast_losses,
    look,
    measure,
    place_box,
    summarise,
)
from engine.evaluate.sources import find_device, read_args
from engine.evaluate.subject import Subject, add_subject, open_subject

WORDS = {RATIONALE: "M, the predicted rationale", CAM: "G, the CAM of the loss", NORM: "norm of the map"}


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags."""
    parser = Parser(prog="python -m tools.heatmap", description="Where does a network look?")
    add_subject(parser, look_at="full", feature="auto")
    group = parser.add_argument_group("pictures")
    group.add_argument("--split", choices=("auto", "test", "val", "train"), default="auto",
                       help="auto = test, or train where there is no test")
    group.add_argument("--boxes", default="auto", metavar="FILE",
                       help="path,x1,y1,x2,y2 in pixels; auto = boxes.csv in the data set, if there; or none")
    group.add_argument("--cam-sign", choices=("auto", "loss", "similarity"), default="auto",
                       help="G is where activation raises the loss, or lowers it; auto = as the run was trained")
    group.add_argument("--images", type=int, default=500, help="at most so many pictures are measured, evenly chosen")
    group.add_argument("--shown", type=int, default=16, help="pictures on the sheet")
    group.add_argument("-b", "--batch-size", type=int, default=32, help="images at a time; changes no number")
    group.add_argument("--out", default="heatmap", metavar="DIR", help="where heatmap.png and heatmap.csv go")
    args = parser.parse_args(argv)
    refuse([f"--{name.replace('_', '-')} must be at least 1, not {getattr(args, name)}"
            for name in ("images", "shown", "batch_size") if getattr(args, name) < 1])
    args.device, args.input, args.eval_view = find_device(args.device), "full", "eval"
    return args


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
    if trained.get("method") in ("byol", "lcr-byol") and checkpoint.exists(subject.folder):
        args = argparse.Namespace(**{**trained, "pretrained": "none"})
        method = build_method(args, len(images), build_student(args), None)
        checkpoint.load_trained_state(method, checkpoint.load(subject.folder)["method"])
        return byol_losses(method.to(subject.device).eval()), "BYOL's loss against the mirrored picture"
    if subject.encoder.head is None:
        return None, ""
    rows = subject.extract(images).tensors["head"].to(subject.device)
    return contrast_losses(subject.encoder, rows), "InfoNCE of the mirrored picture among these"


def read_maps(subject: Subject, images: ImageSet, losses: Losses | None) -> dict[str, Tensor]:
    """Square maps [N, h, w] by name, rationale first."""
    found = extract(look(subject.encoder, losses), images, subject.view, batch_size=subject.batch_size,
                    workers=subject.workers, device=subject.device, crop_bottom=subject.crop_bottom).tensors
    side = round(found[NORM].shape[1] ** 0.5)  # views are square
    return {name: found[name].unflatten(1, (side, side)) for name in (RATIONALE, CAM, NORM) if name in found}


def find_boxes(subject: Subject, images: ImageSet, wanted: str) -> list[Box | None]:
    """The box of every picture in shares of its view; None where there is none."""
    file = subject.root / "boxes.csv" if wanted == "auto" else Path(wanted)
    if wanted == "none" or (wanted == "auto" and not file.is_file()):
        return [None] * len(images)
    boxes = read_boxes(file)
    found = []
    for sample in images.samples:
        box = boxes.get(sample.key)
        size = decode(sample.path, subject.crop_bottom).size if box is not None else (1, 1)
        found.append(place_box(box, *size, subject.view.size) if box is not None else None)
    return found


def write_table(path: Path, images: ImageSet, rows: list[dict[str, float]], means: dict[str, float]) -> None:
    """A line for each picture, the last one their means."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["path", *means])
        writer.writeheader()
        for key, row in [*zip((sample.key for sample in images.samples), rows), ("MEAN", means)]:
            writer.writerow({"path": key} | {name: f"{value:.4f}" for name, value in row.items()})


def show(subject: Subject, images: ImageSet, maps: dict[str, Tensor], boxes: list[Box | None],
         rows: list[dict[str, float]], shown: int) -> Image.Image:
    """The sheet of evenly chosen pictures."""
    chosen = [number * len(images) // min(shown, len(images)) for number in range(min(shown, len(images)))]
    transform = make_transform(subject.view)
    pictures = [Image.fromarray(transform(decode(images.samples[n].path, subject.crop_bottom)).permute(1, 2, 0).numpy())
                for n in chosen]
    first = next(iter(maps))
    captions = [f"{Path(images.samples[n].key).name[:32]}"
                + (f"   {rows[n][f'{first}_energy']:.0%} of {first} in the box, uniform {rows[n]['area']:.0%}"
                   if f"{first}_energy" in rows[n] else "") for n in chosen]
    return draw_heat_sheet(pictures, {name: heat[chosen] for name, heat in maps.items()}, [boxes[n] for n in chosen],
                           captions, title=f"{subject.source} ({subject.encoder.backbone.arch}), {images.split}",
                           words=WORDS)


def main() -> None:
    """The command."""
    args = parse()
    subject = open_subject(args, torch.device(args.device), args.batch_size)
    split = args.split if args.split != "auto" else "test" if has_split(subject.root, "test") else "train"
    images = sample_images(subject.images(split), args.images)
    losses, name = choose_losses(subject, images, args.cam_sign)
    maps, boxes = read_maps(subject, images, losses), find_boxes(subject, images, args.boxes)
    rows = measure(maps, boxes)
    means = summarise(rows)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    write_table(out / "heatmap.csv", images, rows, means)
    show(subject, images, maps, boxes, rows, args.shown).save(out / "heatmap.png")
    print(f"{len(images)} {split} pictures of {subject.describe()}")
    print(f"G is the CAM of {name}" if losses is not None else "these weights have no head: no loss, so no G")
    for heat in (heat for heat in maps if f"{heat}_energy" in means):
        print(f"  {WORDS[heat]:<28} peak in the box {means[f'{heat}_pointing']:.1%}, "
              f"mass in the box {means[f'{heat}_energy']:.1%}")
    print(f"  {'a uniform map':<28} {means['area']:.1%} for both" if means else "no boxes, no scores (--boxes FILE)")
    print(f"written to {out}")


if __name__ == "__main__":
    exit_cleanly(main)
