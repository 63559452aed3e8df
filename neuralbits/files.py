"""Atomic writes that never replace, follow or delete a file of the user.

neuralbits owns a regular file if the file is an artifact, if it ends with a stamp (a hash of the
content before the stamp), or if its hash is in a record that the caller keeps, as an export does.
So a stamped file that was edited is the user's, and so are links, folders and devices.
"""

import hashlib
import io
import os
import re
import stat
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from neuralbits.errors import ForeignFileError, NeuralbitsError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_STAMP = re.compile(rb'Written by neuralbits\. sha256:([0-9a-f]{64})(?: -->|"\n})\n\Z')
_ARTIFACT = b'{"__metadata__":{"neuralbits":'  # after the eight bytes of the header's length
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


@contextmanager
def atomic_write(
    path: Path, *, overwrite: bool = False, digests: Collection[str] = ()
) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path``, and rename it to ``path`` at the end of the context.

    The content is on the disk before the rename, so a reader sees the old file or the whole new
    one, even after a power failure. A link at ``path`` is never followed.

    Args:
        path: where the file goes.
        overwrite: also replace a file that neuralbits didn't write, or a link.
        digests: SHA-256 digests, in hexadecimal, of versions of the file that neuralbits wrote.

    Raises:
        ForeignFileError: neuralbits didn't write the file at ``path``.
        OSError: the file can't be written; the error names ``path``. The old file is unchanged.

    Example:
        >>> with atomic_write(Path("report.html")) as file:
        ...     size = file.write(stamped("<!doctype html>…", ".html"))
        >>> is_own(Path("report.html"))
        True
    """
    refuse_foreign([path], overwrite=overwrite, digests=digests)
    temporary: Path | None = None
    raw: _ErrorKeepingFile | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=path.name, suffix=".partial", dir=path.parent)
        temporary, raw = Path(name), _ErrorKeepingFile(handle, "wb")
        with io.BufferedWriter(raw) as file:
            yield file
            file.flush()
            os.fsync(handle)
        temporary.chmod(0o644)
        refuse_foreign([path], overwrite=overwrite, digests=digests)
        temporary.replace(path)
    except BaseException as error:
        if temporary:
            temporary.unlink(missing_ok=True)
        cause = raw.error if raw and raw.error and isinstance(error, Exception) else error
        if isinstance(cause, OSError) and str(cause.filename or path).startswith(str(path)):
            raise OSError(cause.errno, cause.strerror, str(path)) from None
        raise


def refuse_foreign(
    paths: Iterable[Path], *, overwrite: bool = False, digests: Collection[str] = ()
) -> None:
    """Check that each path is free, or has a file that neuralbits wrote.

    Args:
        paths: the planned outputs.
        overwrite: also accept other regular files and links; a link is replaced, not followed.
        digests: SHA-256 digests, in hexadecimal, of files that neuralbits wrote.

    Raises:
        ForeignFileError: a path has a folder, a device, or a file of the user.
        OSError: a file can't be read.
    """
    for path in paths:
        try:
            kind = stat.S_IFMT(path.lstat().st_mode)
        except FileNotFoundError:
            continue
        if kind == stat.S_IFDIR:
            raise ForeignFileError(f"{path} is a folder: name another output")
        if kind not in (stat.S_IFREG, stat.S_IFLNK):
            raise ForeignFileError(f"{path} isn't a regular file: name another output")
        if not overwrite and (kind == stat.S_IFLNK or not is_own(path, digests)):
            what = "is a link" if kind == stat.S_IFLNK else "isn't as neuralbits wrote it"
            raise ForeignFileError(
                f"{path} {what}: move it away, name another output, or pass --overwrite"
            )


def is_own(path: Path, digests: Collection[str] = ()) -> bool:
    """Return whether ``path`` has a file that neuralbits wrote and no one edited since.

    Raises:
        OSError: the file can't be read.
    """
    if not path.exists() or not stat.S_ISREG(path.lstat().st_mode):
        return False
    with os.fdopen(os.open(path, os.O_RDONLY | _NOFOLLOW), "rb") as file:
        if file.read(8 + len(_ARTIFACT))[8:] == _ARTIFACT:
            return True
        size = file.seek(0, os.SEEK_END)
        start = file.seek(max(0, size - 256))
        stamp = _STAMP.search(file.read())
        file.seek(0)
        if stamp and _hash(file, start + stamp.start()) == stamp[1].decode():
            return True
        file.seek(0)
        return bool(digests) and _hash(file, size) in digests


def stamped(text: str, ending: str) -> bytes:
    """Encode a text as UTF-8 with a stamp, by which `is_own` recognises the unedited file.

    Args:
        text: HTML, SVG or Markdown, which get a comment, or an indented JSON object, which gets
            an entry ``"stamp"``.
        ending: the file name's ending: ``.json`` or another.
    """
    if ending == ".json":
        head, tail = text.rstrip().removesuffix("}").rstrip() + ',\n  "stamp": "', '"\n}\n'
    else:
        head, tail = text + "<!-- ", " -->\n"
    content = head.encode(errors="backslashreplace")
    stamp = f"Written by neuralbits. sha256:{hashlib.sha256(content).hexdigest()}"
    return content + stamp.encode() + tail.encode()


def remove_unfinished(path: Path) -> None:
    """Delete the temporary files that killed calls of `atomic_write` to ``path`` left.

    The caller must be the only process that writes there: see `locked`.
    """
    temporary = re.compile(re.escape(path.name) + r"[a-z0-9_]{8}\.partial")
    for file in path.parent.iterdir():
        if temporary.fullmatch(file.name):
            file.unlink()


def lock(handle: int) -> None:
    """Lock an open file until the last process with this descriptor closes it or ends.

    Raises:
        BlockingIOError: another process has locked the file.
    """
    if sys.platform == "win32":
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from None
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Lock a folder; yield a descriptor that child processes can inherit to extend the lock.

    Raises:
        NeuralbitsError: another process has locked the folder.
        OSError: the folder doesn't exist.
    """
    if sys.platform == "win32":  # Windows can't open a folder
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
    else:
        handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            lock(handle)
        except BlockingIOError:
            raise NeuralbitsError(
                f"another process is using {folder}: wait until it ends, or name another folder"
            ) from None
        yield handle
    finally:
        os.close(handle)


class _ErrorKeepingFile(io.FileIO):
    """A file that keeps the OSError of a failed write: some libraries raise their own instead."""

    error: OSError | None = None

    def write(self, content: object, /) -> int:
        try:
            return super().write(content)  # type: ignore[arg-type]
        except OSError as error:
            self.error = error
            raise


def _hash(file: BinaryIO, size: int) -> str:
    digest = hashlib.sha256()
    while size > 0 and (part := file.read(min(size, 1 << 20))):
        digest.update(part)
        size -= len(part)
    return digest.hexdigest()
