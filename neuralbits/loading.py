"""Load an artifact: from its bytes to a classifier."""

import contextlib
import os
from typing import Literal

from neuralbits import kernel, manifest
from neuralbits.classifier import Classifier
from neuralbits.manifest import ArtifactError


def backend() -> Literal["kernel", "reference"]:
    """Return what artifacts are answered with: the kernel, if it could be compiled.

    Artifacts of float weights or of more than four layers are the reference's in any case.
    """
    return "kernel" if kernel.COMPILED else "reference"


def load(path: str | os.PathLike[str]) -> Classifier:
    """Load the classifier that an artifact holds.

    Raises:
        ArtifactError: the file can't be used as an artifact; the sentence says why.
    """
    with manifest.naming(path):
        return loads(manifest.content_of(path))


def loads(content: bytes) -> Classifier:
    """Load the classifier that an artifact's bytes hold.

    Raises:
        ArtifactError: they can't be used as an artifact; the sentence says why, and names no file.
    """
    contents = manifest.unpack(content)
    described = manifest.read(contents, len(content))
    if kernel.COMPILED and manifest.is_complete(contents):
        with contextlib.suppress(kernel.Refused):
            return Classifier(described, kernel.Kernel(content, described.labels))
    try:
        from neuralbits import artifact, reference
    except ModuleNotFoundError as error:
        raise ArtifactError(
            "there is no kernel here that takes it, and the reference, which might, needs NumPy "
            f"and mmh3: {error.name} isn't installed"
        ) from None

    return reference.classifier(artifact.build(contents, described))
