"""Command lines as a shell needs them: how a run goes on, and what is usually asked of a finished one."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.options import TrainingOptions
from evaluation.run_record import CHECKPOINTS
from runtime.processes.launch import Launch, find_launch


def ask_to_resume(argv: Sequence[str], *, resume: bool) -> str:
    """The command line of this process, `argv` with the script first, as it continues the run in its own folder.

    Without `resume` the one that began it, which may have gone on from another folder.
    """
    kept, dropping = [], False
    dropped = {"--plan", "--resume"} if resume else {"--plan"}
    for word in argv:
        flag = word.partition("=")[0]
        if dropping and not word.startswith("-"):
            dropping = False
            continue
        dropping = flag in dropped and "=" not in word
        if flag not in dropped:
            kept.append(word)
    return shlex.join([*name_starter(find_launch()), *kept, *["--resume"] * resume])


def name_starter(launch: Launch) -> list[str]:
    """The words before the script that start as many processes again, in the way that this one was started.

    torchrun on several machines is told to meet at that of rank 0, which every machine has to be told anew.
    """
    if launch.world == 1:
        return name_python()
    if launch.starter in ("srun", "mpirun"):
        return [launch.starter, "-n", str(launch.world), *name_python()]
    here = launch.local_world or launch.world
    nodes = [] if here == launch.world else [f"--nnodes={launch.world // here}", "--rdzv_backend=c10d",
                                             f"--rdzv_endpoint={launch.address}:29400"]
    return ["torchrun", *nodes, f"--nproc_per_node={here}"]


def name_python() -> list[str]:
    """The interpreter's short name where the shell finds this very one by it, else its path."""
    short = shutil.which("python")
    return ["python" if short and os.path.samefile(short, sys.executable) else sys.executable]


def list_next_commands(options: TrainingOptions, root: str) -> list[str]:
    """What is usually asked of a finished run, in that order; `root` is where its images lie."""
    place, settings = Path(options.results_dir), options.settings()
    folder = place.name if place.parent == CHECKPOINTS else str(place)
    of_run = ["--pretrained", folder, "--root", root]
    task = ["--task", options.task] * (options.task != "custom")
    asked = [(["main_retrieval.py", *of_run, *task], "search the test split"),
             (["main_linear.py", *of_run, *task], "a linear probe, where there are labels")]
    if "model" in settings:  # a classifier, which was reported on at the end of training
        asked = [(["main_finetune.py", "--eval", str(place)], "its report again, also on other images (--test-root)")]
    elif options.method == "obdsd":  # its test classes were searched at the end of training
        asked = [(["main_metric.py", "--evaluate", str(place)], "the search of its test classes again")]
    asked += [(["-m", "tools.heatmap", *of_run, "--out", str(place / "heatmap")], "where it looks"),
              (["-m", "tools.report", str(place / "results.jsonl"), "--html", str(place / "results.html")],
               "all its numbers on one page")]
    return [f"{shlex.join([*name_python(), *words])}  # {what}" for words, what in asked]
