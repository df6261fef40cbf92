"""Pre-train an encoder without labels: parse, build, run."""

from __future__ import annotations

from engine.flags.command import exit_cleanly
from engine.flags.pretrain.arguments import parse


def main() -> None:
    """The command `python main_pretrain.py --root DIR ...`."""
    options = parse()
    from engine.results_folder import hold_run  # what needs torch waits until the flags are right
    from engine.workflows.around.train import train_as_told
    from engine.workflows.pretrain.system import PRETRAIN
    from runtime import distributed

    device = distributed.join_group(options.device)
    try:
        with hold_run(options):
            train_as_told(PRETRAIN, options, device)
    finally:
        distributed.stop()


if __name__ == "__main__":
    exit_cleanly(main, shared=True)
