"""Class names meet by letters and digits, and every name that meets nobody is told."""

from __future__ import annotations

import pytest

from datasets.class_names import match_rows, name_key
from runtime.errors import DataError


@pytest.mark.parametrize("one,other", [("001.Black_footed_Albatross", "Black footed Albatross"), ("n02085620-Chihuahua", "chihuahua"),
                                       ("n02091134 whippet", "Whippet"), ("737-200", "737 200"), ("Ford F-150", "ford_f150"),
                                       ("Caf\u00e9", "CAFE\u0301")])
def test_spellings_of_one_class_share_a_key(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)


@pytest.mark.parametrize("one,other", [("707-320", "320"), ("12.Tern", "Tern"), ("A320", "A321"), ("1234.Tern", "4.Tern"),
                                       ("\u0915\u093f", "\u0915\u0940")])
def test_different_classes_keep_different_keys(one: str, other: str) -> None:
    assert name_key(one) != name_key(other)


def test_rows_come_in_the_order_of_the_classes() -> None:
    assert match_rows(["Red bird", "Blue bird", "Green bird"], ["001.Blue_bird", "002.Green_bird", "003.Red_bird"], text="t", data="d") == [1, 2, 0]


def test_all_that_meet_nobody_are_listed() -> None:
    with pytest.raises(DataError) as error:
        match_rows(["Red", "Blue", "blue!", "Pink"], ["Red", "Green", "White"], text="rows.csv", data="photos")
    words = str(error.value)
    assert "rows.csv" in words and "photos" in words
    assert "2 classes without a row: Green, White" in words and "3 rows without a class: Blue, blue!, Pink" in words
    assert "twice in rows.csv: Blue, blue!" in words
