"""Image files as other parts import them: which count as images, how a folder is walked, how pixels are read."""

from __future__ import annotations

from datasets.decoding import Photo, decode, load_photo
from datasets.suffixes import SUFFIXES, is_image
from datasets.walk import walk_images
from runtime.errors import DataError

__all__ = ["SUFFIXES", "DataError", "Photo", "decode", "is_image", "load_photo", "walk_images"]
