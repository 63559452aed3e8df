"""From files and data sets to checked splits."""

from .columns import load_columns, text_column
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
from .load import DataOptions, from_files, from_name, from_texts

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
    "from_texts",
    "load_columns",
    "load_file",
    "text_column",
]
