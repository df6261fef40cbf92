"""Folded networks answer as before; where folding would be wrong, nothing is folded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.backbones import build_backbone
from models.classifiers.folding import fold_batch_norms


def randomise(network: nn.Module) -> nn.Module:
    """Batch norms that do something."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in ((module.running_mean, -1, 1), (module.running_var, 0.5, 2),
                                      (module.weight.data, 0.5, 2), (module.bias.data, -1, 1)):  # fmt: skip
                tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))
    return network.eval()


def count_norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


class Twice(nn.Module):
    """The convolution's output is used beside the batch norm too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        made = self.conv(images)
        return made + self.norm(made)


@pytest.mark.parametrize("arch", ["resnet10t", "tf_efficientnet_lite0"])
def test_the_same_maps_without_batch_norms(arch: str) -> None:
    network = randomise(build_backbone(arch))
    images = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    folded = fold_batch_norms(network, images[:1])
    assert count_norms(network) > 10 and count_norms(folded) == 0
    with torch.no_grad():
        expected, found = network.intermediate(images), folded.intermediate(images)
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("make", [Twice, lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1))])
def test_what_cannot_be_folded_stays(make: Callable[[], nn.Module]) -> None:
    network = randomise(make())
    assert fold_batch_norms(network, torch.rand(1, 3, 8, 8)) is network


def test_a_training_network_is_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    folded = fold_batch_norms(network, torch.rand(2, 3, 8, 8))
    assert network.training and network[1].num_batches_tracked == 0 and not folded.training
    assert count_norms(folded) == 0
