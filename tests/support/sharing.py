"""Fixtures that the processes of a run of the suite share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def shared_folder(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """Return a folder that the first process fills, while the others wait; don't change it.

    Args:
        factory: Pytest's fixture ``tmp_path_factory``.
        name: The folder's name, unique in the suite.
        make: A function that fills the folder, which is moved afterwards.
    """
    run = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent
    folder = run / name
    with FileLock(run / f"{name}.lock"):
        if not folder.exists():
            made = factory.mktemp(name)
            make(made)
            made.rename(folder)
    return folder
