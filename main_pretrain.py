"""Pre-train an encoder without labels: parse, build, run."""

from __future__ import annotations

from engine.flags.command import exit_cleanly
from engine.flags.pretrain.arguments import parse
from engine.results_folder import hold_run
from engine.workflows.build import build_run
from runtime import distributed


def main() -> None:
    """The command `python main_pretrain.py --root DIR ...`."""
    args = parse()
    device = distributed.join_group(args.device)
    try:
        with hold_run(args):
            build_run(args, device).train()
    finally:
        distributed.stop()


if __name__ == "__main__":
    exit_cleanly(main)
