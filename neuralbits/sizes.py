"""Sizes in bytes, as texts in options and settings."""

import re

from .errors import NeuralbitsError

_UNITS = {"": 1, "b": 1, "kb": 1000, "kib": 1024, "mb": 1000**2, "mib": 1024**2}


class SizeError(NeuralbitsError):
    """The text isn't a size in bytes."""


def parse_size(text: str) -> int:
    """Parse a size in bytes.

    Raises:
        SizeError: the text isn't a size.

    Example:
        >>> parse_size("64KiB"), parse_size("64 kB"), parse_size("65536")
        (65536, 64000, 65536)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    if not match or match[2] not in _UNITS:
        raise SizeError(f"{text!r} isn't a size; write one like 64KiB, 16kB or 65536")
    return int(float(match[1]) * _UNITS[match[2]])
