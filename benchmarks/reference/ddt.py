"""Deep descriptor transforming the plain way: all descriptors in memory, five forward passes an image at batch 1.

Wei et al. (arXiv 1707.06397) with LEAD's search over cut rates, which computes the map anew for every rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torchvision import transforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RATES = (1.25, 1.15, 1.05, 0.95, 0.85)


@dataclass
class PlainDirection:
    """Mean [C] and unit vector [C] that points along growing norms."""

    mean: np.ndarray
    vector: np.ndarray


def read_image(path: Path, size: int) -> tuple[Tensor, tuple[int, int]]:
    """A normalised batch [1, 3, size, size], aspect ignored, and the picture's width and height."""
    picture = Image.open(path, formats=("JPEG", "PNG")).convert("RGB")
    steps = [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    return transforms.Compose(steps)(picture)[None], picture.size


@torch.no_grad()
def read_map(network: nn.Module, images: Tensor) -> np.ndarray:
    """Descriptors [h, w, C] of one image [1, 3, H, W]; `network` gives a map [1, C, h, w]."""
    where = next(network.parameters()).device
    return network(images.to(where))[0].permute(1, 2, 0).cpu().numpy()


def fit_plain(network: nn.Module, paths: Sequence[Path], size: int) -> PlainDirection:
    """One forward pass an image, every descriptor kept, then a PCA over all of them."""
    maps = [read_map(network, read_image(path, size)[0]) for path in paths]
    descriptors = np.concatenate([one.reshape(-1, one.shape[-1]) for one in maps])
    pca = PCA(n_components=1, random_state=0).fit(descriptors)
    vector = pca.components_[0]
    along, norms = (descriptors - pca.mean_) @ vector, np.linalg.norm(descriptors, axis=1)
    return PlainDirection(pca.mean_, vector if np.corrcoef(along, norms)[0, 1] >= 0 else -vector)


def crop_plain(network: nn.Module, path: Path, size: int, direction: PlainDirection) -> tuple[float, ...]:
    """The best cut's x1, y1, x2, y2 in pixels of the picture, one forward pass for each of five rates."""
    best, best_score = None, -np.inf
    for rate in RATES:
        images, (width, height) = read_image(path, size)
        mask = find_mask(read_map(network, images), direction, size)
        if not mask.any():
            return 0.0, 0.0, float(width), float(height)
        box = cut_mask(mask, rate, width, height)
        value = score_box(box, width, height)
        if value > best_score:
            best, best_score = box, value
    return best if best is not None else cut_mask(mask, 1.05, width, height)


def find_mask(descriptors: np.ndarray, direction: PlainDirection, size: int) -> np.ndarray:
    """Largest connected part of the positive projection, as bool [size, size]."""
    indicator = (descriptors - direction.mean) @ direction.vector
    positive = indicator[indicator >= 0]
    if positive.size == 0 or positive.min() == positive.max():
        return np.zeros((size, size), dtype=bool)
    labels, count = ndimage.label((indicator - positive.min()) / (positive.max() - positive.min()) > 0)
    areas = [(labels == number).sum() for number in range(1, count + 1)]
    largest = (labels == 1 + int(np.argmax(areas))).astype(np.uint8)
    return np.asarray(Image.fromarray(largest).resize((size, size), Image.Resampling.NEAREST)) > 0


def cut_mask(mask: np.ndarray, rate: float, width: int, height: int) -> tuple[float, ...]:
    """The mask's box times `rate` around its centre of mass, clipped in size and shifted inside the picture."""
    rows, columns = np.nonzero(mask)
    size = len(mask)
    x, y = (columns.mean() + 0.5) * width / size, (rows.mean() + 0.5) * height / size
    wide = min(rate * (columns.max() + 1 - columns.min()) * width / size, width)
    high = min(rate * (rows.max() + 1 - rows.min()) * height / size, height)
    left, top = min(max(x - wide / 2, 0), width - wide), min(max(y - high / 2, 0), height - high)
    return left, top, left + wide, top + high


def score_box(box: tuple[float, ...], width: int, height: int) -> float:
    """Minus the area's share minus 0.02 a touched border; minus infinity for a share outside of 0.01 ... 0.80."""
    share = (box[2] - box[0]) * (box[3] - box[1]) / (width * height)
    touched = sum(gap <= 1 for gap in (box[0], box[1], width - box[2], height - box[3]))
    return -share - 0.02 * touched if 0.01 <= share <= 0.80 else -np.inf


def save_plain(path: Path, box: tuple[float, ...], target: Path) -> None:
    """Write the square around a box, with its longer side, inside the picture."""
    picture = Image.open(path, formats=("JPEG", "PNG")).convert("RGB")
    side = min(max(box[2] - box[0], box[3] - box[1]), *picture.size)
    left = min(max((box[0] + box[2] - side) / 2, 0), picture.width - side)
    top = min(max((box[1] + box[3] - side) / 2, 0), picture.height - side)
    picture.crop((round(left), round(top), round(left + side), round(top + side))).save(target, quality=95)
