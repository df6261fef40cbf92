"""The same classes in other words, measured without training and by students."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from datasets.class_names import match_rows
from datasets.crops import Crops, open_crops
from datasets.images import ImageSet, load_images
from engine.flags.text import AblationOptions
from engine.workflows.pretrain.guidance import ask
from engine.workflows.student import StudentPlan, train_student
from evaluation.ledger import Result, append_result
from evaluation.options import SearchOptions
from models.teachers.clip import ClipTeacher
from models.teachers.prototypes import kmeans_prototypes
from runtime.devices import use_threads
from runtime.errors import refuse
from runtime.files import write_text
from text.ablation import VariantResult, render_ablation, summarise_audit, write_ablation_csv
from text.audit import TextReading, audit, match_entropy
from text.descriptions import Description, encode_descriptions, fill_template, read_descriptions
from text.sources import open_clip_teacher
from text.variants import FREE, Variant, make_variants

FREE_ENTROPY = 0.5  # what sets the temperature of centroids, whose cosines are not those of text


@dataclass(frozen=True)
class Scene:
    """What all variants meet: the teacher, the images, and its unit answers [N, D] to them."""

    teacher: ClipTeacher
    images: ImageSet
    crops: Crops | None
    answers: Tensor

    @property
    def labelled(self) -> bool:
        """Whether accuracy can be measured."""
        return bool(self.images.classes) and bool((self.images.labels >= 0).any())


@dataclass(frozen=True)
class EncodedVariant:
    """A variant's rows [M, D]; `classes` are the same in label order, None where rows are no classes or labels lack."""

    key: str
    title: str
    rows: Tensor
    classes: Tensor | None
    readings: tuple[TextReading, ...] = ()
    same_training: str = ""


def choose_variants(options: AblationOptions, rows: list[Description]) -> tuple[list[Variant], bool]:
    """The variants that are wanted and possible, and whether one without text is.

    Raises ConfigError for unknown keys or a run that is there already.
    """
    fill_template(options.template, "", "")
    beside = Path(options.csv).with_name(f"{Path(options.csv).stem}_random.csv")
    others = Path(options.random_labels) if options.random_labels else beside if beside.is_file() else None
    found = make_variants(rows, read_descriptions(others) if others else [], template=options.template,
                          seed=options.seed)
    keys = [*(variant.key for variant in found), FREE]
    wanted = keys if options.variants == "all" else options.variants.split(",")
    refuse([f"--variants {key} is unknown; known are {', '.join(keys)}" for key in wanted if key not in keys]
           + [f"{options.place / 'runs'} holds students already; give --out another place"]
           * bool(options.train and (options.place / "runs").exists()))
    return [variant for variant in found if variant.key in wanted], FREE in wanted


def encode_variant(variant: Variant, scene: Scene) -> EncodedVariant:
    """A variant's rows by CLIP's text tower."""
    rows = encode_descriptions(scene.teacher, list(variant.rows), variant.template)
    texts = [fill_template(variant.template, row.name, row.text) for row in variant.rows]
    readings = tuple(TextReading(row.name, text, tokens, "")
                     for row, text, tokens in zip(variant.rows, texts, scene.teacher.count_tokens(texts)))
    names = [row.name for row in variant.rows]
    scored = variant.of_classes and scene.labelled
    order = match_rows(names, scene.images.classes, text="the CSV", data=str(scene.images.root)) if scored else None
    return EncodedVariant(variant.key, variant.title, rows, None if order is None else rows[order], readings,
                          variant.same_training)


def make_centroids(options: AblationOptions, scene: Scene, classes: int) -> EncodedVariant:
    """The variant without text: k-means centroids of the teacher's own answers."""
    count = min(options.prototypes or classes, len(scene.answers))
    rows = kmeans_prototypes(scene.answers, count, options.seed)
    return EncodedVariant(FREE, f"no text: {count} k-means centroids of the images", rows, None)


def measure_variant(options: AblationOptions, scene: Scene, encoded: EncodedVariant) -> dict[str, float]:
    """A variant's numbers without training, at its temperature."""
    target = options.match_entropy or (FREE_ENTROPY if encoded.key == FREE else None)
    matched = match_entropy(scene.answers, encoded.rows, target) if target else None
    rows, labels = (encoded.rows, None) if encoded.classes is None else (encoded.classes, scene.images.labels)
    return summarise_audit(audit(rows, scene.answers, temperature=matched.temperature if matched else options.tau,
                           labels=labels, readings=encoded.readings, context=scene.teacher.context))


def plan_students(options: AblationOptions, further: Sequence[str]) -> StudentPlan:
    """What all students share."""
    shared = {name: getattr(options, name) for name in (
        "root", "task", "crop_bottom", "num_workers", "skip_bad", "device", "seed", "cache", "threads")}
    taught = {name: value for name, value in options.settings().items()
              if name.startswith(("teacher", "crop_", "precision"))}
    return StudentPlan(options.place, tuple(further), {**shared, **taught, "epochs": options.train},
                       SearchOptions(pretrained="", **shared), torch.device(options.device))


def record_variant(options: AblationOptions, scene: Scene, line: VariantResult) -> None:
    """The line's numbers without training as a row of results.jsonl."""
    details = {"text": Path(options.csv).name, "variant": line.key}
    row = Result(kind="text", task=options.task, dataset_sha256=scene.images.fingerprint(), split=scene.images.split,
                 images=len(scene.images), weights=str(options.teacher_weights), feature="teacher", view="eval",
                 weights_sha256=scene.teacher.fingerprint(), arch=options.teacher_arch, size=scene.teacher.size,
                 input="full" if scene.crops is None else "crop", centred=False, seed=options.seed, label=line.title,
                 precision=scene.teacher.precision, images_per_second=0.0, metrics=line.teacher, details=details)
    append_result(options.place / "results.jsonl", row.to_dict())


def compare_variants(
    options: AblationOptions, further: Sequence[str], scene: Scene, variants: Sequence[EncodedVariant]
) -> list[VariantResult]:
    """A line for each variant; the files are brought up to date after every student."""
    lines: dict[str, VariantResult] = {}
    for encoded in variants:
        teacher, student, note = measure_variant(options, scene, encoded), {}, ""
        if options.train and encoded.same_training in lines:
            note = f"trains the same student as {encoded.same_training}"
        elif options.train:
            student = train_student(plan_students(options, further), encoded.key, encoded.title, encoded.rows,
                                    teacher["tau"], encoded.classes)
        lines[encoded.key] = VariantResult(encoded.key, encoded.title, teacher, student, note)
        record_variant(options, scene, lines[encoded.key])
        write_ablation(options, scene, list(lines.values()))
    return list(lines.values())


def write_ablation(options: AblationOptions, scene: Scene, lines: Sequence[VariantResult]) -> None:
    """ablation.csv and ablation.html."""
    write_ablation_csv(options.place / "ablation.csv", lines)
    trained = f"students of {options.train} epochs" if options.train else "no student was trained"
    lead = (f"{options.csv}, read by {options.teacher_arch}; {len(scene.images)} "
            f"{'crops' if scene.crops is not None else 'whole images'} of {options.root}; {trained}")
    write_text(options.place / "ablation.html", render_ablation(lines, lead))


def run_variants(options: AblationOptions, further: Sequence[str]) -> list[VariantResult]:
    """Every variant, encoded, measured and where asked trained with."""
    use_threads(options.threads)
    rows = read_descriptions(Path(options.csv))
    variants, free = choose_variants(options, rows)
    images = load_images(options.root, "train", skip_bad=options.skip_bad, labels="ignored")
    crops = open_crops(options, images)
    command = f"python -m tools.text_ablation {options.csv} --root {options.root}"
    teacher = open_clip_teacher(options, options.device, command=command)
    scene = Scene(teacher, images, crops, ask(options, teacher, images, crops, torch.device(options.device)))
    encoded = [encode_variant(variant, scene) for variant in variants]
    encoded += [make_centroids(options, scene, len(rows))] if free else []
    return compare_variants(options, further, scene, encoded)
