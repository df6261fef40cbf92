"""The teacher as a judge: its view of the monitored images, which networks are held against without labels."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from datasets.crops import Crops
from datasets.images import ImageSet
from engine.flags.pretrain.options import PretrainOptions
from engine.workflows.pretrain.guidance import ask, make_guide_teacher
from evaluation.labelfree.joining import Judge
from models.teachers.prototypes import fit_space


class TeacherInputs(Protocol):
    """Images and crops that a teacher looks at; `answers` [N, F] keeps what it said of them."""

    train: ImageSet
    crops: Crops | None
    answers: Tensor | None


def make_judge(options: PretrainOptions, inputs: TeacherInputs, watched: ImageSet, device: torch.device) -> Judge:
    """The judge of some of the training images; asks the teacher about all of them, if nobody has."""
    teacher = make_guide_teacher(options, device, "fp32")
    if inputs.answers is None:
        inputs.answers = ask(options, teacher, inputs.train, inputs.crops, device)
    places = {sample.key: place for place, sample in enumerate(inputs.train.samples)}
    seen = inputs.answers[[places[sample.key] for sample in watched.samples]]
    space = fit_space(seen, parts=teacher.widths, whiten=options.teacher_whiten)
    return Judge(space.project(seen), options.teacher_whiten, options.joint_share)
