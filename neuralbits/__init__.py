"""neuralbits: intent detection small enough for any device.

The runtime: raw text in, intent out. A ``Classifier`` hands texts to the kernel in C or, where it
couldn't be compiled, to the reference: there one utterance meets ``text``, ``ngrams``,
``projection`` and ``network``, in that order. An artifact holds what they need.
"""

import contextlib
import os
from typing import Literal

from neuralbits import kernel as _kernel_binding
from neuralbits import manifest as _manifest
from neuralbits.classifier import Classifier
from neuralbits.explanation import Explanation, NgramInfluence
from neuralbits.manifest import ArtifactError, Manifest
from neuralbits.prediction import IntentConfidence, Prediction

__all__ = [
    "ArtifactError",
    "Classifier",
    "Explanation",
    "IntentConfidence",
    "Manifest",
    "NgramInfluence",
    "Prediction",
    "backend",
    "load",
    "loads",
]
__version__ = "0.1.0"


def backend() -> Literal["kernel", "reference"]:
    """Return what artifacts are answered with: the kernel, if it could be compiled.

    Artifacts of float weights or of more than four layers are the reference's in any case.
    """
    return "kernel" if _kernel_binding.COMPILED else "reference"


def load(path: str | os.PathLike[str]) -> Classifier:
    """Load the classifier that an artifact holds.

    Raises:
        ArtifactError: the file can't be used as an artifact; the sentence says why.
    """
    with _manifest.naming(path):
        return loads(_manifest.content_of(path))


def loads(content: bytes) -> Classifier:
    """Load the classifier that an artifact's bytes hold.

    Raises:
        ArtifactError: they can't be used as an artifact; the sentence says why, and names no file.
    """
    contents = _manifest.unpack(content)
    manifest = _manifest.read(contents, len(content))
    if _kernel_binding.COMPILED and _manifest.is_complete(contents):
        with contextlib.suppress(_kernel_binding.Refused):
            return Classifier(manifest, _kernel_binding.Kernel(content, manifest.labels))
    try:
        from neuralbits import artifact, reference
    except ModuleNotFoundError as error:
        raise ArtifactError(
            "there is no kernel here that takes it, and the reference, which might, needs NumPy "
            f"and mmh3: {error.name} isn't installed"
        ) from None

    return reference.classifier(artifact.build(contents, manifest))
