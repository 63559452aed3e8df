"""Files that are there as a whole or not at all."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from neuralbits.errors import NeuralbitsError
from neuralbits.files import locked, replacing


def test_what_was_there_stays_until_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with replacing(path) as file:
        file.write(b"after")
        file.flush()
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def write_half() -> None:
        with replacing(path) as file:
            file.write(b"aft")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        write_half()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_killed_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    script = (
        "import os, pathlib, signal, sys; from neuralbits.files import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(b'aft'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, path])
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"before"


def test_anybody_may_read_the_file(tmp_path: Path) -> None:
    with replacing(tmp_path / "file") as file:
        file.write(b"content")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_a_folder_is_one_process_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path):
        with (
            pytest.raises(NeuralbitsError, match="another process is at work in"),
            locked(tmp_path),
        ):
            pass
        script = (
            "import pathlib, sys; from neuralbits.files import locked\n"
            "with locked(pathlib.Path(sys.argv[1])): pass"
        )
        done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True)
        assert b"another process is at work in" in done.stderr
    with locked(tmp_path):
        pass
