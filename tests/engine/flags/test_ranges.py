"""Every numeric flag of every command has a range, and one message names all that lies outside."""

from __future__ import annotations

import argparse
import importlib
import sys
from functools import cache
from pathlib import Path

import pytest

from engine.flags.command import exit_cleanly
from engine.flags.parser import Parser
from runtime.errors import ConfigError
from runtime.ranges import COUNT, SEED, Range, real, whole_number

ROOT = Path(__file__).resolve().parents[3]
OTHER = ("tools.__init__", "benchmarks.__init__", "benchmarks.timing", "benchmarks.photos", "benchmarks.steps",
         "benchmarks.formats")
STUDIES = ("folds", "partitions", "study", "trials")  # the commands among them
# Flags whose values are words although some of them are digits, each checked where its words are read.
WORDS = {"--prototypes", "--taps", "--num-selects", "--cut-rate", "--policy", "--aa", "--second-head"}
BELOW_0 = {"--layer", "--fc-lr", "--warmup-steps", "--loss-multisimilarity-thresh"}  # -1 means something there


class Caught(Exception):
    """Carries a parser out of a command's main."""


def commands() -> list[str]:
    files = [*ROOT.glob("main_*.py"), *ROOT.glob("tools/*.py"), *ROOT.glob("benchmarks/*.py"),
             *(ROOT / f"benchmarks/studies/{name}.py" for name in STUDIES), ROOT / "DDT/__main__.py"]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sorted(files)]
    return [name for name in names if name not in OTHER]


@cache
def find_parsers(module: str) -> tuple[argparse.ArgumentParser, ...]:
    """The parsers that a command's main makes, whatever they are called: those of --help, not of a first peek."""
    variants = {"benchmarks.pretrain_step": [[], ["--method", "lcr-moco"]],
                "benchmarks.finetune_step": [[], ["--method", "distill"]]}
    found, before = [], argparse.ArgumentParser.parse_known_args
    argv = sys.argv

    def catch(self: argparse.ArgumentParser, args: object = None, namespace: object = None) -> object:
        if self.add_help:
            raise Caught(self)
        return before(self, args, namespace)

    argparse.ArgumentParser.parse_known_args = catch
    try:
        for words in variants.get(module, [[]]):
            sys.argv = [module, *words]
            with pytest.raises(Caught) as caught:
                importlib.import_module(module).main()
            found.append(caught.value.args[0])
    finally:
        argparse.ArgumentParser.parse_known_args, sys.argv = before, argv
    return tuple(found)


def looks_numeric(action: argparse.Action) -> bool:
    """A flag that takes numbers, by its type, its default, or what it is called."""
    if action.nargs == 0 or action.help == argparse.SUPPRESS and action.type is None:
        return False
    defaults = action.default if isinstance(action.default, (list, tuple)) else [action.default]
    numbers = any(isinstance(value, (int, float)) and not isinstance(value, bool) for value in defaults)
    return action.type in (int, float) or numbers or action.dest in ("num_workers", "crop_bottom", "seed", "threads")


def test_the_walk_meets_every_command() -> None:
    found = [parser for module in commands() for parser in find_parsers(module)]
    ranges = [action for parser in found for action in parser._actions if isinstance(action.type, Range)]
    assert len(found) >= 35 and len(ranges) > 350


@pytest.mark.parametrize("module", commands())
def test_no_numeric_flag_is_without_a_range(module: str) -> None:
    for parser in find_parsers(module):
        wild = [action.option_strings for action in parser._actions
                if looks_numeric(action) and not isinstance(action.type, Range)
                and not WORDS & set(action.option_strings)]
        assert not wild, f"{module}: give these a type of engine/flags/ranges.py: {wild}"


@pytest.mark.parametrize("module", commands())
def test_impossible_numbers_are_refused_and_accepted_ones_are_documented(module: str) -> None:
    for parser in find_parsers(module):
        for action in (action for action in parser._actions if isinstance(action.type, Range)):
            flag = max(action.option_strings, key=len)
            for text in ("nan", "NaN", "inf", "-inf", "1e309", "-1e309", "9" * 400, "", "x", "1,5", "0x10", "none"):
                refuse_one(action.type, text, flag)
            if not BELOW_0 & set(action.option_strings):
                refuse_one(action.type, "-1", flag)
            if action.type.kind is int:
                refuse_one(action.type, "0.5", flag)
                refuse_one(action.type, "1e3", flag)
                refuse_one(action.type, str(10**10), flag)
            default = action.default if isinstance(action.default, list) else [action.default]
            for value in default:  # a default is an example of what is accepted
                assert value in (None, argparse.SUPPRESS) or action.type(str(value)) == value, flag


def refuse_one(kind: Range, text: str, flag: str) -> None:
    try:
        accepted = kind(text)
    except argparse.ArgumentTypeError as refusal:
        assert str(refusal).startswith("is ") and "but it must be" in str(refusal), flag
    else:
        pytest.fail(f"{flag} takes {text!r} as {accepted}")


def test_ranges_say_what_they_are() -> None:
    assert [str(kind) for kind in (COUNT, whole_number(0, 5), whole_number(1, 9, "auto"), real(0, 1, below=True), real(0, above=True))
            ] == ["a whole number, at least 1", "a whole number, within 0..5", "auto or a whole number, within 1..9",
                  "at least 0 and below 1", "above 0"]
    assert whole_number(1, 9, "auto")(" AUTO ") == "auto" and real(0, 1)("1e-3") == 0.001
    for text in ("1e-320", "1e300", "-1e39"):
        with pytest.raises(argparse.ArgumentTypeError, match="beyond what 32-bit floats hold"):
            real()(text)
    assert SEED(str(2**32 - 1)) == 2**32 - 1 and str(2**32 - 1) in str(SEED)


def parser() -> Parser:
    made = Parser(prog="x")
    made.add_argument("-b", "--batch-size", "--bs", type=COUNT, default=3)
    made.add_argument("--share", type=real(0, 1), default=0.5)
    made.add_argument("--steps", type=COUNT, nargs="*", default=[7])
    made.add_argument("--kind", choices=("a", "b"), default="a")
    return made


def test_one_message_names_every_flag_as_it_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        exit_cleanly(lambda: parser().parse_args("--bs 0 --share=-1e5 --steps 4 -2 x --kind c".split()))
    text = capsys.readouterr().err
    assert end.value.code == 2 and "5 problems" in text and "Traceback" not in text
    for words in ("--bs is 0, but it must be a whole number, at least 1", "--share is -100000.0, but it must be within",
                  "--steps is -2", "--steps is 'x'", "--kind: invalid choice: 'c'"):
        assert words in text


def test_an_unknown_flag_does_not_hide_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parser().parse_args("--batch_size nan --shar 1".split())
    text = capsys.readouterr().err
    assert end.value.code == 2 and "Did you mean --share" in text and "--batch-size is 'nan'" in text


def test_values_that_look_like_flags_are_numbers() -> None:
    for word in ("-inf", "-1e5", "-nan", "-.5"):
        with pytest.raises(ConfigError, match="--share is .*, but it must be within 0..1"):
            parser().parse_args(["--share", word])


def test_defaults_stand_in_for_what_was_refused_while_a_command_adds_its_own_problems() -> None:
    found, problems = parser().gather("-b 0 --steps 1 none".split())
    assert (found.batch_size, found.steps) == (3, [7])
    problems.lines.append("a third")
    with pytest.raises(ConfigError, match="(?s)3 problems.*-b is 0.*--steps.*a third"):
        problems.refuse()


def test_every_preset_lies_within_the_ranges() -> None:
    from engine.flags.finetune import presets as finetune_presets
    from engine.flags.metric import presets as metric_presets
    from engine.flags.presets import Presets
    from engine.flags.pretrain import presets

    for module, command in ((presets, "main_pretrain"), (metric_presets, "main_metric"), (finetune_presets, "main_finetune")):
        kinds = {action.dest: action.type for action in find_parsers(command)[0]._actions if isinstance(action.type, Range)}
        laid: Presets = module.PRESETS
        for settings in (*laid.methods.values(), *(one for named in laid.named.values() for one in named.values())):
            for name in settings.keys() & kinds.keys():
                values = settings[name] if isinstance(settings[name], (list, tuple)) else [settings[name]]
                assert all(value is None or kinds[name](str(value)) == value for value in values), (command, name)


def test_devices_and_sinks_are_told_with_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["main_pretrain", "--root", "x", "--device", "tpu", "--logger", "foo", "--epochs", "-1", "--lr", "nan"]
    with pytest.raises(ConfigError) as caught:
        importlib.import_module("engine.flags.pretrain.arguments").parse(words[1:])
    for part in ("--device is 'tpu', but it must be cpu, cuda", "--logger is 'foo', but foo is unknown; tensorboard",
                 "--epochs is -1", "--lr is nan", "no start weights for resnet50"):
        assert part in str(caught.value)
    for word in ("cuda:9", "cpu:3", "mps", "cuda:"):
        with pytest.raises(ConfigError, match="--device"):
            importlib.import_module("engine.flags.evaluate.arguments").parse_search(["--pretrained", "none", "--device", word])
    with pytest.raises(ConfigError, match="--sync-bn: torch takes batch statistics over CUDA processes only"):
        importlib.import_module("engine.flags.pretrain.arguments").parse(["--root", "x", "--pretrained", "none", "--sync-bn"])
