"""The prediction: what the classifier makes of a text."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IntentConfidence:
    """An intent and its calibrated probability."""

    intent: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the classifier makes of a text."""

    intent: str
    """The likeliest intent."""
    confidence: float
    """Its calibrated probability."""
    in_scope: bool
    """Whether the margin of the intent's score over the others reaches the artifact's threshold;
    never for a text without tokens.

    The scores, not the confidence: a softmax is sure of one intent as soon as the others are less
    likely still (Hendrycks et al. 2022, arXiv:1911.11132; measured in docs/accuracy.md).
    """
    intents: tuple[IntentConfidence, ...]
    """The ``top_k`` likeliest intents, the likeliest first."""
