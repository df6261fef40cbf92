"""Learn embeddings with OBD-SD and search the classes that were not trained on: parse, build, run."""

from __future__ import annotations

from engine.flags.command import exit_cleanly
from engine.flags.metric.arguments import parse


def main() -> None:
    """The command `python main_metric.py --root DIR ...`."""
    options = parse()
    from engine.results_folder import hold_run  # what needs torch waits until the flags are right
    from engine.workflows.around.train import train_as_told
    from engine.workflows.metric.saved import evaluate_saved_embedding
    from engine.workflows.metric.system import METRIC
    from runtime import distributed

    device = distributed.join_group(options.device)
    try:
        with hold_run(options, needed=not options.evaluate) as kept:
            if options.evaluate:
                evaluate_saved_embedding(options, device, keep=kept)
            else:
                train_as_told(METRIC, options, device)
    finally:
        distributed.stop()


if __name__ == "__main__":
    exit_cleanly(main, shared=True)
