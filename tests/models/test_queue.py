"""Key queue: first in, first out, for any size and batch."""

from __future__ import annotations

import pytest
import torch

from models.queue import KeyQueue


def test_start_depends_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = KeyQueue(4, 9, seed=3)
    torch.manual_seed(2)
    same, other = KeyQueue(4, 9, seed=3), KeyQueue(4, 9, seed=4)
    assert torch.equal(first.keys, same.keys) and not torch.equal(first.keys, other.keys)
    torch.testing.assert_close(first.keys.norm(dim=1), torch.ones(9))
    assert first.ids.tolist() == [-1] * 9 and first.filled() == 0


@pytest.mark.parametrize("size", [1, 3, 5, 8])
@pytest.mark.parametrize("batch", [1, 2, 3, 7, 20])
def test_the_last_keys_stay_whatever_the_sizes(size: int, batch: int) -> None:
    queue, naive = KeyQueue(2, size), [-1] * size
    slot = 0
    for step in range(4):
        ids = torch.arange(step * batch, (step + 1) * batch)
        queue.enqueue(torch.stack([ids.float(), -ids.float()], dim=1), ids)
        for number in ids.tolist():
            naive[slot] = number
            slot = (slot + 1) % size
    assert queue.ids.tolist() == naive and int(queue.pointer) == slot
    for row, number in zip(queue.keys, naive, strict=True):
        assert number == -1 or row.tolist() == [number, -number]


def test_state_travels_in_a_checkpoint() -> None:
    queue, other = KeyQueue(2, 5, seed=1), KeyQueue(2, 5, seed=2)
    queue.enqueue(torch.ones(3, 2), torch.arange(3))
    other.load_state_dict(queue.state_dict())
    assert torch.equal(other.keys, queue.keys) and other.ids.tolist() == [0, 1, 2, -1, -1] and int(other.pointer) == 3


def test_keys_of_a_graph_are_stored_without_it() -> None:
    queue = KeyQueue(2, 5)
    queue.enqueue(torch.ones(1, 2, requires_grad=True) * 2, torch.zeros(1, dtype=torch.long))
    assert not queue.keys.requires_grad and queue.filled().item() == pytest.approx(0.2)


def test_an_empty_queue_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one slot"):
        KeyQueue(4, 0)
