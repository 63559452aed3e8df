"""Compare kernel and reference on random texts: features, bits, scores and answers.

    python -m tools.compare_random --count 1000000 --seed 0

The texts have code points of all planes, of one script or of many, combining marks, code points at
the boundaries of the normalisation tables, surrogates, and ill-formed UTF-8. The comparison prints
the first text with different answers, and ends.
"""

import argparse
import codecs
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from neuralbits import _unicode, artifact
from neuralbits.artifact import Artifact
from neuralbits.network import margin
from neuralbits.ngrams import FAMILIES
from neuralbits.projection import Projection
from tests.kernel.test_kernel import make, words
from tests.support.builds import STRICT, compiled
from tests.support.homes import UTTERANCES

CHUNK = 2000
LONGEST = 24
"""Characters."""
HELD = replace(make(Projection(4, 33, stride=2, families=tuple(FAMILIES))), threshold=2500)
"""For a small projection, so that a million texts take minutes; half of them are in scope."""

_RANGES = (
    *_unicode.REMOVED,
    *_unicode.SEPARATORS,
    *_unicode.REPLACED,
    *_unicode.LETTERS,
    *_unicode.DIGITS,
    *((code, code) for code in _unicode.FOLDED),
)
_EDGES = sorted(
    {max(0, edge + step) for range_ in _RANGES for edge in range_ for step in (-1, 0, 1)}
)
_MARKS = [0x301, 0x327, 0x308, 0x5B8, 0x64E, 0x93C, 0x3099, 0x200D, 0xFE0F, 0x1F3FD]
_PHRASES = [text for texts in UTTERANCES.values() for text in texts]
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]?")


def _anywhere(random: Random) -> list[int]:
    """Return code points of any plane, surrogates included."""
    return [random.randrange((random.randrange(17) + 1) << 16) for _ in range(_length(random))]


def _of_a_script(random: Random) -> list[int]:
    """Return adjacent code points, sometimes with a space or a digit between them."""
    first = random.choice((random.randrange(0x3000), random.choice(_EDGES)))
    return [
        random.choice((0x20, 0x30 + random.randrange(10)))
        if random.random() < 0.2
        else min(first + random.randrange(96), 0x10FFFF)
        for _ in range(_length(random))
    ]


def _at_edges(random: Random) -> list[int]:
    """Return code points at the boundaries of the normalisation tables, between letters."""
    return [
        random.choice((0x61, 0x41, 0x37)) if random.random() < 0.3 else random.choice(_EDGES)
        for _ in range(_length(random))
    ]


def _marked(random: Random) -> list[int]:
    """Return a home command with marks between its letters."""
    return [
        code
        for letter in random.choice(_PHRASES)[:LONGEST]
        for code in [ord(letter), *random.choices(_MARKS, k=random.choice((0, 0, 1, 2)))]
    ]


def _length(random: Random) -> int:
    return random.randrange(LONGEST + 1)


_KINDS: Sequence[Callable[[Random], list[int]]] = (_anywhere, _of_a_script, _at_edges, _marked)


def texts(random: Random) -> Iterator[bytes]:
    """Yield texts endlessly as UTF-8; every fifth has changed, missing or added bytes."""
    while True:
        codes = random.choice(_KINDS)(random)
        text = bytearray("".join(map(chr, codes)).encode("utf-8", "surrogatepass"))
        if random.random() < 0.2:
            for _ in range(random.randrange(1, 5)):
                place = random.randrange(len(text) + 1)
                text[place : place + random.randrange(3)] = random.randbytes(random.randrange(3))
        yield bytes(text)


def read(text: bytes) -> str:
    """Decode a text as the kernel must: U+FFFD for each longest ill-formed part."""
    return text.decode("utf-8", _replace.__name__)


def _replace(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    surrogate = _SURROGATE.match(error.object, error.start)  # or the beginning of one: one part
    return "\ufffd", surrogate.end() if surrogate else error.end


codecs.register_error(_replace.__name__, _replace)


def driver() -> Path:
    """Return the kernel with the tests' driver, compiled."""
    if shutil.which("cc") is None:
        raise SystemExit("there is no C compiler: install one, such as Debian's gcc")
    return compiled("cc", [*STRICT, "-O3"])


def by_kernel(path: Path, given: Sequence[bytes]) -> list[dict[str, Any]]:
    """Answer texts with the kernel."""
    framed = b"".join(len(text).to_bytes(4, "little") + text for text in given)
    ran = subprocess.run([driver(), path], input=framed, capture_output=True, check=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def by_reference(held: Artifact, given: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    """Answer texts with the reference, in the driver's format without probabilities."""
    observed = [held.projection.features(read(text)) for text in given]
    bits = [held.projection.project(features) for features in observed]
    scores = held.network.scores(np.stack(bits))
    for features, each, row, led in zip(observed, bits, scores, margin(scores), strict=True):
        yield {
            "features": len(features),
            "bits": words(each),
            "scores": row.astype(int).tolist(),
            "intent": int(row.argmax()),
            "margin": int(led),
            "in_scope": bool(len(features) and led >= held.threshold),
        }


def difference(path: Path, held: Artifact, given: Sequence[bytes]) -> str | None:
    """Describe the first text with different answers; None if all are equal."""
    for text, one, other in zip(
        given, by_kernel(path, given), by_reference(held, given), strict=True
    ):
        del one["probabilities"]
        if one != other:
            return f"{text!r}: the kernel says {one}, the reference {other}"
    return None


def compare(count: int, seed: int, folder: Path) -> Iterator[tuple[int, str | None]]:
    """Compare chunk by chunk; yield the number of compared texts and the first difference."""
    path = folder / "model.safetensors"
    path.write_bytes(artifact.encode(HELD)[0])
    endless = texts(Random(seed))
    for start in range(0, count, CHUNK):
        given = list(islice(endless, min(CHUNK, count - start)))
        yield start + len(given), difference(path, HELD, given)


def main() -> None:
    """Compare, and print the result."""
    parser = argparse.ArgumentParser(description="Compare kernel and reference on random texts.")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for done, differing in compare(arguments.count, arguments.seed, Path(folder)):
            if differing:
                sys.exit(differing)
            print(f"\r{done:,} texts, all alike", end="", flush=True)
    print()


if __name__ == "__main__":
    main()
