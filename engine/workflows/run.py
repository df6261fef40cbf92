"""A training run from its first step to the files it leaves behind."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from datasets.images import ImageSet
from datasets.loader import count_workers
from datasets.views.recipes import View
from engine.curves import draw_curves
from engine.identity import hash_flags
from engine.options import TrainingOptions
from engine.trainer import Trainer
from engine.workflows.report.facts import describe_training
from engine.workflows.report.page import LivePage
from evaluation.features.extract import extract
from evaluation.run_record import keep_settings, name_method
from models.encoder import Encoder, save_encoder
from models.weights.read import fingerprint
from runtime import distributed
from runtime.errors import BrokenNetwork
from runtime.files import write_atomically


@dataclass
class Run:
    """A trainer with what is done after it: `train` trains, exports the encoder and draws the curves."""

    options: TrainingOptions
    trainer: Trainer
    images: ImageSet
    folder: Path

    def splits(self) -> dict[str, ImageSet]:
        """The images that the run learns from, and those that it, or who measures it later, looks at."""
        return {"train": self.images}

    @cached_property
    def page(self) -> LivePage:
        """report.html, which the main process writes."""
        return LivePage(self.folder, lambda: describe_training(self.options, self.trainer, self.splits()),
                        self.trainer.device, distributed.is_main())

    def train(self) -> None:
        """Train to the end and leave model_last.pth, curves.png, report.html and a fingerprint line."""
        with self.page.follow(self.trainer.logger):
            self.trainer.fit()
        centre = self.try_centre() if self.options.centre else {}
        if distributed.is_main():
            self.export(centre)
            draw_curves(self.folder / "log.jsonl", self.folder / "curves.png",
                        terms=self.trainer.method.loss_terms, shares=self.trainer.method.shares)
            self.page.write("finished")
            print(f"encoder, curves and log are in {self.folder}\n{self.fingerprint_line()}")
        distributed.barrier()

    def try_centre(self) -> dict[str, Tensor]:
        """`measure_centre`, and {} with a note for a network that can only be written to disk: its outputs are NaN."""
        try:
            return self.measure_centre()
        except BrokenNetwork as error:
            print(f"warning: no mean feature is kept: {error}", file=sys.stderr)
            return {}

    def measure_centre(self) -> dict[str, Tensor]:
        """Mean features of the training split in the evaluation view, in float32, by feature name."""
        return {name: rows.mean(dim=0) for name, rows in self.look().items()}

    def look(self) -> dict[str, Tensor]:
        """Features of the training split in the evaluation view, in float32, by name."""
        trainer, options = self.trainer, self.options
        trainer.method.eval()
        distributed.share_buffers(trainer.method)
        return extract(trainer.method.outputs, self.images, View("full", "eval", options.size), device=trainer.device,
                       workers=count_workers(options.num_workers), crop_bottom=options.crop_bottom,
                       title=f"{options.network_name} sees {self.images.split} images for their mean feature").tensors

    def export(self, centre: dict[str, Tensor], name: str = "model_last.pth", epoch: int | None = None) -> None:
        """Write the encoder with all that evaluation needs to know; `epoch` counts from 1, None is the last."""
        encoder = self.trainer.method.encoder()
        assert isinstance(encoder, Encoder)  # a system of another kind of network exports it itself
        encoder.centre = centre
        meta = self.describe(epoch)
        write_atomically(self.folder / name, lambda path: save_encoder(encoder, path, meta))

    def describe(self, epoch: int | None) -> dict[str, object]:
        """What a file says of its run: the settings that evaluation needs, and which images trained it."""
        return {**keep_settings(self.options), "epoch": self.options.epochs if epoch is None else epoch,
                "precision": self.trainer.number_format, "data_sha256": self.images.fingerprint()}

    def fingerprint_line(self) -> str:
        """Method, sha256 of weights, of the list of images and of the flags: two runs with equal lines are the same."""
        weights = fingerprint(self.trainer.method.encoder())
        flags = hash_flags(str(self.trainer.identity["flags"]))
        return (f"fingerprint method={name_method(self.options.settings())} weights={weights[:16]} "
                f"data={self.images.fingerprint()[:16]} args={flags[:16]}")
