"""The words that begin a run again, and those that go on from it, as a shell reads them."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.options import TrainingOptions
from evaluation.run_record import as_list
from runtime import distributed


def tell_resume(options: TrainingOptions) -> str:
    """The command that continues this run exactly, from the folder in which it was started."""
    script = name_script(options)
    own = Path(sys.argv[0]).name == script
    words = drop_resume(sys.argv[1:] if own else spell_given(options))
    return f"cd {shlex.quote(os.getcwd())}\n{start_python(script)} {shlex.join([*words, '--resume'])}"


def name_script(options: TrainingOptions) -> str:
    """main_X.py, whose options are those of engine/flags/X."""
    return f"main_{type(options).__module__.split('.')[2]}.py"


def start_python(script: str) -> str:
    """What stands before the flags: torchrun where several processes train together."""
    several = distributed.world()
    return f"torchrun --standalone --nproc_per_node {several} {script}" if several > 1 else f"python {script}"


def spell_given(options: TrainingOptions) -> list[str]:
    """What was given of the options, as words; for runs that another program started."""
    words = []
    for name in options.given:
        value = options.settings().get(name)
        if value is not None:
            values = value if isinstance(value, (list, tuple)) else [value]
            said = (str(one).lower() if isinstance(one, bool) else str(one) for one in values)
            words += [f"--{name.replace('_', '-')}", *said]
    return words


def drop_resume(words: Sequence[str]) -> list[str]:
    """The words without --resume and the place that it may name: the run goes on from its own folder now."""
    kept: list[str] = []
    place = False
    for word in words:
        if place and not word.startswith("-"):
            place = False
            continue
        place = word == "--resume"
        if not place and not word.startswith("--resume="):
            kept.append(word)
    return kept


def list_onward(options: TrainingOptions) -> list[tuple[str, str]]:
    """What is usually done next with the run's networks: (what for, command)."""
    folder, script = options.results_dir, name_script(options)
    roots = as_list(options.settings().get("root"))
    steps: list[tuple[str, list[str]]] = []
    if script == "main_pretrain.py":
        steps += [("a linear probe", ["main_linear.py", "--pretrained", folder]),
                  ("retrieval, with neighbours before and after", ["main_retrieval.py", "--pretrained", folder])]
    if options.method == "lead":
        steps.append(("every training image, and what its teacher knew", ["-m", "tools.atlas", folder]))
    if script == "main_metric.py":
        steps += [("the same numbers again", [script, "--evaluate", folder]),
                  ("retrieval on other photographs", ["main_retrieval.py", "--pretrained", folder, "--feature", "head",
                                                      "--root", *roots[:1]])]
    if script == "main_finetune.py":
        steps += [("all numbers, on a page of their own",
                   ["-m", "tools.evaluate", "--pretrained", folder, "--root", *roots]),
                  ("answers for other photographs", ["-m", "tools.infer", *roots[:1], "--pretrained", folder])]
    looking = ["-m", "tools.heatmap", "--pretrained", folder, "--out", f"{folder}/heatmap"]
    steps += [("where it looks", looking), ("its rows as a table", ["-m", "tools.report", f"{folder}/results.jsonl"])]
    return [(purpose, f"python {shlex.join(words)}") for purpose, words in steps]
