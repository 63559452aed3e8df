"""The C kernel against the reference: the same bits, the same scores, the same refusals."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuralbits import _unicode, artifact, ngrams, reference
from neuralbits.artifact import Artifact
from neuralbits.network import Activation, Layer, Network, lead, probabilities
from neuralbits.ngrams import FAMILIES
from neuralbits.packing import Precision
from neuralbits.projection import Projection
from neuralbits.text import normalise, tokens
from tests.runtime.test_network import random_layer
from tests.support.builds import SANITIZED, STRICT, compiled
from tests.support.homes import UTTERANCES, make_artifact
from tests.support.paths import ROOT
from tests.support.requirements import needs_compiler

pytestmark = needs_compiler

MALFORMED, UNSUPPORTED, NEWER, FOREIGN, TOO_VARIED = 3, 4, 2, 1, 6
TEXTS = [*(text for texts in UTTERANCES.values() for text in texts), "", "?!", "straße 20% 한국어"]


BUILDS = {
    "fastest": ["-O3"],
    "avx2": ["-O3", "-DVERSIONS=1"],
    "plain": ["-O2", "-DVERSIONS=0"],
    "sanitized": SANITIZED,
}


@pytest.fixture(scope="module", params=BUILDS.values(), ids=BUILDS)
def driver(request: pytest.FixtureRequest) -> Path:
    return compiled("cc", [*STRICT, *request.param])


def run(
    driver: Path, content: bytes, texts: Sequence[str], folder: Path, *arguments: str
) -> list[Any]:
    """Answer texts with the kernel; a single number, the status, if it refuses the file."""
    path = folder / "model.safetensors"
    path.write_bytes(content)
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    given = b"".join(len(text).to_bytes(4, "little") + text for text in encoded)
    command = [driver, path, *arguments]
    ran = subprocess.run(command, input=given, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    return [json.loads(line) for line in ran.stdout.splitlines()]


def words(bits: npt.NDArray[np.uint8]) -> list[int]:
    """Write bits, shape (b, I), as the kernel gives them."""
    packed = np.packbits(bits, axis=1, bitorder="little")
    whole = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))
    return [int(word) for word in whole.view("<u8").ravel()]


def assert_alike(driver: Path, held: Artifact, texts: Sequence[str], folder: Path) -> None:
    answers = run(driver, artifact.encode(held)[0], texts, folder)
    observed = [held.projection.features(text) for text in texts]
    bits = [held.projection.project(features) for features in observed]
    assert [answer["features"] for answer in answers] == [len(features) for features in observed]
    assert [answer["bits"] for answer in answers] == [words(each) for each in bits]
    scores = held.network.scores(np.stack(bits))
    assert [answer["scores"] for answer in answers] == scores.tolist()
    assert [answer["lead"] for answer in answers] == lead(scores).tolist()
    predictions = reference.classifier(held).classify_batch(texts)
    assert [held.labels[answer["intent"]] for answer in answers] == [
        prediction.intent for prediction in predictions
    ]
    assert [answer["in_scope"] for answer in answers] == [
        prediction.in_scope for prediction in predictions
    ]
    expected = probabilities(scores * (held.network.scale / held.temperature))
    found = np.array([answer["probabilities"] for answer in answers])
    assert np.allclose(found, expected, rtol=1e-12, atol=1e-300)


def assert_explained_alike(
    driver: Path, held: Artifact, texts: Sequence[str], folder: Path
) -> None:
    """Check that leaving n-grams out gives what the reference says, in the order of the table."""
    answers = run(driver, artifact.encode(held)[0], texts, folder, "explain")
    families, projection = tuple(FAMILIES), held.projection
    for text, answer in zip(texts, answers, strict=True):
        expected = reference.classifier(held).explain(text)
        occurring = ngrams.counted(tokens(text), projection.families)
        assert answer["bits"] == words(projection.project(projection.features(text)))
        assert [
            (families[family - 1], bytes.fromhex(string).decode(), feature, count)
            for family, string, feature, count, _ in answer["ngrams"]
        ] == [
            (family, ngram, ngrams.feature(ngram, family), count)
            for (family, ngram), count in occurring.items()
        ]
        known = {(each.family, each.ngram): each.influence for each in expected.ngrams}
        assert [influence for *_, influence in answer["ngrams"]] == pytest.approx(
            [known[each] for each in occurring], rel=1e-9, abs=1e-9
        )


def make(
    projection: Projection | None = None,
    units: int = 5,
    first: Precision = "binary",
    later: Precision = "int4",
    activation: Activation = "relu",
    zeros: float = 0.0,
    layers: int = 2,
) -> Artifact:
    """Make an artifact of random weights, a share of which is 0."""
    generator = np.random.default_rng(0)
    projection = projection or Projection(functions=4, dimensions=16, stride=2)
    inputs, precision, made = projection.inputs, first, []
    for index in range(layers):
        output = index == layers - 1
        layer = random_layer(generator, units, inputs, precision, activation, output)
        if output:
            layer = replace(layer, activation="linear")
        if precision != "binary":
            kept = generator.random(layer.weights.shape) >= zeros
            weights = np.where(layer.weights == 0, 1, layer.weights) * kept
            layer = replace(layer, weights=weights)
        made.append(layer)
        inputs, precision = units, later
    return replace(
        make_artifact(),
        projection=projection,
        network=Network(made, scale=0.0037),
        labels=tuple(f"intent {i}" for i in range(units)),
        temperature=0.731,
        threshold=123.25,
    )


def full(units: int, bias: int, multiplier: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the same bias, and the same multiplier, for every unit."""
    return np.full(units, bias, dtype=np.int32), np.full(units, multiplier, dtype=np.int16)


def altered(content: bytes, *changes: tuple[str, str]) -> bytes:
    """Put other settings into a file, without asking whether they make sense."""
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size].decode()
    for before, after in changes:
        assert before in header
        header = header.replace(before, after)
    return len(header).to_bytes(8, "little") + header.encode() + content[8 + size :]


def test_the_committed_tables_are_those_of_the_reference() -> None:
    script = ROOT / "tools" / "make_kernel_unicode.py"
    printed = subprocess.run([sys.executable, script], capture_output=True, check=True).stdout
    assert printed == (ROOT / "kernel" / "unicode.h").read_bytes()


def test_no_byte_becomes_more_code_points_than_the_scratch_buffer_counts_on() -> None:
    assert max(len(text) / len(chr(code).encode()) for code, text in _unicode.FOLDED.items()) <= 6


def test_no_byte_becomes_more_tokens_than_the_scratch_buffer_has_room_for() -> None:
    def most_bytes(code: int) -> int:
        kept = normalise(chr(code)).replace(" ", "")
        return len(kept.encode()) + len(kept)  # with a space before each

    assert (
        max(
            most_bytes(code) / len(chr(code).encode("utf-8", "surrogatepass"))
            for code in (0x41, 0xD800, 0xFFFD, *range(0xAC00, 0xD7A4), *_unicode.FOLDED)
        )
        <= 15
    )


def test_the_vectors_have_the_bits_of_the_reference(driver: Path, tmp_path: Path) -> None:
    vectors = ROOT / "tests" / "vectors"
    lines = (vectors / "vectors.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    for chosen in json.loads((vectors / "projections.json").read_text()).values():
        projection = Projection(**{**chosen, "families": tuple(chosen["families"])})
        assert_alike(driver, make(projection), texts, tmp_path)


@pytest.mark.parametrize(
    "projection",
    [
        Projection(functions=1, dimensions=1, stride=1, code_bits=1),
        Projection(functions=1, dimensions=64, stride=1),
        Projection(functions=16, dimensions=64, stride=4, removed=(0, 3, 4, 15)),
        Projection(functions=6, dimensions=33, stride=2, families=("skip_bigrams",), removed=(5,)),
        Projection(functions=32, dimensions=5, stride=8, code_bits=1, blocks=True, removed=(31,)),
        Projection(functions=128, dimensions=7, stride=64, families=tuple(FAMILIES)),
    ],
    ids=str,
)
def test_any_projection_will_do(driver: Path, projection: Projection, tmp_path: Path) -> None:
    assert_alike(driver, make(projection), TEXTS, tmp_path)


@pytest.mark.parametrize("zeros", [0.0, 0.6, 0.97, 1.0])
@pytest.mark.parametrize("precision", ["binary", "ternary", "int4", "int8"])
def test_any_weights_will_do_packed_or_sparse(
    driver: Path, precision: Precision, zeros: float, tmp_path: Path
) -> None:
    activation: Activation
    for activation in ("linear", "relu"):
        for layers, units in ((1, 5), (2, 21), (4, 5)):
            held = make(None, units, precision, precision, activation, zeros, layers)
            assert_alike(driver, held, TEXTS, tmp_path)


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(max_size=40), min_size=1, max_size=50))
def test_any_text_will_do(driver: Path, tmp_path_factory: Any, texts: list[str]) -> None:
    assert_alike(driver, make(), texts, tmp_path_factory.mktemp("texts"))


def test_every_code_point_is_read_as_the_reference_reads_it(driver: Path, tmp_path: Path) -> None:
    # Each between two letters: whether it vanishes, joins or separates them shows.
    held = make(Projection(functions=2, dimensions=64, stride=1, code_bits=1))
    listed = set(_unicode.FOLDED) | {
        code
        for ranges in (
            _unicode.REMOVED,
            _unicode.SEPARATORS,
            _unicode.LETTERS,
            _unicode.DIGITS,
        )
        for first, last in ranges
        for code in (first - 1, first, last, last + 1)
    }
    codes = sorted({*listed, *range(0x3000), *range(0xAC00, 0xD7A4, 97), 0xD7FF, 0xD800, 0xFFFD})
    assert_alike(driver, held, [f"a{chr(code)}b" for code in codes if code >= 0], tmp_path)


@pytest.mark.parametrize("blocks", [False, True])
def test_texts_are_explained_as_by_the_reference(
    driver: Path, blocks: bool, tmp_path: Path
) -> None:
    projection = Projection(16, 7, 2 - blocks, 4, tuple(FAMILIES), blocks, removed=(0, 7))
    texts = [*TEXTS, "ab ab ab " * 30, "x" * 300, "\ufdfa a\ud800b \ufdfa", "한 20 %%% 한"]
    assert_explained_alike(driver, make(projection), texts, tmp_path)


def test_a_text_of_too_many_ngrams_is_not_explained(driver: Path, tmp_path: Path) -> None:
    held = make(Projection(4, 16, stride=2, families=("words",)))
    most = " ".join(chr(0x1F300 + n) for n in range(2048))
    content = artifact.encode(held)[0]
    (answer,) = run(driver, content, [most], tmp_path, "explain")
    assert len(answer["ngrams"]) == 2048
    assert run(driver, content, [most + " a"], tmp_path, "explain") == [TOO_VARIED]


def test_a_long_text_and_a_long_token_will_do(driver: Path, tmp_path: Path) -> None:
    texts = ["turn off the lamp " * 2000, "x" * 30000, "\ufdfa" * 3000]
    assert_alike(driver, make(), texts, tmp_path)


@pytest.mark.parametrize(
    ("encoded", "read"),
    [
        (b"\xff", "\ufffd"),
        (b"a\xc3", "a\ufffd"),  # ends within a character
        (b"\xe2\x82", "\ufffd"),
        (b"\xc0\xaf", "\ufffd\ufffd"),  # a longer form than it takes
        (b"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"),  # beyond Unicode
        (b"\xf0\x9f\x98z", "\ufffdz"),
        (b"\xed\xa0\x80", "\ufffd"),  # a surrogate
    ],
)
def test_what_is_no_utf_8_is_read_as_replacement_characters(
    driver: Path, encoded: bytes, read: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(artifact.encode(make())[0])
    given = len(encoded).to_bytes(4, "little") + encoded
    ran = subprocess.run([driver, path], input=given, capture_output=True, check=True)
    (expected,) = run(driver, path.read_bytes(), [read], tmp_path)
    assert json.loads(ran.stdout) == expected


def test_float_weights_and_too_many_layers_are_unsupported(driver: Path, tmp_path: Path) -> None:
    for held in (make(first="float", later="float"), make(layers=5)):
        assert run(driver, artifact.encode(held)[0], [], tmp_path) == [UNSUPPORTED]


def test_a_layer_may_be_so_wide_that_its_products_exceed_32_bits_on_the_way(
    driver: Path, tmp_path: Path
) -> None:
    # All activations are 127, and so are the weights: stored ones are summed as 255 each.
    width = 1 << 17
    held = make(Projection(functions=1, dimensions=1, stride=1, code_bits=1), units=2)
    first = Layer(np.zeros((width, 1)), "ternary", *full(width, bias=1, multiplier=2**15 - 1))
    output = Layer(np.full((2, width), 127.0), "int8", np.zeros(2, dtype=np.int32))
    held = replace(held, network=Network([first, output], scale=1e-7))
    assert_alike(driver, held, ["lamp"], tmp_path)


def test_a_newer_format_is_told_from_a_malformed_one(driver: Path, tmp_path: Path) -> None:
    content = artifact.encode(make())[0]
    newer = content.replace(rb"\"format_version\":1", rb"\"format_version\":2")
    assert run(driver, newer, [], tmp_path) == [NEWER]


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\xff" * 64, b"PK\x03\x04" * 100])
def test_a_foreign_file_is_refused(driver: Path, content: bytes, tmp_path: Path) -> None:
    assert run(driver, content, ["lamp"], tmp_path) == [FOREIGN]


def test_a_file_that_ends_early_is_refused_wherever_it_ends(driver: Path, tmp_path: Path) -> None:
    content = artifact.encode(make(zeros=0.9, first="ternary"))[0]
    for size in range(0, len(content), 37):
        assert run(driver, content[:size], ["lamp"], tmp_path) in ([FOREIGN], [MALFORMED])


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_an_altered_file_is_refused_or_answered_but_never_read_beyond(
    driver: Path, tmp_path_factory: Any, data: st.DataObject
) -> None:
    content = bytearray(
        artifact.encode(
            make(zeros=0.9, first=data.draw(st.sampled_from(["binary", "ternary", "int8"])))
        )[0]
    )
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        end = data.draw(st.sampled_from([8, header, len(content)]))
        place = data.draw(st.integers(0, end - 1))
        content[place] = data.draw(
            st.integers(0, 255) | st.sampled_from(list(b'0123456789[]{},:"'))
        )
    folder = tmp_path_factory.mktemp("altered")
    # Only the digest, which the kernel leaves to the reference, tells some alterations.
    run(driver, bytes(content), ["turn on the lamp", ""], folder)


@pytest.mark.parametrize(
    "changes",
    [
        [(r"\"dimensions\":16", r"\"dimensions\":64"), (r"\"blocks\":false", r"\"blocks\":true")],
        [(r"\"scale\":0.0037", r"\"scale\":1e300")],  # a logit that overflows
        [(r"\"scale\":0.0037", r"\"scale\":1" + 399 * "0"), (":0.731", ":1" + 399 * "0")],
    ],
    ids=["too large a block", "too large a scale", "no finite number"],
)
def test_settings_that_overflow_are_malformed(
    driver: Path, changes: list[tuple[str, str]], tmp_path: Path
) -> None:
    content = artifact.encode(make())[0]
    assert run(driver, altered(content, *changes), ["lamp"], tmp_path) == [MALFORMED]


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_number_of_a_file_leads_beyond_it(
    driver: Path, tmp_path_factory: Any, data: st.DataObject
) -> None:
    content = artifact.encode(make(zeros=0.9, first="ternary"))[0]
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size].decode()
    digits = [i for i, character in enumerate(header) if character.isdigit()]
    place = data.draw(st.sampled_from(digits))
    number = str(
        data.draw(st.sampled_from([0, 1, 7, 255, 65536, 2**31, 2**32, 2**40, 2**64, 10**30]))
    )
    header = header[:place] + number + header[place + 1 :]
    altered = len(header).to_bytes(8, "little") + header.encode() + content[8 + size :]
    run(driver, altered, ["turn on the lamp"], tmp_path_factory.mktemp("numbers"))
