"""Leave-one-out image retrieval with a frozen encoder: parse, build, run."""

from __future__ import annotations

from pathlib import Path

from engine.flags.command import exit_cleanly
from engine.flags.evaluate.arguments import parse_search
from engine.results_folder import hold_run, is_chosen
from engine.workflows.retrieval import run_search, write_search
from evaluation.features.subject import open_subject
from runtime import distributed


def main() -> None:
    """The command `python main_retrieval.py --pretrained NAME --root DIR ...`."""
    args = parse_search()
    device = distributed.join_group(args.device)
    try:
        with hold_run(args, needed=is_chosen(args)) as kept:
            search = run_search(open_subject(args, device, args.batch_size), args)
            if distributed.is_main():
                write_search(search, Path(args.results_dir), args, keep=kept)
    finally:
        distributed.stop()


if __name__ == "__main__":
    exit_cleanly(main)
