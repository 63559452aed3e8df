"""Specialists: small trainers, each for a group of intents that the trainer takes for one another.

Hinton et al. 2015 (arXiv:1503.02531), section 5. The trainer is the generalist. After some epochs
the intents are clustered by the covariance of its predictions (5.3; here by spectral clustering,
which makes groups of more even sizes than the paper's k-means). A specialist tells the intents of
its group apart, and everything else is one more class to it, its dustbin. What generalist and
specialist say of a text is joined into one prediction, the soft labels (5.4).

Here a specialist starts from nothing, not from the generalist, and sees every text, not half of
them from its group; so its dustbin needs no correction.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from .settings import SpecialistSettings, TrainerSettings
from .trainers import TokenBatch, Trainer


def confusable(predictions: npt.NDArray[np.float64], groups: int, seed: int) -> list[list[int]]:
    """Cluster intents by how a generalist's predictions of them vary together.

    Args:
        predictions: shape (N, C), probabilities, for texts of every intent.
        groups: how many groups to make.
        seed: of the clustering.

    Returns:
        The intents of each group, ascending; every intent is in one.
    """
    from sklearn.cluster import SpectralClustering  # here: it takes a second

    covariance = np.cov(predictions, rowvar=False)
    likeness = covariance.clip(min=0)
    np.fill_diagonal(likeness, 0)  # an intent is always like itself
    likeness += 1e-6 * likeness.mean() + 1e-12  # so that no intent is out of reach of the others
    clustering = SpectralClustering(groups, affinity="precomputed", random_state=seed)
    group_of = clustering.fit_predict(likeness)
    return [np.flatnonzero(group_of == group).tolist() for group in np.unique(group_of)]


class Specialists(nn.Module):
    """The specialists of groups that every intent is in one of, and how they learn.

    Args:
        groups: the intents of each group.
        settings: of the specialists.
        trainer: the settings of the generalist, whose buckets and dropout are theirs too.
    """

    def __init__(
        self, groups: list[list[int]], settings: SpecialistSettings, trainer: TrainerSettings
    ) -> None:
        super().__init__()
        self.groups = groups
        width = settings.width
        shape = replace(trainer, names="feedforward", embedding=width, hidden=width)
        self.members = nn.ModuleList(
            Trainer("feedforward", len(group) + 1, shape) for group in groups
        )
        group_of = [-1] * sum(map(len, groups))
        for number, group in enumerate(groups):
            for intent in group:
                group_of[intent] = number
        self._group_of = torch.tensor(group_of)
        self._adam = torch.optim.Adam(self.parameters(), lr=settings.learning_rate, fused=True)

    def refine(
        self, batch: TokenBatch, labels: Tensor, soft_labels: Tensor, temperature: float
    ) -> Tensor:
        """Take a step on the labels, and join what the specialists say to the soft labels.

        Args:
            batch: B texts.
            labels: shape (B,), their intents.
            soft_labels: shape (B, C), the generalist's prediction at the temperature.
            temperature: what softens the specialists' predictions too.

        Returns:
            Shape (B, C), the prediction of all.
        """
        loss = soft_labels.new_zeros(())
        inside = torch.zeros_like(soft_labels)
        dustbins = []
        for group, member in zip(self.groups, self.members, strict=True):
            logits = member(batch)
            # The place of each intent in the group, and of all others behind them.
            places = torch.full((soft_labels.shape[1],), len(group), device=labels.device)
            places[group] = torch.arange(len(group), device=labels.device)
            loss = loss + functional.cross_entropy(logits, places[labels])
            predicted = functional.softmax(logits.detach() / temperature, dim=1)
            inside[:, group] = predicted[:, :-1]
            dustbins.append(predicted[:, -1])
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()

        group_of = self._group_of.to(labels.device)
        chosen = group_of[soft_labels.argmax(dim=1)]
        dustbin = torch.stack(dustbins, dim=1).gather(1, chosen[:, None])
        return join(soft_labels, inside, dustbin, group_of == chosen[:, None])

    def state(self) -> dict[str, Any]:
        """Return all that `restore` needs."""
        return {
            "groups": self.groups,
            "members": self.state_dict(),
            "adam": self._adam.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned, of the same groups."""
        self.load_state_dict(state["members"])
        self._adam.load_state_dict(state["adam"])


def join(general: Tensor, special: Tensor, dustbin: Tensor, inside: Tensor) -> Tensor:
    """Return the prediction q that is nearest to a generalist's g and a specialist's s.

    Nearest is where KL(g, q) + KL(s, q) is least, q being summed over what s takes for one class:
    eq. 5 of the paper with the one specialist whose group holds the generalist's first choice. For
    one, the minimum needs no descent: within the group q is the mean of g and s; outside, their
    mean mass is shared out as g shares its own.

    Args:
        general: g, shape (B, C).
        special: s within the group, shape (B, C); elsewhere it isn't looked at.
        dustbin: s of all else, shape (B, 1).
        inside: bool, shape (B, C), which intents are in the group.

    Returns:
        q, shape (B, C).
    """
    outside = general.masked_fill(inside, 0.0)
    mass = outside.sum(dim=1, keepdim=True)
    # A generalist that is sure of the group gives the mass outside no shape: all alike, then.
    tiny = torch.finfo(general.dtype).tiny
    shares = (outside + tiny * ~inside) / (mass + tiny * (~inside).sum(dim=1, keepdim=True))
    return torch.where(inside, general + special, shares * (mass + dustbin)) / 2
