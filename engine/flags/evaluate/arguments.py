"""The command lines of main_linear.py and main_retrieval.py, and what every evaluation of an encoder does with one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from datasets.places import PROBE_FILES, check_places
from engine.flags.groups import add_ignored, add_list_left_out
from engine.flags.parser import Parser, add_options
from engine.flags.public import PROBE_SILENT, SEARCH_SILENT, add_name, add_probe
from engine.flags.unread import add_silent, find_unread, note_unread, take_silent
from evaluation.options import EncoderOptions, ProbeOptions, SearchOptions
from runtime.errors import Problems
from runtime.names.safe import safe_name
from runtime.options import Options, list_given

Told = TypeVar("Told", bound=EncoderOptions)


def read_evaluation(
    parser: Parser, options: type[Told], argv: Sequence[str] | None, silent: Sequence[str] = ()
) -> tuple[Told, Problems, list[str]]:
    """The options of an evaluation, what is wrong with them so far, and which of the `silent` flags were given."""
    args, problems = parser.gather(argv)  # ends here for --help, before torch is imported
    from engine.flags.evaluate.readers import list_readers, settle_evaluation

    taken = take_silent(args, silent)
    settle_evaluation(args, problems)
    told = options.read(vars(args), list_given(args))
    problems.lines += find_unread(told, list_readers(told))
    return told, problems, taken


def refuse_or_note(options: EncoderOptions, problems: Problems, silent: Sequence[str] = ()) -> None:
    """Raise ConfigError with every problem, those of weights and folders too; else note what has no effect here."""
    from engine.flags.evaluate.readers import list_readers
    from engine.flags.evaluate.sources import check_evaluation_sources

    problems.refuse(lambda: check_evaluation_sources(options))
    note_unread(options, list_readers(options), silent, "see docs/evaluation.md")


def make_probe_parser() -> Parser:
    """The parser of main_linear.py."""
    parser = make_parser("main_linear.py", "Train a linear classifier on an encoder's frozen features.", ProbeOptions)
    add_name(parser, "checkpoints_linear")
    add_probe(parser)
    return parser


def make_parser(prog: str, description: str, options: type[Options]) -> Parser:
    """A parser of these options, of the launch flags of older scripts, and of --list-left-out."""
    parser = Parser(prog=prog, description=description)
    add_options(parser, options)
    add_list_left_out(parser)
    add_ignored(parser)
    return parser


def parse_probe(argv: Sequence[str] | None = None) -> ProbeOptions:
    """The options of main_linear.py, automatic values resolved; raises ConfigError with every problem."""
    options, problems, silent = read_evaluation(make_probe_parser(), ProbeOptions, argv, PROBE_SILENT)
    from evaluation.features.sources import name_results_folder

    refuse_or_note(options, problems, silent)
    options = replace(options, results_dir=options.results_dir or f"checkpoints_linear/{name_results_folder(options)}")
    check_places(options, PROBE_FILES)
    return options


def make_search_parser() -> Parser:
    """The parser of main_retrieval.py."""
    parser = make_parser("main_retrieval.py", "Let every image of a split query all others; no training.",
                         SearchOptions)
    add_silent(parser, SEARCH_SILENT, nargs="?")
    return parser


def parse_search(argv: Sequence[str] | None = None) -> SearchOptions:
    """The options of main_retrieval.py, automatic values resolved; raises ConfigError with every problem."""
    options, problems, silent = read_evaluation(make_search_parser(), SearchOptions, argv, SEARCH_SILENT)
    from evaluation.features.sources import find_source, name_results_folder
    from evaluation.run_record import CHECKPOINTS

    refuse_or_note(options, problems, silent)
    own = "retrieval" if find_source(options.pretrained)[1] else f"retrieval-{safe_name(options.task, room=10)}"
    return replace(options, results_dir=options.results_dir or str(CHECKPOINTS / name_results_folder(options) / own))
