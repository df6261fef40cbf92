"""Pre-train an encoder without labels: parse, build, run."""

from __future__ import annotations

from engine.flags.command import exit_cleanly
from engine.flags.pretrain.arguments import parse


def main() -> None:
    """The command `python main_pretrain.py --root DIR ...`."""
    options = parse()
    from engine.results_folder import hold_run  # what needs torch waits until the flags are right
    from engine.workflows.build import build
    from engine.workflows.pretrain.system import PRETRAIN
    from runtime import distributed

    device = distributed.join_group(options.device)
    try:
        with hold_run(options):
            build(PRETRAIN, options, device).train()
    finally:
        distributed.stop()


if __name__ == "__main__":
    exit_cleanly(main)
