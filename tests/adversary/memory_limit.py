"""A real limit on a process's memory, by the control groups of Linux."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


class NoLimit(Exception):
    """This machine, or this user, can't limit a process's memory."""


@contextmanager
def memory_limit(size: int) -> Iterator[Path]:
    """Make a group whose processes have so many bytes of memory together, and no swap.

    Yields:
        The file that a process writes its number into, to be of the group.

    Raises:
        NoLimit: it can't be made.
    """
    first = _ROOT / "memory" / f"neuralbits-{os.getpid()}"  # version 1 of control groups
    second = _ROOT / f"neuralbits-{os.getpid()}"
    group = first if first.parent.is_dir() else second
    limits = (
        {"memory.limit_in_bytes": size, "memory.memsw.limit_in_bytes": size}
        if group == first
        else {"memory.max": size, "memory.swap.max": 0}
    )
    try:
        group.mkdir()
    except OSError as error:
        raise NoLimit(str(error)) from None
    try:
        for number, (name, value) in enumerate(limits.items()):
            try:
                (group / name).write_text(str(value))
            except OSError as error:  # without accounting of swap, there is the first one alone
                if number == 0:
                    raise NoLimit(str(error)) from None
        yield group / "cgroup.procs"
    finally:
        group.rmdir()
