"""Write fuzz/corpus/, the fuzzers' initial inputs.

    python -m tools.make_fuzz_corpus

Small artifacts of every kind, and the vectors' texts.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from neuralbits import artifact
from neuralbits.artifact import Artifact
from neuralbits.ngrams import FAMILIES
from neuralbits.packing import Precision
from neuralbits.projection import Projection
from tests.kernel.test_kernel import make
from tests.support.homes import make_artifact

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "fuzz" / "corpus"
VECTORS = ROOT / "tests" / "vectors" / "vectors.jsonl"
LONGEST = 200
"""Bytes of a text: longer ones of the vectors repeat what shorter ones have."""
TOGETHER = 8
"""Texts in a file."""
BLOCKS = Projection(8, 3, 1, stride=4, families=("words",), blocks=True, removed=(7,))

ILL_FORMED = [
    b"\xff \xc0\xaf \xfe\xfe",
    b"a\xc3 \xe2\x82 b \xf0\x9f\x98z",
    b"\xf4\x90\x80\x80 \xed\xa0\x80 \xed\xbf\xbf",
    b"\xe0\x80\x80 \xf0\x80\x80\x80 \xf5\x80",
]


def artifacts() -> Iterator[tuple[str, Artifact]]:
    """Yield artifacts, each with a name: every precision, dense and sparse, every shape."""
    small = Projection(functions=2, dimensions=9, stride=1)
    every: tuple[Precision, ...] = ("binary", "ternary", "int4", "int8")
    yield "home", make_artifact(Projection(2, 64, stride=2, families=("characters",)))
    yield "wide", make(Projection(3, 42, stride=1, families=("skip_bigrams",)), first="ternary")
    for precision in every:
        yield precision, make(small, first=precision, later=precision)
    for precision in every[1:]:
        yield f"sparse-{precision}", make(small, first=precision, later=precision, zeros=0.9)
    for precision in every[2:]:
        yield f"many-units-{precision}", make(small, units=21, later=precision)
    yield "one-layer", make(small, layers=1)
    yield "four-layers", make(small, layers=4, later="ternary", activation="linear")
    yield "five-layers", make(small, layers=5)
    yield "float", make(small, first="float", later="float")
    removed = Projection(8, 17, stride=4, families=tuple(FAMILIES), removed=(0, 3, 6))
    yield "removed", make(removed, first="ternary", zeros=0.9, later="int8")
    yield "blocks", make(BLOCKS, first="int4", zeros=0.5)
    tiny = replace(make(small), network=replace(make(small).network, scale=1e-7), threshold=-1.5e16)
    yield "tiny-scale", tiny


def texts() -> Iterator[bytes]:
    """Yield the vectors' texts as UTF-8, several in a file, and some ill-formed texts."""
    lines = VECTORS.read_text().splitlines()
    found = [json.loads(line)["text"].encode("utf-8", "surrogatepass") for line in lines]
    short = [text for text in found if len(text) <= LONGEST]
    for start in range(0, len(short), TOGETHER):
        yield b" ".join(short[start : start + TOGETHER])
    yield from ILL_FORMED


def corpus() -> dict[str, bytes]:
    """Return every file's content by its path within the folder."""
    files = {f"open/{name}.safetensors": artifact.encode(held)[0] for name, held in artifacts()}
    files["open/projection.json"] = json.dumps(asdict(BLOCKS), separators=(",", ":")).encode()
    return files | {f"text/{place:02}": text for place, text in enumerate(texts())}


def main() -> None:
    """Write the files, and delete any other."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    for path, content in corpus().items():
        (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / path).write_bytes(content)


if __name__ == "__main__":
    main()
