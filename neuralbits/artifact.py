"""The artifact: one safetensors file with everything that inference needs.

Its tensors are the packed weights, biases and multipliers of each layer, and the compressed labels.
Its only metadata entry, ``neuralbits``, is JSON: the format's version, the projection's settings,
the layers' shapes, the temperature, the threshold, the provenance, and a digest over the whole.
docs/artifact.md describes every field. manifest.py reads the fields that aren't the network's.
"""

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from neuralbits import manifest, packing
from neuralbits.files import atomic_write
from neuralbits.manifest import (
    FORMAT_VERSION,
    KEY,
    Contents,
    Manifest,
    Tensor,
    described_as_malformed,
    dump,
)
from neuralbits.network import ACTIVATION_LIMIT, Layer, Network
from neuralbits.projection import Projection

Tensors = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Artifact:
    """A projection network, and the settings that turn its scores into an answer."""

    projection: Projection
    network: Network
    labels: tuple[str, ...]
    """The intents, in the order of the network's C scores."""
    temperature: float
    """Calibrated logits are logits divided by the temperature."""
    threshold: float
    """The smallest margin of the greatest score with which a text is in scope."""
    provenance: dict[str, Any]
    """Data, seed, versions and measured figures of the training, as a JSON object."""
    digest: str = ""
    """``sha256:`` and 64 hexadecimal digits, over tensors and settings; set by `write`."""
    size: int = 0
    """Bytes on disk; set by `write` and `read`."""

    @property
    def manifest(self) -> Manifest:
        """The manifest that a file of this artifact has."""
        return Manifest(
            self.labels,
            json.loads(dump(asdict(self.projection))),  # tuples become lists, as in a file
            self.network.scale,
            self.temperature,
            self.threshold,
            self.provenance,
            self.digest,
            self.size,
        )


def encode(artifact: Artifact) -> tuple[bytes, str]:
    """Return the file's bytes, and their digest.

    Raises:
        ArtifactError: the artifact is inconsistent, so `decode` would refuse it.
    """
    tensors: Tensors = {}
    for index, layer in enumerate(artifact.network.layers):
        tensors[f"layers.{index}.weights"] = packing.pack(layer.weights, layer.precision)
        tensors[f"layers.{index}.bias"] = layer.bias
        if layer.multiplier is not None:
            tensors[f"layers.{index}.multiplier"] = layer.multiplier
    tensors["labels"] = np.frombuffer(manifest.compress(artifact.labels), dtype=np.uint8)
    settings = _settings(artifact)
    settings["digest"] = digest = manifest.digest_of(
        {
            name: Tensor(tensor.dtype.str, tensor.shape, tensor.tobytes())
            for name, tensor in tensors.items()
        },
        settings,
    )
    # One entry, because safetensors promises no order of entries and equal artifacts must have
    # equal bytes.
    content = safetensors.numpy.save(tensors, metadata={KEY: dump(settings)})
    decode(content)
    return content, digest


def _settings(artifact: Artifact) -> dict[str, Any]:
    """Return the metadata as JSON's types, without the digest."""
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
    """Return the artifact in a file's bytes.

    Raises:
        ArtifactError: this version can't use the bytes; the message names no file.
    """
    return build(manifest.open(content))


def build(contents: Contents) -> Artifact:
    """Return the artifact of a file's parts.

    Raises:
        ArtifactError: the parts don't make an artifact.
    """
    with described_as_malformed():
        artifact = _build(contents)
        # An artifact has one canonical form. This check finds numbers of a wrong type, unknown
        # fields, and any value that the code above misread.
        if dump(_settings(artifact)) != dump(contents.settings):
            raise ValueError("settings that are not in their canonical form")
    return artifact


def _build(contents: Contents) -> Artifact:
    """Return the artifact of a file's parts, and check how the parts fit together."""
    described = contents.manifest
    tensors = {
        name: np.frombuffer(tensor.content, tensor.dtype).reshape(tensor.shape)
        for name, tensor in contents.tensors.items()
        if name != "labels"
    }
    artifact = Artifact(
        projection=Projection(
            **{
                **described.projection,
                "families": tuple(described.projection["families"]),
                "removed": tuple(described.projection["removed"]),
            }
        ),
        network=Network(
            layers=[
                _build_layer(layer, f"layers.{index}.", tensors)
                for index, layer in enumerate(contents.settings["network"]["layers"])
            ],
            scale=described.scale,
        ),
        labels=described.labels,
        temperature=described.temperature,
        threshold=described.threshold,
        provenance=described.provenance,
        digest=described.digest,
        size=described.size,
    )
    if tensors:
        raise ValueError(f"tensors that no layer uses: {sorted(tensors)}")

    layers = artifact.network.layers
    width = artifact.projection.inputs
    largest = 2**artifact.projection.code_bits - 1
    for index, layer in enumerate(layers):
        if layer.largest_sum(ACTIVATION_LIMIT if index else largest) >= 2**31:
            raise ValueError(f"layer {index} with sums beyond 32 bits")
        if layer.inputs != width:
            raise ValueError(f"layer {index} with {layer.inputs} inputs, not {width}")
        if (layer.multiplier is None) != (layer is layers[-1]):
            raise ValueError(f"layer {index} of {len(layers)} with a misplaced or no multiplier")
        if layer is layers[-1] and (layer.shift, layer.activation) != (0, "linear"):
            raise ValueError("a last layer with a shift or an activation")
        width = layer.units
    if not layers or width != len(artifact.labels):
        raise ValueError(f"{len(artifact.labels)} labels for {width} scores")
    return artifact


def _build_layer(settings: dict[str, Any], prefix: str, tensors: Tensors) -> Layer:
    """Return a layer, and remove its tensors from ``tensors``."""
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
    with manifest.reading(path) as content:
        return decode(content)


def write(artifact: Artifact, path: str | os.PathLike[str], *, overwrite: bool = False) -> Artifact:
    """Write an artifact atomically: ``path`` never holds a part of a file.

    An earlier artifact is replaced; any other file only if ``overwrite`` is true.

    Returns:
        The artifact with its digest and its size.

    Raises:
        ArtifactError: the artifact is inconsistent.
        ForeignFileError: the file at ``path`` isn't an artifact.
        OSError: the file can't be written.
    """
    content, digest = encode(artifact)
    with atomic_write(Path(path), overwrite=overwrite) as file:
        file.write(content)
    return replace(artifact, digest=digest, size=len(content))
