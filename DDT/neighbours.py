"""Where is the object of one picture? What it shares with the pictures that look most like it tells, without a fit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from datasets.crops import Box
from datasets.layouts.listing import Sample
from DDT.descriptors import MapReading, slice_batches, stream_maps
from DDT.directions.principal import Moments, project
from DDT.localize import Frame, find_region
from models.backbones import Backbone


def locate_among(
    backbone: Backbone, reading: MapReading, samples: Sequence[Sample], device: torch.device
) -> Box | None:
    """The mask's box of the first picture, in pixels of the original; None where there is no mask.

    samples: the picture, then its nearest neighbours by global features; about 15 of them are enough. The direction is
    fitted on their maps alone, which are all held in memory. `backbone` is one of `prepare_backbone`. Raises DataError
    for pictures that cannot be read, BrokenNetwork for maps of NaN.
    """
    read = list(stream_maps(backbone, reading, device, slice_batches([samples], reading.batch_size)))
    if not read:
        return None
    return locate_first([batch.maps for batch in read], read[0].frames[0], reading.size)


def locate_first(maps: Sequence[Tensor], frame: Frame, size: int) -> Box | None:
    """The same from batches of maps [B, C, h, w], the first picture's first; `frame` is its size without dropped rows.

    None also where all descriptors are equal.
    """
    moments = Moments()
    for batch in maps:
        moments.update(batch)
    if not moments.vary():
        return None
    indicator = project(maps[0][:1], moments.direction())[0].cpu().numpy()
    region = find_region(indicator, frame, size=size)
    return region.box if region else None
