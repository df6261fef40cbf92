"""The commands on a run's page: how it is resumed, and what is usually asked of it next."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from engine.options import TrainingOptions
from engine.workflows.around.words import ask_to_resume, list_next_commands, name_python


def tell_resume(options: TrainingOptions) -> str:
    """The command that continues this run exactly, from the folder in which it was started."""
    script = name_script(options)
    own = Path(sys.argv[0]).name == script
    words = ask_to_resume(sys.argv if own else [script, *spell_given(options)], resume=True)
    return f"cd {shlex.quote(os.getcwd())}\n{words}"


def name_script(options: TrainingOptions) -> str:
    """main_X.py, whose options are those of engine/flags/X."""
    return f"main_{type(options).__module__.split('.')[2]}.py"


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


def list_onward(options: TrainingOptions, root: str) -> list[tuple[str, str]]:
    """What is usually done next with the run's networks: (what for, command); `root` is where its images lie."""
    told = (line.rpartition("  # ") for line in list_next_commands(options, root))
    steps = [(purpose, command) for command, _, purpose in told]
    if options.method == "lead":
        atlas = shlex.join([*name_python(), "-m", "tools.atlas", options.results_dir])
        steps.append(("every training image, and what its teacher knew", atlas))
    return steps
