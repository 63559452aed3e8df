"""Sizes in bytes, as options and settings write them."""

import re

from .errors import NeuralbitsError

_UNITS = {"": 1, "b": 1, "kb": 1000, "kib": 1024, "mb": 1000**2, "mib": 1024**2}


class SizeError(NeuralbitsError):
    """A text that is no size."""


def parse_size(text: str) -> int:
    """Read a size in bytes.

    >>> parse_size("64KiB"), parse_size("64 kB"), parse_size("65536")
    (65536, 64000, 65536)

    Raises:
        SizeError: the text is no size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    if not match or match[2] not in _UNITS:
        raise SizeError(f"{text!r} is no size; write it like 64KiB, 16kB or 65536")
    return int(float(match[1]) * _UNITS[match[2]])
