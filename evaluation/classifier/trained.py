"""A trained classifier as commands open it: network, class names, and how pictures are shown to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from datasets.files import find_crop_bottom
from datasets.images import ImageSet
from datasets.joint import Source
from datasets.loader import count_workers
from datasets.views.recipes import RECIPES, View
from evaluation.classifier.classify import Predictions, classify
from evaluation.features.settings import ExtractSettings
from evaluation.features.sources import SOURCES, find_source, is_same_data, tell_other
from evaluation.ledger import Result, Row
from evaluation.metrics.ensembles import Order
from evaluation.options import ClassifierOptions
from evaluation.run_record import as_list, name_method, read_args
from models.classifiers.file import SavedClassifier, load_classifier
from models.network import ClassNetwork
from models.plug_in.published import is_public_pim
from models.plug_in.rebuild import build_public_pim
from models.present import check_architecture
from models.sizes import check_size
from models.weights.files import read_checkpoint
from models.weights.read import fingerprint
from models.weights.styles import CLASSIFIER_FORMAT, EXPORT_FORMAT
from runtime.devices import find_device, use_threads
from runtime.errors import ConfigError, DataError
from runtime.options import list_given, name_flags


@dataclass(frozen=True)
class Trained:
    """A classifier in eval mode with the protocol of one evaluation. `folder` is its run's, if it has one.

    `names` its classes in the order of its logits, () if unknown; `sources` the data sets it was trained on.
    """

    network: ClassNetwork
    names: tuple[str, ...]
    sources: tuple[Source, ...]
    source: str
    folder: Path | None
    sha256: str
    view: View
    device: torch.device
    precision: str
    batch_size: int
    workers: int
    crop_bottom: int
    seed: int
    task: str
    method: str

    @property
    def arch(self) -> str:
        """What timm calls the network."""
        return str(self.network.describe()["arch"])

    def protocol(self) -> ExtractSettings:
        """How pictures are shown to the network: what `extract` and `classify` take."""
        return {"device": self.device, "precision": self.precision, "batch_size": self.batch_size,
                "workers": self.workers, "crop_bottom": self.crop_bottom}

    def classify(self, images: ImageSet, order: Order = "descending") -> Predictions:
        """What the classifier says of the pictures."""
        return classify(
            self.network, images, self.view, sources=self.sources, order=order, device=self.device,
            precision=self.precision, batch_size=self.batch_size, workers=self.workers, crop_bottom=self.crop_bottom)

    def named(self, names: Sequence[str], text: str) -> Trained:
        """The same classifier with its classes named; raises ConfigError when they are not as many."""
        if len(names) != self.network.classes:
            raise ConfigError(f"{text} has {len(names)} classes, but {self.source} tells {self.network.classes} apart")
        sources = self.sources or (Source("all", 0, len(names)),)
        return replace(self, names=tuple(names), sources=sources)

    def result(self, images: ImageSet, speed: float, metrics: dict[str, float], details: Row) -> Result:
        """A row for the ledger with this protocol filled in."""
        return Result(kind="classify", task=self.task, dataset_sha256=images.fingerprint(), split=images.split,
                      images=len(images), weights=self.source, weights_sha256=self.sha256, arch=self.arch,
                      feature=self.network.answer, input="full", view=self.view.recipe, size=self.view.size,
                      centred=False, seed=self.seed, precision=self.precision, images_per_second=round(speed, 2),
                      metrics=metrics, method=self.method, details=details,
                      label=self.folder.name if self.folder else Path(self.source).name)

    def describe(self) -> str:
        """One line for people: what looks at what."""
        kind = " with the plug-in module" * (self.network.describe()["kind"] == "pim")
        return (f"{self.source} ({self.arch}{kind}), {self.network.classes} classes, {self.view.recipe} view at "
                f"{self.view.size} px")


def open_classifier(options: ClassifierOptions, batch_size: int) -> Trained:
    """The classifier that the flags ask for; raises ConfigError or WeightsError."""
    use_threads(options.threads)
    if options.pretrained in SOURCES or options.pretrained.startswith("package:"):
        raise ConfigError(f"--pretrained {options.pretrained}: these weights name no classes of yours; give a network "
                          "that main_finetune.py trained, or a public checkpoint of a classifier")
    source, folder = find_source(options.pretrained)
    device = torch.device(find_device(options.device))
    check_architecture(options, "arch")
    with name_flags(options, "pretrained"):
        saved = load_saved(source, arch=options.arch, size=options.size, selects=options.num_selects)
    settings = read_args(folder) or saved.meta
    network = saved.network.to(device).to(memory_format=torch.channels_last)
    trained = Trained(
        network=network, names=(), sources=tuple(Source(**source) for source in saved.sources),
        source=options.pretrained, folder=folder, sha256=fingerprint(network), view=choose_view(options, saved),
        device=device,
        precision="fp32" if options.precision == "auto" else options.precision, batch_size=batch_size,
        workers=count_workers(options.num_workers), crop_bottom=choose_crop_bottom(options, settings),
        seed=options.seed if "seed" in list_given(options) else int(settings.get("seed", options.seed)),
        task=choose_task(options, settings), method=name_method(settings) or name_public(network))
    tell_other(trained.view.size, trained.view.recipe, saved.view, str(saved.view["recipe"]))
    names = read_class_names(Path(options.class_names)) if options.class_names else saved.class_names
    return trained.named(names, options.class_names or source) if names else trained


def holds_classifier(pretrained: str) -> bool:
    """Whether `--pretrained` names a classifier that says so: ours, or a plug-in module of the public code."""
    source, _ = find_source(pretrained)
    if source in SOURCES or source.startswith("package:"):
        return False
    content = read_checkpoint(source)
    return content.get("format") == CLASSIFIER_FORMAT or is_public_pim(content)


def load_saved(source: str, *, arch: str | None, size: int, selects: Sequence[int] | None) -> SavedClassifier:
    """What a file of ours or of a public code holds; raises ConfigError or WeightsError.

    `arch`, `size` and `selects` are what a public file does not say of itself; 0 pixels: what the file says.
    """
    content = read_checkpoint(source)
    if "identity" in content:
        raise ConfigError(f"{source} is a state to continue from; name the run's folder, or its model_last.pth")
    if content.get("format") == EXPORT_FORMAT:
        raise ConfigError(f"{source} is an encoder without classes; train a classifier on it with main_finetune.py "
                          f"--finetune {source}, or evaluate it with main_linear.py and main_retrieval.py")
    if content.get("format") != CLASSIFIER_FORMAT and is_public_pim(content):
        network = build_public_pim(content, source, name=arch, size=size or None, selects=selects or None)
        saved = load_classifier(source, network=network)
    else:
        saved = load_classifier(source, arch=arch, size=size or None)
    check_size(saved.network, size or int(saved.view["size"]))
    return saved


def choose_view(options: ClassifierOptions, saved: SavedClassifier) -> View:
    """The view that the flags ask for, else the file's own; raises ConfigError for one that is not known here."""
    recipe = saved.view["recipe"] if options.eval_view == "auto" else options.eval_view
    if recipe not in RECIPES:
        raise ConfigError(f"{options.pretrained} was made for a view called {recipe}, which is not known here; choose "
                          "one with --eval-view")
    return View("full", recipe, options.size or int(saved.view["size"]))


def choose_crop_bottom(options: ClassifierOptions, settings: Mapping[str, object]) -> int:
    """Rows to drop at the bottom: as the flag says, else as the network was trained."""
    trained = settings.get("crop_bottom")
    if options.crop_bottom == "auto" and isinstance(trained, int):
        return trained
    return find_crop_bottom(options.crop_bottom, options.task)


def choose_task(options: ClassifierOptions, settings: Mapping[str, object]) -> str:
    """The data set's name: --task, else the run's on the photographs of the run."""
    roots = as_list(options.settings().get("root"))
    if "task" in list_given(options) or not is_same_data(options.task, roots, settings):
        return options.task
    return str(settings.get("task", options.task))


def name_public(network: ClassNetwork) -> str:
    """What tables call the method of a file that does not say it."""
    kind = str(network.describe()["kind"])
    return kind if kind == "pim" else "public"


def read_class_names(path: Path) -> tuple[str, ...]:
    """Class names, one a line; raises DataError when the file is not there or not text."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"--class-names {path} cannot be read as text ({error}); it holds one name a line") from error
    return tuple(line.strip() for line in lines if line.strip())


def need_names(trained: Trained) -> Trained:
    """The classifier when its classes have names; raises ConfigError with the way to give them."""
    if trained.names:
        return trained
    raise ConfigError(f"{trained.source} does not say what its {trained.network.classes} classes are called; give "
                      "--class-names FILE with one name a line, in their order (for the public codes: the class "
                      "folders sorted by name)")
