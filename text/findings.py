"""An audit in plain sentences, and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from text.audit import CLOSED, DUPLICATE, Audit, Gating

UNSURE = 0.85  # mean entropy from which the teacher says next to nothing


@dataclass(frozen=True)
class Finding:
    """One sentence of the verdict; `good` False asks for a look, None is only a number."""

    text: str
    good: bool | None


def list_findings(audit: Audit) -> list[Finding]:
    """The verdict, what stops a run first."""
    return [*_check_texts(audit), *_check_rows(audit), *_check_gate(audit), *_check_use(audit), *_check_classes(audit)]


def count(number: int, what: str, plural: str = "") -> str:
    """"1 row", "2 rows"."""
    return f"{number} {what if number == 1 else plural or what + 's'}"


def to_json(audit: Audit) -> dict[str, object]:
    """Plain JSON types: the verdict, and every number that it rests on."""
    names, accuracy = audit.names, audit.accuracy
    return {
        "verdict": [asdict(finding) for finding in list_findings(audit)],
        "rows": len(names), "images": audit.images, "effective_rank": audit.rank, "context": audit.context,
        "texts": [asdict(reading) for reading in audit.readings],
        "twins": [{"rows": [names[pair.first], names[pair.second]], "cosine": pair.cosine}
                  for pair in audit.near_duplicates],
        "uses": dict(zip(names, audit.uses.tolist())),
        "gate": _describe(audit.gating),
        "target_entropy": audit.target, "matched": None if audit.matched is None else _describe(audit.matched),
        "sweep": [_describe(gating) for gating in audit.sweep],
        "zero_shot": None if accuracy is None else {
            "top1": accuracy.top1, "top5": accuracy.top5,
            "per_class": {name: None if value != value else value
                          for name, value in zip(names, accuracy.per_class.tolist())},
            "confusion": accuracy.confusion.tolist()},
    }


def _describe(gating: Gating) -> dict[str, float]:
    return {"temperature": gating.temperature, "mean_entropy": gating.mean, "closed": gating.closed,
            "open": gating.open}


def _check_texts(audit: Audit) -> list[Finding]:
    if not audit.readings:
        return [Finding("the texts behind the rows are not known, so their length was not checked", None)]
    cut = len(audit.truncated)
    if cut:
        told = f"{count(cut, 'row is', 'rows are')} truncated: CLIP stops reading after {audit.context} tokens"
        return [Finding(told, False)]
    longest = max(reading.tokens for reading in audit.readings)
    return [Finding(f"no row is truncated (longest text: {longest} of {audit.context} tokens)", True)]


def _check_rows(audit: Audit) -> list[Finding]:
    alike = len(audit.near_duplicates)
    if alike:
        text = f"{count(alike, 'pair is', 'pairs are')} indistinguishable (cosine above {DUPLICATE})"
    else:
        text = f"all rows can be told apart (no cosine above {DUPLICATE})"
    pairs = Finding(text, alike == 0)
    most = len(audit.names) - 1
    return [pairs, Finding(f"the rows have an effective rank of {audit.rank:.1f} (at most {most})", None)]


def _check_gate(audit: Audit) -> list[Finding]:
    now, matched = audit.gating, audit.matched
    shut = Finding(f"at tau {now.temperature:g} the gate is closed for {now.closed:.0%} of images and open for "
                   f"{now.open:.0%} (mean entropy {now.mean:.2f}; closed: distillation weight below {CLOSED})",
                   now.closed < 0.5 and now.mean < UNSURE)
    if matched is None:
        return [shut, Finding(f"no tau gives a mean entropy of {audit.target:g}: rows or images hardly differ", False)]
    return [shut, Finding(f"tau {matched.temperature:.4g} gives the mean entropy {audit.target:g} (gate closed for "
                          f"{matched.closed:.0%})", None)]


def _check_use(audit: Audit) -> list[Finding]:
    unused, rows = len(audit.unused), len(audit.names)
    if not unused:
        return [Finding(f"every row is the nearest of some image ({audit.images} images)", True)]
    return [Finding(f"{unused} of {count(rows, 'row')} are the nearest of no image ({audit.images} images)",
                    unused < rows / 4)]


def _check_classes(audit: Audit) -> list[Finding]:
    accuracy = audit.accuracy
    if accuracy is None:
        return [Finding("no labels, so the teacher's own accuracy is not known", None)]
    chance = 1 / len(audit.names)
    findings = [Finding(f"the teacher names {accuracy.top1:.1%} of images rightly by these rows, {accuracy.top5:.1%} "
                        f"within its first five (chance {chance:.1%})", accuracy.top1 > 2 * chance)]
    for true, guess, images in accuracy.worst_pairs(1):
        findings.append(Finding(f"most confused: {audit.names[true]} taken for {audit.names[guess]} "
                                f"({images} of {count(int(accuracy.confusion[true].sum()), 'image')})", None))
    return findings
