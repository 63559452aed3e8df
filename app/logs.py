"""The log: a line of JSON for each event, on standard error; a sentence each on a terminal."""

import logging
import sys
import traceback
from typing import Any

from pythonjsonlogger.json import JsonFormatter


class _Private(logging.Formatter):
    """Tells an exception by its type and by where it was raised.

    What it says itself might repeat an utterance.
    """

    def formatException(self, ei: Any) -> str:  # noqa: N802
        kind, _, frames = ei
        where = [
            f"{frame.filename}:{frame.lineno} in {frame.name}"
            for frame in reversed(traceback.extract_tb(frames))
        ]
        return ", called at ".join([f"{kind.__qualname__} at {where[0]}", *where[1:]])


class _Sentences(_Private):
    pass


class _JSON(_Private, JsonFormatter):
    pass


def configure(level: str) -> None:
    """Log the service's and the server's events from a level on: debug, info, warning or error."""
    handler = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        handler.setFormatter(_Sentences("neuralbits: %(message)s"))
    else:
        fields = ["levelname", "message", "exc_info"]
        handler.setFormatter(
            _JSON(fields, timestamp=True, rename_fields={"levelname": "level", "exc_info": "error"})
        )
    logging.basicConfig(level=logging.ERROR, handlers=[handler], force=True)
    logging.getLogger("neuralbits").setLevel(level.upper())
