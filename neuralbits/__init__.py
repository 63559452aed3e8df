"""neuralbits: intent detection small enough for any device.

The runtime: raw text in, intent out. One utterance meets ``text``, ``ngrams``, ``projection`` and
``network``, in that order; an ``artifact`` holds what they need, a ``Classifier`` holds it all.
"""

import os

from neuralbits import artifact as _artifact
from neuralbits.artifact import Artifact, ArtifactError
from neuralbits.classifier import Classifier, IntentConfidence, Prediction

__all__ = ["Artifact", "ArtifactError", "Classifier", "IntentConfidence", "Prediction", "load"]
__version__ = "0.1.0"


def load(path: str | os.PathLike[str]) -> Classifier:
    """Load the classifier that an artifact holds.

    Raises:
        ArtifactError: the file can't be used as an artifact; the sentence says why.
    """
    return Classifier(_artifact.read(path))
