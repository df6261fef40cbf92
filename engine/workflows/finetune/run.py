"""A run of main_finetune.py from its first step to the files it leaves behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from datasets.images import ImageSet
from datasets.joint import Source, describe_sources
from datasets.loader import count_workers
from datasets.views.recipes import View
from engine.curves import LogLine, read_log
from engine.flags.finetune.options import FinetuneOptions
from engine.flags.finetune.views import evaluation_view
from engine.workflows.finetune.images import Photographs
from engine.workflows.run import Run
from evaluation.classifier.report import ReportedClassifier, report
from evaluation.ledger import Result
from evaluation.run_record import name_method
from methods.supervised import Supervised
from models.classifiers.file import save_classifier
from models.network import ClassNetwork
from runtime import distributed
from runtime.files import write_atomically, write_text

# Keys of the public codes' log.txt and what they are called here; accuracies there are in percent.
SEED_KEYS = {"train_loss": "total", "train_class_acc": "accuracy", "val_loss": "val_loss"}
SEED_SHARES = {"val_acc1": "val_top1", "val_acc5": "val_top5"}


@dataclass
class FinetuneRun(Run):
    """A run whose last (or selected) network is reported on images that selected nothing."""

    options: FinetuneOptions
    photos: Photographs

    def splits(self) -> dict[str, ImageSet]:
        """Images to train on, to watch and to report on."""
        parts = {"val": self.photos.val, "test": self.photos.test}
        return {**super().splits(), **{name: images for name, images in parts.items() if images is not None}}

    @property
    def method(self) -> Supervised:
        """What is trained."""
        assert isinstance(self.trainer.method, Supervised), "FINETUNE makes no other"
        return self.trainer.method

    def train(self) -> None:
        """Train, leave networks and curves, and report on the test images, else on the validation images."""
        super().train()
        method, selection = self.method.eval(), self.trainer.selection
        distributed.share_buffers(method)
        if method.averaged is not None:
            self.report(method.averaged, "ema", "last epoch, moving average")
        if selection is None:
            row = self.report(method.encoder(), "last", "last epoch")
        else:
            selection.restore(method.encoder())
            if distributed.is_main():
                self.export({}, "model_best.pth", selection.epoch + 1)
            row = self.report(method.encoder(), "best", selection.describe())
        if distributed.is_main():
            write_seed_log(self.folder, sum(p.numel() for p in method.encoder().parameters()), row)
            self.page.write("finished")
        distributed.barrier()

    def report(self, network: ClassNetwork, epoch: str, selection: str) -> Result | None:
        """A row of results.jsonl and the files beside it (ema_... of the moving average), if there are images."""
        images = self.photos.test if self.photos.test is not None else self.photos.val
        if images is None:
            if distributed.is_main():
                print("there are no test images: give --test-root, or --val-share 0.1")
            return None
        options, view = self.options, evaluation_view(self.options)
        subject = name_subject(network, self.photos.sources, view, options, weights=str(self.folder))
        return report(subject, images, self.trainer.device, precision=self.trainer.number_format, folder=self.folder,
                      workers=count_workers(options.num_workers), crop_bottom=options.crop_bottom, epoch=epoch,
                      selection=selection, prefix="ema_" if epoch == "ema" else "")

    def export(self, centre: dict[str, Tensor], name: str = "model_last.pth", epoch: int | None = None) -> None:
        """Write the network under `name`, and beside the last epoch's its moving average where there is one."""
        method, options = self.method, self.options
        self.write(method.encoder(), name, epoch or options.epochs)
        if method.averaged is not None and epoch is None:
            self.write(method.averaged, "model_ema.pth", options.epochs)

    def write(self, network: ClassNetwork, name: str, epoch: int) -> None:
        """A network with all that evaluation needs to know, whole or not at all."""
        view, photos = evaluation_view(self.options), self.photos
        write_atomically(self.folder / name, lambda draft: save_classifier(
            network, draft, class_names=photos.train.classes, sources=describe_sources(photos.sources),
            view={"recipe": view.recipe, "size": view.size}, meta=self.describe(epoch)))


def name_subject(
    network: ClassNetwork, sources: tuple[Source, ...], view: View, options: FinetuneOptions, *, weights: str
) -> ReportedClassifier:
    """A network of a run, to be reported on under the run's name."""
    label = Path(options.run).parent.name if options.run else Path(options.results_dir).name
    return ReportedClassifier(network, sources, view, weights, task=options.task, label=label,
                              method=name_method(options.settings()), seed=options.seed, order=options.ensemble_order)


def write_seed_log(folder: Path, parameters: int, row: Result | None) -> None:
    """log.txt of DeiT and ConvNeXt: a JSON line an epoch, made of log.jsonl; the last one has the test numbers."""
    lines = list(translate(read_log(folder / "log.jsonl"), parameters))
    if row is not None and lines:
        lines[-1] |= {f"{row.split}_loss": row.metrics["nll"], f"{row.split}_acc1": 100 * row.metrics["top1"],
                      f"{row.split}_acc5": 100 * row.metrics["top5"]}
    write_text(folder / "log.txt", "".join(json.dumps(line) + "\n" for line in lines))


def translate(rows: list[LogLine], parameters: int) -> Iterator[dict[str, object]]:
    """Epochs of log.jsonl in the public codes' words."""
    rate = 0.0
    for row in rows:
        rate = row.get("lr", rate) if row["kind"] == "step" else rate
        if row["kind"] != "epoch":
            continue
        line: dict[str, object] = {"train_lr": rate}
        line |= {key: row[name] for key, name in SEED_KEYS.items() if name in row}
        line |= {key: 100 * row[name] for key, name in SEED_SHARES.items() if name in row}
        yield line | {"epoch": row["epoch"], "n_parameters": parameters}
