"""Learn embeddings with OBD-SD and search the classes that were not trained on: parse, build, run."""

from __future__ import annotations

from engine import distributed
from engine.args import exit_cleanly
from engine.metric_args import parse
from engine.metric_build import build_metric_run
from engine.metric_evaluate import evaluate_saved
from engine.results_folder import hold_run


def main() -> None:
    """The command `python main_metric.py --root DIR ...`."""
    args = parse()
    device = distributed.start(args.device)
    try:
        with hold_run(args, needed=not args.evaluate) as kept:
            if args.evaluate:
                evaluate_saved(args, device, keep=kept)
            else:
                build_metric_run(args, device).train()
    finally:
        distributed.stop()


if __name__ == "__main__":
    exit_cleanly(main)
