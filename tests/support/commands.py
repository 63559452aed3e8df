"""The `neuralbits` command, as a user runs it."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

COMMAND = [sys.executable, "-c", "from neuralbits.cli import main; main()"]


def run(*arguments: object, code: int = 0, command: list[str] = COMMAND) -> str:
    """Run the command; return its output, or its standard error if ``code`` isn't 0."""
    environment = os.environ | {"COLUMNS": "200"}
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def refusal(*arguments: object) -> str:
    """Run the command in this process; return its error."""
    from neuralbits.cli import main

    argv = ["neuralbits", *map(str, arguments)]
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.dict(os.environ),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return f"{ended.value.code}\n"


def run_here(folder: Path, *arguments: object) -> tuple[str, str]:
    """Run the command in this process and in a folder; return its output and its standard error.

    For tests to which another process would add nothing but the seconds of importing torch.
    """
    from neuralbits.cli import main

    output, errors = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["neuralbits", *map(str, arguments)]),
        mock.patch.dict(os.environ, COLUMNS="200"),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    assert ended.value.code == 0, errors.getvalue()
    return output.getvalue(), errors.getvalue()
