"""JSON that other commands, or people, wrote: read in one place, checked against the shape that its reader needs.

A shape is a type (`int`, `str`, `float` takes whole numbers too), a tuple of shapes of which one has to fit, `None`
for null, `[shape]` for a list of such, or a dictionary of shapes by key; a key that ends in "?" may be absent, the key
`str` stands for all. Keys that the shape does not name are left alone. What is wrong is told by file and place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from runtime.errors import DataError

Shape = Any
NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", dict: "a table of names",
         list: "a list", type(None): "null"}


def read_json(path: Path, shape: Shape, *, remedy: str, error: Callable[[str], Exception] = DataError) -> Any:
    """The content of a JSON file of that shape. Raises `error` that names the file, what is wrong, and the remedy."""
    return parse_json(read_text(path, remedy=remedy, error=error), shape, source=str(path), remedy=remedy, error=error)


def parse_json(
    text: str | bytes, shape: Shape, *, source: str, remedy: str, error: Callable[[str], Exception] = DataError
) -> Any:
    """The same of a text that was read already; `source` says where it stands."""
    try:
        content = json.loads(text)
    except (ValueError, TypeError, RecursionError) as cause:
        raise error(f"{source} is not JSON ({cause}); {remedy}") from cause
    check_shape(content, shape, source=source, remedy=remedy, error=error)
    return content


def check_shape(
    content: object, shape: Shape, *, source: str, remedy: str, error: Callable[[str], Exception] = DataError
) -> None:
    """Raise `error` that names `source`, what is wrong with its content, and the remedy; nothing where it fits."""
    faults = list(find_shape_faults(content, shape))
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise error(f"{source} is not what it should be: {'; '.join(faults[:3])}{more}; {remedy}")


def read_text(path: Path, *, remedy: str, error: Callable[[str], Exception] = DataError) -> str:
    """The text of a file in UTF-8, a byte order mark left out. Raises `error` that names the file and the remedy."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as cause:
        raise error(f"{path} cannot be read ({cause.strerror or cause}); {remedy}") from cause
    except UnicodeDecodeError as cause:
        raise error(f"{path} is not text in UTF-8 (byte {cause.start}); {remedy}") from cause


def find_shape_faults(value: object, shape: Shape, place: str = "") -> Iterator[str]:
    """In words, where a value differs from a shape."""
    if isinstance(shape, tuple):
        found = [list(find_shape_faults(value, one, place)) for one in shape]
        if all(found):
            yield f"{place or 'it'} is {_name(value)}, not {' or '.join(map(_name_shape, shape))}"
    elif isinstance(shape, Mapping):
        yield from _find_faults_in_table(value, shape, place)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{place or 'it'} is {_name(value)}, not a list"
            return
        for number, one in enumerate(value):
            yield from find_shape_faults(one, shape[0], f"{place}[{number}]")
    elif not _is(value, shape):
        yield f"{place or 'it'} is {_name(value)}, not {_name_shape(shape)}"


def _find_faults_in_table(value: object, shape: Mapping[str | type[str], Shape], place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place or 'it'} is {_name(value)}, not a table of names"
        return
    for key, one in shape.items():
        if not isinstance(key, str):
            for name, inner in value.items():
                yield from find_shape_faults(inner, one, f"{place}.{name}" if place else repr(name))
            continue
        name = key.removesuffix("?")
        if name in value:
            yield from find_shape_faults(value[name], one, f"{place}.{name}" if place else repr(name))
        elif name == key:
            yield f"{place + ' has ' if place else ''}no {name!r}"


def _is(value: object, shape: type | None) -> bool:
    kind = type(None) if shape is None else shape
    if isinstance(value, bool):
        return kind in (bool, object)
    return isinstance(value, (int, float) if kind is float else kind)


def _name(value: object) -> str:
    return NAMES.get(type(value), type(value).__name__)


def _name_shape(shape: Shape) -> str:
    if isinstance(shape, Mapping):
        return NAMES[dict]
    return "a list" if isinstance(shape, list) else NAMES.get(type(None) if shape is None else shape, "anything")
