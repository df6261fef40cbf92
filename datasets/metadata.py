"""What a file says about its pixels besides the pixels: which way is up, and all that is not read here."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

Upright = Image.Transpose
TURNS = {2: Upright.FLIP_LEFT_RIGHT, 3: Upright.ROTATE_180, 4: Upright.FLIP_TOP_BOTTOM, 5: Upright.TRANSPOSE,
         6: Upright.ROTATE_270, 7: Upright.TRANSVERSE, 8: Upright.ROTATE_90}
ORIENTATION = 0x0112
ENTRY = {1: "B", 3: "H", 4: "I"}  # EXIF's types of whole numbers
PNG_HEAD, JPEG_HEAD = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
PNG_KEPT = (b"tRNS", b"eXIf")  # of the chunks that a reader may skip
JPEG_KEPT = (0xE0, 0xEE)  # JFIF, and Adobe's word on the colours
TIFF_DROPPED = {700, 33723, 34377, 34665, 34675, 34853}  # XMP, IPTC, Photoshop, EXIF, colour profile, GPS
MAX_TEXT = 2**20  # bytes of a text that may hold an EXIF block


def read_orientation(file: Image.Image, exif: bytes | None = None) -> Upright | None:
    """How to turn a loaded picture upright, None where it is or nothing readable is said.

    `exif` takes the place of the file's own block. Only the one entry is read, so that the rest may be broken.
    """
    if file.format in ("TIFF", "HEIF"):  # their readers have turned it
        return None
    number = find_exif_orientation(exif or _find_exif(file))
    if number is None:
        told = file.info.get("XML:com.adobe.xmp") or file.info.get("xmp") or b""
        found = re.search(rb'tiff:Orientation(?:="|>)([0-9])', told.encode() if isinstance(told, str) else bytes(told))
        number = int(found[1]) if found else 1
    return TURNS.get(number)


def _find_exif(file: Image.Image) -> bytes:
    """The EXIF block of a loaded file, b"" for none; ImageMagick writes it in hexadecimal into a text of a PNG."""
    block = file.info.get("exif")
    if block is None:
        lines = str(file.info.get("Raw profile type exif", "")).split("\n")[3:]
        digits = "".join(lines)
        return bytes.fromhex(digits) if re.fullmatch(r"(?:\s*[0-9A-Fa-f]{2})*\s*", digits) else b""
    return bytes(block)


def find_exif_orientation(block: bytes) -> int | None:
    """The orientation 1..8 of an EXIF block, None where it says none that can be read."""
    while block.startswith(b"Exif\0\0"):
        block = block[6:]
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 8:
        return None
    start = struct.unpack_from(order + "I", block, 4)[0]
    count = struct.unpack_from(order + "H", block, start)[0] if start + 2 <= len(block) else 0
    for place in range(start + 2, min(start + 2 + 12 * count, len(block) - 11), 12):
        tag, kind, values = struct.unpack_from(order + "HHI", block, place)
        if tag == ORIENTATION and kind in ENTRY and values:
            form = order + ENTRY[kind]
            inline = values * struct.calcsize(form) <= 4  # a longer list stands elsewhere
            at = place + 8 if inline else struct.unpack_from(order + "I", block, place + 8)[0]
            found = struct.unpack_from(form, block, at)[0] if at + 4 <= len(block) else 1
            return found if found in range(1, 9) else None
    return None


@dataclass(frozen=True)
class Stripped:
    """A file's content without its metadata, and the EXIF block that was in it, None where the content keeps it."""

    content: bytes
    exif: bytes | None = None


def strip_metadata(content: bytes) -> Stripped:
    """A file's content without what says nothing of its pixels; raises ValueError for a format that has no such parts.

    A part that is cut off is left out as well.
    """
    if content.startswith(PNG_HEAD):
        return Stripped(PNG_HEAD + b"".join(chunk for chunk in _walk_chunks(content) if _is_kept(chunk)))
    if content.startswith(JPEG_HEAD):
        return _strip_jpeg(content)
    if content[:4] in (b"II*\0", b"MM\0*"):
        return Stripped(_strip_tiff(content))
    if content[4:8] == b"ftyp":  # an item of another type is one that no reader asks for
        return Stripped(re.sub(rb"(infe(?:\x02.{7}|\x03.{9}))(?:Exif|mime)", rb"\1skip", content, flags=re.DOTALL))
    raise ValueError("a format whose metadata stays where it is")


def _walk_chunks(content: bytes) -> Iterator[bytes]:
    """A PNG's chunks, each with its length, type and sum."""
    place = len(PNG_HEAD)
    while place + 12 <= len(content):
        size = 12 + int.from_bytes(content[place : place + 4], "big")
        yield content[place : place + size]
        place += size


def _is_kept(chunk: bytes) -> bool:
    """Whether a chunk is part of the picture, or tells which way is up."""
    kind = chunk[4:8]
    if kind in PNG_KEPT or not kind[:1].islower():
        return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big") or kind != b"eXIf"
    keyword, _, packed = chunk[8:-4].partition(b"\0")
    if kind == b"tEXt":
        return keyword == b"Raw profile type exif" and len(packed) <= MAX_TEXT
    if kind == b"zTXt" and keyword == b"Raw profile type exif":
        return _is_short(packed[1:])
    return kind == b"iTXt" and keyword == b"XML:com.adobe.xmp" and packed[:1] == b"\0" and len(packed) <= MAX_TEXT


def _is_short(packed: bytes) -> bool:
    """Whether a text unpacks, and to no more than is allowed."""
    stream = zlib.decompressobj()
    try:
        return len(stream.decompress(packed, MAX_TEXT)) < MAX_TEXT and stream.eof
    except zlib.error:
        return False


def _strip_jpeg(content: bytes) -> Stripped:
    """A JPEG without comments and application segments, but for those that decide about its colours."""
    kept, exif, place = [JPEG_HEAD], None, 2
    while content[place : place + 1] == b"\xff" and place + 4 <= len(content):
        marker = content[place + 1]
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD9:  # filling, and markers without content
            place += 1 if marker == 0xFF else 2
            continue
        if marker == 0xDA:
            break
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if marker == 0xE1 and exif is None and content[place + 4 : place + 10] == b"Exif\0\0":
            exif = content[place + 4 : end]
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or (marker in JPEG_KEPT and end - place >= 14):
            kept.append(content[place:end])
        place = end
    return Stripped(b"".join([*kept, content[place:]]), exif)


def _strip_tiff(content: bytes) -> bytes:
    """A TIFF whose first directory names no metadata: a shorter copy of it, at the end."""
    order = "<" if content[:2] == b"II" else ">"
    start = struct.unpack_from(order + "I", content, 4)[0]
    count = struct.unpack_from(order + "H", content, start)[0]
    entries = [content[place : place + 12] for place in range(start + 2, start + 2 + 12 * count, 12)]
    kept = [entry for entry in entries if struct.unpack_from(order + "H", entry)[0] not in TIFF_DROPPED]
    even = content + b"\0" * (len(content) % 2)
    directory = struct.pack(order + "H", len(kept)) + b"".join(kept) + bytes(4)
    return even[:4] + struct.pack(order + "I", len(even)) + even[8:] + directory
