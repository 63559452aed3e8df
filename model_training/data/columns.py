"""Read labelled texts that a program has in memory: lists, arrays, columns of tables."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from .examples import OUT_OF_SCOPE, DataError, DataFile, Examples
from .rows import Rows


def load_columns(
    texts: Iterable[Any], intents: Iterable[Any] | None = None, *, name: str = "texts"
) -> DataFile:
    """Check N texts and their intents as `load_file` checks the rows of a file.

    Args:
        texts: N strings, in any iterable: a list, a generator, a NumPy array, a column of pandas,
            Polars, Arrow or of a Hugging Face ``Dataset``. None, NaN and pandas' NA are missing.
        intents: N intents, likewise; without them, all texts are taken for ``out_of_scope``.
        name: for errors and findings, whose "line 3" is the third text.

    Raises:
        DataError: as `load_file`; or there isn't one intent for each text, or either is a single
            string.

    Example:
        >>> load_columns(["turn on the lamp", "play jazz"], ["turn_on", "play"]).examples.intents
        ('turn_on', 'play')
    """
    given = _values(texts, name)
    labels = [OUT_OF_SCOPE] * len(given) if intents is None else _values(intents, "intents")
    if len(given) != len(labels):
        raise DataError(
            f"{name}: there are {len(given)} texts and {len(labels)} intents; give one intent for "
            "each text"
        )
    rows = Rows(name)
    digest = hashlib.sha256()
    for line, (text, intent) in enumerate(zip(given, labels, strict=True), start=1):
        rows.add(text, intent, line)
        digest.update(json.dumps([text, intent], default=repr).encode())
    return rows.file(digest.hexdigest())


def text_column(texts: Iterable[Any], name: str = "texts") -> list[str]:
    """Return N texts that all have to be there, such as those to classify.

    Raises:
        DataError: one isn't a string, or ``texts`` is a single one.

    Example:
        >>> text_column(text for text in ("lights on", "lights off"))
        ['lights on', 'lights off']
    """
    given = _values(texts, name)
    for place, text in enumerate(given):
        if not isinstance(text, str):
            raise DataError(f"{name}[{place}] is of type {type(text).__name__}; give a string")
    return given


def row_weights(
    weights: Iterable[float], file: DataFile, kept: Examples
) -> npt.NDArray[np.float32]:
    """Return the weights of some of the texts that `load_columns` was given.

    Args:
        weights: a number for each text that it was given, 0 or more.
        file: what it returned.
        kept: n of the file's examples.

    Returns:
        Shape (n,), scaled to the mean 1.

    Raises:
        DataError: they aren't such numbers, or none is above 0.
    """
    try:
        given = np.array(_values(weights, "sample_weight"), dtype=np.float64)
    except (TypeError, ValueError):
        given = np.array([np.nan])
    last = max(file.rows.lines)
    if len(given) < last or given.ndim != 1 or not np.isfinite(given).all() or given.min() < 0:
        raise DataError(f"sample_weight: give a number for each of the {last} texts, 0 or more")
    chosen = given[np.array(kept.lines) - 1]
    if not chosen.sum():
        raise DataError("sample_weight: no text that is learnt from has a weight above 0")
    scaled: npt.NDArray[np.float32] = (chosen / chosen.mean()).astype(np.float32)
    return scaled


def _values(column: Iterable[Any], name: str) -> list[Any]:
    """Return what is in a column, as types of Python's own.

    Raises:
        DataError: it is a single string, or no iterable.
    """
    if isinstance(column, str | bytes) or not isinstance(column, Iterable):
        raise DataError(f"{name}: give a list, not a single {type(column).__name__}")
    # Arrow's columns and NumPy's arrays yield their own scalars, unless they are asked for a
    # list.
    for conversion in ("to_pylist", "tolist"):
        if hasattr(column, conversion):
            column = getattr(column, conversion)()
            break
    return [None if _is_missing(value) else _plain(value) for value in column]


def _plain(value: Any) -> Any:
    """Return a NumPy scalar, or a string of a class derived from str, as Python's own type."""
    if isinstance(value, str):
        return str.__str__(value)
    return value.item() if isinstance(value, np.generic) else value


def _is_missing(value: Any) -> bool:
    """Return whether a value is None or, as NaN, NaT and pandas' NA, not equal to itself."""
    if isinstance(value, str):
        return False
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):  # NA's truth is unknown; an array's is ambiguous
        return type(value).__name__ == "NAType"
