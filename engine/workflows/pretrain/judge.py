"""The teacher as a judge: its view of the monitored images, which networks are held against without labels."""

from __future__ import annotations

import torch

from datasets.images import ImageSet
from engine.flags.pretrain.options import PretrainOptions
from engine.workflows.pretrain.guidance import TeacherInputs, ask_once, make_guide_teacher
from evaluation.labelfree.joining import Judge
from models.teachers.prototypes import fit_space


def make_judge(options: PretrainOptions, inputs: TeacherInputs, watched: ImageSet, device: torch.device) -> Judge:
    """The judge of some of the training images. A continued run asks the teacher again, unless the cache knows."""
    teacher = make_guide_teacher(options, device, "fp32")
    places = {sample.key: place for place, sample in enumerate(inputs.train.samples)}
    seen = ask_once(options, teacher, inputs, device)[[places[sample.key] for sample in watched.samples]]
    space = fit_space(seen, parts=teacher.widths, whiten=options.teacher_whiten)
    return Judge(space.project(seen), options.teacher_whiten, options.joint_share)
