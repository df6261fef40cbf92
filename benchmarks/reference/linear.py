"""A linear probe the plain way: every epoch sends every photograph through the frozen network again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PlainPhotos(Dataset):
    """Normalised photographs [3, size, size] with their labels: random crops to train, a centre crop to test."""

    def __init__(self, paths: Sequence[Path], labels: Sequence[int], size: int, *, train: bool) -> None:
        self.paths, self.labels = paths, labels
        side = round(size * 8 / 7)
        steps = ([transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip()] if train
                 else [transforms.Resize((side, side)), transforms.CenterCrop(size)])
        self.transform = transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """One photograph."""
        with open(self.paths[index], "rb") as file:
            picture = Image.open(file, formats=("JPEG", "PNG")).convert("RGB")
        return self.transform(picture), self.labels[index]


class PlainProbe:
    """`network` images -> features [B, D], frozen; a linear layer trained by SGD at the public code's settings."""

    def __init__(self, network: nn.Module, width: int, classes: int, batch: int) -> None:
        self.network, self.batch = network, batch
        self.device = next(network.parameters(), torch.zeros(0)).device
        self.layer = nn.Linear(width, classes).to(self.device)
        nn.init.normal_(self.layer.weight, std=0.01)
        nn.init.zeros_(self.layer.bias)
        self.optimizer = torch.optim.SGD(self.layer.parameters(), lr=30, momentum=0.9)

    def run_epoch(self, train: Dataset, test: Dataset) -> float:
        """Train over all of train, then top-1 over all of test, in [0, 1]."""
        for images, labels in DataLoader(train, self.batch, shuffle=True):
            loss = F.cross_entropy(self.layer(self.look(images)), labels.to(self.device))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        hits, images_seen = 0, 0
        with torch.no_grad():
            for images, labels in DataLoader(test, self.batch):
                hits += int((self.layer(self.look(images)).argmax(dim=1) == labels.to(self.device)).sum())
                images_seen += len(labels)
        return hits / images_seen

    @torch.no_grad()
    def look(self, images: Tensor) -> Tensor:
        """Unit features [B, D]."""
        return F.normalize(self.network(images.to(self.device)), dim=1)
