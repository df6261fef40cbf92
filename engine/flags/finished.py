"""How the flags of an evaluation agree with a finished run: the run's word is the default, another one is refused."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping

from evaluation.run_record import ARGS, KEPT, as_json, show_value
from runtime.errors import ConfigError
from runtime.options import list_given

# What evaluation takes from a run, beside where its images lie.
READ = (*KEPT, "arch", "model", "embed_dim", "use_tv_split", "tv_split_by_samples", "tv_split_perc", "noisy_label",
        "noisy_ratio", "num_selects", "taps", "val_share", "nb_classes", "data_set")
# Flags that say where and how fast something is computed, or where its output goes: never taken from a run.
MACHINE = frozenset({"device", "threads", "num_workers", "batch_size", "extract_batch_size", "results_dir", "resume",
                     "auto_resume", "logger", "cache", "pin_mem", "evaluate", "eval", "run", "pretrained_root",
                     "update_freq", "accum_steps", "plan", "gradient_every", "log_every"})


def settle_flags(args: argparse.Namespace, settings: Mapping[str, object], *, keep: Collection[str] = ()) -> None:
    """Set every flag that the user did not give to what the run had, but for those of the machine and `keep`.

    Raises ConfigError for what evaluation reads of a run and no flag could have been.
    """
    given = list_given(args)
    faults = [fault for name in READ if (fault := doubt(args, name, settings.get(name)))]
    if faults:
        raise ConfigError(f"what the run says of itself ({ARGS}) is not what it should be: {'; '.join(faults)}; "
                          "these are not the flags of a run: copy the file again, or delete it and give the flags")
    for name, value in settings.items():
        if hasattr(args, name) and name not in given and name not in MACHINE and name not in keep:
            setattr(args, name, value)


def doubt(args: argparse.Namespace, name: str, value: object) -> str:
    """Why a flag of `args` could never have had a value that a file gives, in words; "" where it could."""
    action = getattr(args, "_actions", {}).get(name)
    if action is None or value is None or value == action.default:
        return ""
    if not isinstance(value, (list, dict)) and action.nargs in ("*", "+"):
        return f"{name!r} is {show_value(value)}, not a list"
    parts = value if isinstance(value, list) else [] if isinstance(value, dict) else [value]
    try:
        fit = [(action.type or str)(show_value(part)) == part for part in parts]
    except (argparse.ArgumentTypeError, TypeError, ValueError) as error:
        return f"{name!r} {error}"
    known = action.choices is None or all(part in action.choices for part in parts)
    return "" if known and all(fit) else f"{name!r} is {show_value(value)}"


def find_contradictions(
    args: argparse.Namespace, settings: Mapping[str, object], where: object, *, free: Collection[str]
) -> list[str]:
    """A line for every given word that is not what `where` had; the machine's and `free` may be anything."""
    found = []
    for name, flag in list_given(args).items():
        if name in MACHINE or name in free or name not in settings:
            continue
        here, there = as_json(getattr(args, name)), settings[name]
        if here != there:
            own = f"--{name.replace('_', '-')}"
            by = f" by {flag}" if " " in flag else ""  # another word of the user's decided it
            found.append(f"{own if by else flag} is {show_value(here)}{by}, but {where} was trained with "
                         f"{show_value(there)}: leave {flag} out, or evaluate a run that was trained so")
    return list(dict.fromkeys(found))  # a word may decide several flags
