"""Pre-train an encoder without labels: parse, build, run."""

from __future__ import annotations

from engine import distributed
from engine.args import exit_cleanly
from engine.build import build_run
from engine.pretrain_args import parse
from engine.results_folder import hold_run


def main() -> None:
    """The command `python main_pretrain.py --root DIR ...`."""
    args = parse()
    device = distributed.start(args.device)
    try:
        with hold_run(args):
            build_run(args, device).train()
    finally:
        distributed.stop()


if __name__ == "__main__":
    exit_cleanly(main)
