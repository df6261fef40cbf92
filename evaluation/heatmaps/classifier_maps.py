"""tools.heatmap for a trained classifier: which class, which pictures, and what is written of its maps."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from datasets.class_names import find_class_numbers, match
from datasets.crops import Box
from datasets.files import decode
from datasets.images import ImageSet, check_images, sample_images, scan
from datasets.joint import describe_sources
from datasets.views.recipes import make_transform
from evaluation.classifier.pictures import find_split, gather_pictures, take_labels
from evaluation.classifier.predictions import caption_name, pick_evenly
from evaluation.classifier.trained import Trained, open_classifier
from evaluation.heatmaps.box_scores import average_scores, measure_maps
from evaluation.heatmaps.class_maps import CAM, FUSED, OF_CLASS, PREDICTED, SELECTED, TRUE, WORDS, Looks, look_at
from evaluation.heatmaps.level_sheet import draw_level_sheet
from evaluation.heatmaps.rollout import attention_layers
from evaluation.heatmaps.sheet import draw_heat_sheet
from evaluation.heatmaps.table import find_view_boxes, write_box_table
from evaluation.options import ClassifierOptions, ClassMapOptions
from evaluation.run_record import ARGS, find_photographs, read_args
from models.plug_in.module import PlugIn
from runtime.errors import ConfigError
from runtime.files import write_atomically
from runtime.names.spelling import show_name

SELECTED_ROW = "what a level selected; dropped positions are dark"


def draw_classifier(options: ClassMapOptions, *, keep: bool = True) -> None:
    """The command for a classifier: heatmap.png and heatmap.csv of its maps, where they can be kept."""
    classifier = ClassifierOptions.read(options.settings(), options.given)
    trained = open_classifier(classifier, options.batch_size)
    if not trained.names:
        trained = trained.named([f"class {number}" for number in range(trained.network.classes)], trained.source)
    images = find_pictures(options, trained)
    wanted, asked = find_class(options.wanted, trained, images)
    check_level_weights(options.level_weights, trained)
    found = look_at(trained.network, images, trained.view, wanted=wanted, weights=options.level_weights,
                    **trained.protocol())
    found = Looks({name: heat * (heat >= options.threshold) for name, heat in found.maps.items()}, found.logits)
    boxes = find_view_boxes(images, images.root, options.boxes, trained.view, trained.crop_bottom)
    rows = [{name: value for name, value in row.items() if not (name.startswith(SELECTED) and "_pointing" in name)}
            for row in measure_maps(found.maps, boxes)]  # of a map of zeros and ones every peak is as good
    means = average_scores(rows)
    facts = tell_answers(found, images, trained)
    if keep:
        out = Path(options.out)
        write_box_table(out / "heatmap.csv", images, rows, means, facts)
        sheet = draw_map_sheet(trained, images, found, boxes, rows, facts, asked, options.shown)
        write_atomically(out / "heatmap.png", sheet.save)
    print(f"{len(images)} pictures{'' if options.image else f' of {images.root}'}, {trained.describe()}")
    tell_means(found, means, asked)
    if keep:
        print(f"written to {options.out}")


def find_pictures(options: ClassMapOptions, trained: Trained) -> ImageSet:
    """Those of --image, else of the data set, with the classifier's labels where its classes are known."""
    sources = describe_sources(trained.sources)
    if options.image:
        images = gather_pictures(options.image, trained.names, sources, split="auto", labels="none",
                                 text=trained.source)
        return check_images(images, skip_bad=options.skip_bad, crop_bottom=trained.crop_bottom)
    known = read_args(trained.folder).get("root") or []
    root = options.root
    if root is None and isinstance(known, list) and len(known) == 1:
        root = find_photographs(known, trained.folder / ARGS)[0]
    if root is None:
        raise ConfigError("which pictures? give --root DIR, or --image FILE ...")
    images = scan(root, options.split if options.split != "auto" else find_split(Path(root)), "ignored")
    images = take_labels(images, trained.names, sources, "auto", trained.source) if images.classes else images
    images = sample_images(images, options.images)
    return check_images(images, skip_bad=options.skip_bad, crop_bottom=trained.crop_bottom)


def find_class(wanted: str, trained: Trained, images: ImageSet) -> tuple[str | int, str]:
    """What `look_at` is asked for by --class, and what tables call it; raises ConfigError for an unknown class."""
    if attention_layers(trained.network.backbone) and not isinstance(trained.network, PlugIn) and wanted != PREDICTED:
        print("note: attention roll-out is the same for every class; --class changes nothing", file=sys.stderr)
        return PREDICTED, "the predicted class"
    if wanted == TRUE and bool((images.labels < 0).any()):
        raise ConfigError("--class true needs labelled pictures: class folders that the classifier knows")
    if wanted in (TRUE, PREDICTED):
        return wanted, f"the {wanted} class"
    number = match(wanted, find_class_numbers(trained.names, describe_sources(trained.sources)))
    if number is None and wanted.isdecimal() and int(wanted) < len(trained.names):
        number = int(wanted)
    if number is None:
        raise ConfigError(f"--class {wanted}: {trained.source} knows no such class; true, predicted, a number below "
                          f"{len(trained.names)}, or one of: {', '.join(trained.names[:20])}"
                          + ", ..." * (len(trained.names) > 20))
    return number, caption_name(trained.names[number])


def check_level_weights(weights: Sequence[float] | None, trained: Trained) -> None:
    """Raise ConfigError when --level-weights are not one a level."""
    if weights is None:
        return
    levels = len(trained.network.levels.shapes) if isinstance(trained.network, PlugIn) else 0
    if len(weights) != levels or min(weights) < 0 or sum(weights) <= 0:
        raise ConfigError(f"--level-weights {' '.join(f'{weight:g}' for weight in weights)}: {trained.source} has "
                          f"{levels} levels; give a number for each, none below 0, not all 0")


def tell_answers(found: Looks, images: ImageSet, trained: Trained) -> list[dict[str, str]]:
    """Label, prediction and its probability of every picture, for the table."""
    surest, answers = found.logits.float().softmax(dim=1).max(dim=1)
    return [{"label": "" if sample.label is None else trained.names[sample.label], "predicted": trained.names[answer],
             "probability": f"{share:.4f}"}
            for sample, answer, share in zip(images.samples, answers.tolist(), surest.tolist(), strict=True)]


def tell_means(found: Looks, means: Mapping[str, float], asked: str) -> None:
    """The mean scores of every map, for people."""
    if not means:
        print("no boxes, no scores (--boxes FILE)")
        return
    for name in found.maps:
        peak = f"peak in the box {means[f'{name}_pointing']:.1%}, " if f"{name}_pointing" in means else ""
        if f"{name}_energy" in means:
            print(f"  {name:<20} {peak}mass in the box {means[f'{name}_energy']:.1%}")
    print(f"  {'a uniform map':<20} {means['area']:.1%} for both; class maps are of {asked}")


def draw_map_sheet(
    trained: Trained, images: ImageSet, found: Looks, boxes: Sequence[Box | None], rows: Sequence[Mapping[str, float]],
    facts: Sequence[Mapping[str, str]], asked: str, shown: int,
) -> Image.Image:
    """The sheet of evenly chosen pictures."""
    chosen = pick_evenly(len(images), shown)
    transform = make_transform(trained.view)
    pictures = [Image.fromarray(transform(decode(images.samples[n].path, trained.crop_bottom)).permute(1, 2, 0).numpy())
                for n in chosen]
    first = OF_CLASS + FUSED if OF_CLASS + FUSED in found.maps else next(iter(found.maps))
    captions = [caption_picture(images, n, facts[n], rows[n].get(f"{first}_energy"), rows[n].get("area"))
                for n in chosen]
    maps = {name: heat[chosen] for name, heat in found.maps.items()}
    placed, title = [boxes[n] for n in chosen], f"{trained.describe()}; {images.split}"
    if not isinstance(trained.network, PlugIn):
        words = {**WORDS, CAM: f"CAM of {asked}"}
        return draw_heat_sheet(pictures, maps, placed, captions, title=title, words=words)
    captions = [text.replace("\n", "   ") for text in captions]
    return draw_level_sheet(pictures, group_maps(maps, asked), placed, captions, title=title, selected=SELECTED_ROW)


def group_maps(maps: Mapping[str, Tensor], asked: str) -> dict[str, dict[str, Tensor]]:
    """A plug-in module's maps by row and column of its sheet."""
    kinds = {"": "the largest class probability at each position", OF_CLASS: f"the probability of {asked}",
             SELECTED: SELECTED_ROW}
    rows = {words: {name.removeprefix(kind): heat for name, heat in maps.items()
                    if (name.startswith(kind) if kind else not name.startswith((OF_CLASS, SELECTED)))}
            for kind, words in kinds.items()}
    return {words: row for words, row in rows.items() if row}


def caption_picture(
    images: ImageSet, number: int, fact: Mapping[str, str], energy: float | None, area: float | None
) -> str:
    """What stands under a picture: what it was taken for, what it is, and how much of the map is in its box."""
    missed = f", is {caption_name(fact['label'])}" if fact["label"] not in ("", fact["predicted"]) else ""
    text = f"{float(fact['probability']):.2f} {caption_name(fact['predicted'])}{missed}"
    if not fact["label"]:
        text = f"{show_name(Path(images.samples[number].key).name)}\n{text}"
    return text + (f"\n{energy:.0%} of the map in the box, uniform {area:.0%}" if energy is not None else "")
