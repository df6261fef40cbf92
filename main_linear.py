"""Linear probe of a frozen encoder: parse, build, run."""

from __future__ import annotations

from pathlib import Path

from engine.flags.command import exit_cleanly
from engine.flags.evaluate.arguments import parse_probe
from engine.results_folder import hold_run, is_chosen
from engine.workflows.linear import run_probe, write_probe
from evaluation.features.subject import open_subject
from runtime import distributed


def main() -> None:
    """The command `python main_linear.py --pretrained NAME --root DIR ...`."""
    args = parse_probe()
    device = distributed.join_group(args.device)
    try:
        with hold_run(args, needed=is_chosen(args)) as kept:
            probe = run_probe(open_subject(args, device, args.extract_batch_size), args)
            if distributed.is_main():
                write_probe(probe, Path(args.results_dir), args, keep=kept)
    finally:
        distributed.stop()


if __name__ == "__main__":
    exit_cleanly(main)
