"""The prediction: the classifier's answer for one text."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IntentConfidence:
    """An intent and its calibrated probability.

    Example:
        >>> import neuralbits
        >>> classifier = neuralbits.load("home-assistant-en")
        >>> first, second = classifier.classify("turn off the lamp", top_k=2).intents
        >>> first.intent, first.confidence > second.confidence
        ('HassTurnOff', True)
    """

    intent: str
    confidence: float
    """The probability, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The classifier's answer for one text.

    Example:
        >>> import neuralbits
        >>> prediction = neuralbits.load("home-assistant-en").classify("turn off the lamp")
        >>> prediction.intent, prediction.in_scope
        ('HassTurnOff', True)
    """

    intent: str
    """The likeliest intent."""
    confidence: float
    """Its calibrated probability."""
    in_scope: bool
    """Whether the margin of the intent's score over the others is at least the artifact's
    threshold. It is false for a text without tokens.

    The margin of scores decides, not the confidence: a softmax is near 1 for any text whose other
    intents score even lower (Hendrycks et al. 2022, arXiv:1911.11132; docs/accuracy.md).
    """
    intents: tuple[IntentConfidence, ...]
    """The ``top_k`` likeliest intents, in falling order of confidence."""
