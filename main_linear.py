"""Linear probe of a frozen encoder: parse, build, run."""

from __future__ import annotations

from pathlib import Path

from engine.flags.command import exit_cleanly
from engine.flags.evaluate.arguments import parse_probe


def main() -> None:
    """The command `python main_linear.py --pretrained NAME --root DIR ...`."""
    options = parse_probe()
    from engine.results_folder import hold_run, is_chosen  # what needs torch waits until the flags are right
    from engine.workflows.linear import run_probe, write_probe
    from evaluation.features.subject import open_subject
    from runtime import distributed

    device = distributed.join_group(options.device)
    try:
        with hold_run(options, needed=is_chosen(options)) as kept:
            probe = run_probe(open_subject(options, device, options.extract_batch_size), options)
            if distributed.is_main():
                write_probe(probe, Path(options.results_dir), options, keep=kept)
    finally:
        distributed.stop()


if __name__ == "__main__":
    exit_cleanly(main, shared=True)
