"""Flags, the vocabulary of every command: `-` and `_` are one letter, booleans real; what was given is known."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from datasets.findings import FLAG, VOICE, begin_run
from engine.allocator import keep_freed_memory
from engine.parser import GatheringParser, close_switches
from engine.ranges import ROWS, SEED, THREADS, WORKERS
from engine.words import device
from runtime.errors import ConfigError, DataError, StopTraining, WeightsError
from runtime.files import write_json
from runtime.hub_names import strip_hub
from runtime.names import make_printing_safe
from runtime.refusals import is_out_of_memory, is_refusal, tell_memory, tell_os_error

IGNORED = ("--world-size", "--port", "--dist-url", "--dist-backend", "--rank", "--gpu", "--multiprocessing-distributed")


def boolean(text: str) -> bool:
    """"true", "yes", "1", "on" or their opposites, so that `--cos false` means what it says."""
    answers = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}
    if text.lower() not in answers:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return answers[text.lower()]


def architecture(text: str) -> str:
    """A timm name, also as a hub prints it; "clip" is what the public LEAD code calls its ResNet-50."""
    name = strip_hub(text)
    return "resnet50" if name == "clip" else name


class Flags(argparse.Namespace):
    """Parsed flags that know which of them the user gave, see `list_given`, and what each may be.

    That is kept in slots: no flags themselves, and vars() and args.json are without them.
    """

    __slots__ = ("_actions", "_given")

    def __init__(self, **flags: object) -> None:
        super().__init__(**flags)
        self._given: dict[str, str] = {}
        self._actions: dict[str, argparse.Action] = {}


def list_given(args: argparse.Namespace) -> dict[str, str]:
    """The flags (by the names that `args` has them under) that the user gave, each with the word that gave it."""
    return getattr(args, "_given", {})


@contextmanager
def name_flags(args: argparse.Namespace, *names: str) -> Iterator[None]:
    """Refusals from within begin with those of these flags that were given, in the user's words: `-a: unknown ...`.

    What names a flag already keeps its words.
    """
    words = ", ".join(dict.fromkeys(list_given(args)[name] for name in names if name in list_given(args)))
    try:
        yield
    except (ConfigError, DataError, WeightsError) as error:
        if not words or str(error).startswith(("-", "cannot start")):
            raise
        raise type(error)(f"{words}: {error}") from error


def take_out(args: argparse.Namespace, name: str) -> object:
    """Remove a flag that is no part of what a command does; its value, None where it was not given."""
    list_given(args).pop(name, None)
    return vars(args).pop(name, None)


def imply(args: argparse.Namespace, word: str, *names: str) -> None:
    """Count flags as given that another word of the user's decides: `-a resnet50_double` decides the pooling."""
    if isinstance(args, Flags):
        args._given = {**{name: word for name in names}, **args._given}


PLACES = ("out", "results_dir", "cache", "write")  # where things go: an empty word would be the current folder


class Parser(GatheringParser):
    """argparse where `--moco_dim` and `--moco-dim` are the same flag and presets can be laid under the user's words."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False, **kwargs)
        self._seen: set[str] = set()
        self.folder: str | None = None  # the flag that a word without a flag stands for

    def error(self, message: str) -> NoReturn:
        """One line in place of the whole usage, with the flags that look like an unknown one."""
        known = [flag for action in self._actions for flag in action.option_strings]
        words = [word for word in message.split() if word.startswith("--")]
        close = [match for word in words for match in difflib.get_close_matches(word, known, 2) if match not in words]
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        more = "".join(f"\n  - {fault}" for fault in self.faults)
        self.exit(2, f"{self.prog}: error: {message}.{hint} --help lists all flags{more}\n")

    def _parse(
        self, args: Sequence[str] | None, namespace: argparse.Namespace | None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Spell every flag with dashes first; a `Flags` comes back unless a namespace is given."""
        words = [spell(word) for word in (sys.argv[1:] if args is None else args)]
        self._seen.clear()
        if self.folder:
            words = close_switches(words, [action for action in self._actions if action.type is boolean])
        found, rest = super()._parse(words, Flags() if namespace is None else namespace)
        if self.folder and len(rest) == 1 and not rest[0].startswith("-") and self.folder not in self._seen:
            setattr(found, self.folder, rest.pop())
            self._seen.add(self.folder)
        if isinstance(found, Flags):
            spelled = {word.partition("=")[0] for word in words}
            found._actions = {action.dest: action for action in reversed(self._actions)}
            found._given = {action.dest: next((flag for flag in action.option_strings if flag in spelled),
                                              action.option_strings[-1])
                            for action in self._actions if action.dest in self._seen and action.option_strings}
        return found, rest

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> object:
        """argparse's own, which it asks for the flags of the command line only: a default never passes here."""
        if action.option_strings:
            self._seen.add(action.dest)
        if action.dest in PLACES and len(arg_strings) == 1 and not arg_strings[0].strip():
            self._add_fault(action, "is an empty word, perhaps a variable that is not set; name a place")
        return super()._get_values(action, arg_strings)


def spell(word: str) -> str:
    """`--num_workers=4` -> `--num-workers=4`; values keep their underscores."""
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    return flag.replace("_", "-") + equals + value


def toggle(group: argparse._ArgumentGroup, name: str, default: bool | None, text: str) -> None:
    """Add a boolean flag: `--name`, `--name true`, `--name false`."""
    group.add_argument(name, type=boolean, nargs="?", const=True, default=default, metavar="BOOL", help=text)


def switch_or_run(text: str) -> bool | str:
    """A boolean, or the name of a finished run."""
    try:
        return boolean(text)
    except argparse.ArgumentTypeError:
        return text


def add_evaluation(parser: Parser, name: str, text: str) -> None:
    """Add the flag that evaluates a finished run in place of training: `--name`, `--name RUN`, `--name false`."""
    parser.add_argument(name, type=switch_or_run, nargs="?", const=True, default=False, metavar="RUN", help=text)


def add_ignored(parser: Parser) -> None:
    """Accept the launch flags of older scripts; `warn_ignored` says that they do nothing."""
    for flag in IGNORED:
        switch = flag == "--multiprocessing-distributed"
        parser.add_argument(flag, nargs="?", const="true", default=None, help=argparse.SUPPRESS,
                            type=boolean if switch else None)


def warn_ignored(args: argparse.Namespace) -> None:
    """One warning for all launch flags that were given but have no effect here; they leave the flags."""
    asked = [flag for flag in IGNORED if take_out(args, flag[2:].replace("-", "_")) is not None]
    if asked and os.environ.get("RANK", "0") == "0":
        print(f"note: {', '.join(asked)} ignored; torchrun's environment decides about processes", file=sys.stderr)


class ListLeftOut(argparse.Action):
    """The flag that asks for every file that is left out of a data set; no part of a run's settings."""

    def __call__(self, *_: object) -> None:
        """Have the list printed after the line that says what was found."""
        VOICE.in_full = True


def add_list_left_out(group: argparse._ActionsContainer) -> None:
    """Add `--list-left-out`, which every command that reads photographs has."""
    group.add_argument(FLAG, action=ListLeftOut, nargs=0, dest=argparse.SUPPRESS, default=argparse.SUPPRESS,
                       help="name every file of the data set that is not read, and why")


def add_data(parser: Parser, *, crops: bool = True, root_required: bool = True) -> argparse._ArgumentGroup:
    """Where the photographs are and how they are read."""
    group = parser.add_argument_group("data")
    group.add_argument("-t", "--task", default="custom", help="name of the data set; picks crop folder and policies")
    group.add_argument("--root", required=root_required, metavar="DIR",
                       help="train/test folders, a raw CUB or FGVC tree, a flat folder, a CSV list, or a crop folder")
    if crops:
        group.add_argument("--crop-root", metavar="DIR", default="auto",
                           help="crops made by run_ddt.sh; auto = DDT/crop_dataset/<task>_crop, none = whole images")
        group.add_argument("--crop-from", choices=("auto", "boxes", "files"), default="auto",
                           help="cut crops from boxes.csv (one decode an image) or read the files")
    group.add_argument("--crop-bottom", type=ROWS, default="auto", metavar="PIXELS",
                       help="rows to drop at the bottom (FGVC's banner); auto = 20 for the task aircraft")
    group.add_argument("-j", "--num-workers", "--workers", type=WORKERS, default="auto",
                       help="loader processes per rank; auto = one per core, at most 8")
    toggle(group, "--skip-bad", False, "leave images out that do not decode instead of refusing to start")
    add_list_left_out(group)
    return group


def add_device(parser: Parser) -> argparse._ArgumentGroup:
    """Where and how precisely the numbers are computed."""
    group = parser.add_argument_group("machine")
    group.add_argument("--device", type=device, default="auto", help="cpu, cuda, or auto = cuda where there is one")
    group.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto",
                       help="auto = whichever is faster for this network here, measured once and stored")
    group.add_argument("--threads", type=THREADS, default=0, metavar="N",
                       help="CPU threads a process, 0 = torch's choice")
    group.add_argument("--seed", type=SEED, default=123, help="everything random is a function of it")
    return group


def write_args(path: Path, args: argparse.Namespace) -> None:
    """Keep the resolved flags, and from where their paths are meant, for people and for later commands."""
    write_json(path, vars(args) | {"started_in": os.getcwd()}, sort_keys=True, default=str)


def exit_cleanly(main: Callable[[], None]) -> None:
    """Run a command: what the user can mend is printed as a message (exit 2), a bug keeps its traceback."""
    keep_freed_memory()
    begin_run()
    make_printing_safe()
    try:
        main()
    except (ConfigError, DataError, WeightsError, StopTraining) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except (OSError, RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            print(f"error: {tell_memory(error)}", file=sys.stderr)
        elif isinstance(error, OSError) and is_refusal(error):
            print(f"error: {tell_os_error(error)}", file=sys.stderr)
        else:
            raise
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the last checkpoint stands", file=sys.stderr)
        sys.exit(130)
