"""Does it matter what the text says? The same classes in other words, side by side in one table.

python -m tools.text_ablation text_description/bird.csv --root bird/ --weights ViT-B-16.pt
python -m tools.text_ablation text_description/bird.csv --root bird/ --weights ViT-B-16.pt --train 20 --preset small

Without --train: what the teacher makes of each text. With it: a pre-training run each, further flags go to it, then
retrieval and zero-shot accuracy of the student. Writes ablation.csv, ablation.html and rows of results.jsonl.
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
from engine.flags.text import AblationOptions, settle_asking
from runtime.names.safe import safe_name
from runtime.options import list_given


def parse(argv: Sequence[str] | None = None) -> tuple[AblationOptions, list[str]]:
    """The options, and flags for main_pretrain.py; raises ConfigError with every problem."""
    parser = Parser(prog="python -m tools.text_ablation", description="The same classes in other words, in one table.",
                    epilog="With --train, flags that are not listed here go to main_pretrain.py.")
    add_options(parser, AblationOptions)
    add_list_left_out(parser)
    args, further, problems = parser.gather_known(argv)  # ends here for --help, before torch is imported
    from engine.flags.absent import check_present

    if further and not args.train:
        problems.lines.append(f"{' '.join(further)}: unknown here; without --train nothing goes to main_pretrain.py")
    settle_asking(args, problems)
    args.out = args.out or str(Path("ablation") / safe_name(Path(args.csv).stem))
    options = AblationOptions.read(vars(args), list_given(args))
    problems.lines += list_overlaps(options, ("ablation.csv", "ablation.html", "results.jsonl"))
    problems.refuse(lambda: check_present(options))
    return options, further


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options, further = parse(argv)
    from engine.results_folder import hold_results
    from engine.workflows.ablation import run_variants
    from text.ablation import render_text

    with hold_results(options.place):
        lines = run_variants(options, further)
    print(f"{render_text(lines)}\nwritten to {options.place}: ablation.csv, ablation.html, results.jsonl")


if __name__ == "__main__":
    exit_cleanly(main)
