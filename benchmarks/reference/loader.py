"""Four views of a photograph the plain way: the file and its crop's file decoded, torchvision's recipe on pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import transforms

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PlainBlur:
    """Pillow's Gaussian blur with sigma drawn uniformly, as MoCo's public code does."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, picture: Image.Image) -> Image.Image:
        """Blur one picture."""
        return picture.filter(ImageFilter.GaussianBlur(radius=torch.empty(1).uniform_(self.low, self.high).item()))


def plain_recipe(size: int) -> transforms.Compose:
    """MoCo v2's augmentation to a normalised tensor [3, size, size]."""
    return transforms.Compose([
        transforms.RandomResizedCrop(size, scale=(0.2, 1.0)),
        transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        transforms.RandomGrayscale(p=0.2),
        transforms.RandomApply([PlainBlur(0.1, 2.0)], p=0.5),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
    ])  # fmt: skip


def read_picture(path: Path) -> Image.Image:
    """Decode a file to RGB."""
    with open(path, "rb") as file:
        return Image.open(file, formats=("JPEG", "PNG")).convert("RGB")


class PlainViews(Dataset):
    """v1, v2 of the photograph and v3, v4 of its crop, which lies in a file of its own."""

    def __init__(self, photos: Sequence[Path], crops: Sequence[Path], size: int = 224) -> None:
        self.photos, self.crops, self.transform = photos, crops, plain_recipe(size)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Four float tensors [3, size, size]."""
        full, crop = read_picture(self.photos[index]), read_picture(self.crops[index])
        return self.transform(full), self.transform(full), self.transform(crop), self.transform(crop)
