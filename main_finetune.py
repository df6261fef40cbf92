"""Recognise classes: fine-tune a network plainly, as a teacher, with one, or with the plug-in module."""

from __future__ import annotations

from engine import distributed
from engine.args import exit_cleanly
from engine.finetune_args import parse
from engine.finetune_build import build_finetune_run
from engine.finetune_saved import evaluate_saved
from engine.results_folder import hold_run


def main() -> None:
    """The command `python main_finetune.py --root DIR ...`."""
    args = parse()
    device = distributed.start(args.device)
    try:
        with hold_run(args, needed=not args.eval) as kept:
            if args.eval:
                evaluate_saved(args, device, keep=kept)
            else:
                build_finetune_run(args, device).train()
    finally:
        distributed.stop()


if __name__ == "__main__":
    exit_cleanly(main)
