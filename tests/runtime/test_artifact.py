"""The artifact's file format: docs/artifact.md."""

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuralbits import artifact, manifest, reference
from neuralbits.artifact import Artifact
from neuralbits.manifest import ArtifactError, Tensor
from tests.support.homes import UTTERANCES, make_artifact
from tests.support.paths import ROOT

CONTENT, DIGEST = artifact.encode(make_artifact())
Settings = dict[str, Any]
Tensors = dict[str, Any]


def forged(change: Callable[[Settings, Tensors], object]) -> bytes:
    """Return an artifact with a change and a valid digest, as a hostile writer makes it."""
    tensors = safetensors.numpy.load(CONTENT)
    header = json.loads(CONTENT[8 : 8 + struct.unpack("<Q", CONTENT[:8])[0]])
    content = json.loads(header["__metadata__"]["neuralbits"])
    del content["digest"]
    change(content, tensors)
    stored = {name: Tensor(t.dtype.str, t.shape, t.tobytes()) for name, t in tensors.items()}
    content["digest"] = manifest.digest_of(stored, content)
    text = json.dumps(content, separators=(",", ":"))
    return safetensors.numpy.save(tensors, metadata={"neuralbits": text})


def packed(labels: str) -> Any:
    """Compress text as an artifact's labels, valid or not."""
    return np.frombuffer(zlib.compress(labels.encode()), dtype=np.uint8)


def test_reading_returns_the_written_artifact(tmp_path: Path) -> None:
    made = artifact.write(make_artifact(), tmp_path / "a.safetensors")
    read = artifact.read(tmp_path / "a.safetensors")
    assert (read.projection, read.labels, read.temperature, read.threshold) == (
        (made.projection, made.labels, made.temperature, made.threshold)
    )
    assert read.provenance == made.provenance
    assert (read.digest, read.size) == (made.digest, made.size)
    assert read.size == (tmp_path / "a.safetensors").stat().st_size
    texts = [text for texts in UTTERANCES.values() for text in texts]
    assert reference.classifier(read).classify_batch(texts) == reference.classifier(
        made
    ).classify_batch(texts)


def test_equal_artifacts_have_equal_bytes_in_every_process() -> None:
    script = f"from {__name__} import DIGEST, CONTENT; print(DIGEST, hash(CONTENT) and '')"
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    output = subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, env=environment)
    assert output.decode().split() == [DIGEST]
    assert artifact.encode(make_artifact())[0] == CONTENT


def test_the_file_has_only_the_tensors_of_inference() -> None:
    assert sorted(safetensors.numpy.load(CONTENT)) == [
        "labels",
        "layers.0.bias",
        "layers.0.multiplier",
        "layers.0.weights",
        "layers.1.bias",
        "layers.1.weights",
    ]


@given(st.integers(0, len(CONTENT) - 1))
def test_a_truncated_file_is_refused(length: int) -> None:
    with pytest.raises(ArtifactError):
        artifact.decode(CONTENT[:length])


@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
@settings(max_examples=300)
def test_a_file_with_one_byte_altered_is_refused(place: int, difference: int) -> None:
    altered = bytearray(CONTENT)
    altered[place] ^= difference
    with pytest.raises(ArtifactError):
        artifact.decode(bytes(altered))


@given(st.binary(max_size=400))
def test_a_file_of_random_bytes_is_refused(content: bytes) -> None:
    with pytest.raises(ArtifactError):
        artifact.decode(content)


@given(
    st.sampled_from([(), ("projection",), ("network",), ("network", "layers", 0)]),
    st.data(),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.sampled_from([1e308, 5e-324, 2**31 - 1, 16.0, 64.0, 4.0])
        | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=5,
    ),
)
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_a_hostile_file_is_refused_or_works(
    path: tuple[Any, ...], data: st.DataObject, value: Any
) -> None:
    def change(content: Settings, tensors: Tensors) -> None:
        place: Any = content
        for key in path:
            place = place[key]
        place[data.draw(st.sampled_from(sorted(place)))] = value

    try:
        read = artifact.decode(forged(change))
    except ArtifactError:
        return
    prediction = reference.classifier(read).classify("turn of teh lamp")
    assert prediction.intent in read.labels
    assert 0 <= prediction.confidence <= 1


FORGERIES = [
    (lambda s, t: s.update(format_version=2), "install a neuralbits that reads it"),
    (lambda s, t: s.update(format_version=True), "install a neuralbits that reads it"),
    (lambda s, t: s.update(temperature=5e-324), "a scale and a temperature that overflow"),
    (lambda s, t: s.update(labels=["a"]), "not in their canonical form"),
    (
        lambda s, t: t.update(labels=packed('"abcdef"')),
        "labels that are not in their canonical form",
    ),
    (
        lambda s, t: t.update(labels=packed('["a", "b"]')),
        "labels that are not in their canonical form",
    ),
    (lambda s, t: t.update(labels=packed("[")), "malformed: Expecting value"),
    (lambda s, t: t.update(labels=packed("[" * 100_000)), "malformed: maximum recursion"),
    (lambda s, t: t.update(labels=t["labels"][:-1]), "labels with missing or extra bytes"),
    (
        lambda s, t: t.update(labels=np.append(t["labels"], np.uint8(0))),
        "labels with missing or extra bytes",
    ),
    (lambda s, t: t.update(labels=t["labels"][1:]), "labels that can't be decompressed"),
    (lambda s, t: t.update(labels=t["labels"].astype(np.int16)), "labels of shape"),
    (lambda s, t: t.update(labels=packed(" " * (1 << 27))), "more than 1048576 bytes"),
    (lambda s, t: s.update(provenance=[["a", 1]]), "not in their canonical form"),
    (lambda s, t: s.update(comment="hello"), "not in their canonical form"),
    (lambda s, t: s["projection"].update(functions=16.0), "functions is 16.0"),
    (lambda s, t: s["projection"].update(stride=True), "stride is True"),
    (lambda s, t: s["network"]["layers"][0].update(units=6.0), "not in their canonical form"),
    (lambda s, t: s["network"]["layers"][1].update(shift=3), "a last layer with a shift"),
    (
        lambda s, t: t.update({"layers.0.bias": np.full(6, 2**31 - 1, np.int32)}),
        "layer 0 with sums beyond 32 bits",
    ),
    (lambda s, t: s.update(temperature=0), "the temperature 0"),
    (lambda s, t: s.update(temperature="hot"), "the temperature 'hot'"),
    (lambda s, t: s.update(threshold="high"), "the threshold 'high'"),
    (lambda s, t: t.update(labels=packed('["a","b"]')), "2 labels for 6 scores"),
    (lambda s, t: t.update(labels=packed('["a","a"]')), "labels that occur twice"),
    (lambda s, t: t.update(labels=packed('["a",1]')), "labels that are no text"),
    *(
        (
            lambda s, t, escape=escape: t.update(labels=packed(f'["a{escape}b"]')),
            "which has control characters",
        )
        for escape in (r"\n", r"\u0000", r"\u001b[2J", r"\u009b", r"\u2028")
    ),
    (lambda s, t: t.update(labels=packed('["\\ud800"]')), "surrogates not allowed"),
    (lambda s, t: t.pop("labels"), "'labels' is missing"),
    (lambda s, t: s["projection"].update(stride=3), "stride is 3"),
    (lambda s, t: s["projection"].update(functions=32), "inputs, not 2048"),
    (lambda s, t: s["projection"].update(code_bits=3), "code_bits is 3"),
    (lambda s, t: s["projection"].update(removed=[16]), "removed is (16,)"),
    (lambda s, t: s["projection"].update(removed=[1, 3]), "inputs, not 896"),
    (lambda s, t: s["projection"].update(removed={"1": 1}), "removed is ('1',)"),
    (lambda s, t: s["projection"].update(functions=2**60), "more than 65536"),
    (lambda s, t: s["projection"].update(functions=2.0), "functions"),
    (lambda s, t: s["network"].update(layers=[]), "tensors that no layer uses"),
    (lambda s, t: s["network"]["layers"][0].update(precision="int2"), "precision 'int2'"),
    (lambda s, t: s["network"]["layers"][0].update(activation="gelu"), "activation 'gelu'"),
    (lambda s, t: s["network"]["layers"][0].update(shift=31), "shift 31"),
    (lambda s, t: s["network"]["layers"][0].update(units=7), "not (7, 1024)"),
    # The identity in layer 1 is stored sparsely.
    (
        lambda s, t: s["network"]["layers"][1].update(units=2**40),
        "in a sparse layer, more than",
    ),
    (lambda s, t: s["network"]["layers"][1].update(units=5), "whose gaps lead beyond"),
    (lambda s, t: s["network"]["layers"][1].update(precision="int4"), "whose gaps lead beyond"),
    (
        lambda s, t: t.update({"layers.1.weights": 127 * np.eye(6, dtype=np.int8)}),
        "not in their canonical form",
    ),
    (lambda s, t: t.pop("layers.1.weights"), "'layers.1.weights' is missing"),
    (lambda s, t: t.pop("layers.0.multiplier"), "no multiplier"),
    (lambda s, t: t.update(extra=np.zeros(1)), "no layer uses: ['extra']"),
    (lambda s, t: t.update({"layers.0.bias": np.zeros(5, np.int32)}), "a bias of shape (5,)"),
    (lambda s, t: t.update({"layers.0.bias": np.full(6, np.nan)}), "a bias of shape (6,)"),
    (lambda s, t: t.update({"layers.0.multiplier": np.zeros((6, 2), np.int16)}), "multiplier"),
]


def test_errors_escape_and_cut_the_text_of_a_file() -> None:
    names: list[Callable[[Settings, Tensors], object]] = [
        lambda s, t: t.update({"\x1b[2J" * 9999: t["labels"]}),
        lambda s, t: s.update({"threshold": "\x1b[2J" * 9999}),
        lambda s, t: s["network"]["layers"][0].update(precision="\x1b[2J" * 9999),
        lambda s, t: s["projection"].update({"\x1b[2J" * 9999: 1}),
    ]
    for change in names:
        with pytest.raises(ArtifactError) as caught:
            artifact.decode(forged(change))
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("change", "sentence"), FORGERIES)
def test_a_malformed_file_is_refused_with_the_reason(
    change: Callable[[Settings, Tensors], object], sentence: str
) -> None:
    with pytest.raises(ArtifactError) as caught:
        artifact.decode(forged(change))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_foreign_safetensors_file_is_refused() -> None:
    foreign = safetensors.numpy.save({"weight": np.zeros((2, 2))}, metadata={"format": "pt"})
    with pytest.raises(ArtifactError, match="neuralbits didn't write it"):
        artifact.decode(foreign)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_artifact_with_a_number_that_is_not_finite_is_not_written(
    value: float, tmp_path: Path
) -> None:
    made = make_artifact()
    for broken in (
        replace(made, temperature=value),
        replace(made, threshold=value),
        replace(made, network=replace(made.network, scale=value)),
        replace(made, provenance={"accuracy": value}),
    ):
        with pytest.raises(ArtifactError):
            artifact.write(broken, tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"none\.safetensors: No such file"):
        artifact.read(tmp_path / "none.safetensors")
    with pytest.raises(ArtifactError, match="Is a directory"):
        artifact.read(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"before")
    broken: Artifact = replace(make_artifact(), labels=("only one",))
    with pytest.raises(ArtifactError):
        artifact.write(broken, path)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_artifact_replaces_another_atomically(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    artifact.write(make_artifact(), path)
    with path.open("rb") as opened_before:
        artifact.write(make_artifact(threshold=0.5), path)
        assert artifact.decode(opened_before.read()).threshold == 0.3
    assert artifact.read(path).threshold == 0.5
