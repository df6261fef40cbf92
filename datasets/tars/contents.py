"""What is in a tar: where its pictures begin, what their classes are, and what else lies in it; or what is broken."""

from __future__ import annotations

import posixpath
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from datasets.suffixes import find_suffix, is_image, name_kind
from datasets.tars.member import Tar
from datasets.walk import is_skipped
from runtime.errors import DataError

PACKED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ\0": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
LABEL, LONGEST = ".cls", 4096  # the member that holds a class, and bytes of one
REST = 2**20  # bytes after the end mark that are looked at
STRIDE = 1000  # members between two reports
# Lists of data sets as they are distributed, whose splits and classes folders alone do not say.
LISTS = frozenset({"annot/train_info.csv", "annot/val_info.csv", "cars_annos.mat", "cars_train_annos.mat",
                   "images_variant_test.txt", "images_variant_trainval.txt", "test_list.mat", "train_list.mat",
                   "train_test_split.txt", "Ebay_train.txt"})


@dataclass(frozen=True)
class TarPicture:
    """A picture: its name in the archive, where its bytes are, and its class where a .cls beside it names one."""

    name: str
    offset: int
    length: int
    label: str | None = None


@dataclass(frozen=True)
class TarContents:
    """An archive's pictures in its order, what else lies in it by name and kind, and how many files go with pictures

    by their suffix (.json, .txt), which are not used.
    """

    pictures: tuple[TarPicture, ...]
    others: tuple[tuple[str, str], ...] = ()
    beside: dict[str, int] = field(default_factory=dict)


def list_contents(tar: Tar, report: Callable[[int], object] = lambda done: None) -> TarContents:
    """Read the headers of all members, and the classes; `report` is told how many bytes are behind.

    Raises DataError that names all that is wrong: compressed, cut off, damaged, names that come twice, sparse pictures.
    """
    refuse_packed(tar.path)
    draft = _Draft(tar)
    try:
        for number, member in enumerate(walk_members(tar)):
            draft.take(member)
            if number % STRIDE == 0:
                report(member.offset)
    except DataError:
        raise
    except (tarfile.TarError, OSError, ValueError) as error:  # the last of a damaged sparse map
        raise DataError(f"{tar.path}: cannot be read as a tar ({error}); it was cut off or damaged: copy or pack it "
                        "again") from error
    report(tar.size)
    return draft.finish()


def refuse_packed(path: Path) -> None:
    """Raise DataError for a compressed tar, whatever it is called, and for one that may not be read."""
    try:
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); mend its permissions") from error
    tool = next((tool for start, tool in PACKED.items() if head.startswith(start)), None)
    if tool:
        raise DataError(f"{path}: is compressed, and pictures are read at any place of a tar; {tool} it (photographs "
                        "are hardly larger then)")


def walk_members(tar: Tar) -> Iterator[tarfile.TarInfo]:
    """Every member in order; raises TarError or DataError for what does not end as a tar does."""
    with tarfile.open(tar.path, "r:") as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # of a million pictures it would keep as many
            yield member
        check_end(tar, archive.offset)


def check_end(tar: Tar, offset: int) -> None:
    """Raise DataError unless an end mark follows at `offset` and nothing after it: tarfile stops silently there."""
    with open(tar.path, "rb") as file:
        file.seek(offset)
        mark, rest = file.read(tarfile.BLOCKSIZE), file.read(REST)
    if not mark:
        raise DataError(f"{tar.path}: ends without an end mark, so it may have been cut off: copy it again, or if it "
                        f"is whole, add the mark: head -c 1024 /dev/zero >> {tar.path}")
    if len(mark) < tarfile.BLOCKSIZE or mark.strip(b"\0"):
        raise DataError(f"{tar.path}: no member begins at byte {offset} of {tar.size}, where one should; it was cut "
                        "off or damaged: copy or pack it again")
    if rest.strip(b"\0"):
        raise DataError(f"{tar.path}: goes on after its end mark, as archives do that were joined by cat; join them by "
                        "tar -A, or give each as it was")


@dataclass
class _Draft:
    """What is known of an archive while its members go by."""

    tar: Tar
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def take(self, member: tarfile.TarInfo) -> None:
        """Note a member: a picture, a class, or something else."""
        if member.isdir():
            return
        name = posixpath.normpath(member.name.lstrip("/"))
        if name.startswith("../") or name in ("..", "."):
            self.faults.append(f"{member.name} leads out of the archive")
        elif name in self.spans or name in self.others:
            self.faults.append(f"{name} comes twice")
        elif any(map(is_skipped, name.split("/")[:-1])):
            self.others[name] = "in hidden folders"
        elif posixpath.basename(name).startswith("."):
            self.others[name] = "hidden"
        elif member.islnk() or member.isreg():
            self.take_file(name, member)
        else:
            self.others[name] = "links" if member.issym() else "that are no files"

    def take_file(self, name: str, member: tarfile.TarInfo) -> None:
        """Note a file, or a second name of one that came before."""
        span = (member.offset_data, member.size)
        if member.islnk():
            span = self.spans.get(posixpath.normpath(member.linkname.lstrip("/")), (-1, 0))
        wanted = is_image(posixpath.basename(name))
        if wanted and member.issparse():
            self.faults.append(f"{name} is sparse; pack it without --sparse")
        elif wanted and span[0] < 0:
            self.faults.append(f"{name} is a link to {member.linkname}, which does not come before")
        elif name.endswith(LABEL):
            self.take_label(name, span)
        self.spans[name] = span
        if wanted:
            self.pictures.append(name)
        elif any(name == one or name.endswith(f"/{one}") for one in LISTS):
            self.faults.append(f"{name} belongs to a data set with lists of its own; unpack it, and give its folder")
        elif not name.endswith(LABEL):
            self.others[name] = name_kind(posixpath.basename(name))

    def take_label(self, name: str, span: tuple[int, int]) -> None:
        """Read a class."""
        try:
            text = self.tar.read(span[0], min(span[1], LONGEST + 1)).decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            text = "\n"
        if len(text.splitlines()) > 1 or text == "\n" or span[1] > LONGEST:
            self.faults.append(f"{name} holds no class: a number or a name on one line")
        elif text:
            self.labels[name.removesuffix(LABEL)] = text

    def finish(self) -> TarContents:
        """All of it; raises DataError where something is wrong."""
        chosen = self.choose_pictures()
        if self.faults:
            more = f"\n  (+{len(self.faults) - 10} more)" if len(self.faults) > 10 else ""
            raise DataError(f"{self.tar.path}: cannot be used as it is; pack it again without these:\n  "
                            + "\n  ".join(self.faults[:10]) + more)
        keys = {key for name in chosen for key in find_keys(name)}
        beside = Counter(find_suffix(name) for name, kind in self.others.items()
                         if kind == find_suffix(name) and keys.intersection(find_keys(name)))
        others = {name: kind for name, kind in self.others.items()
                  if kind not in beside or not keys.intersection(find_keys(name))}
        others |= {f"{key}{LABEL}": f"{LABEL} without a picture" for key in self.labels if key not in keys}
        pictures = tuple(TarPicture(name, *self.spans[name], self.find_label(name)) for name in chosen)
        return TarContents(pictures, tuple(others.items()), dict(beside))

    def choose_pictures(self) -> list[str]:
        """The pictures without those that only belong to another of the same key: 1.seg.png of a 1.jpg with a 1.cls."""
        rivals: dict[str, list[str]] = {}
        for name in self.pictures:
            if (key := self.find_key(name)) is not None:
                rivals.setdefault(key, []).append(name)
        for key, names in rivals.items():
            plain = [name for name in names if posixpath.splitext(name)[0] == key] or names
            if len(plain) > 1:
                self.faults.append(f"{', '.join(plain)} share the class of {key}{LABEL}, and one picture a key is read")
            for name in set(names).difference(plain):
                self.others[name] = "further pictures of a key"
        return [name for name in self.pictures if name not in self.others]

    def find_key(self, name: str) -> str | None:
        """The key of a picture whose class is known."""
        return next((key for key in find_keys(name) if key in self.labels), None)

    def find_label(self, name: str) -> str | None:
        """The class of a picture."""
        key = self.find_key(name)
        return None if key is None else self.labels[key]


def find_keys(name: str) -> tuple[str, str]:
    """What neighbours call a member: its name up to the last dot and, as webdataset has it, up to the first."""
    folder, slash, file = name.rpartition("/")
    return posixpath.splitext(name)[0], f"{folder}{slash}{file.partition('.')[0]}"
