"""Wait for events in other processes and threads, on a machine that may be busy."""

import time
from collections.abc import Callable
from typing import TypeVar

LIMIT = 120.0
"""Seconds after which a test gives up, far more than an event takes on a busy machine."""

T = TypeVar("T")


def until(condition: Callable[[], T], pause: float = 0.02) -> T:
    """Call a function until it returns a true value, and return the value.

    Args:
        condition: The function.
        pause: Seconds between two calls.

    Raises:
        AssertionError: No value within `LIMIT` seconds was true.
    """
    deadline = time.monotonic() + LIMIT
    while not (value := condition()):
        assert time.monotonic() < deadline, f"after {LIMIT:.0f} s it is still {value!r}"
        time.sleep(pause)
    return value
