"""Waiting for what another process or thread does, on a machine that may be busy."""

import time
from collections.abc import Callable
from typing import TypeVar

LIMIT = 120.0
"""Seconds after which a test gives up: far more than what is waited for takes on a busy machine."""

T = TypeVar("T")


def until(condition: Callable[[], T], pause: float = 0.02) -> T:
    """Call a function again and again until it returns something true; return that.

    Args:
        condition: The function.
        pause: Seconds between two calls.

    Raises:
        AssertionError: Nothing it returned within `LIMIT` was true.
    """
    deadline = time.monotonic() + LIMIT
    while not (found := condition()):
        assert time.monotonic() < deadline, f"after {LIMIT:.0f} s it is still {found!r}"
        time.sleep(pause)
    return found
