"""Load an artifact: from a name, a file or bytes to a classifier."""

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from neuralbits import kernel, manifest
from neuralbits.classifier import Classifier
from neuralbits.errors import shown
from neuralbits.manifest import ArtifactError

if TYPE_CHECKING:
    from typing_extensions import Buffer  # collections.abc has it from Python 3.12 on


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
    with manifest.reading(path) as content:
        return loads(content)


def loads(content: "Buffer") -> Classifier:
    """Load the classifier of an artifact's bytes.

    Args:
        content: ``bytes`` or anything like them: a ``bytearray``, ``memoryview`` or ``mmap``.

    Raises:
        ArtifactError: they can't be used as an artifact; the sentence names no file.
        TypeError: ``content`` has no bytes.

    Example:
        >>> classifier = neuralbits.loads(Path("home.safetensors").read_bytes())
    """
    if not isinstance(content, bytes):
        content = memoryview(content).tobytes()
    contents = manifest.open(content)
    if kernel.COMPILED and manifest.is_complete(contents):
        with contextlib.suppress(kernel.Refused):
            engine = kernel.Kernel(content, contents.manifest.labels)
            return Classifier(contents.manifest, engine)
    try:
        from neuralbits import artifact, reference
    except ModuleNotFoundError as error:
        raise ArtifactError(
            f"this artifact needs the NumPy backend, and {error.name} isn't installed: "
            "pip install 'neuralbits[reference]'"
        ) from None

    return reference.classifier(artifact.build(contents))


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
