"""The manifest: an artifact's intents, settings and provenance, without its weights.

This module reads and checks it without NumPy, because the kernel classifies without NumPy.
docs/artifact.md describes every field.
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
"""The largest size of an artifact; a larger file is refused before it is parsed."""

KEY = "neuralbits"
"""The name of the only metadata entry."""
_UNPRINTABLE = {"Cc", "Zl", "Zp"}
"""Unicode categories of characters that could forge a log line or move a terminal's cursor."""
_MAX_LABELS = 1 << 20
"""The largest decompressed size of the labels in bytes: a small file can't fill the memory."""
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
    """A file can't be used as an artifact; the message says which, why, and what to do."""


class Tensor(NamedTuple):
    """A tensor as it lies in the file."""

    dtype: str
    """NumPy's type string, such as ``<i4``."""
    shape: tuple[int, ...]
    content: bytes


@dataclass(frozen=True, slots=True)
class Manifest:
    """An artifact's intents, settings and provenance.

    Example:
        >>> import neuralbits
        >>> manifest = neuralbits.load("home-assistant-en").manifest
        >>> "HassTurnOff" in manifest.labels, manifest.digest[:7], manifest.size < 64 * 1024
        (True, 'sha256:', True)
    """

    labels: tuple[str, ...]
    """The intents, in the order of the network's C scores."""
    projection: dict[str, Any]
    """The fields of `neuralbits.projection.Projection`, as JSON."""
    scale: float
    """The logit of a score s is ``scale · s``."""
    temperature: float
    """Calibrated logits are logits divided by the temperature (Guo et al. 2017,
    arXiv:1706.04599, eq. 9)."""
    threshold: float
    """The smallest margin of the greatest score with which a text is in scope."""
    provenance: dict[str, Any]
    """Data, seed, versions and measured figures of the training, as a JSON object."""
    digest: str
    """``sha256:`` and 64 hexadecimal digits, over tensors and settings."""
    size: int
    """Bytes on disk."""


class Contents(NamedTuple):
    """The parts of an artifact whose digest matches and whose manifest is valid."""

    content: bytes
    settings: dict[str, Any]
    """The metadata, without the digest."""
    tensors: dict[str, Tensor]
    manifest: Manifest


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Read a file's bytes, and add the file's name to each `ArtifactError` raised in the context.

    Raises:
        ArtifactError: the file can't be read, is too large, or can't be used.

    Example:
        >>> from neuralbits.loading import locate
        >>> with reading(locate("home-assistant-en")) as content:
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
        ArtifactError: the file is larger than `MAX_BYTES`.
        OSError: the file can't be read.
    """
    with Path(path).open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ArtifactError(f"it is larger than {MAX_BYTES} bytes, the limit for an artifact")
    return content


def open(content: bytes) -> Contents:
    """Parse an artifact's bytes, check its digest, and read its manifest.

    Raises:
        ArtifactError: the bytes are no artifact, or one of another format, altered or malformed;
            the message names no file.
    """
    settings, tensors = _unpack(content)
    stored_digest = settings.pop("digest", None)
    digest = digest_of(tensors, settings)
    if stored_digest != digest:
        raise ArtifactError(
            "its digest doesn't match its content, so it was altered or damaged; copy it again"
        )
    return Contents(content, settings, tensors, _read(settings, tensors, digest, len(content)))


def _unpack(content: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the settings, with the digest, and the tensors.

    Raises:
        ArtifactError: the bytes are no artifact, or one of another format.
    """
    try:
        tensors = {
            name: Tensor(
                _TYPES.get(entry["dtype"], entry["dtype"]),
                tuple(entry["shape"]),
                bytes(entry["data"]),
            )
            for name, entry in safetensors.deserialize(content)  # type: ignore[no-untyped-call]
        }
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"it is no safetensors file, or is cut short ({escaped(str(error))})"
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
            "install a neuralbits that reads it, or train the artifact again"
        )
    return settings, tensors


def _read(settings: dict[str, Any], tensors: dict[str, Tensor], digest: str, size: int) -> Manifest:
    """Return the manifest.

    Raises:
        ArtifactError: a field is missing or has a wrong value.
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
    """Return whether a file has exactly the fields and the tensors of the format.

    For any other file, `neuralbits.artifact.build` raises an error that says what differs.
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
    """Hash the settings, then the tensors in the order of their names."""
    digest = hashlib.sha256(dump(settings).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tensor.shape} ".encode())
        digest.update(tensor.content)
    return f"sha256:{digest.hexdigest()}"


def compress(labels: tuple[str, ...]) -> bytes:
    """Compress the labels as a JSON list by zlib; the names of 150 intents take about 1 kB."""
    return zlib.compress(dump(labels).encode(), 9)


def _decompress(stored: Tensor) -> tuple[str, ...]:
    """Undo `compress`.

    Raises:
        ValueError: the tensor isn't one that `compress` makes; the message says what differs.
    """
    if stored.dtype != "|u1" or len(stored.shape) != 1:
        raise ValueError(f"labels of shape {stored.shape} and type {stored.dtype}")
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(stored.content, _MAX_LABELS)
    except zlib.error as error:
        raise ValueError(f"labels that can't be decompressed ({error})") from None
    if not inflate.eof or inflate.unused_data:
        raise ValueError(f"labels with missing or extra bytes, or more than {_MAX_LABELS} bytes")
    labels = json.loads(text)
    if not isinstance(labels, list) or dump(labels).encode() != text:
        raise ValueError("labels that are not in their canonical form")
    if not all(isinstance(label, str) and label for label in labels):
        raise ValueError("labels that are no text")
    "".join(labels).encode()  # raises a ValueError for a lone surrogate, which no output can hold
    if len(set(labels)) < len(labels):
        raise ValueError("labels that occur twice")
    for label in labels:
        if any(unicodedata.category(each) in _UNPRINTABLE for each in label):
            raise ValueError(f"the label {shown(label)}, which has control characters")
    return tuple(labels)


def dump(settings: object) -> str:
    """Write the canonical JSON that the digest hashes."""
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
    """Turn the exceptions that a wrong shape, type or name raises into an `ArtifactError`.

    Call it only after the digest has matched: then a faulty or hostile program wrote the file, and
    each of these exceptions means that the file isn't in format 1.
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
