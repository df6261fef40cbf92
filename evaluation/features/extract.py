"""Features of a whole image set: placed by index, and computed once for each picture where a cache keeps them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import PIL
import timm
import torch
import torchvision
from torch import Tensor
from tqdm import tqdm

from datasets.crops import Crops
from datasets.images import ImageSet
from datasets.loader import make_loader
from datasets.view_set import ViewSet
from datasets.views.recipes import View
from evaluation.features.cache import FeatureCache, KeyMaker, Plan, Table
from evaluation.features.compute import BatchLook, Labelled, Outputs, Piece, Share, compute_pieces
from evaluation.features.contents import ContentMemo, hash_images
from evaluation.metrics.inspection import need_finite, tell_sameness
from evaluation.options import EVAL_VIEWS
from runtime import distributed

# What decodes and computes: another release may give other pixels and other sums. `features` counts our own changes.
VERSIONS = {"features": 3, "torch": torch.__version__, "torchvision": torchvision.__version__,
            "timm": timm.__version__, "Pillow": PIL.__version__}


@dataclass(frozen=True)
class Features:
    """Feature tensors by name, float32 [N, D] each, in the order of the image set; labels int64 [N] (-1 = none).

    `images_per_second` is that of the pictures which were computed now; where none was (`cached`), what the cache
    tells of theirs.
    """

    tensors: dict[str, Tensor]
    labels: Tensor
    keys: list[str]
    images_per_second: float
    cached: bool = False


def extract(
    outputs: Outputs | Labelled,
    images: ImageSet,
    view: View,
    *,
    labelled: bool = False,
    crops: Crops | None = None,
    batch_size: int = 64,
    workers: int = 0,
    device: torch.device | str = "cpu",
    precision: str = "fp32",
    seed: int = 0,
    epoch: int = 0,
    crop_bottom: int = 0,
    caches: Sequence[Path] = (),
    cache_key: str = "",
    bar: tqdm | None = None,
    title: str = "",
) -> Features:
    """`outputs` of every image of the set in one view; several ranks share the work and all get the whole answer.

    `outputs` maps uint8 [B, 3, H, W] to tensors [B, D] and must be in eval mode, so that neither order nor batch size
    matters; `labelled` hands it each batch's labels, int64 [B], too. `caches` are folders: what one of them knows of a
    picture's content is taken, only the other pictures are computed, and every folder gets all rows, while that goes
    on; `cache_key` says which network this is (the fingerprint of its weights). `title` is what the bar says. A random
    view is a function of (seed, epoch, image). Raises DataError for images or crops that cannot be
    read, and BrokenNetwork when an output is NaN or infinite; outputs that are the same of all images are said.

    Kernels, and with them last bits, differ with the shape of a batch. With `caches` every batch therefore has
    `batch_size` images, the last one filled up: a row is the same whichever others are computed beside it.
    """
    dataset = ViewSet(images, {"view": view}, crops=crops, seed=seed, crop_bottom=crop_bottom)
    table, cache, plan = Table(len(images)), None, Plan(list(range(len(images))))
    if caches:
        question = {"weights": cache_key, "view": asdict(view), "precision": precision, "crop_bottom": crop_bottom,
                    "labelled": labelled, "device": torch.device(device).type, "versions": VERSIONS}
        name = _make_namer(images, crops if view.source == "crop" else None, Path(caches[0]), labelled,
                           "" if view.recipe in EVAL_VIEWS else f"draw {seed} {epoch}")
        cache, plan = _look_up(lambda: FeatureCache(caches, question, name, len(images)), table)
    ask = cast(Labelled, outputs) if labelled else lambda pixels, _: cast(Outputs, outputs)(pixels)
    look = BatchLook(ask, torch.device(device), precision, images.labels, batch_size if caches else 0)
    share = Share(plan.missing, batch_size, epoch)
    batches = make_loader(dataset, share, workers=workers, pin=torch.device(device).type == "cuda")
    with _show(bar, images, len(plan.missing), title or f"features of {images.split}") as shown:
        pieces = compute_pieces(look, batches, share, shown, saved=bool(caches))
        seconds = sum(_place(piece, table, cache) for piece in pieces)
    if cache is not None:
        cache.merge()
    distributed.barrier()
    speed = len(plan.missing) / seconds if plan.missing else 1 / plan.seconds
    return _inspect(Features(table.complete(plan.twice), images.labels, [sample.key for sample in images.samples],
                             speed, cached=not plan.missing), judged=len(images) - len(plan.twice) > 1)


def _look_up(open_cache: Callable[[], FeatureCache], table: Table) -> tuple[FeatureCache | None, Plan]:
    """The cache, on the main process alone, and what is left to compute; what it knows is in the table on all."""
    cache: FeatureCache | None = None

    def read() -> tuple[Plan, dict[str, Tensor], Tensor]:
        nonlocal cache
        cache = open_cache()
        return cache.read(table), table.tensors, table.known

    plan, table.tensors, table.known = distributed.ask_main(read)
    return cache, plan


def _make_namer(images: ImageSet, crops: Crops | None, folder: Path, labelled: bool, draw: str) -> KeyMaker:
    """Keys of the rows at some places: what the picture is made of, and what else its row depends on.

    That is the label where the network is told it, and its place where a random view is drawn for that.
    """
    memo = ContentMemo(folder if distributed.is_main() else None)

    def name(places: Sequence[int]) -> list[bytes]:
        part = replace(images, samples=tuple(images.samples[place] for place in places))
        words = [[content, *([f"label {sample.label}"] if labelled else []), *([f"{draw} {place}"] if draw else [])]
                 for content, sample, place in zip(hash_images(part, crops, memo), part.samples, places)]
        return [bytes.fromhex(one[0]) if len(one) == 1 else hashlib.sha256(" ".join(one).encode()).digest()
                for one in words]

    return name


def _place(piece: Piece, table: Table, cache: FeatureCache | None) -> float:
    """Put a piece into the table, and what is sound of it into the cache; the seconds it took."""
    table.put(piece.index, piece.rows)
    if cache is not None:
        cache.add(piece.index, piece.rows, piece.seconds / len(piece.index))
    return piece.seconds


def _inspect(features: Features, *, judged: bool) -> Features:
    """The features; where several pictures can be `judged` their sameness is said. Raises BrokenNetwork for NaN."""
    need_finite(features.tensors, features.keys)
    if judged and distributed.is_main():
        tell_sameness(features.tensors, features.keys)
    return features


@contextmanager
def _show(bar: tqdm | None, images: ImageSet, missing: int, title: str) -> Iterator[tqdm]:
    """The caller's bar, or one that begins where the cache ends: none where nothing is missing."""
    if bar is not None:
        bar.update(len(images) - missing)
        yield bar
        return
    with tqdm(total=len(images), initial=len(images) - missing, unit="img", desc=title,
              file=sys.stderr, disable=not distributed.is_main() or not missing, mininterval=0.5) as shown:
        yield shown
