"""Recognise classes: fine-tune a network plainly, as a teacher, with one, or with the plug-in module."""

from __future__ import annotations

from engine.flags.command import exit_cleanly
from engine.flags.finetune.arguments import parse


def main() -> None:
    """The command `python main_finetune.py --root DIR ...`."""
    options = parse()
    from engine.results_folder import hold_run  # what needs torch waits until the flags are right
    from engine.workflows.around.train import train_as_told
    from engine.workflows.finetune.saved import evaluate_saved_classifier
    from engine.workflows.finetune.system import FINETUNE
    from runtime import distributed

    device = distributed.join_group(options.device)
    try:
        with hold_run(options, needed=not options.eval) as kept:
            if options.eval:
                evaluate_saved_classifier(options, device, keep=kept)
            else:
                train_as_told(FINETUNE, options, device)
    finally:
        distributed.stop()


if __name__ == "__main__":
    exit_cleanly(main, shared=True)
