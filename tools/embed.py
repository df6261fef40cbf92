"""Embeddings of a folder of photographs, in order: embeddings.npy, ids.csv, meta.json; of large ones in shards.

python -m tools.embed photos --pretrained my_birds --out photos_embedded
torchrun --nproc-per-node 8 -m tools.embed photos --pretrained my_birds --out photos_embedded --to parquet

Rows are of unit length. Run it again after a stop and it goes on; run it again after photographs came, changed, moved
or went, and only what is new goes through the network. tools.index builds a search index of the result.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from engine.flags.command import exit_cleanly
from engine.flags.evaluate.arguments import make_parser, read_evaluation, refuse_or_note
from engine.flags.evaluate.options import EmbedOptions
from runtime.requirements import list_missing


def parse(argv: Sequence[str] | None = None) -> EmbedOptions:
    """The options, automatic values resolved; raises ConfigError with every problem."""
    parser = make_parser("python -m tools.embed", "Write the embeddings of a folder of photographs.", EmbedOptions)
    options, problems, _ = read_evaluation(parser, EmbedOptions, argv)
    problems.lines += list_missing("pyarrow") if options.to == "parquet" else []
    refuse_or_note(options, problems)
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    from datasets.images import first_split
    from engine.results_folder import hold_results
    from evaluation.features.embedding import write_embeddings
    from evaluation.features.sharding import Layout, write_shards
    from evaluation.features.store import describe_files
    from evaluation.features.subject import open_subject
    from runtime import distributed

    device = distributed.join_group(options.device)
    try:
        subject = open_subject(options, device, options.batch_size)
        split = options.split if options.split != "auto" else first_split(subject.root, "test", "train")
        with hold_results(options.out):
            images, out = subject.images(split, "ignored"), Path(options.out)
            written = (write_embeddings(subject, images, out, options.piece) if options.to == "array" else
                       write_shards(subject, images, out, Layout(options.to, options.shard_size), options.piece))
        if distributed.is_main():
            meta = written.meta
            print(f"{written.change.describe()}\n{meta['images']} {split} images, {meta['dim']} numbers each, "
                  f"{meta['images_per_second']:.0f} images/s, with {subject.describe()}\n"
                  f"  in {options.out}: {describe_files(meta)}")
    finally:
        distributed.stop()


if __name__ == "__main__":
    exit_cleanly(main, shared=True)
