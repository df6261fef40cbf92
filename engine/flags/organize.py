"""The command line of tools/organize.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from datasets.layouts.elpv import ElpvOptions
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, add_options, gather_options
from engine.flags.unread import Readers, find_unread
from runtime.options import flag, word


@dataclass(frozen=True, kw_only=True)
class OrganizeOptions(ElpvOptions):
    """Which data set, where it is and where it goes; the older names of some flags work as well."""

    title: ClassVar[str | None] = None

    dataset: str = word("which one it is", None, ("aircraft", "cars", "cub", "dogs", "elpv"))
    source: Path | None = flag(None, Path, "the unpacked data set; elpv is an installed package", "--ds", "--cub-root",
                               metavar="DIR")
    out: Path = flag(None, Path, "the new folder", "--output-root", metavar="DIR", required=True)
    link: str = flag("none", ("none", "hard", "soft"), "copy (none), hard links, or symbolic links")


READERS = (Readers(("train", "test", "seed"), "elpv", lambda told: told.dataset == "elpv"),
           Readers(("source", "link"), "another data set than elpv", lambda told: told.dataset != "elpv"))


def parse(argv: Sequence[str] | None = None) -> OrganizeOptions:
    """The options; raises ConfigError with every problem."""
    parser = Parser(prog="python -m tools.organize", description="A published data set as train/test class folders.")
    add_options(parser, OrganizeOptions)
    add_list_left_out(parser)
    options, problems = gather_options(parser, OrganizeOptions, argv)
    problems.lines += find_unread(options, READERS)
    if options.dataset != "elpv" and options.source is None:
        problems.lines.append(f"{options.dataset}: unpack the data set and give its folder as --source")
    problems.refuse()
    return options
