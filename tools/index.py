"""Search indices of embeddings that tools.embed wrote: build, measure against the exact answer, keep.

python -m tools.index photos_embedded --index ivf hnsw ivfpq
python -m tools.index photos_embedded --to qdrant --url http://localhost:6333 --table birds

Writes index-KIND.faiss into the folder and prints how much of the exact answer each kind finds, and how fast. Run it
again after tools.embed brought the folder up to date: rows that are new are added to the indices that are there. With
--to it writes no file, but brings a table of a database of vectors to what the folder holds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from engine.flags.command import exit_cleanly
from engine.flags.parser import Parser, add_options, gather_options
from evaluation.options import DATABASES, INDEX_KINDS
from runtime.options import Options, flag, list_given, switch, word
from runtime.ranges import COUNT, COUNT_OR_0, SEED, whole_number
from runtime.requirements import list_missing

FILES = {"index", "lists", "probes", "links", "reach", "bytes", "queries", "seed"}  # flags that --to reads none of


@dataclass(frozen=True, kw_only=True)
class IndexOptions(Options):
    """Which embeddings, which kinds of indices, and what they are made of."""

    folder: str = word("a folder that tools.embed wrote", "EMBEDDINGS")
    index: tuple[str, ...] = flag(("flat",), INDEX_KINDS, "kinds to build", nargs="+")
    lists: int = flag(0, COUNT_OR_0, "ivf, ivfpq: lists; 0 = 4 sqrt(N)")
    probes: int = flag(0, COUNT_OR_0, "ivf, ivfpq: lists a query looks into; 0 = a sixteenth")
    links: int = flag(32, whole_number(2), "hnsw: neighbours of a node")
    reach: int = flag(128, COUNT, "hnsw: candidates of a search")
    bytes: int = flag(0, COUNT_OR_0, "ivfpq: bytes of an embedding, dividing its width; 0 = up to 64")
    queries: int = flag(1000, COUNT, "embeddings that are queries when it is measured")
    anew: bool = switch(False, "build anew what could be brought up to date; with --to, replace the whole table")
    seed: int = flag(0, SEED, "of lists, codes and the embeddings drawn as queries")
    to: str = flag("files", ("files", *DATABASES), "files = index-KIND.faiss in the folder; or a database, by its own "
                   "client")
    url: str = flag("", None, "lancedb: a folder; qdrant: an address or a folder; pgvector: postgresql://...")
    table: str = flag("plumage", None, "of the database")


def parse(argv: Sequence[str] | None = None) -> IndexOptions:
    """The options; raises ConfigError with every problem."""
    parser = Parser(prog="python -m tools.index", description="Build and measure search indices of embeddings.")
    add_options(parser, IndexOptions)
    options, problems = gather_options(parser, IndexOptions, argv)
    if options.to != "files":
        problems.lines += list_missing(DATABASES[options.to])
        problems.lines += [] if options.url else [f"--to {options.to} needs --url, which says where the database is"]
        problems.lines += [f"--{name} is of indices in files: leave it out, or run once without --to"
                           for name in sorted({*list_given(options)} & FILES)]
    problems.refuse()
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    from engine.results_folder import hold_results  # after the flags: --help does without torch
    from evaluation.features.store import read_embeddings
    from evaluation.retrieval.index import IndexPlan
    from evaluation.retrieval.index_report import build_indices

    folder = Path(options.folder)
    embeddings = read_embeddings(folder)
    if options.to != "files":
        from evaluation.collections.sync import open_database, sync_database, tell_client_errors

        database = open_database(options.to, options.url, options.table)
        with tell_client_errors(options.to):
            done = sync_database(embeddings, database, anew=options.anew)
        print(f"{options.to}, table {options.table}: {len(embeddings.keys)} rows; {done.describe()}")
        return
    plans = [IndexPlan(kind, options.lists, options.probes, options.links, options.reach, options.bytes, options.seed)
             for kind in options.index]
    with hold_results(folder):
        build_indices(embeddings, folder, plans, options.queries, anew=options.anew)
    print(f"written to {folder}: {', '.join(f'index-{kind}.faiss' for kind in options.index)}")


if __name__ == "__main__":
    exit_cleanly(main)
