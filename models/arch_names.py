"""timm's name for what a user calls an architecture, tags and the hub's prefixes included."""

from __future__ import annotations

import difflib

import timm

from runtime.errors import WeightsError
from runtime.names.hub import strip_hub

ALIASES = {"clip": "resnet50"}  # the name under which LEAD's users know its ResNet-50 student
SHOWN = 8


def resolve_arch(name: str) -> str:
    """timm's name for an architecture, its tag kept; raises WeightsError with the closest names for an unknown one."""
    asked, name = name, strip_hub(name.strip())
    name = ALIASES.get(name, name)
    base, dot, tag = name.partition(".")
    if base and not timm.is_model(base) and timm.is_model(base.lower().replace("-", "_")):
        base = base.lower().replace("-", "_")
    if not base or not timm.is_model(base):
        raise WeightsError(f"unknown architecture {asked!r}. {_suggest(base)}")
    if dot:
        _refuse_unknown_tag(asked, base, tag)
    return f"{base}{dot}{tag}"


def same_arch(one: str, other: str) -> bool:
    """Whether both names mean one architecture, whatever weights their tags tell apart."""
    return resolve_arch(one).partition(".")[0] == resolve_arch(other).partition(".")[0]


def _suggest(name: str) -> str:
    if "/" in name:
        return "Of the hub's networks only timm's are built here: give timm/NAME, or the NAME alone"
    close = difflib.get_close_matches(name.lower(), timm.list_models(), n=5, cutoff=0.5)
    return f"Did you mean {', '.join(close)}?" if close else "timm.list_models() names all that are known"


def _refuse_unknown_tag(asked: str, base: str, tag: str) -> None:
    known = [name.partition(".")[2] for name in timm.list_pretrained(f"{base}.*")]
    if tag in known:
        return
    first = [*difflib.get_close_matches(tag, known, n=SHOWN, cutoff=0.4), *known]
    shown = ", ".join(f"{base}.{one}" for one in dict.fromkeys(first[:SHOWN])) or f"{base} alone"
    more = f" (+{len(known) - SHOWN} more)" if len(known) > SHOWN else ""
    raise WeightsError(f"unknown architecture {asked!r}: the installed timm {timm.__version__} has no weights tagged "
                       f"{tag!r} for {base}. There are {shown}{more}")
