"""A pre-training run: which of its networks it leaves, with which feature, and what is said of them on test images."""

from __future__ import annotations

from dataclasses import dataclass

from datasets.images import ImageSet, scan
from datasets.layouts.read import read_listing
from engine.curves import read_log
from engine.flags.pretrain.options import PretrainOptions
from engine.monitor import Monitor
from engine.selection import Selection
from engine.workflows.retrieval import run_search, search_before, write_search
from engine.workflows.run import Run
from evaluation.features.chosen import choose_feature
from evaluation.features.subject import open_subject
from evaluation.labelfree.joining import choose_share, fit_joint, judge_trained
from evaluation.options import LABELFREE, SearchOptions
from models.encoder import Encoder
from runtime import distributed


@dataclass
class PretrainRun(Run):
    """A run that may choose its network without labels, and whose encoder may be searched on the test split, once."""

    options: PretrainOptions

    def splits(self) -> dict[str, ImageSet]:
        """The training images, and those of other splits that networks are measured on."""
        listing = read_listing(self.options.root, "ignored")
        return {**super().splits(), **{name: scan(self.options.root, name, "ignored") for name in listing.splits
                                       if name != "train"}}

    def train(self) -> None:
        """Train, leave the encoder or encoders, and with --test what main_retrieval.py says of it."""
        trainer, selection = self.trainer, self.trainer.selection
        if selection is not None and trainer.step == 0:
            seen = trainer.monitor(trainer.method, -1)
            selection.consider(trainer.method.encoder(), {LABELFREE: judge_trained(seen, 0.0)}, -1)
        super().train()
        if selection is not None:
            self.keep_best(selection)
        elif distributed.is_main() and (agreement := self.last_agreement()) is not None:
            print(f"student and teacher agree on the nearest prototype of {100 * agreement:.0f} % of the images: "
                  f"--feature auto is the {choose_feature(agreement)}")
        if self.options.test:
            self.search_test()

    def keep_best(self, selection: Selection) -> None:
        """model_best.pth: the network that the teacher's neighbours speak for, with its joint feature."""
        trainer = self.trainer
        encoder, monitor = trainer.method.encoder(), trainer.monitor
        assert isinstance(encoder, Encoder) and isinstance(monitor, Monitor) and monitor.judge is not None
        selection.restore(encoder)
        seen = self.look()
        watched = {sample.key for sample in monitor.images.samples}
        places = [place for place, sample in enumerate(self.images.samples) if sample.key in watched]
        numbers = monitor.judge.measure({name: rows[places] for name, rows in seen.items()})
        share = choose_share(numbers, monitor.judge.share) if selection.epoch >= 0 else 0.0
        head = seen.get("head") if share else None
        encoder.joint = fit_joint(seen["backbone"], head, monitor.judge.whiten, share)
        means = {name: rows.mean(dim=0) for name, rows in seen.items()}
        joint = encoder.joint(seen["backbone"], head)
        if distributed.is_main():
            self.export({**means, "joint": joint.mean(dim=0)}, "model_best.pth", selection.epoch + 1)
            print(f"network of {selection.describe()}, the share of the teacher's nearest images that are its own: "
                  f"model_best.pth; --feature auto is joint, {100 * share:.0f} % of it the head's")
        distributed.barrier()

    def describe(self, epoch: int | None) -> dict[str, object]:
        """Also the feature that `--feature auto` means: the run's own choice, where a teacher was followed."""
        said = super().describe(epoch)
        encoder = self.trainer.method.encoder()
        if isinstance(encoder, Encoder) and encoder.joint is not None:
            return said | {"feature": "joint"}
        agreement = self.last_agreement()
        return said if agreement is None else said | {"feature": choose_feature(agreement)}

    def last_agreement(self) -> float | None:
        """The last epoch's share of images whose nearest prototype is that of the teacher, None without a teacher."""
        rows = read_log(self.folder / "log.jsonl", steps=False)
        return next((row["agreement"] for row in reversed(rows) if "agreement" in row), None)

    def search_test(self) -> None:
        """What main_retrieval.py says of the exported encoder on the test split, read once."""
        told = self.options
        asked = SearchOptions(task=told.task, root=told.root, pretrained=str(self.folder), device=told.device,
                              num_workers=told.num_workers, seed=told.seed, cache=told.cache,
                              crop_bottom=told.crop_bottom, skip_bad=told.skip_bad)
        search = run_search(open_subject(asked, self.trainer.device, asked.batch_size), asked)
        before = search_before(search, asked)
        if distributed.is_main():
            write_search(search, self.folder / "retrieval", asked, before=before)
