"""The kernel's benchmark: its measurements and its page."""

from typing import Any

import pytest

from benchmarks import kernel, kernel_worker

MEASURED: dict[str, Any] = {
    "backend": "kernel",
    "single": [8_000.0, 20_000.0],
    "batch": [5_000.0, 20_000.0],
    "reference": [5_000.0, 200_000.0],
    "threads": [5_000.0, 2_500.0],
    "length": {"call": 2_000.0, "character": 90.0, "residual": 0.125},
    "start": [40e6, 100e6],
    "features": 130.2,
}


def test_every_ratio_is_compared_with_its_target() -> None:
    rows = kernel.rows(MEASURED)
    assert [row.ratio for row in rows] == [0.4, 4.0, 40.0, 2.0, 0.125, 0.4]
    assert [row.met for row in rows] == [True, False, True, True, False, True]
    assert [row.target for row in rows] == [0.5, 5, 30, 1.8, 0.1, 1]


def test_the_page_shows_missed_targets() -> None:
    page = kernel.page(MEASURED, {"processor": "A"})
    assert "| one text | fastText's `predict`, its text prepared | 8.0 µs | 20.0 µs |" in page
    assert "| 0.40 × | ≤ 0.5 × | yes |" in page
    assert "| 4.00 × | ≥ 5 × | **no** |" in page
    assert "| 2.0 µs + 90 ns a character |  | 12.50 % | ≤ 10 % | **no** |" in page
    assert "processor A. A text has 130 features in the mean." in page


def test_the_residual_shows_times_that_are_not_linear() -> None:
    lengths = kernel_worker.LENGTHS
    fit = kernel_worker.line(lengths, [2000 + 90 * length for length in lengths])
    assert (fit["call"], fit["character"]) == (pytest.approx(2000), pytest.approx(90))
    assert fit["residual"] < 1e-9
    bent = kernel_worker.line(lengths, [2000 + 90 * n + 0.01 * n**2 for n in lengths])
    assert bent["residual"] > 0.1


def test_calls_are_timed_alternately_after_a_warm_up() -> None:
    calls: list[str] = []
    times = kernel_worker.by_turns([lambda: calls.append("a"), lambda: calls.append("b")], rounds=2)
    assert "".join(calls) == "ab" * 3
    assert all(time > 0 for time in times)
