"""Class descriptions (CSV) into the text tensor that guides pre-training.

python -m tools.encode_text text_description/bird.csv --weights ViT-B-16.pt
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from engine.args import Parser, exit_cleanly
from engine.text import count_cut, read_descriptions, write_text_tensor
from models.teachers import build_teacher


def make_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="python -m tools.encode_text", description="Descriptions (CSV) into a text tensor.")
    parser.add_argument("csv", metavar="FILE.csv", help="columns `class name,description`")
    parser.add_argument("--weights", required=True, help="CLIP's weights: a file (OpenAI's or open_clip's), or hub")
    parser.add_argument("--arch", default="ViT-B-16", help="open_clip's name of the model")
    parser.add_argument("--out", metavar="FILE.pt", default=None,
                        help="default text_description_tensor/<csv's name>_text_tensor.pt")
    parser.add_argument("--template", default="{description}", help="text of a class, with {name} and {description}")
    parser.add_argument("--aggregate", choices=("whole", "sentences"), default="whole",
                        help="sentences = encode each apart and average: nothing is cut at 77 tokens")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    return parser


def main() -> None:
    """The command."""
    args = make_parser().parse_args()
    source = Path(args.csv)
    descriptions = read_descriptions(source)
    out = Path(args.out or f"text_description_tensor/{source.stem}_text_tensor.pt")
    teacher = build_teacher(f"clip:{args.arch}", weights=args.weights, precision="fp32", device=args.device)
    rows = write_text_tensor(source, out, teacher, model=args.arch, template=args.template, aggregate=args.aggregate)
    cut = count_cut(teacher, [args.template.format(name=row.name, description=row.text) for row in descriptions])
    print(f"{rows.shape[0]} rows of width {rows.shape[1]} in {out}, manifest in {out.with_suffix('.json')}")
    if cut and args.aggregate == "whole":
        print(f"note: {cut} texts fill CLIP's 77 tokens or were cut there; shorten them, or take --aggregate sentences")


if __name__ == "__main__":
    exit_cleanly(main)
