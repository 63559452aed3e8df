"""neuralbits: intent classification small enough for any device.

The runtime takes raw text and returns an intent. A ``Classifier`` passes texts to the C kernel or,
where the kernel isn't compiled, to the NumPy reference. The reference runs ``text``, ``ngrams``,
``projection`` and ``network``, in that order. An artifact contains the data that they need.

Example:
    >>> import neuralbits
    >>> classifier = neuralbits.load("home-assistant-en")
    >>> classifier.classify("turn off the lamp").intent
    'HassTurnOff'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuralbits.classifier import Classifier
    from neuralbits.explanation import Explanation, NgramInfluence
    from neuralbits.loading import backend, load, loads
    from neuralbits.manifest import ArtifactError, Manifest
    from neuralbits.model_training import fit
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
    "fit",
    "load",
    "loads",
]
__version__ = "0.1.0"

_MODULES = {
    "ArtifactError": "manifest",
    "Classifier": "classifier",
    "Explanation": "explanation",
    "IntentConfidence": "prediction",
    "Manifest": "manifest",
    "NgramInfluence": "explanation",
    "Prediction": "prediction",
    "backend": "loading",
    "fit": "model_training",
    "load": "loading",
    "loads": "loading",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use.

    So a process that uses one part of the package, such as a container's health check, loads only
    that part, and the runtime doesn't load the packages that training needs.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
