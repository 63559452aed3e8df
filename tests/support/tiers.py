"""Sizes of a test: small in `make test`, large in `make test-all`."""

from collections.abc import Sequence
from typing import Any

import pytest


def some(values: Sequence[Any], step: int) -> Sequence[Any]:
    """Return a parameter's values, of which `make test` takes each ``step``-th."""
    return [
        value if index % step == 0 else pytest.param(value, marks=pytest.mark.long)
        for index, value in enumerate(values)
    ]


def tiers(small: Any, large: Any) -> Sequence[Any]:
    """Return a parameter's values: the small one, and the large one for the long tier.

    Example:
        >>> @pytest.mark.parametrize("count", tiers(300, 10_000))
        ... def test_malformed_requests(count: int) -> None: ...
    """
    return [small, pytest.param(large, marks=pytest.mark.long)]
