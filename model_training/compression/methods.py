"""The methods that the settings of a run ask for."""

from ..networks.projection_network import ProjectionNetwork
from ..settings import Settings
from .group_lasso import GroupLasso
from .hook import Hook
from .low_rank import LowRank, unfactorised
from .pruning import Pruning
from .specialisation import Specialisation


def hooks(settings: Settings, intents: int) -> list[Hook]:
    """Return the hooks of a run, in the order in which they act.

    Raises:
        SpecialistError: there are more groups of intents than intents allow.
    """
    settings.specialists.check(intents)
    chosen: list[Hook] = []
    if settings.low_rank.after:
        chosen.append(LowRank(settings.low_rank, settings.network, settings.epochs))
    if settings.specialists.groups:
        chosen.append(Specialisation(settings))
    if settings.pruning.group_lasso:
        chosen.append(GroupLasso(settings.pruning, settings.epochs))
    if settings.pruning.first_share or settings.pruning.share:
        chosen.append(Pruning(settings.pruning, settings.epochs))
    return chosen


def first_network(settings: Settings, intents: int) -> tuple[ProjectionNetwork, int]:
    """Return the network that a run begins with, and for how many epochs it is trained.

    Raises:
        LowRankError: it is to be factorised, but it can't be.
    """
    inputs, low_rank = settings.projection.inputs, settings.low_rank
    network = unfactorised(inputs, intents, settings.network, low_rank, settings.epochs)
    return network, low_rank.after or settings.epochs
