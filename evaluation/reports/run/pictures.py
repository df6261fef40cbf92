"""Pictures that commands left in a run's folders, put into its page with words about what they show."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation.reports.html import embed_picture

LARGE = 200_000  # bytes from which a picture is worth a JPEG: photographs, not diagrams
HEAT = "heatmap.png"
KEYS = {  # by file name: heading, what it shows, and why these pictures
    "boxes.png": ("Boxes",
                  "Where the object was found without labels. The photographs are chosen evenly from the list of all, "
                  "and their file names stand below them; colours of the boxes are named above, and what the crop "
                  "leaves out is darker."),
    HEAT: ("Where the network looks",
           "The colours of each map run from its own lowest value to its own highest, over the picture in grey; what a "
           "plug-in module did not select is dark. The pictures are chosen evenly from the list of the split, and "
           "their file names stand below them; a green frame is the object's box where it is known."),
    "confusion.png": ("What is taken for what",
                      "Each row is a class of images and adds up to 100 %: green on the diagonal is right, red beside "
                      "it wrong."),
    "reliability.png": ("How sure, and how right",
                        "Bars on the diagonal mean that confidence is what accuracy turns out to be."),
    "mistakes.png": ("Mistakes", "The wrong answers that were given with the highest confidence."),
}


@dataclass(frozen=True)
class Plate:
    """A picture of a page: heading, caption, source as a data URI, natural width in pixels, and the file's name.

    `key` is the data URI of a colour bar where colours mean numbers, "" elsewhere.
    """

    title: str
    caption: str
    source: str
    width: int
    name: str
    key: str = ""


def find_plates(folder: Path, crops: Path | None) -> Iterator[Plate]:
    """Pictures of the crop folder, of the run's folder and of folders in it; those that do not open are left out."""
    places = [crops / "boxes.png"] if crops is not None else []
    places += [path for name in KEYS for path in sorted({*folder.glob(name), *folder.glob(f"*/{name}")})]
    for path in places:
        try:
            state = path.stat()
            source, width = embed_file(path, state.st_mtime_ns, state.st_size)
        except (OSError, ValueError):  # absent, or no picture (any more)
            continue
        title, caption = KEYS[path.name]
        name = path.name if path.parent == folder else f"{path.parent.name}/{path.name}"
        yield Plate(title, caption, source, width, name, draw_colour_bar() if path.name == HEAT else "")


@lru_cache(maxsize=16)
def embed_file(path: Path, changed: int, size: int) -> tuple[str, int]:
    """A picture's data URI and width; made once for each state of the file, for pages are written every epoch."""
    content = path.read_bytes()
    with Image.open(io.BytesIO(content)) as picture:
        return embed_picture(picture if size > LARGE else content), picture.width


@lru_cache(maxsize=1)
def draw_colour_bar() -> str:
    """The colours of heat maps from the lowest value to the highest, as a data URI."""
    from matplotlib import colormaps

    bar = colormaps["turbo"](np.linspace(0, 1, 256))[None, :, :3]
    return embed_picture(Image.fromarray((255 * bar).astype(np.uint8)).resize((256, 12)))
