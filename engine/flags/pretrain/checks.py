"""What is wrong with the flags of main_pretrain.py before any file is opened, and the weights where none are named."""

from __future__ import annotations

from engine.flags.pretrain.options import PretrainOptions
from engine.flags.pretrain.readers import reads
from evaluation.options import LABELFREE
from models.present import check_weights
from models.teachers.build import check_teacher
from models.weights.usual import RESNET_FILE
from runtime.devices import list_device_problems, list_sync_problems
from runtime.errors import Problems
from runtime.options import name_flags
from runtime.ranges import LARGEST
from text.tensor import missing_text


def is_count(word: str) -> bool:
    """True for the digits of a number above 1."""
    return word.isdecimal() and 1 < int(word) <= LARGEST


def find_coupling(options: PretrainOptions) -> list[str]:
    """The flags that tie the images of a batch together, where the method reads them (see `Method.couples_batch`)."""
    facts, branch = reads(options, "facts"), reads(options, "rationale")
    asked = {"--six-passes": facts and options.six_passes, "--early-enqueue": facts and options.early_enqueue,
             "--distill-sum": facts and options.distill_sum, f"--cam {options.cam}": branch and options.cam != "peak",
             "--attention-normalise batch": branch and options.attention_normalise == "batch"}
    return [flag for flag, couples in asked.items() if couples]


def list_pretrain_problems(options: PretrainOptions) -> list[str]:
    """What is wrong with the flags alone, before any file is opened."""
    found = list_device_problems(options.device)
    found += list_sync_problems("sync_bn" in options.given and options.sync_bn, options.device)
    if options.root is None:
        found.append("--root is missing: the data set's folder")
    if options.prototypes not in ("auto", "text", "both") and not is_count(options.prototypes):
        found.append(f"--prototypes is {options.prototypes}, but it must be auto, text, both, or a number above 1")
    if options.pretrained is None:
        found.append(f"--pretrained: no start weights for {options.arch} are at hand; give a file"
                     + (f" (or put {RESNET_FILE} here)" if options.arch == "resnet50" else "")
                     + ", hub, or none for a random start")
    if options.accum_steps > 1 and find_coupling(options):
        whose = " of --recipe seed" if options.recipe == "seed" else ""
        found.append(f"--accum-steps {options.accum_steps}: with {', '.join(find_coupling(options))}{whose} the loss "
                     "depends on which images share a batch, so that cutting it would change the loss; use "
                     "--accum-steps 1")
    if options.method == "lead" and options.cam == "positions":
        found.append("--cam positions is LCR's; LEAD's public code has --cam rows")
    if reads(options, "guidance") and options.teacher != "clip" and options.teacher_weights is None:
        found.append(f"--teacher {options.teacher} needs --teacher-weights: a file each, joined by +, or hub")
    if options.select == LABELFREE and not options.monitor_every:
        found.append("--select labelfree chooses among monitored epochs: give --monitor-every above 0")
    if options.select == LABELFREE and not reads(options, "guidance") and options.teacher_weights is None:
        found.append(f"--select labelfree asks a teacher, and --teacher {options.teacher} has no --teacher-weights: a "
                     "file each, joined by +, or hub")
    if not reads(options, "guidance"):
        return found
    if options.teacher_view != "clean":
        asked = [f"--neighbours {options.neighbours}"] * bool(options.neighbours)
        asked += [f"--head-init {options.head_start}"] * (options.head_start != "random")
        found += [f"{flag} needs --teacher-view clean: it works on remembered answers" for flag in asked]
    if options.teacher == "clip" and is_count(options.prototypes):
        found.append(f"--prototypes {options.prototypes}: with --teacher clip they are text, or both")
    if options.teacher != "clip" and options.text_load not in (None, "none"):
        found.append(f"--text-load {options.text_load} needs --teacher clip; with --teacher {options.teacher} "
                     "give none")
    if options.teacher != "clip" and options.prototypes in ("text", "both"):
        found.append(f"--prototypes {options.prototypes} needs --teacher clip and --text-load")
    if options.teacher == "clip" and options.text_load in (None, "none"):
        found.append("--teacher clip needs --text-load FILE.pt, the text tensor whose rows are the prototypes; "
                     "without class names use an image teacher, e.g. --teacher tf_efficientnet_lite2")
    if options.teacher == "clip" and options.teacher_weights is None:
        found.append("--teacher clip needs --teacher-weights: CLIP's file (ViT-B-16.pt here is found by itself),"
                     " or hub. It also makes a missing text tensor: "
                     "python -m tools.encode_text text_description/TASK.csv --weights FILE")
    return found


def check_pretrain_sources(options: PretrainOptions) -> None:
    """Raise ConfigError for a teacher or a text that is not there, before anything is computed."""
    if not reads(options, "guidance") and options.select != LABELFREE:
        return
    problems = Problems()
    if options.teacher == "clip" and options.text_load is not None:
        problems.lines += missing_text(options.text_load)
    problems.attempt(lambda: check_weights(options, "teacher_weights", (options.teacher_weights or "none").split("+")))
    for name in options.teacher.split("+"):
        problems.attempt(lambda: check_member(options, name))
    problems.refuse()


def check_member(options: PretrainOptions, name: str) -> None:
    """Raise WeightsError for a teacher's unknown name, or a side that it cannot look at."""
    with name_flags(options, "teacher", "teacher_arch"):
        check_teacher(name, options.teacher_arch, options.teacher_size or None)
