"""What leaves: a finished network, which of its outputs, through which view, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from datasets.files import find_crop_bottom
from datasets.joint import Source
from datasets.views.recipes import View
from engine.flags.evaluate.export import ExportOptions
from evaluation.classifier.trained import Trained, holds_classifier, open_classifier
from evaluation.features.chosen import read_chosen
from evaluation.features.sources import find_source, inherit
from evaluation.metrics.similarity import normalise_embeddings
from evaluation.options import EVAL_VIEWS, FEATURES, ClassifierOptions, EncoderOptions
from evaluation.run_record import KEPT, Settings, name_method, read_settings
from models.encoder import Encoder, load_encoder
from models.network import ClassNetwork, OutputNetwork
from models.present import check_architecture
from models.sizes import check_size
from models.weights.files import read_checkpoint
from models.weights.read import fingerprint
from runtime.devices import use_threads
from runtime.errors import ConfigError
from runtime.options import name_flags


@dataclass(frozen=True)
class Exportable:
    """A network in eval mode on the CPU, in float32, of which the outputs `chosen` leave.

    `unit`: rows leave with length 1; `names` are a classifier's classes, `sources` the data sets behind them;
    `settings` what is known of its training, {} for foreign weights.
    """

    network: OutputNetwork
    source: str
    folder: Path | None
    settings: Settings
    sha256: str
    chosen: tuple[str, ...]
    unit: bool
    names: tuple[str, ...]
    sources: tuple[Source, ...]
    view: View
    crop_bottom: int

    @property
    def arch(self) -> str:
        """What timm calls the network."""
        return self.network.backbone.arch if isinstance(self.network, Encoder) else str(self._described["arch"])

    @property
    def kind(self) -> str:
        """encoder, classifier or pim."""
        return "encoder" if isinstance(self.network, Encoder) else str(self._described["kind"])

    @property
    def _described(self) -> Mapping[str, object]:
        assert isinstance(self.network, ClassNetwork)
        return self.network.describe()

    @property
    def method(self) -> str:
        """The method that trained it, "" where that is unknown."""
        return name_method(self.settings)

    @property
    def mean(self) -> list[float]:
        """What is subtracted of red, green and blue in [0, 1]."""
        return find_standard(self.network, "mean").flatten().tolist()

    @property
    def std(self) -> list[float]:
        """What they are divided by then."""
        return find_standard(self.network, "std").flatten().tolist()

    @torch.inference_mode()
    def answer(self, images: Tensor) -> dict[str, Tensor]:
        """uint8 [N, 3, S, S] -> the chosen outputs by name, float32 [N, D] or logits [N, K]: what files must repeat."""
        found = self.network.outputs(images)
        return {name: normalise_embeddings(found[name]) if self.unit else found[name] for name in self.chosen}

    def describe(self) -> str:
        """One line for people."""
        what = "rows of length 1" if self.unit else "rows" if self.kind == "encoder" else "logits"
        return (f"{self.source} ({self.arch}, {self.kind}), {', '.join(self.chosen)}: {what}, {self.view.recipe} view "
                f"at {self.view.size} px")


def find_standard(network: nn.Module, name: str) -> Tensor:
    """The buffer `mean` or `std` [3, 1, 1] by which a network of ours standardises pixels."""
    return next(value for key, value in network.named_buffers() if key.rpartition(".")[2] == name and value.dim() == 3)


def open_exportable(options: ExportOptions) -> Exportable:
    """The network that RUN names; raises ConfigError or WeightsError for what cannot be opened or has no such part."""
    use_threads(options.threads)
    public = options.class_names is not None or options.feature in ("cls", "dist", "average", "combiner")
    refuse_state(find_source(options.pretrained)[0])
    torch.manual_seed(options.seed)  # of `none`, a random network
    opened = open_as_classifier if public or holds_classifier(options.pretrained) else open_as_encoder
    exportable = opened(options)
    if exportable.view.recipe not in EVAL_VIEWS:
        raise ConfigError(f"{options.pretrained} was tested in the view {exportable.view.recipe}, which draws at "
                          f"random; choose another with --eval-view: {', '.join(EVAL_VIEWS)}")
    return exportable


def refuse_state(source: str) -> None:
    """Raise ConfigError for what a run continues from: it holds a method and an optimiser, no finished network."""
    if Path(source).is_file() and "identity" in read_checkpoint(source):
        raise ConfigError(f"{source} is a state to continue from; name the run's folder, or its model_last.pth")


def open_as_classifier(options: ExportOptions) -> Exportable:
    """A network that names classes, with one of its branches or all."""
    if options.unit:
        raise ConfigError("--unit: a classifier's logits have no length that matters; leave it out")
    trained = open_classifier(ClassifierOptions.read(options.as_evaluation(), options.given), options.batch_size)
    return Exportable(
        network=free_of_gradients(trained.network), source=trained.source, folder=trained.folder,
        settings=read_settings(Path(find_source(options.pretrained)[0])), sha256=trained.sha256,
        chosen=choose_branches(options, trained), unit=False, names=trained.names, sources=trained.sources,
        view=trained.view, crop_bottom=trained.crop_bottom)


def open_as_encoder(options: ExportOptions) -> Exportable:
    """An encoder with one of its features or all."""
    source, folder = find_source(options.pretrained)
    told = EncoderOptions.read(options.as_evaluation(), options.given)
    with name_flags(options, "pretrained"):
        told = inherit(told, folder, source)
    check_architecture(options, "arch")
    encoder = load_encoder(source, arch=options.arch)
    check_size(encoder.backbone, told.size)
    settings = read_settings(Path(source)) if Path(source).is_file() else {}
    return Exportable(
        network=free_of_gradients(encoder), source=options.pretrained, folder=folder, settings=settings,
        sha256=fingerprint(encoder), chosen=choose_features(options, encoder, find_usual(source, settings)),
        unit=options.unit is not False and options.to in ("onnx", "torchscript"), names=(), sources=(),
        view=View("full", told.eval_view, told.size),
        crop_bottom=find_crop_bottom(told.crop_bottom, told.task))


def free_of_gradients(network: OutputNetwork) -> OutputNetwork:
    """The network as a graph is taken of it: no gradients, no memory format of its own."""
    return network.to(memory_format=torch.contiguous_format).requires_grad_(False).eval()


def choose_branches(options: ExportOptions, trained: Trained) -> tuple[str, ...]:
    """Branches by name; raises ConfigError for one that the network does not have."""
    size = trained.view.size
    with torch.inference_mode():
        present = tuple(trained.network.outputs(torch.zeros(1, 3, size, size, dtype=torch.uint8)))
    return choose(options, options.feature, present, trained.network.answer)


def find_usual(source: str, settings: Settings) -> str:
    """The feature that a network is for: what its run chose without labels, the head where distances were learnt."""
    return read_chosen(Path(source)) or ("head" if settings.get("method") == "obdsd" else "masked")


def choose_features(options: ExportOptions, encoder: Encoder, usual: str) -> tuple[str, ...]:
    """Features by name; raises ConfigError for one that the encoder does not have."""
    present = encoder.features
    usual = "backbone" if options.to == "timm" or usual not in present else usual
    return choose(options, FEATURES.get(options.feature, options.feature), present, usual)


def choose(options: ExportOptions, wanted: str, present: tuple[str, ...], usual: str) -> tuple[str, ...]:
    """Those of the present outputs that --feature means."""
    if wanted == "all" or options.to == "safetensors":
        return present
    name = usual if wanted == "auto" else wanted
    if name not in present:
        raise ConfigError(f"--feature {wanted}: this network has no such part, only {', '.join(present)}; all takes "
                          "each of them")
    return (name,)


def list_known(exportable: Exportable) -> Settings:
    """What an export keeps of the run's flags, as files of ours do."""
    return {name: value for name, value in exportable.settings.items() if name in KEPT}
