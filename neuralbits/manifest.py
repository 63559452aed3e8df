"""The manifest: what an artifact says of itself, which is all but its weights.

Read and checked without NumPy, so that the kernel needs none to serve. docs/artifact.md describes
every field.
"""

import contextlib
import hashlib
import json
import math
import os
import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import safetensors

from neuralbits.errors import NeuralbitsError, escaped, shown

FORMAT_VERSION = 1
MAX_BYTES = 1 << 30
"""No artifact is larger; a larger file is refused unread."""

KEY = "neuralbits"
"""The metadata's one entry."""
_UNPRINTABLE = {"Cc", "Zl", "Zp"}
"""Categories of characters that could forge a line of a log or move a terminal's cursor."""
_MAX_LABELS = 1 << 20
"""Bytes; so few compressed ones could become gigabytes."""
_TYPES = {
    **{"BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "F16": "<f2"},
    **{"U32": "<u4", "I32": "<i4", "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8"},
}
_FIELDS = {"format_version", "projection", "network", "temperature", "threshold", "provenance"}
_PROJECTION_FIELDS = {
    *("functions", "dimensions", "code_bits", "stride", "families", "blocks", "removed"),
}
_LAYER_FIELDS = {"inputs", "units", "precision", "shift", "activation"}


class ArtifactError(NeuralbitsError):
    """A file that can't be used as an artifact; the sentence says which, why, and what to do."""


class Tensor(NamedTuple):
    """A tensor as the file holds it."""

    dtype: str
    """As NumPy writes it, such as ``<i4``."""
    shape: tuple[int, ...]
    content: bytes


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an artifact says of itself."""

    labels: tuple[str, ...]
    """The intents, in the order of the network's C scores."""
    projection: dict[str, Any]
    """The projection's settings, those of `neuralbits.projection.Projection`."""
    scale: float
    """What a score of 1 is as a logit."""
    temperature: float
    """What calibrates the logits: they are divided by it."""
    threshold: float
    """The least margin of the greatest score of an answer that counts as in scope."""
    provenance: dict[str, Any]
    """Where it comes from: data, seed, versions, measured figures. A JSON object."""
    digest: str
    """``sha256:`` and 64 hexadecimal digits, over tensors and settings."""
    size: int
    """Bytes on disk."""


class Contents(NamedTuple):
    """An artifact taken apart: its digest matches, and its manifest is sound."""

    content: bytes
    settings: dict[str, Any]
    """The metadata, without the digest."""
    tensors: dict[str, Tensor]
    manifest: Manifest


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Read a file's bytes, and name the file in each `ArtifactError` that is raised within.

    Raises:
        ArtifactError: the file can't be read, is too large, or can't be used.

    Example:
        >>> with reading("home.safetensors") as content:
        ...     labels = open(content).manifest.labels
    """
    try:
        yield _content_of(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArtifactError(f"can't read the artifact {os.fspath(path)}: {reason}") from None
    except ArtifactError as error:
        raise ArtifactError(f"can't use {os.fspath(path)} as an artifact: {error}") from None


def _content_of(path: str | os.PathLike[str]) -> bytes:
    """Return a file's bytes.

    Raises:
        ArtifactError: there are too many.
        OSError: it can't be read.
    """
    with Path(path).open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ArtifactError(f"it is larger than {MAX_BYTES} bytes, as no artifact is")
    return content


def open(content: bytes) -> Contents:
    """Take an artifact's bytes apart, and read its manifest.

    Raises:
        ArtifactError: they are no artifact, of another format, altered or malformed; the sentence
            names no file.
    """
    settings, tensors = _unpack(content)
    claimed = settings.pop("digest", None)
    digest = digest_of(tensors, settings)
    if claimed != digest:
        raise ArtifactError(
            "its digest doesn't match its content, so it was altered or damaged; copy it again"
        )
    return Contents(content, settings, tensors, _read(settings, tensors, digest, len(content)))


def _unpack(content: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the settings, with the digest, and the tensors.

    Raises:
        ArtifactError: it is no artifact, or of another format.
    """
    try:
        tensors = {
            name: Tensor(
                _TYPES.get(held["dtype"], held["dtype"]), tuple(held["shape"]), bytes(held["data"])
            )
            for name, held in safetensors.deserialize(content)  # type: ignore[no-untyped-call]
        }
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"it is no safetensors file, or a part of one is missing ({escaped(str(error))})"
        ) from None
    try:
        settings = json.loads(header["__metadata__"][KEY], parse_constant=_refuse_constant)
        version = settings["format_version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ArtifactError(
            "it is a safetensors file, but neuralbits didn't write it; "
            "make one with `neuralbits train`"
        ) from None
    if type(version) is not int or version != FORMAT_VERSION:
        raise ArtifactError(
            f"its format has version {shown(version)}, this neuralbits reads {FORMAT_VERSION}; "
            "install the neuralbits that reads it, or train the artifact again"
        )
    return settings, tensors


def _read(settings: dict[str, Any], tensors: dict[str, Tensor], digest: str, size: int) -> Manifest:
    """Return the manifest.

    Raises:
        ArtifactError: it is malformed.
    """
    with described_as_malformed():
        manifest = Manifest(
            labels=_decompress(tensors["labels"]),
            projection=dict(settings["projection"]),
            scale=_positive(settings["network"], "scale"),
            temperature=_positive(settings, "temperature"),
            threshold=_number(settings, "threshold"),
            provenance=dict(settings["provenance"]),
            digest=digest,
            size=size,
        )
        if not math.isfinite(manifest.scale / manifest.temperature * 2.0**32):
            raise ValueError("a scale and a temperature that overflow")
    return manifest


def is_complete(contents: Contents) -> bool:
    """Whether a file has the fields and the tensors that it is to have, and no other.

    One that hasn't isn't wholly understood, and `neuralbits.artifact.build` says why.
    """
    settings, tensors = contents.settings, {"labels"}
    with contextlib.suppress(KeyError, TypeError, AttributeError):
        layers = settings["network"]["layers"]
        for index in range(len(layers)):
            last = index == len(layers) - 1
            parts = ("weights", "bias") if last else ("weights", "bias", "multiplier")
            tensors.update(f"layers.{index}.{part}" for part in parts)
        return (
            settings.keys() == _FIELDS
            and settings["projection"].keys() == _PROJECTION_FIELDS
            and settings["network"].keys() == {"layers", "scale"}
            and all(layer.keys() == _LAYER_FIELDS for layer in layers)
            and type(settings["provenance"]) is dict
            and contents.tensors.keys() == tensors
        )
    return False


def digest_of(tensors: dict[str, Tensor], settings: dict[str, Any]) -> str:
    """Hash the settings and, in order of their names, the tensors."""
    digest = hashlib.sha256(dump(settings).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tensor.shape} ".encode())
        digest.update(tensor.content)
    return f"sha256:{digest.hexdigest()}"


def compress(labels: tuple[str, ...]) -> bytes:
    """Compress the labels: a JSON list by zlib, which the names of 150 intents fit into 1 kB."""
    return zlib.compress(dump(labels).encode(), 9)


def _decompress(stored: Tensor) -> tuple[str, ...]:
    """Undo `compress`.

    Raises:
        ValueError: the tensor isn't one that `compress` makes; the sentence says how.
    """
    if stored.dtype != "|u1" or len(stored.shape) != 1:
        raise ValueError(f"labels of shape {stored.shape} and type {stored.dtype}")
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(stored.content, _MAX_LABELS)
    except zlib.error as error:
        raise ValueError(f"labels that can't be decompressed ({error})") from None
    if not inflate.eof or inflate.unused_data:
        raise ValueError(f"labels that end too early or too late, or exceed {_MAX_LABELS} bytes")
    labels = json.loads(text)
    if not isinstance(labels, list) or dump(labels).encode() != text:
        raise ValueError("labels that neuralbits would write otherwise")
    if not all(isinstance(label, str) and label for label in labels):
        raise ValueError("labels that are no text")
    "".join(labels).encode()  # a lone surrogate could never be sent: a ValueError
    if len(set(labels)) < len(labels):
        raise ValueError("labels that occur twice")
    for label in labels:
        if any(unicodedata.category(each) in _UNPRINTABLE for each in label):
            raise ValueError(f"the label {shown(label)}, which has control characters")
    return tuple(labels)


def dump(settings: object) -> str:
    """Write JSON in the one form that the digest is taken over."""
    try:
        return json.dumps(settings, separators=(",", ":"), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"its settings are no JSON ({error})") from None


def _number(settings: dict[str, Any], name: str) -> float:
    value = settings[name]
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"the {name} {value!r}")
    return float(value)


def _positive(settings: dict[str, Any], name: str) -> float:
    value = _number(settings, name)
    if value <= 0:
        raise ValueError(f"the {name} {value!r}")
    return value


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


@contextlib.contextmanager
def described_as_malformed() -> Iterator[None]:
    """Turn whatever a wrong shape, type or name raises into one kind of error.

    The digest has matched, so only a faulty or hostile writer comes here; any exception of these
    kinds means that the settings aren't what format 1 says.
    """
    try:
        yield
    except KeyError as error:
        raise ArtifactError(f"it is malformed: {error} is missing") from None
    except (
        ValueError,
        TypeError,
        AttributeError,
        OverflowError,
        MemoryError,
        RecursionError,
    ) as error:
        raise ArtifactError(f"it is malformed: {escaped(str(error))}") from None
