"""The two steps that follow a sorting, as commands: a network that sees these pictures better, and a classifier."""

from __future__ import annotations

from pathlib import Path

from datasets.tars.member import need_files
from desk.album import Album
from desk.standing import NAMED, Standing
from desk.steps.chain import Link
from engine.flags.evaluate.options import FIRST_WEIGHTS
from runtime.errors import DataError
from runtime.files import open_table

STUDENT = "tf_efficientnet_lite0"
TASK = "sorted"
HELD_OUT = 5  # of the pictures that were named, every fifth of a name is kept for the test


def plan_better(photographs: Path, folder: Path, device: str, run: Path) -> list[Link]:
    """LEAD++ on these pictures: find the objects, then learn from two teachers' answers, without a name."""
    crops = folder / "crops"
    resume = ["--resume"] if (run / "checkpoint.pt").exists() else []
    return [
        Link("finding the object in every picture",
             ("-m", "DDT", "--task", TASK, "--root", str(photographs), "--pretrained", FIRST_WEIGHTS, "--no-crops",
              "--restart", "--skip-bad", "--out", str(crops), "--device", device)),
        Link("learning from the pictures (LEAD++)",
             ("main_pretrain.py", "--preset", "small", "-a", STUDENT, "--size", "128", "--root", str(photographs),
              "--task", TASK, "--crop-root", str(crops / f"{TASK}_crop"), "--text-load", "none", "--skip-bad",
              "--device", device, "--results-dir", str(run), *resume))]


def plan_classifier(table: Path, device: str, run: Path) -> list[Link]:
    """Fine-tuning on the sure pictures, then the page that says how good it is on some that a person named."""
    resume = ["--resume"] if (run / "checkpoint.pt").exists() else []
    return [
        Link("learning to tell the names apart",
             ("main_finetune.py", "--method", "plain", "--preset", "small", "-a", STUDENT, "--root", str(table),
              "--device", device, "--results-dir", str(run), *resume)),
        Link("measuring on pictures that it has not seen",
             ("-m", "tools.evaluate", "--pretrained", str(run), "--root", str(table), "--device", device,
              "--results-dir", str(run / "evaluation")))]


def choose_run(folder: Path) -> Path:
    """Where the next run of a step goes: the last one if it is unfinished, so that it goes on; else a new one."""
    number = 1
    while (folder / f"run_{number}" / "model_last.pth").exists():
        number += 1
    return folder / f"run_{number}"


def write_examples(path: Path, album: Album, standing: Standing, threshold: float) -> None:
    """The list that a classifier learns from: sure pictures, and those that a person named; some of these are the test.

    Raises DataError for photographs in archives, and where fewer than two names have a picture to learn from and one
    to be tested by.
    """
    need_files((sample.path for sample in album.images.samples), "this step")
    given: dict[str, int] = {}
    rows = []
    for index, sample in enumerate(album.images.samples):
        named = standing.states[index] == NAMED
        name = standing.name(index)
        if not name or not (named or float(standing.confidence[index]) >= threshold):
            continue
        given[name] = given.get(name, 0) + named
        tests = named and given[name] % HELD_OUT == 2  # the second, the seventh ... that were named
        rows.append((sample.path.resolve(), name, "test" if tests else "train"))
    learnt, tested = ({name for _, name, split in rows if split == wanted} for wanted in ("train", "test"))
    if len(learnt) < 2 or len(tested) < 2:
        raise DataError("a classifier needs two names at least, with two pictures each that you named: one to learn "
                        "from, one to be tested by. Name some more")
    with open_table(path) as writer:
        writer.writerow(["path", "label", "split"])
        writer.writerows((str(file), name, split) for file, name, split in rows if name in learnt)
