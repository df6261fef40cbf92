"""What makes a run this run: a continuation must agree with it, and its fingerprint is made of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch

from datasets.crops import Crops
from datasets.images import ImageSet
from engine.checkpoint import ResumeState
from engine.options import TrainingOptions
from runtime import distributed
from runtime.errors import ConfigError, refuse
from runtime.side_files import parse_json

# Flags that may differ between a run and its continuation; everything else must not.
FREE = {"resume", "results_dir", "num_workers", "device", "threads", "logger", "save_every", "monitor_every", "cache",
        "skip_bad", "test", "crop_from", "precision", "monitor_images", "root", "crop_root", "accum_steps",
        "test_root", "eval", "auto_resume", "pin_mem", "eval_freq", "disable_eval", "update_freq", "plan",
        "gradient_every", "log_every"}
# What runs of earlier releases did where a flag has come since: they can be continued.
EARLIER = {"lars_norm": "apart", "rows_as_stored": False, "class_token": False, "miner_semihard_margin": None,
           "run": None, "balance": 0.0, "teacher_whiten": 0.0, "trust": "off", "select": "last", "joint_share": 0.5}


def describe_run(
    options: TrainingOptions, images: ImageSet, crops: Crops | None, device: torch.device,
    saved: ResumeState | None,
) -> dict[str, object]:
    """What makes this run this run; a continuation must agree with it and takes its precision from it."""
    asked = None if options.precision == "auto" else options.precision
    here: dict[str, object] = {
        "flags": options.identify(FREE), "data": images.fingerprint(), "crops": hash_crops(crops, images),
        "precision": asked, "threads": torch.get_num_threads(), "world": distributed.world(),
        "accum_steps": options.accum_steps, "device": device.type}
    return agree(saved["identity"], here) if saved is not None else here


def agree(before: dict[str, object], here: dict[str, object]) -> dict[str, object]:
    """The identity of a continued run; raises ConfigError for every flag that changed, warns where bits may differ."""
    old = parse_json(str(before["flags"]), dict, source="what the resume state says of its flags", error=ConfigError,
                     remedy="it is damaged: begin again without --resume in another --results-dir")
    new, old = json.loads(str(here["flags"])), fill_in(old)
    new.pop("OBD_SD", None)  # a word for two others, which are compared
    if new.get("schedule_kind", "step") != "step":  # whose milestones are not read; their default was another once
        new.pop("schedule", None)
    changed = [f"--{name.replace('_', '-')} was {old.get(name)} and is {new.get(name)} now"
               for name in sorted(new) if old.get(name) != new[name]]  # flags that are no more had no effect
    if before["crops"] != here["crops"]:
        changed.append("the crops (boxes or their source) are not those of the first part of the run")
    if before["data"] != here["data"]:
        changed.append("the training images (names or labels) are not those of the first part of the run")
    refuse([f"{line}; a continued run keeps its settings (see args.json), or choose another --results-dir"
            for line in changed])
    for name in ("threads", "world", "accum_steps", "device"):
        if before[name] != here[name] and distributed.is_main():
            print(f"warning: {name} was {before[name]} and is {here[name]} now; the run goes on, but not bit for bit")
    kept = {**before, **{name: here[name] for name in ("threads", "world", "accum_steps", "device")}}
    if here["precision"] not in (None, before["precision"]):
        kept["precision"] = here["precision"]
        print(f"warning: precision was {before['precision']} and is {here['precision']} now, as asked")
    return kept


def fill_in(old: Mapping[str, object]) -> dict[str, object]:
    """The flags of a run with what it did where it had no flag yet."""
    both = old.get("miner_distance_lower_cutoff")  # once the cut-off of two miners
    return {**EARLIER, "miner_rho_distance_lower_cutoff": both, **old}


def hash_crops(crops: Crops | None, images: ImageSet) -> str:
    """What the crops are: "none", "files", or sha256 of the boxes of the training images."""
    if crops is None or crops.boxes is None:
        return "none" if crops is None else "files"
    lines = "".join(f"{sample.key} {crops.boxes[sample.key]}\n" for sample in images.samples)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def hash_flags(flags: str) -> str:
    """sha256 of the resolved flags."""
    return hashlib.sha256(flags.encode()).hexdigest()
