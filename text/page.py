"""A text audit as one HTML page that needs no other file: verdict first, then pictures, then tables."""

from __future__ import annotations

from collections.abc import Callable

from evaluation.reports.html import embed_picture, render
from text.audit import DUPLICATE, Audit
from text.figures import draw_cosines, draw_entropy, draw_sweep, draw_teacher_confusion, draw_uses
from text.findings import list_findings

SHRINK = 0.74  # pixels of the page by pixel of a picture, which is sharp on fine screens then


def render_audit(audit: Audit, title: str, lead: str) -> str:
    """The page's HTML."""
    accuracy = audit.accuracy
    mistakes = [{"label": label, "guess": guess, "images": images, "total": int(accuracy.confusion[label].sum())}
                for label, guess, images in accuracy.worst_pairs()] if accuracy else []
    return render("studio", title=title, lead=lead, findings=list_findings(audit), audit=audit, names=audit.names,
                  near=audit.neighbours, uses=audit.uses.tolist(), figures=draw_figures(audit), mistakes=mistakes,
                  right=accuracy.per_class.tolist() if accuracy else [], alike=DUPLICATE)


def draw_figures(audit: Audit) -> dict[str, dict[str, object]]:
    """The page's pictures by name, each with its `source` (a data URI) and its `width` on the page in pixels."""
    wanted: dict[str, Callable[[Audit], bytes]] = {"entropy": draw_entropy, "sweep": draw_sweep, "uses": draw_uses}
    if audit.neighbours:
        wanted["cosines"] = draw_cosines
    if audit.accuracy:
        wanted["confusion"] = draw_teacher_confusion
    pictures = {name: draw(audit) for name, draw in wanted.items()}
    return {name: {"source": embed_picture(png), "width": round(SHRINK * int.from_bytes(png[16:20], "big"))}
            for name, png in pictures.items()}  # a PNG's head tells its width
