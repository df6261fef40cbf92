"""Is this text worth a training run? An audit of descriptions, or a text tensor, against images and teacher.

python -m tools.text_studio text_description/bird.csv --root bird/ --weights ViT-B-16.pt
python -m tools.text_studio text_description_tensor/bird_text_tensor.pt --root bird/ --crop-root none --tau 0.01

Writes studio.html (one page, verdict at the top) and studio.json.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datasets.places import list_overlaps
from engine.flags.command import exit_cleanly
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, add_options
from engine.flags.text import StudioOptions, settle_asking
from runtime.files import write_json, write_text
from runtime.names.safe import safe_name
from runtime.options import list_given


def parse(argv: Sequence[str] | None = None) -> StudioOptions:
    """The options, automatic values resolved; raises ConfigError with every problem."""
    parser = Parser(prog="python -m tools.text_studio", description="Audit class text before it costs a training run.")
    add_options(parser, StudioOptions)
    add_list_left_out(parser)
    args, problems = parser.gather(argv)  # ends here for --help, before torch is imported
    from engine.flags.absent import check_present

    settle_asking(args, problems)
    args.out = args.out or str(Path("studio") / safe_name(Path(args.text).stem))
    options = StudioOptions.read(vars(args), list_given(args))
    problems.lines += list_overlaps(options, ("studio.json", "studio.html"))
    problems.refuse(lambda: check_present(options))
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    from engine.results_folder import hold_results
    from engine.workflows.studio import study
    from text.findings import list_findings, to_json
    from text.page import render_audit

    with hold_results(options.place):
        found, lead = study(options)
        write_json(options.place / "studio.json", to_json(found))
        write_text(options.place / "studio.html", render_audit(found, f"Text studio: {Path(options.text).stem}", lead))
    marks = {True: " ok", False: "  !", None: "   "}
    print(lead, *(f"{marks[finding.good]} {finding.text}" for finding in list_findings(found)), sep="\n")
    print(f"written to {options.place / 'studio.html'} and studio.json")


if __name__ == "__main__":
    exit_cleanly(main)
