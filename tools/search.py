"""Search a folder of photographs by words or by a picture, with a student that was trained with text.

python -m tools.search photos --pretrained my_birds --serve                               on a page: words or pictures
python -m tools.search photos --pretrained my_birds --text "red crown, white wing bars"   needs CLIP's text tower
python -m tools.search photos --pretrained my_birds --text "Blue Jay" --text-tensor bird.pt   rows by name: no CLIP
python -m tools.search photos --pretrained my_birds --image query.jpg                     like a picture; any network
python -m tools.search photos --pretrained my_birds --image query.jpg --index photos_embedded/index-hnsw.faiss
python -m tools.search photos --pretrained my_birds --zero-shot text_description/bird.csv   accuracy by the class rows

Images are seen by the student alone. Writes query_01.png, ... and search.csv; --zero-shot adds a row to results.jsonl;
the page writes nothing but the cache of features.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from engine.flags.command import exit_cleanly
from engine.flags.evaluate.arguments import make_parser, read_evaluation, refuse_or_note
from engine.flags.evaluate.options import QueryOptions


def parse(argv: Sequence[str] | None = None) -> QueryOptions:
    """The options, automatic values resolved; raises ConfigError with every problem."""
    parser = make_parser("python -m tools.search", "Search photographs by words or by a picture.", QueryOptions)
    options, problems, _ = read_evaluation(parser, QueryOptions, argv)
    if not (options.text or options.image or options.zero_shot or options.serve):
        problems.lines.append("nothing to look for: give --text WORDS, --image FILE, --zero-shot FILE, or --serve")
    if options.text_tensor and not (options.text or options.serve):
        problems.lines.append("--text-tensor serves --text, which is not given")
    refuse_or_note(options, problems)
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    if options.serve:
        from desk.search.serve import serve_search

        return serve_search(options)
    import torch

    from datasets.images import first_split
    from engine.results_folder import hold_results, is_chosen
    from engine.workflows.search import answer, inherit_clip
    from evaluation.features.subject import open_subject

    subject = open_subject(options, torch.device(options.device), options.batch_size)
    options = inherit_clip(options, subject)
    split = options.split if options.split != "auto" else first_split(subject.root, "test", "train")
    images = subject.images(split, "searched" if options.zero_shot else "ignored")
    folder = Path(options.results_dir) if options.results_dir else (subject.folder or Path("checkpoints")) / "search"
    with hold_results(folder, needed=is_chosen(options)) as kept:
        answer(options, subject, images, folder, kept)


if __name__ == "__main__":
    exit_cleanly(main)
