"""What speaks for a neighbour: where its object is (DDT), and where the network looks in it."""

from __future__ import annotations

import threading
from functools import lru_cache

from datasets.files import decode
from datasets.views.recipes import View
from DDT.descriptors import prepare_backbone
from desk.album import encode_picture
from desk.boxes import COMPANY, Shares, find_object
from desk.search.searcher import Searcher
from evaluation.heatmaps.encoder_maps import NORM, RATIONALE, make_map_function
from evaluation.heatmaps.sheet import overlay
from evaluation.retrieval.query import see_picture

SIDE = 512  # pixels of a picture with a map over it
KEPT_MAPS = 512


class Evidence:
    """Boxes and maps of photographs, found when somebody asks, one at a time, and kept until the server ends."""

    def __init__(self, searcher: Searcher) -> None:
        self.searcher, self.subject = searcher, searcher.subject
        self.lock = threading.Lock()  # the network keeps all cores busy, and a search comes first
        self.boxes: dict[int, Shares | None] = {}
        self.open_network = lru_cache(maxsize=1)(lambda: prepare_backbone(self.subject.encoder.backbone))
        self.draw_map = lru_cache(maxsize=KEPT_MAPS)(self._draw_map)

    def find_box(self, index: int) -> Shares | None:
        """Where the object of a photograph is, in shares of its sides; None where no object stands out."""
        samples = self.searcher.images.samples
        with self.lock:
            if index not in self.boxes:
                self.boxes[index] = find_object(
                    self.subject, samples[index],
                    lambda: [samples[place] for place in self.searcher.find_near(index, COMPANY)], self.open_network)
            return self.boxes[index]

    def attend(self, index: int) -> bytes:
        """A photograph under the map of where the network looks (JPEG)."""
        with self.lock:
            return self.draw_map(index)

    def _draw_map(self, index: int) -> bytes:
        """The whole picture is squashed, so that the map covers all of it: the rationale, else the norm of the map."""
        picture = decode(self.searcher.images.samples[index].path, self.subject.crop_bottom, 2 * SIDE)
        view = View("full", "squash-exact", self.subject.view.size)
        maps = see_picture(picture, self.subject, view, make_map_function(self.subject.encoder, None))
        heat = maps[RATIONALE if RATIONALE in maps else NORM][0]
        side = round(len(heat) ** 0.5)  # the view is square
        picture.thumbnail((SIDE, SIDE))
        return encode_picture(overlay(picture, heat.unflatten(0, (side, side))), SIDE)
