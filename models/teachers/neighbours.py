"""Features that agree with their neighbours: what a teacher says of one image, steadied by what it says of the nearest.

Images of one kind lie on a connected piece of the teacher's space more often than in one round cloud; averaging over
nearest neighbours, again and again, draws each piece together (diffusion on the k-nearest-neighbour graph, as in Iscen
et al., CVPR 2017, but of the features themselves, so that a student can learn where new images belong).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, cat

SHARPNESS = 3  # power of the cosine that weighs a neighbour, as in alpha query expansion (Radenovic et al., 2018)
BLOCK = 2048  # embeddings compared with all others at once


def smooth_by_neighbours(embeddings: Tensor, neighbours: int, steps: int = 1) -> Tensor:
    """Unit embeddings [N, D], each averaged with its nearest `neighbours` by weight, `steps` times; of length 1 again.

    A neighbour weighs max(cosine, 0)^3. Memory is BLOCK x N. Raises ValueError when there are no such neighbours.
    """
    if not 1 <= neighbours < len(embeddings):
        raise ValueError(f"{neighbours} neighbours asked of {len(embeddings)} images; give 1 to {len(embeddings) - 1}")
    embeddings = F.normalize(embeddings.float(), dim=1)
    for _ in range(steps):
        embeddings = cat([_average(block, embeddings, neighbours) for block in embeddings.split(BLOCK)])
    return embeddings


def _average(block: Tensor, embeddings: Tensor, neighbours: int) -> Tensor:
    """One step for the unit embeddings `block` [b, D], which are among `embeddings` [N, D]."""
    cosines, nearest = (block @ embeddings.T).topk(neighbours + 1, dim=1)  # the image itself is its own nearest
    weights = cosines.clamp_min(0) ** SHARPNESS
    return F.normalize((weights[:, :, None] * embeddings[nearest]).sum(1), dim=1)
