"""Texts in memory: every kind of column gives what a list gives."""

import datetime
import doctest
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from neuralbits.model_training.data import DataError, DataFile, columns, load_columns

TEXTS = ["lights on", "play jazz", None, *(f"play song {i}" for i in range(20))]
INTENTS = ["on", "play", "on", *["play"] * 20]


def pandas(values: list[Any], **options: Any) -> Iterable[Any]:
    return pytest.importorskip("pandas").Series(values, **options)  # type: ignore[no-any-return]


def polars(values: list[Any]) -> Iterable[Any]:
    return pytest.importorskip("polars").Series(values)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def expected() -> DataFile:
    return load_columns(TEXTS, INTENTS)


@pytest.mark.parametrize(
    "column",
    [
        tuple,
        lambda values: (value for value in values),
        lambda values: dict(enumerate(values)).values(),
        lambda values: np.array(values, dtype=object),
        lambda values: [np.str_(value) if value else value for value in values],
        lambda values: [float("nan") if value is None else value for value in values],
        pa.array,
        lambda values: pa.chunked_array([values[:5], values[5:]]),
        pandas,
        lambda values: pandas(values, dtype="string"),
        lambda values: pandas(values, index=range(100, 100 + len(values))),
        polars,
    ],
    ids=[
        *("tuple", "generator", "view", "NumPy", "NumPy's strings", "NaN", "Arrow"),
        *("chunked Arrow", "pandas", "pandas' strings", "index", "Polars"),
    ],
)
def test_a_column_gives_what_a_list_gives(
    column: Callable[[list[Any]], Iterable[Any]], expected: DataFile
) -> None:
    loaded = load_columns(column(TEXTS), column(INTENTS))
    assert loaded == expected
    assert {type(text) for text in loaded.examples.texts} == {str}


def test_a_missing_text_is_left_out_and_found(expected: DataFile) -> None:
    assert len(expected.examples) == len(TEXTS) - 1
    (finding,) = expected.findings
    assert (finding.what, finding.lines) == ("rows without text", (3,))


@pytest.mark.parametrize(
    "number", [1, 1.0, np.int8(1), np.float32(1), Decimal(1), "1"], ids=lambda each: repr(each)
)
def test_a_whole_number_is_an_intent(number: Any) -> None:
    assert load_columns(["lights on"], [number]).examples.intents == ("1",)


def test_other_texts_and_intents_are_other_data() -> None:
    digests = {
        load_columns(["a", "b"], ["x", "y"]).sha256,
        load_columns(["a", "b"], ["y", "x"]).sha256,
        load_columns(["a", "b c"], ["x", "y"]).sha256,
        load_columns(["a", "b"]).sha256,
    }
    assert len(digests) == 4


@pytest.mark.parametrize("value", [object(), [1], np.zeros(3), datetime.date(2020, 1, 1), pa.NA])
def test_what_is_no_text_is_found(value: Any) -> None:
    loaded = load_columns([*TEXTS[3:], value], INTENTS[2:])
    assert [finding.lines for finding in loaded.findings] == [(21,)]


def test_weights_follow_the_texts_that_are_kept() -> None:
    """A text that can't be used takes its weight with it, and the held-out ones do."""
    file = load_columns(TEXTS, INTENTS)
    kept = file.examples.select([1, 4, 6])  # on lines 2, 6 and 8, as line 3 has no text
    weights = columns.row_weights(range(len(TEXTS)), file, kept)
    assert weights.tolist() == pytest.approx([3 * line / 13 for line in (1, 5, 7)])


@pytest.mark.parametrize(
    "weights", [[1.0], ["a"] * 23, [-1.0] * 23, [float("nan")] * 23, [[1, 2]] * 23, [0] * 23]
)
def test_what_are_no_weights_is_refused(weights: Any) -> None:
    file = load_columns(TEXTS, INTENTS)
    with pytest.raises(DataError, match="sample_weight"):
        columns.row_weights(weights, file, file.examples)


def test_the_examples_print_what_they_show() -> None:
    assert doctest.testmod(columns).failed == 0
