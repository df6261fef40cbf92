"""A large collection of made-up embeddings: shards, indices, rows that come and go, searches; what each costs.

    python -m benchmarks.costs.collection --out million --count 1000000 --index ivf ivfpq --lists 1024

Embeddings lie around centres, in few directions, as those of photographs do. Every step runs in a process of its own,
whose seconds and peak memory are told; the tables between are those of tools.index.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from engine.flags.parser import Parser, add_options, gather_options
from evaluation.options import INDEX_KINDS
from runtime.errors import ConfigError
from runtime.options import Options, flag
from runtime.ranges import COUNT, COUNT_OR_0, SEED, WIDTH

BLOCK = 4096  # embeddings that are drawn together
CENTRES, DIRECTIONS = 1000, 48
SPREAD, NOISE = 0.4, 0.03  # along the directions, and in all, where a centre has length 1


@dataclass(frozen=True, kw_only=True)
class CollectionOptions(Options):
    """How large the collection is, how it lies, and which indices are built of it."""

    out: str = flag(None, None, "a new folder", metavar="DIR", required=True)
    count: int = flag(50_000, COUNT, "embeddings")
    width: int = flag(512, WIDTH, "numbers of each")
    change: int = flag(10_000, COUNT, "embeddings that come, and then that go")
    to: str = flag("parquet", ("npy", "parquet"), "form of the shards")
    shard_size: int = flag(65_536, COUNT, "rows of a shard")
    index: tuple[str, ...] = flag(("ivf", "ivfpq"), INDEX_KINDS, "kinds to build", nargs="+")
    lists: int = flag(0, COUNT_OR_0, "ivf, ivfpq: lists; 0 = 4 sqrt(N)")
    seed: int = flag(0, SEED, "of everything")


def parse(argv: Sequence[str] | None = None) -> CollectionOptions:
    """The options; raises ConfigError with every problem."""
    parser = Parser(prog="python -m benchmarks.costs.collection", description=(__doc__ or "").splitlines()[0])
    add_options(parser, CollectionOptions)
    options, problems = gather_options(parser, CollectionOptions, argv)
    if options.out and Path(options.out).exists():
        problems.lines.append(f"--out {options.out} is there already: give a new folder")
    problems.refuse()
    return options


def draw_embeddings(numbers: NDArray[np.int64], width: int, seed: int) -> NDArray[np.float32]:
    """Unit embeddings [n, width], each a function of its number, whichever others are drawn with it."""
    shared = np.random.default_rng(seed)
    centres = shared.normal(size=(CENTRES, width)).astype(np.float32) / width**0.5
    directions = SPREAD * shared.normal(size=(DIRECTIONS, width)).astype(np.float32) / (width * DIRECTIONS) ** 0.5
    found = np.empty((len(numbers), width), np.float32)
    for block in np.unique(numbers // BLOCK).tolist():
        own = np.random.default_rng([seed, block])
        rows = own.standard_normal((BLOCK, width), dtype=np.float32) * np.float32(NOISE / width**0.5)
        rows += centres[own.integers(0, CENTRES, BLOCK)]
        rows += own.standard_normal((BLOCK, DIRECTIONS), dtype=np.float32) @ directions
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        places = np.flatnonzero(numbers // BLOCK == block)
        found[places] = rows[numbers[places] % BLOCK]
    return found


def write_collection(options: CollectionOptions, numbers: NDArray[np.int64]) -> None:
    """A folder as tools.embed writes it, of the embeddings with these numbers."""
    from evaluation.features.forms import FORMS, Listed
    from evaluation.features.store import FORM, FORMAT, SHARD_SIZE, SHARDS
    from runtime.files import hash_file, write_json

    folder, form, shards = Path(options.out), FORMS[options.to], []
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"format": FORMAT, "weights_sha256": "made up", FORM: options.to, SHARD_SIZE: options.shard_size}
    for shard, start in enumerate(range(0, len(numbers), options.shard_size)):
        part = numbers[start : start + options.shard_size]
        listed = Listed([f"{number // 1000:06d}/{number}.jpg" for number in part.tolist()], [""] * len(part),
                        [f"{number:064x}" for number in (part + 1).tolist()])
        form.write(folder, shard, start, listed, draw_embeddings(part, options.width, options.seed), facts)
        shards.append({"rows": len(part), "sha256": {name: hash_file(folder / name) for name in form.files(shard)}})
    write_json(folder / "meta.json", {**facts, "images": len(numbers), "dim": options.width, SHARDS: shards})


def build_and_measure(options: CollectionOptions, kind: str) -> None:
    """The index of a kind built, or brought up to date, and measured."""
    from evaluation.features.store import read_embeddings
    from evaluation.retrieval.index import IndexPlan
    from evaluation.retrieval.index_report import build_indices

    folder = Path(options.out)
    plan = IndexPlan(kind, lists=options.lists, seed=options.seed)
    build_indices(read_embeddings(folder), folder, [plan], 1000)


def _measure(step: Callable[..., None], *given: object) -> tuple[float, float, float]:
    start = time.perf_counter()
    step(*given)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def run_apart_from_this(what: str, step: Callable[..., None], *given: object) -> None:
    """A step in a new process, and a line of what it cost."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        seconds, busy, memory = pool.apply(_measure, (step, *given))
    print(f"COST {what}: {seconds:.0f} s, {busy:.0f} s of a processor, at most {memory:.0f} MB", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    options = parse(argv)
    if options.change >= options.count:
        raise ConfigError(f"--change {options.change} of --count {options.count}: fewer must go than there are")
    first = np.arange(options.count)
    grown = np.arange(options.count + options.change)
    gone = np.random.default_rng(options.seed).permutation(len(grown))[: options.change]
    for what, numbers in (("new", first), ("grown", grown), ("shrunk", np.setdiff1d(grown, gone))):
        run_apart_from_this(f"shards, {what}", write_collection, options, numbers)
        size = sum(path.stat().st_size for path in Path(options.out).glob("embeddings-*"))
        print(f"     {len(numbers)} rows, {size / 1e6:.0f} MB", flush=True)
        for kind in options.index:
            run_apart_from_this(f"{kind}, {what}", build_and_measure, options, kind)
    return 0


if __name__ == "__main__":
    sys.exit(main())
