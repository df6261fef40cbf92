"""A finished network as a file for other programs: ONNX, TorchScript, timm, safetensors, with a model card.

python -m tools.export my_birds --to onnx --pixels hwc
python -m tools.export my_birds --to timm --feature backbone --out birds_for_timm
python -m tools.export my_species --to onnx --feature all --quantise int8 --root CUB200

The file is compared with torch on real photographs before it is written. MODEL_CARD.md says how to load it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from engine.flags.command import exit_cleanly
from engine.flags.evaluate.export import parse


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    from engine.results_folder import hold_results  # after the flags: --help does without torch
    from engine.workflows.export.run import choose_export_folder, prepare_export, publish_export, tell_export

    folder = choose_export_folder(options)
    with hold_results(folder):
        exported = prepare_export(options)
        publish_export(exported, folder)
    tell_export(exported, folder)


if __name__ == "__main__":
    exit_cleanly(main)
