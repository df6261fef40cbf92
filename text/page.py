"""A text audit as one HTML page that needs no other file: verdict first, then pictures, then tables."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

from text.audit import TWINS, Audit
from text.figures import draw_confusion, draw_cosines, draw_entropy, draw_sweep, draw_uses
from text.findings import Finding, list_findings

SHOWN = 12  # lines of a table that are not folded away
SHRINK = 0.74  # pixels of the page by pixel of a picture, which is sharp on fine screens then

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2430; max-width: 1080px; margin: 2.5rem auto; padding: 0 1.2rem }
h1 { font-size: 1.7rem; margin-bottom: .2rem }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .5rem }
p.lead, p.note { color: #566274; margin-top: 0 }
ul.verdict { list-style: none; padding: 1rem 1.2rem; background: #f5f7fa; border-radius: 8px }
ul.verdict li { padding: .18rem 0 .18rem 1.6rem; position: relative }
ul.verdict li::before { position: absolute; left: 0; font-weight: 700 }
li.good::before { content: "\\2713"; color: #0a6b3d }
li.bad::before { content: "!"; color: #b23a2e; left: .3rem }
li.plain::before { content: "\\2022"; color: #8fa0b3; left: .2rem }
li.bad { font-weight: 600 }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 1.2rem }
figure { margin: 0 }
figcaption { color: #566274; font-size: .88rem; line-height: 1.35 }
img { max-width: 100% }
table { border-collapse: collapse; font-size: .9rem; width: 100% }
td, th { padding: .3rem .6rem; border-bottom: 1px solid #e4e9ef; text-align: left; vertical-align: top }
th { border-bottom: 2px solid #8fa0b3; position: sticky; top: 0; background: #fff }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
td.lost { color: #b23a2e }
summary { cursor: pointer; font-weight: 600; margin: .8rem 0 .6rem }
details.all { margin-top: 2.4rem }
"""


def render_page(audit: Audit, title: str, lead: str) -> str:
    """The page's HTML."""
    parts = [f"<h1>{html.escape(title)}</h1><p class=lead>{html.escape(lead)}</p>", show_verdict(list_findings(audit)),
             show_gate(audit), show_rows(audit), show_problems(audit), show_classes(audit), show_all(audit)]
    return ("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
            f"<title>{html.escape(title)}</title><style>{STYLE}</style>{''.join(parts)}</html>\n")


def show_verdict(findings: Sequence[Finding]) -> str:
    """The findings as a list: fine, worth a look, or only a number."""
    kinds = {True: "good", False: "bad", None: "plain"}
    items = "".join(f"<li class={kinds[finding.good]}>{html.escape(finding.text)}</li>" for finding in findings)
    return f"<ul class=verdict>{items}</ul>"


def show_gate(audit: Audit) -> str:
    """Entropies and temperatures."""
    note = ("Distillation counts with weight 1 - h², contrast with h²: an image far right is left to contrast. A very "
            "low tau makes the teacher sure of everything, a high one of nothing.")
    return (f"<h2>How sure the teacher is</h2><p class=note>{note}</p><div class=pair>"
            + figure(draw_entropy(audit), "Entropy of the teacher's answer p_t, image by image.")
            + figure(draw_sweep(audit), "What another tau would do to the same images.") + "</div>")


def show_rows(audit: Audit) -> str:
    """Use and likeness of rows."""
    likeness = figure(draw_cosines(audit), "Rows close to 1 say the same to CLIP.") if audit.neighbours else ""
    return ("<h2>Which rows the images use</h2><div class=pair>"
            + figure(draw_uses(audit), "Images whose nearest row it is.") + likeness + "</div>")


def show_problems(audit: Audit) -> str:
    """Tables of what to mend: cut texts, twins, rows without images."""
    names = audit.names
    cut = [[reading.name, number(reading.tokens), f"<td class=lost>{html.escape(reading.lost)}</td>"]
           for reading in audit.truncated]
    twins = [[names[pair.first], names[pair.second], number(f"{pair.cosine:.3f}")] for pair in audit.twins]
    unused = [[names[index], names[audit.neighbours[index].second], number(f"{audit.neighbours[index].cosine:.3f}")]
              for index in audit.unused] if audit.neighbours else []
    return (section("Truncated texts", ["class", "#tokens", "never read"], cut)
            + section(f"Pairs with a cosine above {TWINS}", ["class", "class", "#cosine"], twins)
            + section("Rows that no image is nearest to", ["class", "its nearest row", "#cosine"], unused))


def show_classes(audit: Audit) -> str:
    """The teacher's own confusion, where labels exist."""
    accuracy = audit.accuracy
    if accuracy is None:
        return ""
    pairs = [[audit.names[true], audit.names[guess], number(images), number(int(accuracy.confusion[true].sum()))]
             for true, guess, images in accuracy.worst_pairs()]
    return ("<h2>What the teacher confuses</h2>"
            + figure(draw_confusion(audit), "Lines are classes in folder order, columns what the teacher says.")
            + section("Commonest mistakes", ["class", "taken for", "#images", "#of"], pairs))


def show_all(audit: Audit) -> str:
    """One line for every row, folded away."""
    readings = dict(enumerate(audit.readings))
    accuracy = audit.accuracy.per_class.tolist() if audit.accuracy else []
    lines = []
    for index, name in enumerate(audit.names):
        near = audit.neighbours[index] if audit.neighbours else None
        share = accuracy[index] if accuracy else float("nan")
        lines.append([name, number(readings[index].tokens if readings else "–"), number(int(audit.uses[index])),
                      number("–" if share != share else f"{share:.0%}"), audit.names[near.second] if near else "–",
                      number(f"{near.cosine:.3f}" if near else "–"), readings[index].text if readings else "–"])
    head = ["class", "#tokens", "#images", "#right", "nearest row", "#cosine", "text"]
    return f"<details class=all><summary>All {len(lines)} rows</summary>{table(head, lines)}</details>"


def section(title: str, head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A headed table whose long tail is folded away; nothing for no lines."""
    if not lines:
        return ""
    rest = f"<details><summary>{len(lines) - SHOWN} more</summary>{table(head, lines[SHOWN:])}</details>"
    return (f"<h2>{html.escape(title)} ({len(lines)})</h2>{table(head, lines[:SHOWN])}"
            + rest * (len(lines) > SHOWN))


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """HTML of a table; a `#` before a heading aligns its column right; cells that are `<td` already stay."""
    top = "".join(f"<th{' class=n' * name.startswith('#')}>{html.escape(name.removeprefix('#'))}</th>" for name in head)
    rows = ("".join(cell if cell.startswith("<td") else f"<td>{html.escape(cell)}</td>" for cell in line)
            for line in lines)
    return f"<table><tr>{top}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def number(value: object) -> str:
    """A cell aligned right."""
    return f"<td class=n>{html.escape(str(value))}</td>"


def figure(png: bytes, caption: str) -> str:
    """A picture within the page."""
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    text, pixels = html.escape(caption), int.from_bytes(png[16:20], "big")  # a PNG's head tells its width
    width = round(SHRINK * pixels)
    return f"<figure><img src='{source}' width={width} alt='{text}'><figcaption>{text}</figcaption></figure>"
