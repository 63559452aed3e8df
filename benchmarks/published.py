"""A benchmark's output: its figures as JSON, and a page of them."""

import json
from pathlib import Path
from typing import Any

from neuralbits.files import atomic_write


def publish(figures: Any, figures_path: Path, page: str, page_path: Path) -> None:
    """Write both, each atomically."""
    for path, text in (
        (figures_path, json.dumps(figures, indent=2) + "\n"),
        (page_path, page),
    ):
        with atomic_write(path, overwrite=True) as file:
            file.write(text.encode())
