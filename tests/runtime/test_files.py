"""Atomic writes, and files of the user that no write may touch."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from neuralbits.errors import ForeignFileError, NeuralbitsError
from neuralbits.files import (
    atomic_write,
    is_own,
    locked,
    refuse_foreign,
    remove_unfinished,
    stamped,
)


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with atomic_write(path, overwrite=True) as file:
        file.write(b"after")
        file.flush()
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_only_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def write_half() -> None:
        with atomic_write(path, overwrite=True) as file:
            file.write(b"aft")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        write_half()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    script = (
        "import os, pathlib, signal, sys; from neuralbits.files import atomic_write\n"
        "with atomic_write(pathlib.Path(sys.argv[1]), overwrite=True) as file:\n"
        "    file.write(b'aft'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, path])
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"before"


def test_a_written_file_is_readable_by_every_user(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "file") as file:
        file.write(b"content")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def written(path: Path, text: str = "text\n") -> Path:
    with atomic_write(path) as file:
        file.write(stamped(text, path.suffix))
    return path


@pytest.mark.parametrize("name", ["card.md", "report.html", "plot.svg", "metrics.json"])
def test_a_stamped_file_is_replaced_until_it_is_edited(tmp_path: Path, name: str) -> None:
    text = '{\n  "caf\u00e9": 1\n}' if name.endswith(".json") else "<p>café</p>\n"
    path = written(tmp_path / name, text)
    assert is_own(path)
    written(path, text)
    path.write_bytes(path.read_bytes().replace("é".encode(), b"e"))
    assert not is_own(path)
    with pytest.raises(ForeignFileError, match=r"isn't as neuralbits wrote it.* --overwrite"):
        written(path, text)


def test_a_stamped_json_object_is_still_one(tmp_path: Path) -> None:
    path = written(tmp_path / "metrics.json", '{\n  "accuracy": 0.5\n}\n')
    content = json.loads(path.read_bytes())
    assert content.pop("stamp").startswith("Written by neuralbits. sha256:")
    assert content == {"accuracy": 0.5}


@pytest.mark.parametrize("addition", ["and mine\n", "x" * 300])
def test_a_file_that_quotes_a_stamp_is_the_users(tmp_path: Path, addition: str) -> None:
    path = written(tmp_path / "card.md")
    path.write_bytes(path.read_bytes() + addition.encode())
    assert not is_own(path)


def test_an_artifact_is_replaced_and_any_other_safetensors_file_is_not(
    artifact_path: Path, tmp_path: Path
) -> None:
    refuse_foreign([artifact_path])
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    with pytest.raises(ForeignFileError):
        refuse_foreign([artifact_path, other])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.write_text("mine"), "isn't as neuralbits wrote it"),
        (lambda path: path.touch(), "isn't as neuralbits wrote it"),
        (lambda path: path.symlink_to(written(path.parent / "own.md")), "is a link"),
        (lambda path: path.symlink_to(path.parent / "none"), "is a link"),
        (Path.mkdir, "is a folder: name another output"),
        (os.mkfifo, "isn't a regular file: name another output"),
    ],
)
def test_a_file_of_the_user_at_an_outputs_path_is_named_and_kept(
    make: Callable[[Path], object], sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "card.md"
    make(path)
    before = path.lstat()
    with pytest.raises(ForeignFileError, match=f"card.md {sentence}"):
        written(path)
    assert path.lstat() == before


def test_overwrite_replaces_a_link_without_following_it(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    path = tmp_path / "card.md"
    path.symlink_to(target)
    with atomic_write(path, overwrite=True) as file:
        file.write(b"new")
    assert (path.is_symlink(), path.read_bytes(), target.read_text()) == (False, b"new", "mine")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_overwrite_replaces_no_folder_and_no_device(
    make: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / "card.md"
    make(path)
    with pytest.raises(ForeignFileError), atomic_write(path, overwrite=True):
        pass


def test_a_file_that_appears_while_another_is_written_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "card.md"

    def write_meanwhile() -> None:
        with atomic_write(path) as file:
            file.write(b"new")
            path.write_text("mine")

    with pytest.raises(ForeignFileError):
        write_meanwhile()
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_names_the_file_even_if_the_writer_raises_another_error(
    tmp_path: Path,
) -> None:
    """As torch does: it replaces the file's error by another."""
    script = """if True:
        import resource, sys
        from pathlib import Path
        from neuralbits.files import atomic_write
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            with atomic_write(Path(sys.argv[1])) as file:
                try:
                    file.write(bytes(100_000))
                except OSError as error:
                    raise RuntimeError("unexpected position") from error
        except OSError as error:
            print(error.filename, error.strerror)
    """
    path = tmp_path / "checkpoint"
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{path} File too large\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("parent", ["missing", "file"])
def test_a_folder_that_is_missing_is_named_with_the_file(tmp_path: Path, parent: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / parent / "card.md"
    with pytest.raises(OSError, match=r"card\.md") as refused:
        written(path)
    assert refused.value.filename == str(path)


def test_only_the_temporary_files_of_killed_writes_are_removed(tmp_path: Path) -> None:
    users = {"card.md", "card.md.partial", "card.md.draft-12.partial", "card.mdabcdefgh.old"}
    for name in {*users, "card.mdab_9wxyz.partial"}:
        (tmp_path / name).touch()
    remove_unfinished(tmp_path / "card.md")
    assert {path.name for path in tmp_path.iterdir()} == users


def test_only_one_process_can_lock_a_folder(tmp_path: Path) -> None:
    with locked(tmp_path):
        with (
            pytest.raises(NeuralbitsError, match="another process is using"),
            locked(tmp_path),
        ):
            pass
        script = (
            "import pathlib, sys; from neuralbits.files import locked\n"
            "with locked(pathlib.Path(sys.argv[1])): pass"
        )
        done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True)
        assert b"another process is using" in done.stderr
    with locked(tmp_path):
        pass
