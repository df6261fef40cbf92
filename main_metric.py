"""Learn embeddings with OBD-SD and search the classes that were not trained on: parse, build, run."""

from __future__ import annotations

from engine.flags.command import exit_cleanly
from engine.flags.metric.arguments import parse
from engine.results_folder import hold_run
from engine.workflows.metric.saved import evaluate_saved_embedding
from engine.workflows.metric.system import build_metric_run
from runtime import distributed


def main() -> None:
    """The command `python main_metric.py --root DIR ...`."""
    args = parse()
    device = distributed.join_group(args.device)
    try:
        with hold_run(args, needed=not args.evaluate) as kept:
            if args.evaluate:
                evaluate_saved_embedding(args, device, keep=kept)
            else:
                build_metric_run(args, device).train()
    finally:
        distributed.stop()


if __name__ == "__main__":
    exit_cleanly(main)
