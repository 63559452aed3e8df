"""The kernel under Valgrind: it reads no uninitialised byte, and leaks no memory.

AddressSanitizer (test_kernel.py) finds accesses beyond a buffer, but not a branch that depends on
uninitialised bytes of the scratch buffer.
"""

import subprocess
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.kernel.test_kernel import TEXTS as PLAIN
from tests.support.builds import STRICT, compiled
from tests.support.requirements import needs
from tools.compare_random import texts
from tools.make_fuzz_corpus import corpus

MEMCHECK = ["--quiet", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=all"]

pytestmark = needs("cc", "valgrind", package="gcc libc6-dev libc6-dbg valgrind")

CORPUS = corpus()
ARTIFACTS = [path for path in CORPUS if path.endswith(".safetensors")]
GIVEN = [*(text.encode() for text in PLAIN), *islice(texts(Random(2)), 50)]


@pytest.fixture(scope="module")
def driver() -> Path:
    return compiled(
        "cc", [*STRICT, "-O1", "-g", "-DNEURALBITS_SIMD=0"]
    )  # Valgrind knows no AVX-512


def check(
    driver: Path, content: bytes, folder: Path, texts: Sequence[bytes] = GIVEN, *arguments: str
) -> list[bytes]:
    """Return the kernel's output under Valgrind, which must report no error."""
    path = folder / "model.safetensors"
    path.write_bytes(content)
    given = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    ran = subprocess.run(
        ["valgrind", *MEMCHECK, driver, path, *arguments],
        input=given,
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    assert not ran.stderr, ran.stderr.decode()
    return ran.stdout.splitlines()


def some(values: Sequence[Any], of: int) -> list[Any]:
    """Return every ``of``-th value, and all values in the long tier."""
    return [
        value if index % of == 0 else pytest.param(value, marks=pytest.mark.long)
        for index, value in enumerate(values)
    ]


@pytest.mark.parametrize("path", some(ARTIFACTS, of=8))
def test_texts_are_answered_without_an_error_or_a_leak(
    driver: Path, path: str, tmp_path: Path
) -> None:
    answers = check(driver, CORPUS[path], tmp_path)
    refused = path in ("open/five-layers.safetensors", "open/float.safetensors")
    assert len(answers) == (1 if refused else len(GIVEN))


@pytest.mark.parametrize("name", some(["removed", "blocks", "sparse-int4", "wide"], of=4))
def test_texts_are_explained_without_an_error_or_a_leak(
    driver: Path, name: str, tmp_path: Path
) -> None:
    short = sorted(GIVEN, key=len)[:40]
    content = CORPUS[f"open/{name}.safetensors"]
    assert len(check(driver, content, tmp_path, short, "explain")) == 40


@pytest.mark.parametrize("seed", some(range(12), of=5))  # of each kind below one
def test_hostile_files_are_refused_or_answered_without_an_error_or_a_leak(
    driver: Path, seed: int, tmp_path: Path
) -> None:
    random = Random(seed)
    content = bytearray(CORPUS[random.choice(ARTIFACTS)])
    header = 8 + int.from_bytes(content[:8], "little")
    if seed % 3 == 0:
        del content[random.randrange(len(content)) :]
    for _ in range(seed % 3):  # numbers of the header, bytes of the tensors
        digits = [place for place in range(8, header) if chr(content[place]).isdigit()]
        content[random.choice(digits)] = ord(random.choice("0123456789"))
        content[random.randrange(header, len(content))] = random.randrange(256)
    check(driver, bytes(content), tmp_path)
