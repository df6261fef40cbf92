"""Class descriptions (CSV) into the text tensor that guides pre-training.

python -m tools.encode_text text_description/bird.csv --weights ViT-B-16.pt
python -m tools.encode_text text_description/bird.csv --weights hub --template "a photo of a {name}. {description}"
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datasets.places import list_paths
from engine.flags.command import exit_cleanly
from engine.flags.parser import Parser, add_options
from engine.flags.text import EncodeOptions
from runtime.folders.overlaps import find_overlaps
from runtime.options import list_given

if TYPE_CHECKING:
    from models.teachers.clip import ClipTeacher


def make_parser() -> Parser:
    """The parser."""
    parser = Parser(prog="python -m tools.encode_text", description="Descriptions (CSV) into a text tensor.")
    add_options(parser, EncodeOptions)
    return parser


def find_cut(options: EncodeOptions, source: Path, teacher: ClipTeacher) -> list[str]:
    """The names of classes whose text CLIP does not read to its end."""
    from text.descriptions import fill_template, read_descriptions

    if options.aggregate != "whole":
        return []
    rows = read_descriptions(source)
    lengths = teacher.count_tokens([fill_template(options.template, row.name, row.text) for row in rows])
    return [row.name for row, length in zip(rows, lengths) if length > teacher.context]


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    args, problems = make_parser().gather(argv)  # ends here for --help, before torch is imported
    from runtime.devices import list_device_problems, resolve_device
    from text.descriptions import describe_oddities, fill_template, read_descriptions
    from text.sources import open_clip_teacher
    from text.tensor import name_text_files, write_text_tensor

    problems.lines += list_device_problems(args.device)
    args.device, source = resolve_device(args.device), Path(args.csv)
    options = EncodeOptions.read(vars(args), list_given(args))
    problems.attempt(lambda: read_descriptions(source))  # a mistake in it is told before a model is built
    problems.attempt(lambda: fill_template(options.template, "", ""))
    out = Path(options.out) if options.out else name_text_files(f"{source.with_suffix('.csv')}")[0]
    inputs = [("FILE.csv", source), *(("--weights", path) for path in list_paths(options.teacher_weights))]
    if out.suffix == ".json":
        problems.lines.append(f"--out {out}: the manifest beside the tensor bears that name; end it in .pt")
    problems.lines += find_overlaps({"--out": out, "the manifest of --out": out.with_suffix(".json")}, inputs)
    problems.refuse()
    teacher = open_clip_teacher(options, options.device, command=f"python -m tools.encode_text {source}")
    rows = write_text_tensor(source, out, teacher, model=options.teacher_arch, template=options.template,
                             aggregate=options.aggregate)
    print(f"{rows.shape[0]} rows of width {rows.shape[1]} in {out}, manifest in {out.with_suffix('.json')}")
    oddities, cut = describe_oddities(source), find_cut(options, source, teacher)
    if oddities:
        print(f"note: passed over in {source}: {'; '.join(oddities)}")
    if cut:
        print(f"note: CLIP stops reading {len(cut)} texts after {teacher.context} tokens ({', '.join(cut[:5])}"
              f"{', ...' * (len(cut) > 5)}); shorten them, or take --aggregate sentences")


if __name__ == "__main__":
    exit_cleanly(main)
