"""The same classes in other words: what a text ablation compares, each a list of texts to encode.

Random words and shuffled descriptions are the controls of WaffleCLIP (Roth et al., arXiv 2306.07282): text helps for
what it says only as far as it beats them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from text.descriptions import PLAIN, Description

NAMED = "{name}. {description}"
FREE = "vocabulary-free"  # the variant without text, made of the images


@dataclass(frozen=True)
class Variant:
    """Texts to encode. `of_classes`: row i belongs to class i, so that accuracy can be measured.

    `same_training` names the variant with the same rows in another order: the loss cannot tell the two apart.
    """

    key: str
    title: str
    rows: tuple[Description, ...]
    template: str = PLAIN
    of_classes: bool = True
    same_training: str = ""


def make_variants(
    rows: Sequence[Description], others: Sequence[Description], *, template: str, seed: int
) -> list[Variant]:
    """All variants of class descriptions; `others` describe categories that are not the data set's (may be empty)."""
    own, shuffled, words = tuple(rows), shuffle_descriptions(rows, seed), scatter_words(rows, seed)
    found = [
        Variant("names", "names only", own, "{name}"),
        Variant("template", f"names in a template: {template}", own, template),
        Variant("descriptions", "descriptions", own),
        Variant("named", "names and descriptions", own, NAMED),
        Variant("shuffled", "descriptions, shuffled over classes", shuffled, same_training="descriptions"),
        Variant("named-shuffled", "names and another class's description", shuffled, NAMED),
        Variant("words", "random words", words),
        Variant("named-words", "names and random words", words, NAMED),
    ]
    if others:
        found.append(Variant("labels", "random labels: classes that are not there", tuple(others), of_classes=False))
    return found


def shuffle_descriptions(rows: Sequence[Description], seed: int) -> tuple[Description, ...]:
    """Every class with the description of another one, chosen at random; the names stay where they are."""
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    taken = {own: rows[other].text for own, other in zip(order, order[1:] + order[:1])}  # a ring: none keeps its own
    return tuple(Description(row.name, taken[index]) for index, row in enumerate(rows))


def scatter_words(rows: Sequence[Description], seed: int) -> tuple[Description, ...]:
    """All words of all descriptions dealt out anew, each class as many as it had: the same words, no meaning."""
    words = [word.strip(".,;:!?()\"").lower() for row in rows for word in row.text.split()]
    random.Random(seed).shuffle(words)
    dealt, start = [], 0
    for row in rows:
        stop = start + len(row.text.split())
        dealt.append(Description(row.name, " ".join(filter(None, words[start:stop]))))
        start = stop
    return tuple(dealt)
