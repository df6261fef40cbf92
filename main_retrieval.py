"""Leave-one-out image retrieval with a frozen encoder: parse, build, run."""

from __future__ import annotations

from pathlib import Path

from engine.flags.command import exit_cleanly
from engine.flags.evaluate.arguments import parse_search


def main() -> None:
    """The command `python main_retrieval.py --pretrained NAME --root DIR ...`."""
    options = parse_search()
    from engine.results_folder import hold_run, is_chosen  # what needs torch waits until the flags are right
    from engine.workflows.retrieval import run_search, search_before, write_search
    from evaluation.features.subject import open_subject
    from runtime import distributed

    device = distributed.join_group(options.device)
    try:
        with hold_run(options, needed=is_chosen(options)) as kept:
            search = run_search(open_subject(options, device, options.batch_size), options)
            before = search_before(search, options)
            if distributed.is_main():
                write_search(search, Path(options.results_dir), options, keep=kept, before=before)
    finally:
        distributed.stop()


if __name__ == "__main__":
    exit_cleanly(main, shared=True)
