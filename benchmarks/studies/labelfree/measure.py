"""Networks by numbers with and without labels, on the training images, and how the former follow the latter."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from sklearn.linear_model import RidgeClassifier
from torch import Tensor
from torch.nn import functional as F

from benchmarks.studies.labelfree.options import LabelfreeOptions
from benchmarks.studies.options import FOLDS
from datasets.crops import find_crops, need_crops
from datasets.images import ImageSet, scan
from datasets.views.recipes import View
from evaluation.features.subject import Subject, check_classes, open_subject
from evaluation.labelfree.correlation import LABELLED, correlate
from evaluation.labelfree.joining import fit_joint
from evaluation.labelfree.numbers import alignment, neighbour_agreement, spectral_decay, uniformity
from evaluation.metrics.geometry import effective_rank
from evaluation.metrics.knn import knn_leave_one_out
from evaluation.metrics.similarity import normalise_embeddings
from evaluation.options import SearchOptions
from evaluation.retrieval.score import retrieve
from models.teachers.prototypes import fit_space
from runtime.devices import resolve_device
from runtime.files import write_cells

NEIGHBOURS, TEMPERATURE = 20, 0.07
TEACHER_SIZE = 224
RIDGE = 0.3  # in squared mean lengths of a row
SHARES = (0.25, 0.5, 0.75)
Looks = Mapping[str, Tensor]  # one feature of all images, by how they are looked at: clean, one, other, crop
Row = dict[str, Any]


def open_network(options: LabelfreeOptions, source: str, size: int) -> Subject:
    """A network that looks at whole images; raises ConfigError or WeightsError."""
    asked = SearchOptions(task=options.task, root=options.root, pretrained=source, size=size, feature="gap",
                          eval_view="eval", device=options.device, precision="fp32", cache=options.cache,
                          num_workers=options.num_workers, batch_size=options.batch_size, threads=options.threads)
    return open_subject(asked, torch.device(resolve_device(options.device)), options.batch_size)


def measure_networks(options: LabelfreeOptions) -> list[Row]:
    """A row for every network, seed and feature."""
    images = scan(options.root, "train", "learned")
    check_classes(images, 0)
    opened = [(row.label, seed, open_network(options, row.source.replace("{seed}", str(seed)), options.size))
              for row in options.row for seed in (options.seeds if "{seed}" in row.source else options.seeds[:1])]
    members = [open_network(options, source, TEACHER_SIZE).extract(images).tensors["backbone"]
               for source in options.teacher]
    answers = torch.cat(members, dim=1)
    teacher = fit_space(answers, parts=[member.shape[1] for member in members], whiten=options.whiten).project(answers)
    rows = []
    for number, (label, seed, subject) in enumerate(opened, start=1):
        print(f"network {number} of {len(opened)}: {label}, seed {seed}", file=sys.stderr)
        for feature, looks in list_features(see_every_way(subject, images, options), options.whiten).items():
            rows.append({"network": label, "seed": seed, "feature": feature, **measure_labelled(looks["clean"], images),
                         **measure_labelfree(looks, teacher)})
    return rows


def see_every_way(subject: Subject, images: ImageSet, options: LabelfreeOptions) -> dict[str, Looks]:
    """Every feature in every look: clean, two augmented views, and the object's crop where there are crops."""
    views = {"one": (View("full", "mocov2", options.size), 0), "other": (View("full", "mocov2", options.size), 1)}
    if options.crop_root != "none":
        crops = find_crops(Path(options.crop_root), "auto", options.task, options.root)
        need_crops(crops, images, options.task, options.root)
        subject = replace(subject, crops=crops)
        views["crop"] = (View("crop", "eval", options.size), 0)
    found = {"clean": subject.extract(images).tensors}
    found |= {name: subject.extract(images, view=view, epoch=draw).tensors for name, (view, draw) in views.items()}
    return {feature: {name: tensors[feature] for name, tensors in found.items()}
            for feature in ("backbone", "head") if feature in found["clean"]}


def list_features(seen: Mapping[str, Looks], whiten: float) -> dict[str, Looks]:
    """Backbone as it is and centred, the head, and backbone and head side by side, all by what the clean look fits."""
    backbone, head = seen["backbone"], seen.get("head")
    alone = fit_joint(backbone["clean"], None, whiten, 0.0)
    found: dict[str, Looks] = {"backbone": backbone,
                               "backbone, centred": {name: alone(rows, None) for name, rows in backbone.items()}}
    if head is not None:
        found["head"] = head
        for share in SHARES:
            joint = fit_joint(backbone["clean"], head["clean"], whiten, share)
            found[f"joint {share:g}"] = {name: joint(rows, head[name]) for name, rows in backbone.items()}
    return found


def measure_labelled(features: Tensor, images: ImageSet) -> dict[str, float]:
    """kNN and mAP, each image left out, and a ridge classifier's accuracy on a fifth of every class."""
    return {"knn": knn_leave_one_out(features, images.labels, NEIGHBOURS, TEMPERATURE),
            "map": retrieve(normalise_embeddings(features), images.labels).map, "linear": probe_ridge(features, images)}


def probe_ridge(features: Tensor, images: ImageSet) -> float:
    """Top-1 of a ridge classifier on every fifth image of each class, learnt from the others."""
    labels, asked = images.labels, torch.zeros(len(features), dtype=torch.bool)
    for label in labels.unique():
        asked[(labels == label).nonzero().flatten()[::FOLDS]] = True
    rows = F.normalize(features.float().cpu(), dim=1)
    centred = rows - rows[~asked].mean(dim=0)
    centred /= centred[~asked].norm(dim=1).mean()
    model = RidgeClassifier(alpha=RIDGE).fit(centred[~asked].numpy(), labels[~asked].numpy())
    return float((model.predict(centred[asked].numpy()) == labels[asked].numpy()).mean())


def measure_labelfree(looks: Looks, teacher: Tensor) -> dict[str, float]:
    """What `evaluation.labelfree.correlation` knows of a feature."""
    clean, one, other = looks["clean"], looks["one"], looks["other"]
    told = {"rankme": effective_rank(clean), "alpha": spectral_decay(clean),
            "teacher": neighbour_agreement(clean, teacher), "views": neighbour_agreement(one, other),
            "alignment": alignment(one, other), "uniformity": uniformity(clean)}
    return told | ({"crop": neighbour_agreement(clean, looks["crop"])} if "crop" in looks else {})


def write_networks(rows: Sequence[Row], file: Path) -> None:
    """All numbers, a line for each network, seed and feature."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    write_cells(file, [names, *([f"{row.get(name, '')}" for name in names] for row in rows)])


def tabulate_correlations(options: LabelfreeOptions, rows: Sequence[Row]) -> list[list[str]]:
    """Spearman's correlation of each number without labels with each that has some."""
    head = [f"{options.task}, {len(rows)} features", *LABELLED]
    return [head, *([name, *(f"{told[label]:+.2f}" for label in LABELLED)] for name, told in correlate(rows).items())]
