"""The `neuralbits` command, as a user runs it."""

import os
import subprocess
import sys
from unittest import mock

import pytest

COMMAND = [sys.executable, "-c", "from neuralbits.cli import main; main()"]


def run(*arguments: object, code: int = 0, command: list[str] = COMMAND) -> str:
    """Run the command; return what it prints, or the error if it is to fail."""
    environment = os.environ | {"COLUMNS": "200"}
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def refusal(*arguments: object) -> str:
    """Run the command within this process; return the error that it ends with."""
    from neuralbits.cli import main

    argv = ["neuralbits", *map(str, arguments)]
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.dict(os.environ),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return f"{ended.value.code}\n"
