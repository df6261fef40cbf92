"""Repeated augmentation: several differently augmented views of each image in one global batch."""

from __future__ import annotations

from collections.abc import Iterator

from datasets.sampling.batches import Batches, Draw, permute
from runtime.errors import DataError


class RepeatedBatches(Batches):
    """Shuffled batches for one rank in which every image comes `repeats` times, each time as another view.

    (Hoffer et al., Augment your batch, arXiv 1901.09335; Berman et al., MultiGrain, arXiv 1902.05509.) The repeats of
    an image stand side by side in the global batch and go to different ranks as far as there are ranks. Every epoch
    has another order and holds every image at least `repeats` times: it is `repeats` times as long as a plain one, and
    the last global batch is filled up with more views of the epoch's first images. (The public DeiT code cuts an epoch
    off after one part in `repeats` of the images.) The global batch does not depend on how many ranks share it.
    `set` chooses the epoch (and the step to resume at) of the next iteration. Raises DataError when n is too small.
    """

    def __init__(
        self, n: int, batch_size: int, *, repeats: int = 3, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        super().__init__(batch_size, seed=seed, rank=rank, world=world)
        self.n, self.repeats = n, repeats
        if repeats < 1 or n * repeats < self.global_batch:
            raise DataError(
                f"{n} training images, {repeats} times each, are fewer than one global batch of {self.global_batch} "
                f"({world} x {batch_size}); use at least 1 repeat and a batch size of at most "
                f"{n * max(repeats, 1) // world} per process, or more images"
            )

    def __len__(self) -> int:
        """Steps per epoch."""
        return -(-self.n * self.repeats // self.global_batch)

    def __iter__(self) -> Iterator[list[Draw]]:
        """The batches of the epoch that was set."""
        order = permute(self.n, self.seed, self.epoch).tolist()
        for step in range(self.start_step, len(self)):
            places = range(step * self.global_batch + self.rank, (step + 1) * self.global_batch, self.world)
            yield [self._draw(order, place) for place in places]

    def _draw(self, order: list[int], place: int) -> Draw:
        """What stands at a place of the epoch: image, epoch, and how often the image came before."""
        turn, inside = divmod(place, self.n * self.repeats)
        return Draw(order[inside // self.repeats], self.epoch, turn * self.repeats + inside % self.repeats)
