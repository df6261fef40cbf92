"""What the pages are told: JSON for people's words and numbers, packed arrays for what there is one of per picture."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from desk.album import read_facts
from desk.desk import Desk
from desk.journal import Journal
from desk.standing import DISAGREES, NAMED, SOON, SURE, Standing
from evaluation.sorting.cloud import Cloud

NEAREST = 5
SHOWN = 60  # changed pictures that a page shows at once

Json = dict[str, Any]


def describe_state(desk: Desk) -> Json:
    """The lines around the pictures: progress, names, what to name next, what changed, what can be undone."""
    with desk.lock:
        standing, journal, landscape = desk.standing, desk.journal, desk.landscape
        state: Json = {
            "tick": desk.tick, "seat": desk.seats, "version": journal.number, "pictures": len(desk.album),
            "stage": asdict(desk.stage) if desk.stage else None, "unreadable": desk.unreadable,
            "names": journal.names(), **describe_piles(journal),
        }
    if standing is not None:
        state |= {"sorted": describe_standing(standing), "seconds": round(desk.seconds, 3)}
    if landscape is not None:
        state["landscape"] = {"scales": landscape.scales, "scale": landscape.scale,
                              "strip": landscape.strip is not None, "twins": landscape.twins is not None}
    return state


def describe_piles(journal: Journal) -> Json:
    """The deeds that can be undone and redone next, None for none."""
    return {name: {"number": pile[-1].number, "text": pile[-1].describe()} if pile else None
            for name, pile in (("undo", journal.done), ("redo", journal.undone))}


def describe_standing(standing: Standing) -> Json:
    """How far the sorting is, in numbers."""
    open_ones = torch.from_numpy(standing.states == 0)
    named = standing.labels >= 0
    rest = standing.confidence[open_ones & named]
    counts = torch.bincount(standing.labels[named], minlength=len(standing.names)).tolist()
    given = torch.bincount(standing.labels[torch.from_numpy(standing.states == NAMED) & named],
                           minlength=len(standing.names)).tolist()
    return {
        "version": standing.version, "sure": standing.count_sure(), "threshold": SURE,
        "confidence": round(float(rest.mean()), 4) if len(rest) else None,
        "unlike": int((standing.unlike[open_ones] >= 0.5).sum()) if standing.names else 0,
        "given": int((standing.states == NAMED).sum()), "answered": int((standing.states > 0).sum()),
        "names": [{"name": name, "pictures": count, "given": own}
                  for name, count, own in zip(standing.names, counts, given)],
        "proposal": list(standing.proposal), "soon": min(SOON, len(standing.proposal)),
        "gain": round(standing.gain, 5), "changed": list(standing.changed[:SHOWN]),
        "changes": len(standing.changed),
    }


def pack_columns(desk: Desk) -> bytes:
    """One number of each kind for every picture, after a JSON line that names them; numbers are little-endian.

    labels int16 (-1 none), confidence, unlike and disagreement uint8 in hundredths, states uint8.
    """
    with desk.lock:
        standing, seat = desk.standing, desk.seats
    if standing is None:
        return pack({"version": -1, "seat": seat, "names": []}, {})
    hundredths = {name: np.floor(getattr(standing, name).numpy() * 100 + 1e-4).astype(np.uint8)  # .899 is not sure
                  for name in ("confidence", "unlike", "disagreement")}
    return pack({"version": standing.version, "seat": seat, "names": list(standing.names)},
                {"labels": standing.labels.numpy().astype("<i2"), **hundredths, "states": standing.states})


def pack_landscape(desk: Desk) -> bytes:
    """The groups in use (uint16), the strip (uint32), twins (int32) and odd pictures (uint8), as far as known."""
    landscape = desk.landscape
    if landscape is None:
        return pack({"scale": 0}, {})
    arrays = {"odd": landscape.odd.astype(np.uint8)}
    if landscape.strip is not None:
        arrays["strip"] = landscape.strip.astype("<u4")
    if landscape.scale:
        arrays["groups"] = landscape.groups[landscape.scale].astype("<u2")
    if landscape.twins is not None:
        arrays["twins"] = landscape.twins.astype("<i4")
    return pack({"scale": landscape.scale}, arrays)


def pack(head: Json, arrays: dict[str, np.ndarray]) -> bytes:
    """A line of JSON with the arrays' names, types and lengths, padded to 8 bytes, then the arrays, each padded so."""
    told = {name: [array.dtype.str, len(array)] for name, array in arrays.items()}
    line = json.dumps({**head, "arrays": told}).encode()
    parts = [line + b" " * (-(len(line) + 1) % 8) + b"\n"]
    for array in arrays.values():
        content = array.tobytes()
        parts.append(content + b"\0" * (-len(content) % 8))
    return b"".join(parts)


def describe_photograph(desk: Desk, index: int) -> Json:
    """What the page tells beside a large picture: its file, its name and why, its nearest others."""
    album, standing, sorter, landscape = desk.album, desk.standing, desk.sorter, desk.landscape
    facts: Json = {"index": index, "file": album.caption(index), **asdict(read_facts(album.path(index)))}
    facts["copies"] = [other for other in album.places[album.contents[index]] if other != index]
    if standing is None or sorter is None:
        return facts
    cloud = sorter.cloud
    near = zip(cloud.near[index, :NEAREST].tolist(), cloud.cosine[index, :NEAREST].tolist())
    facts["nearest"] = [{"index": other, "likeness": round(likeness, 3)} for other, likeness in near]
    if landscape is not None:
        facts["odd"] = bool(landscape.odd[index])
    answer = desk.journal.answers.get(album.contents[index])
    return {**facts, "name": standing.name(index), "confidence": round(float(standing.confidence[index]), 3),
            "unlike": round(float(standing.unlike[index]), 3), "answer": answer.do if answer else "",
            "disagrees": float(standing.disagreement[index]) >= DISAGREES,
            **find_reasons(cloud, standing, index)}


def find_reasons(cloud: Cloud, standing: Standing, index: int, most: int = 3) -> Json:
    """What speaks for a picture's name: `because`, the likest that a person called so; `instead`, the likest other.

    They are compared in the space in which names spread.
    """
    named = torch.from_numpy(np.flatnonzero(standing.states == NAMED))
    named = named[named != index]
    likeness = cloud.smooth[named] @ cloud.smooth[index]
    named = named[likeness.argsort(descending=True, stable=True)]
    same = standing.labels[named] == standing.labels[index]
    because, instead = ([{"index": other, "name": standing.name(other)} for other in some.tolist()]
                        for some in (named[same][:most], named[~same][:1]))
    return {"because": because, "instead": instead[0] if instead else None}
