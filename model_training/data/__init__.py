"""From files and data sets to checked splits."""

from .examples import (
    OUT_OF_SCOPE,
    DataError,
    DataFile,
    DataReport,
    Examples,
    Finding,
    TrainingData,
)
from .files import load_file
from .load import DataOptions, from_files, from_name

__all__ = [
    "OUT_OF_SCOPE",
    "DataError",
    "DataFile",
    "DataOptions",
    "DataReport",
    "Examples",
    "Finding",
    "TrainingData",
    "from_files",
    "from_name",
    "load_file",
]
