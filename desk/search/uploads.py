"""Pictures that people send to a search page: held in memory for a while, never on the disk."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass

from PIL import Image

from datasets.files import decode_content
from runtime.errors import DataError

LARGEST = 32_000_000  # bytes of a picture
HELD, HELD_BYTES = 32, 256_000_000  # pictures, and bytes of all of them, after which the oldest go


@dataclass(frozen=True)
class Upload:
    """A file's content, and what it was called where it came from."""

    content: bytes
    name: str


class Uploads:
    """The last pictures that were sent, by a key that their content gives; `crop_bottom` rows of each are dropped."""

    def __init__(self, crop_bottom: int = 0) -> None:
        self.crop_bottom = crop_bottom
        self.held: OrderedDict[str, Upload] = OrderedDict()
        self.lock = threading.Lock()

    def add(self, content: bytes, name: str) -> str:
        """Hold a picture; its key. Raises DataError for a file that cannot be decoded."""
        decode_content(content, name, self.crop_bottom)
        key = hashlib.sha256(content).hexdigest()[:24]
        with self.lock:
            self.held[key] = Upload(content, name)
            self.held.move_to_end(key)
            while len(self.held) > HELD or sum(len(one.content) for one in self.held.values()) > HELD_BYTES:
                self.held.popitem(last=False)
        return key

    def find(self, key: str) -> Upload:
        """What was sent; raises DataError for a picture that is no longer held."""
        with self.lock:
            if key not in self.held:
                raise DataError("this picture is no longer held, for what is sent here is never kept on disk: "
                                "choose it again")
            return self.held[key]

    def open(self, key: str) -> Image.Image:
        """The picture, decoded as files are."""
        found = self.find(key)
        return decode_content(found.content, found.name, self.crop_bottom)
