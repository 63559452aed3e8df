"""Files that are there as a whole or not at all, and folders that one process has to itself."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from neuralbits.errors import NeuralbitsError


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write that takes the place of ``path`` once it is written.

    It lies beside ``path`` until then, and is on the disk before it is renamed: a reader sees what
    was there before or all of what is new, whenever the machine stops.

    Raises:
        OSError: the file can't be written; nothing at ``path`` has changed.
    """
    handle, temporary = tempfile.mkstemp(prefix=path.name, suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Lock a folder until the last process that holds the descriptor has ended, however it does.

    Raises:
        NeuralbitsError: another one has it.
        OSError: there is no such folder.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NeuralbitsError(
                f"another process is at work in {folder}: wait for it, or name another folder"
            ) from None
        yield handle
    finally:
        os.close(handle)
