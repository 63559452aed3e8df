"""The C kernel against the reference: the same bits, the same scores, the same refusals."""

import functools
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuralbits import _unicode, artifact, ngrams, reference
from neuralbits.artifact import Artifact
from neuralbits.explanation import Explanation
from neuralbits.network import Activation, Layer, Network, margin, probabilities
from neuralbits.ngrams import FAMILIES
from neuralbits.packing import Precision
from neuralbits.projection import Projection
from neuralbits.text import normalise, tokens
from tests.runtime.test_network import random_layer
from tests.support.builds import SANITIZED, STRICT, compiled
from tests.support.driver import Driver
from tests.support.homes import UTTERANCES, make_artifact
from tests.support.paths import ROOT
from tests.support.requirements import needs_compiler
from tests.support.tiers import tiers

pytestmark = needs_compiler

MALFORMED, UNSUPPORTED, NEWER, FOREIGN, TOO_VARIED = 3, 4, 2, 1, 6
TEXTS = [*(text for texts in UTTERANCES.values() for text in texts), "", "?!", "straße 20% 한국어"]


BUILDS = {
    "fastest": ["-O3"],
    "avx2": ["-O3", "-DNEURALBITS_SIMD=1"],
    "plain": ["-O2", "-DNEURALBITS_SIMD=0"],
    "sanitized": SANITIZED,
}


@pytest.fixture(scope="module", params=BUILDS.values(), ids=BUILDS)
def driver(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Driver]:
    program = compiled("cc", [*STRICT, *request.param])
    with Driver([program], tmp_path_factory.mktemp("driver")) as started:
        yield started


def words(bits: npt.NDArray[np.uint8]) -> list[int]:
    """Pack bits, shape (b, I), into words as the kernel does."""
    packed = np.packbits(bits, axis=1, bitorder="little")
    padded = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))
    return [int(word) for word in padded.view("<u8").ravel()]


class Expected(NamedTuple):
    """The answers of the reference for some texts."""

    features: list[int]
    bits: list[list[int]]
    scores: npt.NDArray[Any]
    intents: list[int]
    in_scope: list[bool]


@functools.cache
def by_reference(content: bytes, texts: tuple[str, ...]) -> Expected:
    """Answer texts by the reference, once for all builds of the kernel."""
    model = artifact.decode(content)
    extracted = [model.projection.features(text) for text in texts]
    bits = [model.projection.project(features) for features in extracted]
    predictions = reference.classifier(model).classify_batch(texts)
    return Expected(
        [len(features) for features in extracted],
        [words(each) for each in bits],
        model.network.scores(np.stack(bits)),
        [model.labels.index(prediction.intent) for prediction in predictions],
        [prediction.in_scope for prediction in predictions],
    )


def assert_alike(driver: Driver, model: Artifact, texts: Sequence[str]) -> None:
    content = artifact.encode(model)[0]
    answers = driver.answer(content, texts)
    expected = by_reference(content, tuple(texts))
    assert [answer["features"] for answer in answers] == expected.features
    assert [answer["bits"] for answer in answers] == expected.bits
    assert [answer["scores"] for answer in answers] == expected.scores.tolist()
    assert [answer["margin"] for answer in answers] == margin(expected.scores).tolist()
    assert [answer["intent"] for answer in answers] == expected.intents
    assert [answer["in_scope"] for answer in answers] == expected.in_scope
    shares = probabilities(expected.scores * (model.network.scale / model.temperature))
    computed = np.array([answer["probabilities"] for answer in answers])
    assert np.allclose(computed, shares, rtol=1e-12, atol=1e-300)


@functools.cache
def explained_by_reference(content: bytes, text: str) -> Explanation:
    return reference.classifier(artifact.decode(content)).explain(text)


def assert_explained_alike(driver: Driver, model: Artifact, texts: Sequence[str]) -> None:
    """Check that the influences equal the reference's, in the order of the table."""
    content = artifact.encode(model)[0]
    answers = driver.answer(content, texts, explain=True)
    families, projection = tuple(FAMILIES), model.projection
    for text, answer in zip(texts, answers, strict=True):
        expected = explained_by_reference(content, text)
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
    """Make an artifact with random weights, of which a share is 0."""
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
    """Replace settings in a file, without checking them."""
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


def test_the_scratch_buffer_has_room_for_the_code_points_of_any_text() -> None:
    assert max(len(text) / len(chr(code).encode()) for code, text in _unicode.FOLDED.items()) <= 6


def test_the_scratch_buffer_has_room_for_the_tokens_of_any_text() -> None:
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


def test_the_vectors_have_the_bits_of_the_reference(driver: Driver) -> None:
    vectors = ROOT / "tests" / "vectors"
    lines = (vectors / "vectors.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    for chosen in json.loads((vectors / "projections.json").read_text()).values():
        projection = Projection(**{**chosen, "families": tuple(chosen["families"])})
        assert_alike(driver, make(projection), texts)


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
def test_any_projection_is_answered_as_by_the_reference(
    driver: Driver, projection: Projection
) -> None:
    assert_alike(driver, make(projection), TEXTS)


@pytest.mark.parametrize("zeros", [0.0, 0.6, 0.97, 1.0])
@pytest.mark.parametrize("precision", ["binary", "ternary", "int4", "int8"])
def test_any_weights_are_answered_as_by_the_reference(
    driver: Driver, precision: Precision, zeros: float
) -> None:
    activation: Activation
    for activation in ("linear", "relu"):
        for layers, units in ((1, 5), (2, 21), (4, 5)):
            model = make(None, units, precision, precision, activation, zeros, layers)
            assert_alike(driver, model, TEXTS)


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(max_size=40), min_size=1, max_size=50))
def test_any_text_is_answered_as_by_the_reference(driver: Driver, texts: list[str]) -> None:
    assert_alike(driver, make(), texts)


def test_every_code_point_is_read_as_the_reference_reads_it(driver: Driver) -> None:
    # Each between two letters, to show whether it vanishes, joins or separates them.
    model = make(Projection(functions=2, dimensions=64, stride=1, code_bits=1))
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
    assert_alike(driver, model, [f"a{chr(code)}b" for code in codes if code >= 0])


@pytest.mark.parametrize("blocks", [False, True])
def test_texts_are_explained_as_by_the_reference(driver: Driver, blocks: bool) -> None:
    projection = Projection(16, 7, 2 - blocks, 4, tuple(FAMILIES), blocks, removed=(0, 7))
    texts = [*TEXTS, "ab ab ab " * 30, "x" * 300, "\ufdfa a\ud800b \ufdfa", "한 20 %%% 한"]
    assert_explained_alike(driver, make(projection), texts)


def test_a_text_of_too_many_ngrams_is_not_explained(driver: Driver) -> None:
    model = make(Projection(4, 16, stride=2, families=("words",)))
    most = " ".join(chr(0x1F300 + n) for n in range(2048))
    content = artifact.encode(model)[0]
    (answer,) = driver.answer(content, [most], explain=True)
    assert len(answer["ngrams"]) == 2048
    assert driver.answer(content, [most + " a"], explain=True) == [TOO_VARIED]


def test_a_long_text_and_a_long_token_are_answered_as_by_the_reference(driver: Driver) -> None:
    texts = ["turn off the lamp " * 2000, "x" * 30000, "\ufdfa" * 3000]
    assert_alike(driver, make(), texts)


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
def test_invalid_utf_8_is_read_as_replacement_characters(
    driver: Driver, encoded: bytes, read: str
) -> None:
    answer, expected = driver.answer(artifact.encode(make())[0], [encoded, read])
    assert answer == expected


def test_float_weights_and_too_many_layers_are_unsupported(driver: Driver) -> None:
    for model in (make(first="float", later="float"), make(layers=5)):
        assert driver.answer(artifact.encode(model)[0], []) == [UNSUPPORTED]


def test_intermediate_sums_of_a_wide_layer_can_exceed_32_bits(driver: Driver) -> None:
    # All activations are 127, and so are the weights: stored ones are summed as 255 each.
    width = 1 << 17
    model = make(Projection(functions=1, dimensions=1, stride=1, code_bits=1), units=2)
    first = Layer(np.zeros((width, 1)), "ternary", *full(width, bias=1, multiplier=2**15 - 1))
    output = Layer(np.full((2, width), 127.0), "int8", np.zeros(2, dtype=np.int32))
    model = replace(model, network=Network([first, output], scale=1e-7))
    assert_alike(driver, model, ["lamp"])


def test_a_newer_format_has_another_status_than_a_malformed_file(driver: Driver) -> None:
    content = artifact.encode(make())[0]
    newer = content.replace(rb"\"format_version\":1", rb"\"format_version\":2")
    assert driver.answer(newer, []) == [NEWER]


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\xff" * 64, b"PK\x03\x04" * 100])
def test_a_foreign_file_is_refused(driver: Driver, content: bytes) -> None:
    assert driver.answer(content, ["lamp"]) == [FOREIGN]


def test_a_truncated_file_is_refused_at_every_length(driver: Driver) -> None:
    content = artifact.encode(make(zeros=0.9, first="ternary"))[0]
    for size in range(0, len(content), 37):
        assert driver.answer(content[:size], ["lamp"]) in ([FOREIGN], [MALFORMED])


@pytest.mark.parametrize("examples", tiers(40, 1000))
def test_an_altered_file_is_refused_or_answered_but_never_read_beyond(
    driver: Driver, examples: int
) -> None:
    whole = [
        artifact.encode(make(zeros=0.9, first=first))[0] for first in ("binary", "ternary", "int8")
    ]

    @settings(max_examples=examples)
    @given(st.data())
    def alter(data: st.DataObject) -> None:
        content = bytearray(data.draw(st.sampled_from(whole)))
        header = 8 + int.from_bytes(content[:8], "little")
        for _ in range(data.draw(st.integers(1, 4))):
            end = data.draw(st.sampled_from([8, header, len(content)]))
            place = data.draw(st.integers(0, end - 1))
            content[place] = data.draw(
                st.integers(0, 255) | st.sampled_from(list(b'0123456789[]{},:"'))
            )
        # The digest, which the kernel doesn't check, is the only sign of some alterations.
        driver.answer(bytes(content), ["turn on the lamp", ""])

    alter()


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
    driver: Driver, changes: list[tuple[str, str]]
) -> None:
    content = artifact.encode(make())[0]
    assert driver.answer(altered(content, *changes), ["lamp"]) == [MALFORMED]


@pytest.mark.parametrize("examples", tiers(20, 1000))
def test_no_number_in_a_file_makes_the_kernel_read_beyond_it(driver: Driver, examples: int) -> None:
    content = artifact.encode(make(zeros=0.9, first="ternary"))[0]
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size].decode()
    digits = [i for i, character in enumerate(header) if character.isdigit()]
    numbers = [0, 1, 7, 255, 65536, 2**31, 2**32, 2**40, 2**64, 10**30]

    @settings(max_examples=examples)
    @given(st.sampled_from(digits), st.sampled_from(numbers))
    def put(place: int, number: int) -> None:
        changed = f"{header[:place]}{number}{header[place + 1 :]}".encode()
        altered = len(changed).to_bytes(8, "little") + changed + content[8 + size :]
        driver.answer(altered, ["turn on the lamp"])

    put()
