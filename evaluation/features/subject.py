"""What is being evaluated: an encoder, one of its features, and the view through which it looks at a data set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from datasets.crops import Crops, need_crops
from datasets.files import decode, find_crop_bottom
from datasets.images import ImageSet, check_images, scan
from datasets.layouts.listing import Sample
from datasets.layouts.read import Labels
from datasets.loader import count_workers
from datasets.places import EVALUATION_FILES, check_places
from datasets.views.recipes import View
from evaluation.features.chosen import read_chosen
from evaluation.features.extract import Features, extract
from evaluation.features.sources import choose_crops, find_data_root, find_source, inherit
from evaluation.ledger import Result, Row
from evaluation.metrics.similarity import normalise_embeddings
from evaluation.options import FEATURES, USUAL, EncoderOptions
from evaluation.run_record import name_method, read_settings
from models.encoder import Encoder, describe_encoder, load_encoder
from models.present import check_architecture
from models.sizes import check_size
from models.weights.read import fingerprint
from runtime.devices import use_threads
from runtime.errors import ConfigError, DataError
from runtime.options import name_flags


@dataclass(frozen=True)
class Subject:
    """An encoder in eval mode with the protocol of one evaluation. `folder` is its checkpoint folder, if it has one."""

    encoder: Encoder
    source: str
    folder: Path | None
    sha256: str
    task: str
    root: Path
    feature: str
    view: View
    crops: Crops | None
    device: torch.device
    precision: str
    batch_size: int
    workers: int
    crop_bottom: int
    seed: int
    centred: bool
    caches: tuple[Path, ...]
    skip_bad: bool
    label: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)

    def images(self, split: str, labels: Labels = "searched") -> ImageSet:
        """The images of a split; raises DataError when it is missing, or naming the images without a crop.

        `labels` says what they are for, see `datasets.layouts.read.read_listing`.
        """
        images = scan(self.root, split, labels)
        if self.skip_bad:
            images = check_images(images, skip_bad=True, crop_bottom=self.crop_bottom)
        if self.view.source == "crop":
            assert self.crops is not None  # `choose_crops` found them
            need_crops(self.crops, images, self.task, self.root)
        return images

    def extract(
        self, images: ImageSet, *, view: View | None = None, epoch: int = 0, bar: tqdm | None = None
    ) -> Features:
        """All features of the images; only those of the evaluation view are cached, random ones are never met again."""
        caches = self.caches if view is None else ()
        key = f"{self.sha256} {json.dumps(describe_encoder(self.encoder))} {self.device.type}"
        return extract(self.encoder.outputs, images, view or self.view, crops=self.crops, batch_size=self.batch_size,
                       workers=self.workers, device=self.device, precision=self.precision, seed=self.seed, epoch=epoch,
                       crop_bottom=self.crop_bottom, caches=caches, cache_key=key, bar=bar)

    def picture(self, sample: Sample, size_hint: int | None = None) -> Image.Image:
        """What the encoder looks at, before resizing: the image or its crop; whole ones small where that suffices."""
        if self.view.source == "full":
            return decode(sample.path, self.crop_bottom, size_hint=size_hint)
        assert self.crops is not None  # `choose_crops` found them
        by_file = self.crops.boxes is None
        return self.crops.crop(sample, None if by_file else decode(sample.path, self.crop_bottom))

    def embeddings(self, features: Features, centre: Tensor | None) -> Tensor:
        """The chosen feature as unit rows [N, D] on the device, minus `centre` [D] where there is one."""
        values = features.tensors[self.feature].to(self.device)
        return normalise_embeddings(values if centre is None else values - centre)

    def by_head(self) -> Subject:
        """The same encoder seen through its head, never centred: where text lives, the mean has a meaning."""
        return replace(self, feature="head", centred=False)

    def centre(self) -> Tensor | None:
        """The training split's mean of the feature [D], None when not asked for.

        The one stored with the encoder is of whole images in the `eval` view and the training's size and banner, so it
        serves only there.
        """
        if not self.centred:
            return None
        stored = self.encoder.centre.get(self.feature)
        seen = (self.view.source, self.view.recipe, self.view.size, self.crop_bottom)
        known = self.settings
        if stored is not None and seen == ("full", "eval", known.get("size"), known.get("crop_bottom", seen[3])):
            return stored.to(self.device)
        return self.extract(self.images("train", "ignored")).tensors[self.feature].mean(dim=0).to(self.device)

    def result(
        self, kind: str, images: ImageSet, speed: float, metrics: dict[str, float], *, details: Row | None = None,
        epoch: str = "", selection: str = "",
    ) -> Result:
        """A row for the ledger with this protocol filled in."""
        return Result(kind=kind, task=self.task, dataset_sha256=images.fingerprint(), split=images.split,
                      images=len(images), weights=self.source, weights_sha256=self.sha256,
                      arch=self.encoder.backbone.arch, feature=self.feature, input=self.view.source,
                      view=self.view.recipe, size=self.view.size,
                      centred=self.centred, seed=self.seed, precision=self.precision, images_per_second=round(speed, 2),
                      metrics=metrics, method=name_method(self.settings), label=self.label,
                      details=details or {}, epoch=epoch, selection=selection)

    def describe(self) -> str:
        """One line for people: what looks at what."""
        return (f"{self.source} ({self.encoder.backbone.arch}), feature {self.feature}{' centred' * self.centred}, "
                f"{self.view.source} image at {self.view.size} px, {self.view.recipe} view")


def open_subject(options: EncoderOptions, device: torch.device, batch_size: int) -> Subject:
    """The encoder and protocol that the flags ask for; raises ConfigError, WeightsError or DataError."""
    use_threads(options.threads)
    source, folder = find_source(options.pretrained)
    with name_flags(options, "pretrained"):
        options = inherit(options, folder, source)
    root = find_data_root(options, folder)
    check_places(options, EVALUATION_FILES, root=root)
    crops = choose_crops(options, root) if options.input == "crop" else None
    torch.manual_seed(options.seed)  # `--pretrained none` is a random network: the same one every time
    check_architecture(options, "arch")
    with name_flags(options, "pretrained"):
        encoder = load_encoder(source, arch=options.arch, device=device).to(memory_format=torch.channels_last)
    check_size(encoder.backbone, options.size)
    return Subject(
        encoder=encoder,
        source=options.pretrained,
        folder=folder,
        sha256=fingerprint(encoder),
        task=options.task,
        root=root,
        feature=find_feature(options.feature, encoder, Path(source), options.usual_feature),
        view=View(options.input, options.eval_view, options.size),
        crops=crops,
        device=device,
        precision="fp32" if options.precision == "auto" else options.precision,
        batch_size=batch_size,
        workers=count_workers(options.num_workers),
        crop_bottom=find_crop_bottom(options.crop_bottom, options.task),
        seed=options.seed,
        centred=options.centre,
        caches=() if options.cache == "none" else (Path(options.cache),),
        skip_bad=options.skip_bad,
        label=options.label,
        settings=read_settings(Path(source)) if Path(source).is_file() else {},
    )


def open_start(subject: Subject, start: str) -> Subject:
    """The weights that a run started from, by the protocol of its `subject`: plain averages of their last map.

    Raises ConfigError or WeightsError for weights that are not there.
    """
    encoder = load_encoder(start, arch=subject.encoder.backbone.arch, device=subject.device)
    if subject.settings.get("max_pool") is False:
        encoder.backbone.skip_max_pool()
    encoder = encoder.to(memory_format=torch.channels_last)
    return replace(subject, encoder=encoder, source=start, folder=None, sha256=fingerprint(encoder), feature="backbone",
                   label="", settings={})


def find_feature(wanted: str, encoder: Encoder, source: Path, usual: str = USUAL) -> str:
    """The encoder's name of a feature, "auto" being what the run chose that wrote `source`, else the `usual` one.

    Raises ConfigError for a part that is not there.
    """
    present = encoder.features
    name = FEATURES[wanted]
    if name == "auto":
        name = read_chosen(source) or usual
    if name == USUAL:
        name = "masked" if "masked" in present else "backbone"
    if name not in present:
        raise ConfigError(f"--feature {wanted}: these weights have no such part, only {', '.join(present)}")
    return name


def check_classes(images: ImageSet, wanted: int) -> None:
    """Raise DataError without labels, ConfigError when `--num-classes` is not what the data set has."""
    if not images.classes or bool((images.labels < 0).all()):
        raise DataError(f"{images.root}: the {images.split} images have no labels, so nothing can be scored. "
                        "Put them in one folder per class, or give a .csv list with columns path,label,split")
    if wanted and wanted != len(images.classes):
        raise ConfigError(f"--num-classes is {wanted}, but {images.root} has {len(images.classes)} classes; "
                          f"leave it out, or give {len(images.classes)} or 0 (= the data set's)")


def homes(folder: Path, subject: Subject, keep: bool = True) -> list[Path]:
    """Where a result's row is written: beside its files (if they are kept), and in the folder of its run."""
    return sorted({*([folder.resolve()] if keep else []), *([subject.folder.resolve()] if subject.folder else [])})
