"""Torch files read without the classes of what lies beside their tensors: stand-ins take it, and do nothing.

A configuration, a logger's history, a path, a callback: they are not read here, and opening them as they are could run
code. So torch's own restricted reader is used, and every name that it does not know becomes a class of ours.
"""

from __future__ import annotations

import argparse
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

UNKNOWN = re.compile(r"Unsupported global: GLOBAL (\S+)")
FILLED = re.compile(r"Can only (SETITEM|append|extend)S?\b.*got <class 'inert\.(\S+)'>")

# A class for torch's reader, and the name under which files have it where that is another one.
Allowed = Callable[..., object] | tuple[Callable[..., object], str]


class Inert:
    """An object that was left unread, whatever it was made of."""

    def __new__(cls, *_given: object, **_named: object) -> Inert:
        """Not looking at what it is given."""
        return super().__new__(cls)

    def __init__(self, *_given: object, **_named: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        """Forget it."""

    def __setitem__(self, _key: object, _value: object) -> None:
        """What later readers of torch's say before they try, as 2.6 does."""
        raise pickle.UnpicklingError(f"Can only SETITEM for dictionaries, but got {type(self)}")


def read_torch(path: Path) -> object:
    """The file's content on the CPU: tensors, numbers, texts, containers, arguments; all else is `Inert`.

    Raises pickle.UnpicklingError where there are no tensors beside such objects, or objects cannot be left unread.
    """
    strange: dict[str, type] = {}
    refusal: pickle.UnpicklingError | None = None
    while True:
        try:
            content = _read(path, strange)
            break
        except pickle.UnpicklingError as error:
            refusal = refusal or error
            if not _learn(str(error), strange):
                raise refusal from (None if error is refusal else error)
    if refusal is not None and not _holds_tensors(content):
        raise refusal
    return content


def _read(path: Path, strange: Mapping[str, type]) -> object:
    known = [argparse.Namespace, np.dtype, *_numpy_scalar_types()]
    named: list[Allowed] = [(kind, name) for name, kind in strange.items()]
    with torch.serialization.safe_globals([*known, *named]), path.open("rb") as file:
        return torch.load(file, map_location="cpu", weights_only=True)


def _learn(error: str, strange: dict[str, type]) -> bool:
    """Add a stand-in for the name that an error is about, or one that can be filled; False when nothing is learned."""
    kind: type
    if found := UNKNOWN.search(error):
        name, kind = found[1], Inert
    elif found := FILLED.search(error.replace("\n", " ")):
        name, kind = found[2], OrderedDict if found[1] == "SETITEM" else list
    else:
        return False
    if name in strange and (kind is Inert or "__new__" in vars(strange[name])):
        return False
    strange[name] = strange[f"builtins.{name}"] = _make_stand_in(name, kind)
    return True


def _make_stand_in(name: str, kind: type) -> type:
    """A class of that name whose objects are of `kind`, which torch's reader knows by type."""
    body = {"__module__": "inert"} | ({} if kind is Inert else {"__new__": lambda _cls, *_given, **_named: kind()})
    return type(name, (Inert,), body)


def _holds_tensors(content: object) -> bool:
    """Whether there is a tensor in it, at any depth of dictionaries."""
    if isinstance(content, Mapping):
        return any(_holds_tensors(value) for value in content.values())
    return isinstance(content, Tensor)


def _numpy_scalar_types() -> list[Allowed]:
    """What NumPy scalars in old checkpoints (an accuracy, a loss) are pickled with, under its old and new names."""
    scalar = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(kind)) for kind in np.typecodes["All"]}
    return [scalar, (scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar"), *kinds]
