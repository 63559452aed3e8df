"""The artifact: one safetensors file with all that inference needs, and nothing else.

The tensors are the packed weights, biases and multipliers of each layer, and the labels,
compressed. One metadata entry, ``neuralbits``, holds the rest as JSON: the format's version, the
projection's settings, the layers' shapes, the temperature and the threshold, the provenance, and a
digest over all of it. docs/artifact.md describes every field.
"""

import contextlib
import hashlib
import json
import math
import os
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from neuralbits import packing
from neuralbits.errors import NeuralbitsError
from neuralbits.files import replacing
from neuralbits.network import ACTIVATION_LIMIT, Layer, Network
from neuralbits.projection import Projection

FORMAT_VERSION = 1
MAX_BYTES = 1 << 30
"""No artifact is larger; a larger file is refused unread."""

_KEY = "neuralbits"
_MAX_LABELS = 1 << 20
"""Bytes; so few compressed ones could become gigabytes."""
Tensors = dict[str, npt.NDArray[Any]]


class ArtifactError(NeuralbitsError):
    """A file that can't be used as an artifact; the sentence says which, why, and what to do."""


@dataclass(frozen=True, eq=False)
class Artifact:
    """A projection network and all that turns its scores into an answer."""

    projection: Projection
    network: Network
    labels: tuple[str, ...]
    """The intents, in the order of the network's C scores."""
    temperature: float
    """What calibrates the logits: they are divided by it."""
    threshold: float
    """The least lead of the greatest score of an answer that counts as in scope."""
    provenance: dict[str, Any]
    """Where it comes from: data, seed, versions, measured figures. A JSON object."""
    digest: str = ""
    """``sha256:`` and 64 hexadecimal digits, over tensors and settings; set by `write`."""
    size: int = 0
    """Bytes on disk; set by `write` and `read`."""


def encode(artifact: Artifact) -> tuple[bytes, str]:
    """Return the file's bytes, and their digest.

    Raises:
        ArtifactError: the artifact is inconsistent, so that `decode` would refuse it.
    """
    tensors: Tensors = {}
    for index, layer in enumerate(artifact.network.layers):
        tensors[f"layers.{index}.weights"] = packing.pack(layer.weights, layer.precision)
        tensors[f"layers.{index}.bias"] = layer.bias
        if layer.multiplier is not None:
            tensors[f"layers.{index}.multiplier"] = layer.multiplier
    tensors["labels"] = _compress(artifact.labels)
    settings = _settings(artifact)
    settings["digest"] = digest = _digest(tensors, settings)
    # All metadata is one entry: safetensors doesn't promise an order, and equals are to be equal.
    content = safetensors.numpy.save(tensors, metadata={_KEY: _dump(settings)})
    decode(content)
    return content, digest


def _settings(artifact: Artifact) -> dict[str, Any]:
    """Describe an artifact but for its tensors and its digest, as JSON can hold it."""
    return {
        "format_version": FORMAT_VERSION,
        "projection": asdict(artifact.projection),
        "network": {
            "layers": [
                {
                    "inputs": layer.inputs,
                    "units": layer.units,
                    "precision": layer.precision,
                    "shift": layer.shift,
                    "activation": layer.activation,
                }
                for layer in artifact.network.layers
            ],
            "scale": float(artifact.network.scale),
        },
        "temperature": float(artifact.temperature),
        "threshold": float(artifact.threshold),
        "provenance": artifact.provenance,
    }


def decode(content: bytes) -> Artifact:
    """Return the artifact that a file's bytes hold.

    Raises:
        ArtifactError: they hold none that this version can use; the sentence names no file.
    """
    try:
        tensors: Tensors = safetensors.numpy.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"it is no safetensors file, or a part of one is missing ({error})"
        ) from None
    try:
        settings = json.loads(header["__metadata__"][_KEY], parse_constant=_refuse_constant)
        version = settings["format_version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ArtifactError(
            "it is a safetensors file, but neuralbits didn't write it; "
            "make one with `neuralbits train`"
        ) from None
    if type(version) is not int or version != FORMAT_VERSION:
        raise ArtifactError(
            f"its format has version {version!r}, this neuralbits reads version {FORMAT_VERSION}; "
            "install the neuralbits that reads it, or train the artifact anew"
        )
    claimed = settings.pop("digest", None)
    digest = _digest(tensors, settings)
    if claimed != digest:
        raise ArtifactError(
            "its digest doesn't match its content, so it was altered or damaged; copy it anew"
        )
    with _described_as_malformed():
        artifact = _build(settings, tensors, digest, len(content))
        # There is one way to write an artifact: this finds numbers of another type, fields that
        # nobody asked for, and whatever else was taken for something that it isn't.
        if _dump(_settings(artifact)) != _dump(settings):
            raise ValueError("settings that neuralbits would write otherwise")
    return artifact


def _build(settings: dict[str, Any], tensors: Tensors, digest: str, size: int) -> Artifact:
    """Assemble an artifact, checking every relation between its parts."""
    projection = settings["projection"]
    artifact = Artifact(
        projection=Projection(
            **{
                **projection,
                "families": tuple(projection["families"]),
                "removed": tuple(projection["removed"]),
            }
        ),
        network=Network(
            layers=[
                _build_layer(layer, f"layers.{index}.", tensors)
                for index, layer in enumerate(settings["network"]["layers"])
            ],
            scale=_positive(settings["network"], "scale"),
        ),
        labels=_decompress(tensors.pop("labels")),
        temperature=_positive(settings, "temperature"),
        threshold=_number(settings, "threshold"),
        provenance=dict(settings["provenance"]),
        digest=digest,
        size=size,
    )
    if tensors:
        raise ValueError(f"tensors that no layer uses: {sorted(tensors)}")
    if not all(isinstance(label, str) and label for label in artifact.labels):
        raise ValueError("labels that are no text")
    "".join(artifact.labels).encode()  # a lone surrogate could never be sent: a ValueError
    if len(set(artifact.labels)) < len(artifact.labels):
        raise ValueError("labels that occur twice")

    if not math.isfinite(artifact.network.scale / artifact.temperature * 2.0**32):
        raise ValueError("a scale and a temperature that overflow")

    layers = artifact.network.layers
    reads = artifact.projection.inputs
    largest = 2**artifact.projection.code_bits - 1
    for index, layer in enumerate(layers):
        if layer.largest_sum(ACTIVATION_LIMIT if index else largest) >= 2**31:
            raise ValueError(f"layer {index} with sums beyond 32 bits")
        if layer.inputs != reads:
            raise ValueError(f"layer {index} with {layer.inputs} inputs, where {reads} come in")
        if (layer.multiplier is None) != (layer is layers[-1]):
            raise ValueError(f"layer {index} of {len(layers)} with a misplaced or no multiplier")
        if layer is layers[-1] and (layer.shift, layer.activation) != (0, "linear"):
            raise ValueError("a last layer with a shift or an activation")
        reads = layer.units
    if not layers or reads != len(artifact.labels):
        raise ValueError(f"{len(artifact.labels)} labels for {reads} scores")
    return artifact


def _compress(labels: tuple[str, ...]) -> npt.NDArray[np.uint8]:
    """Compress the labels: a JSON list by zlib, which the names of 150 intents fit into 1 kB."""
    return np.frombuffer(zlib.compress(_dump(labels).encode(), 9), dtype=np.uint8)


def _decompress(stored: npt.NDArray[np.uint8]) -> tuple[str, ...]:
    """Undo `_compress`.

    Raises:
        ValueError: the array isn't one that `_compress` makes; the sentence says how.
    """
    if stored.dtype != np.uint8 or stored.ndim != 1:
        raise ValueError(f"labels of shape {stored.shape} and type {stored.dtype}")
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(stored.tobytes(), _MAX_LABELS)
    except zlib.error as error:
        raise ValueError(f"labels that can't be decompressed ({error})") from None
    if not inflate.eof or inflate.unused_data:
        raise ValueError(f"labels that end too early or too late, or exceed {_MAX_LABELS} bytes")
    labels = json.loads(text)
    if not isinstance(labels, list) or _dump(labels).encode() != text:
        raise ValueError("labels that neuralbits would write otherwise")
    return tuple(labels)


def _build_layer(settings: dict[str, Any], prefix: str, tensors: Tensors) -> Layer:
    """Assemble a layer, taking its tensors out of ``tensors``."""
    precision, inputs, units = settings["precision"], settings["inputs"], settings["units"]
    if precision not in packing.PRECISIONS:
        raise ValueError(f"the precision {precision!r}")
    if settings["activation"] not in ("linear", "relu"):
        raise ValueError(f"the activation {settings['activation']!r}")
    if type(settings["shift"]) is not int or not 0 <= settings["shift"] <= 30:
        raise ValueError(f"the shift {settings['shift']!r}")
    layer = Layer(
        weights=packing.unpack(tensors.pop(prefix + "weights"), precision, (units, inputs)),
        precision=precision,
        bias=tensors.pop(prefix + "bias"),
        multiplier=tensors.pop(prefix + "multiplier", None),
        shift=settings["shift"],
        activation=settings["activation"],
    )
    bias_type = np.float32 if precision == "float" else np.int32
    if layer.weights.shape != (units, inputs) or layer.weights.size == 0:
        raise ValueError(f"weights of shape {layer.weights.shape}, not ({units}, {inputs})")
    if layer.bias.shape != (units,) or layer.bias.dtype != bias_type:
        raise ValueError(f"a bias of shape {layer.bias.shape} and type {layer.bias.dtype}")
    if not np.isfinite(layer.bias).all():
        raise ValueError("a bias that is not finite")
    if layer.multiplier is not None and (
        layer.multiplier.shape != (units,) or layer.multiplier.dtype != np.int16
    ):
        raise ValueError(f"a multiplier of shape {layer.multiplier.shape}")
    return layer


def read(path: str | os.PathLike[str]) -> Artifact:
    """Read an artifact.

    Raises:
        ArtifactError: the file is missing, unreadable, truncated, altered, foreign, of a newer
            format or malformed.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ArtifactError(f"it is larger than {MAX_BYTES} bytes, as no artifact is")
        return decode(content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArtifactError(f"can't read the artifact {os.fspath(path)}: {reason}") from None
    except ArtifactError as error:
        raise ArtifactError(f"can't use {os.fspath(path)} as an artifact: {error}") from None


def write(artifact: Artifact, path: str | os.PathLike[str]) -> Artifact:
    """Write an artifact atomically: at no moment is a half-written file at ``path``.

    Returns:
        The artifact with its digest and its size.

    Raises:
        ArtifactError: the artifact is inconsistent.
        OSError: the file can't be written.
    """
    content, digest = encode(artifact)
    with replacing(Path(path)) as file:
        file.write(content)
    return replace(artifact, digest=digest, size=len(content))


def _digest(tensors: Tensors, settings: dict[str, Any]) -> str:
    """Hash the settings and, in order of their names, the tensors."""
    digest = hashlib.sha256(_dump(settings).encode())
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape} ".encode())
        digest.update(tensor.tobytes())
    return f"sha256:{digest.hexdigest()}"


def _dump(settings: object) -> str:
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
def _described_as_malformed() -> Iterator[None]:
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
        raise ArtifactError(f"it is malformed: {error}") from None
