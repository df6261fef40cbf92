"""What speaks for a neighbour: where its object is (DDT), and where the network looks in it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor

from datasets.crops import Box
from datasets.files import decode
from datasets.views.recipes import View
from DDT.descriptors import prepare_backbone, slice_batches, stream_maps
from DDT.localize import Frame
from DDT.neighbours import locate_first
from desk.album import encode_picture
from desk.boxes import COMPANY, Shares, find_object, plan_reading
from desk.search.searcher import Searcher
from evaluation.heatmaps.encoder_maps import NORM, RATIONALE, make_map_function
from evaluation.heatmaps.sheet import overlay
from evaluation.retrieval.query import see_picture
from models.backbones import Backbone
from runtime.errors import DataError

SIDE = 512  # pixels of a picture with a map over it
KEPT_MAPS, KEPT_DRAWN = 128, 512  # DDT's maps, of 1 to 2 MB each, and drawn ones


@dataclass(frozen=True)
class Seen:
    """What DDT sees of a photograph: its map [1, C, h, w], and its size."""

    map: Tensor
    frame: Frame


class Evidence:
    """Boxes and attention of photographs, found when somebody asks, one at a time, and kept until the server ends."""

    def __init__(self, searcher: Searcher) -> None:
        self.searcher, self.subject = searcher, searcher.subject
        self.looks = RATIONALE if self.subject.feature == "masked" else NORM  # the map that is drawn
        self.lock = threading.Lock()  # the network keeps all cores busy, and a search comes first
        self.boxes: dict[int, Shares | None] = {}
        self.maps: OrderedDict[int, Seen] = OrderedDict()
        self.network: Backbone | None = None
        self.is_ending: Callable[[], bool] = lambda: False  # whether the server waits for the last answers
        self.draw_map = lru_cache(maxsize=KEPT_DRAWN)(self._draw_map)

    def find_box(self, index: int) -> Shares | None:
        """Where the object of a photograph is, in shares of its sides; None where no object stands out."""
        with self.lock:
            self._go_on()
            if index not in self.boxes:
                sample = self.searcher.images.samples[index]
                self.boxes[index] = find_object(self.subject, sample, lambda: self._locate(index))
            return self.boxes[index]

    def _locate(self, index: int) -> Box | None:
        """Where DDT sees the object of a photograph among its nearest others: what `locate_among` says.

        Photographs on one page keep the same company, so maps are kept for the next one.
        """
        places = [index, *self.searcher.find_near(index, COMPANY)]
        self._read_maps([place for place in places if place not in self.maps])
        for place in places:
            self.maps.move_to_end(place)
        box = locate_first([self.maps[place].map for place in places], self.maps[index].frame,
                           plan_reading(self.subject).size)
        while len(self.maps) > KEPT_MAPS:
            self.maps.popitem(last=False)
        return box

    def _read_maps(self, places: Sequence[int]) -> None:
        if self.network is None:
            self.network = prepare_backbone(self.subject.encoder.backbone)
        samples = [self.searcher.images.samples[place] for place in places]
        reading = plan_reading(self.subject)
        known = dict(zip((sample.key for sample in samples), places))
        batches = slice_batches([samples], reading.batch_size)
        for batch in stream_maps(self.network, reading, self.subject.device, batches):
            for key, whole, frame in zip(batch.keys, batch.maps, batch.frames):
                self.maps[known[key]] = Seen(whole[None], frame)

    def attend(self, index: int) -> bytes:
        """A photograph under the map of where the network looks (JPEG)."""
        with self.lock:
            self._go_on()
            return self.draw_map(index)

    def _go_on(self) -> None:
        """Raise DataError once the server ends: those who still wait need not be waited for."""
        if self.is_ending():
            raise DataError("the server ends")

    def _draw_map(self, index: int) -> bytes:
        """The whole picture is squashed, so that the map covers all of it.

        It is the rationale where what is compared was weighed with it, else the norm of the feature map.
        """
        picture = decode(self.searcher.images.samples[index].path, self.subject.crop_bottom, 2 * SIDE)
        view = View("full", "squash-exact", self.subject.view.size)
        maps = see_picture(picture, self.subject, view, make_map_function(self.subject.encoder, None))
        heat = maps[self.looks][0]
        side = round(len(heat) ** 0.5)  # the view is square
        picture.thumbnail((SIDE, SIDE))
        return encode_picture(overlay(picture, heat.unflatten(0, (side, side))), SIDE)
