"""Programs that tests compile, each once per set of flags, shared by test processes."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock

from tests.support.paths import ROOT

FOLDER = ROOT / "build" / "tests"
KERNEL = ROOT / "kernel" / "neuralbits.c"
DRIVER = [KERNEL, ROOT / "tests" / "kernel" / "driver.c"]
"""The kernel, and a program that answers texts with it."""
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
SANITIZED = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def sources_digest() -> str:
    """Return the SHA-256, in hexadecimal, of all C sources of the repository."""
    digest = hashlib.sha256()
    for folder in ("kernel", "neuralbits", "fuzz", "tests/kernel"):
        for path in sorted((ROOT / folder).rglob("*.[chl]*")):
            if path.suffix in (".c", ".h", ".ld"):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def cached(make: Callable[[Path], object], *key: object) -> Path:
    """Return a cached file, or make it.

    Args:
        make: A function that writes the file to a path.
        key: The inputs of the file other than the repository's C sources, such as flags.

    Returns:
        The path, in a folder that processes and runs share; don't change the file.
    """
    digest = hashlib.sha256(f"{sources_digest()} {key!r}".encode()).hexdigest()[:32]
    path = FOLDER / digest
    FOLDER.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            unfinished = path.with_suffix(".unfinished")
            make(unfinished)
            unfinished.rename(path)
    return path


def compiled(compiler: str, flags: Sequence[str | Path], sources: Sequence[Path] = DRIVER) -> Path:
    """Compile a program, or return the cached one for these flags and sources."""
    version = subprocess.check_output([compiler, "--version"], text=True)

    def compile_to(path: Path) -> None:
        subprocess.run([compiler, *flags, *sources, "-o", path], check=True)

    return cached(
        compile_to, shutil.which(compiler), version, [*map(str, flags)], [*map(str, sources)]
    )
