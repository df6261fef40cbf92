"""One live command a results folder: a lock that says who holds it, and that a kill gives back at once.

The lock is the system's (POSIX): it ends with its process however that ends, and workers do not inherit it. `.lock`
holds the process and the machine for people, and decides alone where a disk has no locks.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from runtime.errors import ConfigError

NAME = ".lock"
HELD: set[Path] = set()  # folders that this process holds
BUSY = {errno.EACCES, errno.EAGAIN}
# On these a lock of another machine may not be seen here.
SHARED = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "gluster", "fuse", "9p", "virtiofs", "afs")


@dataclass(frozen=True)
class Holder:
    """Who holds a folder: process, machine, and the command."""

    pid: int
    host: str
    command: str

    def describe(self) -> str:
        """For people."""
        return f"process {self.pid} on {self.host} ({self.command})"


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold a folder, made if need be, until the end; a folder that was made for nothing goes again.

    What a killed process left is taken over, with a note. Raises ConfigError while another one is at work in it, and
    OSError when it cannot be written to.
    """
    place = Path(os.path.realpath(folder))
    if place in HELD:
        yield
        return
    made = make_folders(place)
    try:
        handle = acquire(place / NAME, folder)
        HELD.add(place)
        try:
            yield
        finally:
            HELD.discard(place)
            give_back(place / NAME, handle)
    finally:
        for empty in made:
            with suppress(OSError):  # not empty any more
                empty.rmdir()


def make_folders(place: Path) -> list[Path]:
    """Make a folder and those above it; those that were not there, the innermost first."""
    missing = []
    for one in (place, *place.parents):
        if one.exists():
            break
        missing.append(one)
    place.mkdir(parents=True, exist_ok=True)
    return missing


def acquire(path: Path, folder: Path) -> int:
    """A descriptor that holds the lock file. Raises ConfigError when another process holds it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            former = read_holder(handle, path)
            if not lock(handle):
                refuse_held(former, folder, path, alive=True)
            if not os.path.exists(path) or not os.path.samestat(os.stat(path), os.fstat(handle)):
                os.close(handle)  # its holder ended and removed it between our two steps
                continue
            take_over(former, folder, path)
            note = json.dumps(asdict(Holder(os.getpid(), socket.gethostname(), name_command()))) + "\n"
            os.ftruncate(handle, 0)
            os.pwrite(handle, note.encode(), 0)
            return handle
        except BaseException:
            with suppress(OSError):
                os.close(handle)
            raise


def lock(handle: int) -> bool:
    """Take the system's lock; False when another process has it. A disk without locks says yes: the note decides."""
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in BUSY
    return True


def take_over(former: Holder | None, folder: Path, path: Path) -> None:
    """Say that a killed process's folder is taken over; raises ConfigError when that process may be at work."""
    if former is None:
        return
    here = former.host == socket.gethostname()
    if (here and not lives(former.pid)) or (not here and not is_shared(path)) or former.pid == os.getpid():
        print(f"note: {folder} was held by {former.describe()}, which is gone; it is taken over", file=sys.stderr)
        return
    if here and not is_shared(path):
        return  # the system would have refused the lock: another process bears that number today
    refuse_held(former, folder, path, alive=here)


def refuse_held(holder: Holder | None, folder: Path, path: Path, *, alive: bool) -> None:
    """Raise the ConfigError that names the holder and the remedy."""
    who = holder.describe() if holder else "another process"
    remedy = ("wait for it or stop it" if alive else
              f"if it is not at work any more, remove {path} and run this again")
    raise ConfigError(f"{folder} is held by {who}, and two at once would destroy each other's files; {remedy}, or "
                      "choose another folder")


def give_back(path: Path, handle: int) -> None:
    """Remove the lock file and close it."""
    with suppress(OSError):
        if os.path.samestat(os.stat(path), os.fstat(handle)):
            path.unlink()
    os.close(handle)


def read_holder(handle: int, path: Path) -> Holder | None:
    """What the lock file says, None for nothing. Raises ConfigError for a file that is no lock of ours."""
    text = os.pread(handle, 4096, 0)
    try:
        found = json.loads(text or "null")
        return None if found is None else Holder(int(found["pid"]), str(found["host"]), str(found["command"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no lock that Plumage wrote; move it away, or choose another folder") from error


def name_command() -> str:
    """The command in a word or two."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])[:80]


def lives(pid: int) -> bool:
    """Whether a process with this number is at work on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def is_shared(path: Path) -> bool:
    """Whether the disk is one that other machines may write to as well; unknown disks are."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            mounts = [line.split() for line in file]
    except OSError:
        return True
    whole = os.path.realpath(path)
    kinds = [(len(words[4]), words[words.index("-") + 1]) for words in mounts
             if whole == words[4] or whole.startswith(words[4].rstrip("/") + "/")]
    return max(kinds, default=(0, "nfs"))[1].startswith(SHARED)
