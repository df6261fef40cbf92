"""Rationale branch: range, independence of neighbours, weighted average."""

from __future__ import annotations

import pytest
import torch

from models.attention import RationaleBranch, masked_pool, stretch


def test_attention_spans_zero_to_one_in_every_image() -> None:
    attention = RationaleBranch(6)(torch.randn(3, 6, 4, 5))
    assert attention.shape == (3, 4, 5) and attention.dtype == torch.float32
    assert attention.amin(dim=(1, 2)).tolist() == [0, 0, 0]
    assert attention.amax(dim=(1, 2)).tolist() == pytest.approx([1, 1, 1], abs=1e-5)


def test_it_is_the_written_formula() -> None:
    branch, features = RationaleBranch(6, width=3).eval(), torch.randn(2, 6, 4, 4)
    branch.bn.running_mean.normal_()
    scores = branch.bn(branch.conv(features)).clamp_min(0).max(dim=1).values
    for b in range(2):
        above = scores[b] - scores[b].min()
        torch.testing.assert_close(branch(features)[b], above / (1e-7 + above.max()))
    together = RationaleBranch(6, width=3, normalise="batch")
    together.load_state_dict(branch.state_dict())
    together.bn.eval()  # the branch itself trains: evaluation takes each image's own extremes
    above = scores - scores.min()
    torch.testing.assert_close(together(features), above / (1e-7 + above.max()))


@pytest.mark.parametrize("normalise, training, independent", [
    ("image", True, True), ("image", False, True), ("batch", True, False), ("batch", False, True)])
def test_neighbours_change_a_descriptor_only_in_batch_mode_and_training(
    normalise: str, training: bool, independent: bool
) -> None:
    torch.manual_seed(0)
    branch, features = RationaleBranch(6, normalise=normalise).train(training), torch.randn(4, 6, 4, 4)
    branch.bn.eval()
    branch.bn.bias.data.fill_(5)  # the offset that a neighbour's minimum takes away or leaves
    features[1:] = 0
    alone, among = (masked_pool(some, branch(some))[0] for some in (features[:1], features))
    assert torch.allclose(alone, among, atol=1e-6) is independent


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="normalise"):
        RationaleBranch(6, normalise="row")


def test_flat_scores_become_zero_and_their_pool_the_plain_average() -> None:
    features = torch.randn(2, 3, 4, 4)
    flat = stretch(torch.full((2, 4, 4), 3.0))
    assert flat.abs().max() == 0
    torch.testing.assert_close(masked_pool(features, flat), features.mean(dim=(2, 3)))


def test_masked_pool_is_the_weighted_average_whatever_the_scale() -> None:
    features, attention = torch.randn(2, 3, 4, 4), torch.rand(2, 4, 4)
    expected = (features * attention[:, None]).sum(dim=(2, 3)) / attention.sum(dim=(1, 2))[:, None]
    torch.testing.assert_close(masked_pool(features, attention), expected)
    torch.testing.assert_close(masked_pool(features, 5 * attention), expected)


def test_gradient_reaches_branch_and_map() -> None:
    branch, features = RationaleBranch(6), torch.randn(2, 6, 4, 4, requires_grad=True)
    branch(features).square().sum().backward()
    assert branch.conv.weight.grad.abs().max() > 0 and features.grad.abs().max() > 0
