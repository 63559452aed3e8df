"""Load a classifier from an artifact's name, file, address on the Hub, or bytes."""

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
    """Return the backend of this installation: ``"kernel"`` if compiled, else ``"reference"``.

    Artifacts with float weights or with more than four layers use the NumPy reference on every
    installation; ``Classifier.backend`` names the backend of one artifact.

    Example:
        >>> import neuralbits
        >>> neuralbits.backend()
        'kernel'
    """
    return "kernel" if kernel.COMPILED else "reference"


def load(artifact: str | os.PathLike[str]) -> Classifier:
    """Load a classifier from a shipped artifact, a file, or the Hugging Face Hub.

    Args:
        artifact: a shipped artifact's name, such as ``"home-assistant-en"``, a file's path, or
            ``"hf://owner/name@revision"``; see `locate`.

    Raises:
        ArtifactError: the artifact doesn't exist or can't be used.
        HubError: the Hub doesn't have it or can't be reached.
        MissingExtraError: huggingface_hub, which fetches from the Hub, isn't installed.

    Example:
        >>> import neuralbits
        >>> classifier = neuralbits.load("home-assistant-en")
        >>> classifier.classify("turn off the lamp").intent
        'HassTurnOff'
    """
    path = locate(artifact)
    with manifest.reading(path) as content:
        return loads(content)


def loads(content: "Buffer") -> Classifier:
    """Load a classifier from an artifact's bytes.

    Args:
        content: a ``bytes``, ``bytearray``, ``memoryview``, ``mmap`` or another buffer.

    Raises:
        ArtifactError: the bytes are no artifact that can be used; the message names no file.
        TypeError: ``content`` isn't a buffer.

    Example:
        >>> import neuralbits
        >>> content = locate("home-assistant-en").read_bytes()
        >>> neuralbits.loads(content).classify("turn off the lamp").intent
        'HassTurnOff'
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
            f"this artifact needs the NumPy backend, which needs {error.name}: "
            "pip install 'neuralbits[reference]'"
        ) from None

    return reference.classifier(artifact.build(contents))


def shipped() -> dict[str, Path]:
    """Return the artifacts that the package ships: from names to files.

    Example:
        >>> "home-assistant-en" in shipped()
        True
    """
    files = Path(__file__).with_name("shipped").glob("*.safetensors")
    return {file.stem: file for file in sorted(files)}


def locate(artifact: str | os.PathLike[str]) -> Path:
    """Return the path of an artifact.

    A string of only letters, digits, ``-`` and ``_`` is the name of a shipped artifact, whatever
    the current folder contains; write ``./name`` for a file. A string that begins with ``hf://`` is
    an address on the Hub, and its artifact is fetched unless the local cache has it (hub.py). Any
    other string, and any ``Path``, is a path.

    Raises:
        ArtifactError: no artifact of that name is shipped.
        HubError: the Hub doesn't have the artifact or can't be reached.
        MissingExtraError: huggingface_hub isn't installed.

    Example:
        >>> locate("home-assistant-en").name
        'home-assistant-en.safetensors'
        >>> locate("./mine.safetensors").name
        'mine.safetensors'
    """
    if isinstance(artifact, str) and artifact.startswith("hf://"):
        from neuralbits import hub

        return hub.fetch(artifact)
    if not isinstance(artifact, str) or not re.fullmatch(r"[\w-]+", artifact):
        return Path(artifact)
    artifacts = shipped()
    if artifact not in artifacts:
        raise ArtifactError(
            f"no artifact named {shown(artifact)} is shipped (only {', '.join(artifacts)}); "
            f"for a file, write ./{artifact}"
        )
    return artifacts[artifact]
