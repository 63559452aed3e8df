"""Load an artifact: from a name, a file or bytes to a classifier."""

import contextlib
import os
import re
from pathlib import Path
from typing import Literal

from neuralbits import kernel, manifest
from neuralbits.classifier import Classifier
from neuralbits.errors import shown
from neuralbits.manifest import ArtifactError


def backend() -> Literal["kernel", "reference"]:
    """Return what answers: the compiled kernel, or the reference where there is none.

    The reference, in NumPy, also answers for artifacts that the kernel doesn't take, those of float
    weights or of more than four layers: ``Classifier.backend`` tells.
    """
    return "kernel" if kernel.COMPILED else "reference"


def load(artifact: str | os.PathLike[str]) -> Classifier:
    """Load the classifier that an artifact contains.

    Args:
        artifact: a shipped artifact's name, such as ``"home-assistant-en"``, or a file's path; see
            `locate`.

    Raises:
        ArtifactError: there is no such artifact, or it can't be used.

    Example:
        >>> classifier = neuralbits.load("home-assistant-en")
        >>> classifier.classify("turn of teh lamp").intent
        'HassTurnOff'
    """
    path = locate(artifact)
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
            f"this artifact needs the NumPy backend, and {error.name} isn't installed: "
            "pip install 'neuralbits[reference]'"
        ) from None

    return reference.classifier(artifact.build(contents, described))


def shipped() -> dict[str, Path]:
    """Return the artifacts that are installed with the package: their files by their names."""
    files = Path(__file__).with_name("shipped").glob("*.safetensors")
    return {file.stem: file for file in sorted(files)}


def locate(artifact: str | os.PathLike[str]) -> Path:
    """Return the file of an artifact.

    A string of letters, digits, ``-`` and ``_`` alone is the name of a shipped artifact, in
    whichever folder the process runs: a file of that name is written ``./name``. Anything else is a
    path, and so is a ``Path``.

    Raises:
        ArtifactError: no artifact of that name is shipped.
    """
    if not isinstance(artifact, str) or not re.fullmatch(r"[\w-]+", artifact):
        return Path(artifact)
    artifacts = shipped()
    if artifact not in artifacts:
        raise ArtifactError(
            f"no artifact named {shown(artifact)} is shipped (there are {', '.join(artifacts)}); "
            f"to name a file, write ./{artifact}"
        )
    return artifacts[artifact]
