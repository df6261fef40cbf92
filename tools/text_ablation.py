"""Does it matter what the text says? The same classes in other words, side by side in one table.

python -m tools.text_ablation text_description/bird.csv --root bird/ --weights ViT-B-16.pt
python -m tools.text_ablation text_description/bird.csv --root bird/ --weights ViT-B-16.pt --train 20 --preset small

Without --train: what the teacher makes of each text. With it: a pre-training run each, further flags go to it, then
retrieval and zero-shot accuracy of the student. Writes ablation.csv, ablation.html and rows of results.jsonl.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from torch import Tensor

from datasets.class_names import match_rows
from datasets.crops import Crops, open_crops
from datasets.files import find_crop_bottom
from datasets.images import ImageSet, load_images
from datasets.places import list_overlaps
from engine.flags.absent import check_present
from engine.flags.command import exit_cleanly
from engine.flags.groups import add_data, add_device
from engine.flags.parser import Parser
from engine.flags.ranges import BETWEEN, COUNT_OR_0, TEMPERATURE
from engine.flags.text import add_asking, add_clip
from engine.results_folder import hold_results
from engine.workflows.pretrain.guidance import TEXT_TEMPERATURE, ask
from engine.workflows.student import StudentPlan, train_student
from evaluation.ledger import Result, append_result
from models.teachers.clip import ClipTeacher
from models.teachers.prototypes import kmeans_prototypes
from runtime.devices import list_device_problems, resolve_device
from runtime.errors import refuse
from runtime.files import write_text
from runtime.names.safe import safe_name
from text.ablation import VariantResult, render_ablation, render_text, summarise_audit, write_ablation_csv
from text.audit import TextReading, audit, match_entropy
from text.descriptions import Description, encode_descriptions, fill_template, read_descriptions
from text.sources import open_clip_teacher
from text.variants import FREE, Variant, make_variants

TEMPLATE = "a photo of a {name}."
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


def make_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="python -m tools.text_ablation", description="The same classes in other words, in one table.",
                    epilog="With --train, flags that are not listed here go to main_pretrain.py.")
    parser.add_argument("csv", metavar="FILE.csv", help="descriptions, columns `class name,description`")
    add_data(parser)
    add_asking(add_clip(parser))
    group = parser.add_argument_group("ablation")
    group.add_argument("--random-labels", default=None, metavar="FILE.csv",
                       help="descriptions of classes that are not there; default FILE_random.csv where it exists")
    group.add_argument("--template", default=TEMPLATE, help="of the names, with {name}")
    group.add_argument("--variants", default="all", metavar="A,B", help="only these lines of the table, by their keys")
    group.add_argument("--tau", "--temperature", type=TEMPERATURE, default=TEXT_TEMPERATURE,
                       help="temperature of every line")
    group.add_argument("--match-entropy", type=BETWEEN, default=None, metavar="H",
                       help="in place of --tau: each line the temperature at which the mean entropy is H")
    group.add_argument("--prototypes", type=COUNT_OR_0, default=0,
                       help="centroids without text; 0 = as many as classes")
    group.add_argument("--train", type=COUNT_OR_0, default=0, metavar="EPOCHS",
                       help="also pre-train a student for each line")
    group.add_argument("--out", default=None, metavar="DIR", help="default ablation/<the CSV's name>")
    add_device(parser)
    return parser


def parse(argv: Sequence[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """Flags with automatic values resolved, and those for main_pretrain.py; raises ConfigError with every problem."""
    args, further, problems = make_parser().gather_known(argv)
    if further and not args.train:
        problems.lines.append(f"{' '.join(further)}: unknown here; without --train nothing goes to main_pretrain.py")
    problems.lines += list_device_problems(args.device)
    args.device = resolve_device(args.device)
    args.crop_bottom = find_crop_bottom(args.crop_bottom, args.task)
    args.out = Path(args.out or Path("ablation") / safe_name(Path(args.csv).stem))
    problems.lines += list_overlaps(args, ("ablation.csv", "ablation.html", "results.jsonl"))
    problems.refuse(lambda: check_present(args))
    if args.threads:
        torch.set_num_threads(args.threads)
    return args, further


def choose_variants(args: argparse.Namespace, rows: list[Description]) -> list[Variant]:
    """The variants that are wanted and possible; raises ConfigError for unknown keys or a run that is there already."""
    fill_template(args.template, "", "")
    beside = Path(args.csv).with_name(f"{Path(args.csv).stem}_random.csv")
    others = Path(args.random_labels) if args.random_labels else beside if beside.is_file() else None
    found = make_variants(rows, read_descriptions(others) if others else [], template=args.template, seed=args.seed)
    keys = [*(variant.key for variant in found), FREE]
    wanted = keys if args.variants == "all" else args.variants.split(",")
    refuse([f"--variants {key} is unknown; known are {', '.join(keys)}" for key in wanted if key not in keys]
           + [f"{args.out / 'runs'} holds students already; give --out another place"]
           * bool(args.train and (args.out / "runs").exists()))
    args.free = FREE in wanted
    return [variant for variant in found if variant.key in wanted]


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


def make_centroids(args: argparse.Namespace, scene: Scene, classes: int) -> EncodedVariant:
    """The variant without text: k-means centroids of the teacher's own answers."""
    count = min(args.prototypes or classes, len(scene.answers))
    rows = kmeans_prototypes(scene.answers, count, args.seed)
    return EncodedVariant(FREE, f"no text: {count} k-means centroids of the images", rows, None)


def measure_variant(args: argparse.Namespace, scene: Scene, encoded: EncodedVariant) -> dict[str, float]:
    """A variant's numbers without training, at its temperature."""
    target = args.match_entropy or (FREE_ENTROPY if encoded.key == FREE else None)
    matched = match_entropy(scene.answers, encoded.rows, target) if target else None
    rows, labels = (encoded.rows, None) if encoded.classes is None else (encoded.classes, scene.images.labels)
    return summarise_audit(audit(rows, scene.answers, temperature=matched.temperature if matched else args.tau,
                           labels=labels, readings=encoded.readings, context=scene.teacher.context))


def plan_students(args: argparse.Namespace, further: Sequence[str]) -> StudentPlan:
    """The flags that all students share."""
    data = ["--root", args.root, "--task", args.task, "--crop-bottom", str(args.crop_bottom), "--num-workers",
            str(args.num_workers), "--skip-bad", str(args.skip_bad), "--device", args.device, "--seed", str(args.seed),
            "--cache", args.cache, "--threads", str(args.threads)]
    flags = [*data, "--crop-root", args.crop_root, "--crop-from", args.crop_from, "--precision", args.precision,
             "--teacher", "clip", "--teacher-arch", args.teacher_arch, "--teacher-norm", args.teacher_norm,
             "--teacher-size", str(args.teacher_size), "--epochs", str(args.train), *further]
    if args.teacher_weights:
        flags += ["--teacher-weights", args.teacher_weights]
    return StudentPlan(args.out, tuple(flags), tuple(data), torch.device(args.device))


def record_variant(args: argparse.Namespace, scene: Scene, line: VariantResult) -> None:
    """The line's numbers without training as a row of results.jsonl."""
    details = {"text": Path(args.csv).name, "variant": line.key}
    row = Result(kind="text", task=args.task, dataset_sha256=scene.images.fingerprint(), split=scene.images.split,
                 images=len(scene.images), weights=str(args.teacher_weights), feature="teacher", view="eval",
                 weights_sha256=scene.teacher.fingerprint(), arch=args.teacher_arch, size=scene.teacher.size,
                 input="full" if scene.crops is None else "crop", centred=False, seed=args.seed, label=line.title,
                 precision=scene.teacher.precision, images_per_second=0.0, metrics=line.teacher, details=details)
    append_result(args.out / "results.jsonl", row.to_dict())


def compare_variants(
    args: argparse.Namespace, further: Sequence[str], scene: Scene, variants: Sequence[EncodedVariant]
) -> list[VariantResult]:
    """A line for each variant; the files are brought up to date after every student."""
    lines: dict[str, VariantResult] = {}
    for encoded in variants:
        teacher, student, note = measure_variant(args, scene, encoded), {}, ""
        if args.train and encoded.same_training in lines:
            note = f"trains the same student as {encoded.same_training}"
        elif args.train:
            student = train_student(plan_students(args, further), encoded.key, encoded.title, encoded.rows,
                                    teacher["tau"], encoded.classes)
        lines[encoded.key] = VariantResult(encoded.key, encoded.title, teacher, student, note)
        record_variant(args, scene, lines[encoded.key])
        write_ablation(args, scene, list(lines.values()))
    return list(lines.values())


def write_ablation(args: argparse.Namespace, scene: Scene, lines: Sequence[VariantResult]) -> None:
    """ablation.csv and ablation.html."""
    write_ablation_csv(args.out / "ablation.csv", lines)
    trained = f"students of {args.train} epochs" if args.train else "no student was trained"
    lead = (f"{args.csv}, read by {args.teacher_arch}; {len(scene.images)} "
            f"{'crops' if scene.crops is not None else 'whole images'} of {args.root}; {trained}")
    write_text(args.out / "ablation.html", render_ablation(lines, lead))


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    args, further = parse(argv)
    with hold_results(args.out):
        lines = run_variants(args, further)
    print(f"{render_text(lines)}\nwritten to {args.out}: ablation.csv, ablation.html, results.jsonl")


def run_variants(args: argparse.Namespace, further: Sequence[str]) -> list[VariantResult]:
    """Every variant, encoded, measured and where asked trained with."""
    rows = read_descriptions(Path(args.csv))
    variants = choose_variants(args, rows)
    images = load_images(args.root, "train", skip_bad=args.skip_bad, labels="ignored")
    crops = open_crops(args, images)
    command = f"python -m tools.text_ablation {args.csv} --root {args.root}"
    teacher = open_clip_teacher(args, args.device, command=command)
    answers = ask(args, teacher, images, crops, torch.device(args.device))
    scene = Scene(teacher, images, crops, answers)
    encoded = [encode_variant(variant, scene) for variant in variants]
    encoded += [make_centroids(args, scene, len(rows))] if args.free else []
    return compare_variants(args, further, scene, encoded)


if __name__ == "__main__":
    exit_cleanly(main)
