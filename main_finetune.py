"""Recognise classes: fine-tune a network plainly, as a teacher, with one, or with the plug-in module."""

from __future__ import annotations

from engine.flags.command import exit_cleanly
from engine.flags.finetune.arguments import parse
from engine.results_folder import hold_run
from engine.workflows.finetune.saved import evaluate_saved_classifier
from engine.workflows.finetune.system import build_finetune_run
from runtime import distributed


def main() -> None:
    """The command `python main_finetune.py --root DIR ...`."""
    args = parse()
    device = distributed.join_group(args.device)
    try:
        with hold_run(args, needed=not args.eval) as kept:
            if args.eval:
                evaluate_saved_classifier(args, device, keep=kept)
            else:
                build_finetune_run(args, device).train()
    finally:
        distributed.stop()


if __name__ == "__main__":
    exit_cleanly(main)
