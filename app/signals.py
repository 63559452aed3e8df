"""Signals of the process. The command line handles them; the application never does."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Hangup:
    """SIGHUP, remembered from the moment it is handled until the application takes it.

    Several signals that come before the application takes one count as one: what they ask for, the
    file's present content, is the same.
    """

    def __init__(self) -> None:
        self._received = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def receive(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Handle the signal."""
        if self._loop is None or self._loop.is_closed():
            self._received.set()
        else:
            # Between any two steps of the loop, and it may be asleep: this wakes it.
            self._loop.call_soon_threadsafe(self._received.set)

    async def wait(self) -> None:
        """Wait for a signal; one that came since the last call counts."""
        self._loop = asyncio.get_running_loop()
        await self._received.wait()
        self._received.clear()


@contextmanager
def handled() -> Iterator[Hangup]:
    """Handle the process's signals: SIGHUP is remembered, SIGINT and SIGTERM end it with status 0.

    Uvicorn finishes the requests in flight before it lets the latter two end the process.
    """
    hangup = Hangup()
    handlers = {signal.SIGINT: _end, signal.SIGTERM: _end}
    if hasattr(signal, "SIGHUP"):  # Windows has none
        handlers[signal.SIGHUP] = hangup.receive
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield hangup
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(0)
