"""What a file's name says: a picture that can be read here, one that cannot and why, or nothing of ours."""

from __future__ import annotations

import os
from importlib.util import find_spec

from PIL import features

ALWAYS = (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".png", ".apng", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm",
          ".pgm", ".pbm", ".pnm")
AVIF, HEIF = (".avif", ".avifs"), (".heic", ".heif", ".hif")
RAW = frozenset({".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mrw", ".nef",
                 ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"})
DRAWN = frozenset({".ai", ".cdr", ".dcm", ".dds", ".eps", ".exr", ".hdr", ".ico", ".j2k", ".jp2", ".jpf", ".jpx",
                   ".jxl", ".kra", ".nii", ".pdf", ".psb", ".psd", ".qoi", ".svg", ".svs", ".tga", ".xcf"})
FILMS = frozenset({".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm",
                   ".wmv"})
ARCHIVES = frozenset({".7z", ".bz2", ".gz", ".lz4", ".rar", ".tar", ".tbz2", ".tgz", ".txz", ".xz", ".zip", ".zst"})
SYSTEM = frozenset({"desktop.ini", "ehthumbs.db", "ehthumbs_vista.db", "icon\r", "picasa.ini", "thumbs.db",
                    "zbthumbnail.info"})
# Folders that a NAS, an operating system or an archiver lays beside photographs; .@__thumb is hidden by its name.
JUNK_FOLDERS = frozenset({"#recycle", "#snapshot", "$recycle.bin", "@eadir", "@recently-snapshot", "@recycle",
                          "@sharebin", "@tmp", "__macosx", "__pycache__", "lost+found", "system volume information"})


def list_suffixes() -> frozenset[str]:
    """Suffixes of the pictures that can be read here: AVIF where Pillow was built with it, HEIC with pillow-heif."""
    avif = AVIF if "avif" in features.modules and features.check_module("avif") else ()
    heif = HEIF if find_spec("pillow_heif") is not None else ()
    return frozenset((*ALWAYS, *avif, *heif))


SUFFIXES = list_suffixes()


def find_suffix(name: str) -> str:
    """The suffix of a file's name in lower case, without outer spaces."""
    return os.path.splitext(name.strip())[1].lower()


def is_image(name: str) -> bool:
    """True for a visible file with the suffix of a picture that can be read here, in any case."""
    return not name.startswith(".") and find_suffix(name) in SUFFIXES and not is_system(name)


def is_system(name: str) -> bool:
    """True for what an operating system or a NAS writes for itself: Thumbs.db, or a Synology thumbnail."""
    return name.lower() in SYSTEM or name.upper().startswith(("SYNOPHOTO_THUMB", "SYNOFILE_THUMB"))


def is_archive(name: str) -> bool:
    """True for a file that has to be unpacked first."""
    return find_suffix(name) in ARCHIVES


def name_kind(name: str) -> str:
    """What a file that is no picture is counted as: "hidden", "of the system", its suffix, or "without suffix"."""
    if name.startswith("."):
        return "hidden"
    return "of the system" if is_system(name) else find_suffix(name) or "without suffix"


def find_remedy(kind: str) -> str | None:
    """What to do about files of a kind that may hold pictures; None for all others."""
    if kind in HEIF:
        return "pip install pillow-heif"
    if kind in AVIF:
        return "pip install --upgrade pillow"
    if kind in RAW:
        return "raw photographs: develop them to JPEG or TIFF"
    if kind in DRAWN:
        return "not read here: save them as PNG or JPEG"
    if kind in FILMS:
        return "films: take single frames out of them"
    return "unpack it" if kind in ARCHIVES else None
