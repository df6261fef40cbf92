"""The controls of a text ablation keep what they should keep, and lose what they should lose."""

from __future__ import annotations

from collections import Counter

from text.descriptions import Description, fill_template
from text.variants import make_variants, scatter_words, shuffle_descriptions

ROWS = [Description(f"bird {number}", f"Text {number}, red wing; long tail {number * 7}.") for number in range(9)]


def test_shuffling_keeps_names_and_texts_but_no_pair_of_them() -> None:
    for seed in range(5):
        found = shuffle_descriptions(ROWS, seed)
        assert [row.name for row in found] == [row.name for row in ROWS]
        assert sorted(row.text for row in found) == sorted(row.text for row in ROWS)
        assert all(row.text != own.text for row, own in zip(found, ROWS))
    assert shuffle_descriptions(ROWS, 1) == shuffle_descriptions(ROWS, 1) != shuffle_descriptions(ROWS, 2)


def test_scattered_words_are_the_same_words_in_texts_of_the_same_length() -> None:
    found = scatter_words(ROWS, 3)
    plain = [row.text.lower().replace(",", "").replace(";", "").replace(".", "") for row in ROWS]
    assert Counter(" ".join(row.text for row in found).split()) == Counter(" ".join(plain).split())
    assert [len(row.text.split()) for row in found] == [len(text.split()) for text in plain]
    assert [row.text for row in found] != plain


def test_variants_say_what_they_are() -> None:
    variants = {variant.key: variant for variant in make_variants(ROWS, [Description("fish", "Fins.")], template="a {name}", seed=0)}
    assert list(variants) == ["names", "template", "descriptions", "named", "shuffled", "named-shuffled", "words", "named-words", "labels"]
    assert {key for key, variant in variants.items() if not variant.of_classes} == {"labels"}
    assert fill_template(variants["named"].template, "bird 1", "Red.") == "bird 1. Red."
    assert fill_template(variants["template"].template, "bird 1", "Red.") == "a bird 1"
    assert variants["shuffled"].same_training == "descriptions"
    assert "labels" not in {variant.key for variant in make_variants(ROWS, [], template="a {name}", seed=0)}
