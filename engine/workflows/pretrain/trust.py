"""Whether an ensemble's neighbourhoods mean anything on these images, measured without labels, and what follows.

Networks that were trained apart agree on an image's neighbours where there is something that both see. Where they
agree on many, their shared view groups kinds, and a head that copies it in few steps gains. Where they agree on few,
the largest directions of their features (pose, scene, colour) hold no kinds: neighbours must not be averaged, small
directions must count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

import torch
from torch import Tensor

from engine.flags.presets import Settings
from engine.flags.pretrain.methods import UNTRUSTED
from engine.flags.pretrain.options import PretrainOptions
from engine.flags.pretrain.readers import reads
from engine.workflows.build import Start
from engine.workflows.pretrain.guidance import TeacherInputs, ask_once, make_guide_teacher
from evaluation.labelfree.numbers import neighbour_agreement
from runtime import distributed
from runtime.options import list_given

SAMPLE = 300  # images among which neighbours are looked for, so that folders of every size are measured alike
DRAWS = 5
NEIGHBOURS = 30  # an image has one neighbour that counts for so many images of the sample
TRUSTED = 0.48  # birds .58, flowers .63, solar cells .58, on crops .51; car models .45


def measure_teacher_trust(parts: Sequence[Tensor]) -> float:
    """The share of nearest neighbours that two members of an ensemble agree on, beyond chance: mean over pairs, [-, 1].

    `parts` are each member's features [N, F] of the same images. Neighbours are looked for in samples of 300 images (10
    for each), because the share depends on how many there are.
    """
    count = len(parts[0])
    size = min(SAMPLE, count)
    nearest = max(round(size / NEIGHBOURS), 1)
    generator = torch.Generator().manual_seed(0)
    samples = [torch.randperm(count, generator=generator)[:size] for _ in range(DRAWS if count > size else 1)]
    shares = [neighbour_agreement(one[sample], other[sample], nearest)
              for sample in samples for one, other in combinations(parts, 2)]
    chance = nearest / max(size - 1, 1)
    return (sum(shares) / len(shares) - chance) / (1 - chance)


def find_trust(options: PretrainOptions, inputs: TeacherInputs, start: Start) -> float | None:
    """The measured trust, or what a continued run has measured; None where the teacher is a single network."""
    if start.saved is not None:
        known = start.saved["identity"].get("trust")
        return None if known is None else float(str(known))
    teacher = make_guide_teacher(options, start.device, "fp32")
    if len(teacher.widths) < 2:
        return None
    answers = ask_once(options, teacher, inputs, start.device)
    return measure_teacher_trust(answers.split(list(teacher.widths), dim=1))


def adapt_to_trust(options: PretrainOptions, inputs: TeacherInputs, start: Start) -> PretrainOptions:
    """The options as the teacher deserves them: where it is not to be trusted, those that the user left open give way
    to others. Says what was measured and chosen, and why.
    """
    if options.trust == "off" or not reads(options, "guidance") or options.teacher == "clip":
        return options
    trust = find_trust(options, inputs, start) if options.trust == "auto" else -1.0
    start.identity["trust"] = trust
    changes: Settings = {}
    if trust is not None and trust < TRUSTED:
        given = list_given(options)
        changes = {name: value for name, value in UNTRUSTED.items() if name not in given}
    if distributed.is_main():
        print(describe_trust(options, trust, changes))
    change: Callable[..., PretrainOptions] = replace
    return change(options, **changes)


def describe_trust(options: PretrainOptions, trust: float | None, changes: Settings) -> str:
    """What was measured, chosen, and why, in a line."""
    if trust is None:
        return "trust: not measured, the teacher is a single network; the settings stay as they are"
    words = (f"trust {trust:.2f}: the teacher's networks agree on {100 * max(trust, 0):.0f} % of the nearest images, "
             if options.trust == "auto" else "trust low, as asked: ")
    if trust >= TRUSTED:
        return (f"{words}{100 * TRUSTED:.0f} or more: its neighbourhoods mean something here, so its answers are "
                "smoothed")
    chosen = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in changes.items())
    less = f"fewer than {100 * TRUSTED:.0f}: " * (options.trust == "auto")
    return (f"{words}{less}details count here, so its answers are not smoothed, small directions weigh more, and the "
            f"rate is higher: {chosen or 'nothing changes, your flags say it all'}")
