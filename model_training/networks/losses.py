"""The joint objective of Ravi 2017 (arXiv:1708.00630), section 3.2.

``L = λ1·D(h_θ, y) + λ2·D(h_p, h_θ) + λ3·D(h_p, y)``, D being the cross-entropy, h_θ the trainer's
prediction, h_p the projection network's, y the label.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def _cross_entropy(logits: "Tensor", target: "Tensor", weights: "Tensor | None" = None) -> "Tensor":
    """Return the mean over the batch, each example times its weight if they are given."""
    from torch.nn import functional  # late: the settings, with this objective, are read without

    if weights is None:
        return functional.cross_entropy(logits, target)
    return (weights * functional.cross_entropy(logits, target, reduction="none")).mean()


@dataclass(frozen=True)
class Objective:
    """The weights of the three terms, by default the paper's, and the distillation temperature."""

    trainer_weight: float = 1.0
    """λ1, of the trainer's loss."""
    distillation_weight: float = 0.1
    """λ2, of the projection network's loss against the trainer's prediction."""
    projection_weight: float = 1.0
    """λ3, of the projection network's loss against the labels."""
    unlabelled_weight: float = 1.0
    """Of the projection network's loss on unlabelled texts, if there are any, against what it
    predicts of them when nothing is dropped (consistency, as in Xie et al. 2020,
    arXiv:1904.12848). An encoder's predictions are added as long as they are the better ones."""
    transfer_weight: float = 1.0
    """Of the projection network's loss on texts of other domains, if there are any, against the
    encoder's prediction: λ2's term, on texts that need not have one of the intents."""
    graph_weight: float = 1.0
    """Of the distance between the projection network's predictions of two texts that an edge of the
    graph joins, if there is one (Bui et al. 2018, arXiv:1703.04818)."""
    outlier_weight: float = 4.0
    """Of an out-of-scope example beside a labelled one: the projection network learns to find all
    intents equally likely there (outlier exposure, Hendrycks et al. 2019, arXiv:1812.04606)."""
    prior_adjustment: float = 0.5
    """τ of the logit adjustment (Menon et al. 2021, arXiv:2007.07314, eq. 10): the projection
    network learns from its logits plus τ ln of the intents' shares in training, so that a rare
    intent gets a larger margin. 0 is the plain cross-entropy, 1 the loss balanced over intents."""
    temperature: float = 1.0
    """T: both predictions are softened by it before they are compared; 1 in the paper."""
    encoder_temperature: float = 6.0
    """The same for a sentence encoder's predictions, whose head is calibrated first."""
    scale_by_temperature: bool = True
    """Whether the distillation loss is scaled by T², so that its gradient keeps its size."""

    def __post_init__(self) -> None:
        """Refuse an objective that can't be minimised.

        Raises:
            ValueError: a setting is out of its range; the sentence says which.
        """
        for name in (
            "trainer_weight",
            "distillation_weight",
            "projection_weight",
            "unlabelled_weight",
            "transfer_weight",
            "graph_weight",
            "outlier_weight",
            "prior_adjustment",
        ):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        for name in ("temperature", "encoder_temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")

    def trainer_loss(
        self, logits: "Tensor", labels: "Tensor", weights: "Tensor | None" = None
    ) -> "Tensor":
        """Return D(h_θ, y), the mean over an ensemble's members.

        Shape (members, B, C), (B,) and, the weight of each example if given, (B,) in, a scalar out.
        """
        members, _, intents = logits.shape
        if weights is not None:
            weights = weights.repeat(members)
        return _cross_entropy(logits.reshape(-1, intents), labels.repeat(members), weights)

    def soft_labels(self, logits: "Tensor") -> "Tensor":
        """Return the trainer's softened prediction h_θ, the mean over an ensemble's members.

        Shape (members, B, C) in, (B, C) out. No gradient flows through it: the projection network
        learns from the trainer, the trainer doesn't yield to the projection network.
        """
        return (logits.detach() / self.temperature).softmax(dim=2).mean(dim=0)

    def distillation_loss(self, logits: "Tensor", soft_labels: "Tensor") -> "Tensor":
        """Return D(h_p, h_θ) at temperature T: shape (B, C) twice in, a scalar out.

        The scaling by T² is Hinton's (et al. 2015, arXiv:1503.02531, section 2).
        """
        return self._softened_loss(logits, soft_labels, self.temperature)

    def encoder_loss(self, logits: "Tensor", soft_labels: "Tensor") -> "Tensor":
        """Return the same against an encoder's predictions, softened by its temperature."""
        return self._softened_loss(logits, soft_labels, self.encoder_temperature)

    def _softened_loss(
        self, logits: "Tensor", soft_labels: "Tensor", temperature: float
    ) -> "Tensor":
        soft = _cross_entropy(logits / temperature, soft_labels)
        return soft * temperature**2 if self.scale_by_temperature else soft

    def projection_loss(
        self,
        logits: "Tensor",
        labels: "Tensor",
        log_priors: "Tensor | None" = None,
        weights: "Tensor | None" = None,
    ) -> "Tensor":
        """Return D(h_p, y), adjusted to the intents' priors if they are given.

        Shape (B, C), (B,), the ln of each intent's share in training, (C,), and the weight of each
        example, (B,), in, a scalar out.
        """
        if log_priors is not None:
            logits = logits + self.prior_adjustment * log_priors
        return _cross_entropy(logits, labels, weights)

    def unlabelled_loss(self, logits: "Tensor", guesses: "Tensor") -> "Tensor":
        """Return the cross-entropy with a prediction: shape (U, C) twice in, a scalar out."""
        return _cross_entropy(logits, guesses)

    def graph_loss(self, logits: "Tensor") -> "Tensor":
        """Return the mean squared distance of the ends' predictions: shape (2G, C) in, a scalar."""
        first, second = logits.softmax(dim=1).chunk(2)
        return (first - second).square().sum(dim=1).mean()

    def outlier_loss(self, logits: "Tensor") -> "Tensor":
        """Return the cross-entropy with the uniform distribution: shape (B, C) in, a scalar out."""
        return -logits.log_softmax(dim=1).mean()
