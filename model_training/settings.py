"""The settings of a training run, in one dataclass.

Its defaults are those of `neuralbits train`; the report and the checkpoint record it. Nothing here
imports torch, so that a mistake in a setting is reported at once.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import NamedTuple, TypeVar

from neuralbits.errors import NeuralbitsError
from neuralbits.projection import Projection

from .compression.settings import LowRankSettings, PruningSettings
from .networks.losses import Objective
from .networks.settings import NetworkSettings, SpecialistSettings, TrainerSettings


class SettingsError(NeuralbitsError):
    """A setting that doesn't exist, or a value that it can't have."""


@dataclass(frozen=True)
class Settings:
    """All that, with the data, decides what a training run gives."""

    projection: Projection = field(default_factory=Projection)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    objective: Objective = field(default_factory=Objective)
    specialists: SpecialistSettings = field(default_factory=SpecialistSettings)
    low_rank: LowRankSettings = field(default_factory=LowRankSettings)
    pruning: PruningSettings = field(default_factory=PruningSettings)
    seed: int = 0
    epochs: int = 15
    min_batches: int = 128
    """Of an epoch: little data is gone through several times in each."""
    views: int = 2
    """How often an epoch shows the projection network each text, other parts of it dropped."""
    token_dropout: float = 0.0
    """From each text a share of its tokens is dropped, drawn between 0 and this every time."""
    unlabelled_token_dropout: float = 0.3
    """The same for unlabelled texts, which have no label that a token may decide."""
    transfer_share: float = 2.0
    """How many texts of other domains a batch has for each labelled one, if there are any."""
    ngram_dropout: float = 0.4
    """From what is left a share of its n-grams is dropped likewise."""
    typo_rate: float = 0.4
    """The share of the views in which the text has one typo."""
    max_rounds: int = 32
    """But not more often than this: a few texts are learnt by heart long before."""
    max_characters: int = 2000
    """What training reads of a text; longer ones are cut, and reported."""
    batch_size: int = 64
    trainer_learning_rate: float = 4e-3
    """The peak learning rate of the trainer, reached after a tenth of the run; then a cosine."""
    projection_learning_rate: float = 2e-3
    """The peak learning rate of the projection network, on the same schedule."""
    base_learning_rate: float = 0.25
    """Of a first layer that starts from a base, as a share of the projection network's."""
    max_false_rejects: float = 0.04
    """The share of in-scope texts that may be taken for out-of-scope ones (calibration.py)."""

    def __post_init__(self) -> None:
        """Refuse what no run can be made with.

        Raises:
            ValueError: a setting is out of its range; the sentence says which.
        """
        for name, least in (
            ("epochs", 1),
            ("min_batches", 1),
            ("max_rounds", 1),
            ("views", 1),
            ("max_characters", 1),
            ("batch_size", 2),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        for name in (
            "token_dropout",
            "unlabelled_token_dropout",
            "ngram_dropout",
            "typo_rate",
            "max_false_rejects",
        ):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, not within 0 and 1")
        for name in (
            "trainer_learning_rate",
            "projection_learning_rate",
            "base_learning_rate",
            "transfer_share",
        ):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed is {self.seed}, not within 0 and 2**32 - 1")
        for share, precision in (("first_share", "first_precision"), ("share", "precision")):
            if getattr(self.pruning, share) and getattr(self.network, precision) == "binary":
                raise ValueError(
                    f"pruning.{share} is {getattr(self.pruning, share)}, but a binary weight can't "
                    f"be 0; take network.{precision}=ternary, or leave pruning.{share} at 0"
                )
        if self.specialists.groups and not self.trainer.learnt:
            raise ValueError(
                f"specialists.groups is {self.specialists.groups}, but specialists divide the "
                "work of a trainer that learns; choose such a trainer, or leave it at 0"
            )
        if self.pruning.prunes and self.low_rank.after:
            raise ValueError(
                "pruning and low_rank.after exclude each other: factorised, what was pruned would "
                "come back; leave one of them at 0"
            )

    def override(self, assignments: Iterable[str]) -> "Settings":
        """Return these settings with some changed.

        Args:
            assignments: such as ``epochs=30``, ``objective.temperature=2`` or
                ``network.widths=64,64``.

        Raises:
            SettingsError: there is no such setting, or the value isn't of its type.
        """
        parsed = []
        for assignment in assignments:
            path, equals, value = assignment.partition("=")
            if not equals:
                raise SettingsError(f"{assignment!r} sets nothing; write it like epochs=30")
            parsed.append(_Assignment(path.split("."), value, assignment))
        return _assign(self, parsed)


WIDTHS = (
    "projection.functions",
    "projection.dimensions",
    "projection.removed",
    "network.widths",
)
"""What ``max_size`` chooses, unless one of them is set."""


def chosen(
    assignments: Sequence[str] = (),
    *,
    seed: int = 0,
    trainer: str = "lstm",
    max_false_rejects: float = 0.04,
) -> tuple[Settings, bool]:
    """Return the settings of a run, and whether its budget is to choose the widths.

    Args:
        assignments: such as ``epochs=30``; see `Settings.override`.
        seed: of the run.
        trainer: its name.
        max_false_rejects: the greatest share of in-scope texts to reject.

    Raises:
        SettingsError: a setting doesn't exist, or can't have its value.

    Example:
        >>> settings, choose_widths = chosen(["epochs=3"], trainer="none")
        >>> settings.epochs, settings.trainer.present, choose_widths
        (3, False, True)
    """
    try:
        settings = Settings(
            seed=seed,
            trainer=TrainerSettings(names=trainer),
            max_false_rejects=max_false_rejects,
        )
    except ValueError as error:
        raise SettingsError(str(error)) from None
    names = {assignment.partition("=")[0] for assignment in assignments}
    return settings.override(assignments), names.isdisjoint(WIDTHS)


def assignments(values: Mapping[str, object]) -> list[str]:
    """Write settings as assignments.

    Example:
        >>> assignments({"epochs": 3, "network.widths": (64, 64), "pruning.sensitivity": True})
        ['epochs=3', 'network.widths=64,64', 'pruning.sensitivity=true']
    """

    def written(value: object) -> str:
        if isinstance(value, list | tuple):
            return ",".join(map(str, value))
        return str(value).lower() if isinstance(value, bool) else str(value)

    return [f"{name}={written(value)}" for name, value in values.items()]


def parse_share(text: str) -> float:
    """Read a share such as ``4%`` or ``0.04``.

    Raises:
        SettingsError: the text is none, or not below 1.
    """
    number, percent, rest = text.strip().partition("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = math.nan
    if rest or not 0 <= share < 1:
        raise SettingsError(f"{text!r} is no share below 1; write it like 4% or 0.04")
    return share


_Group = TypeVar("_Group")


class _Assignment(NamedTuple):
    path: list[str]
    """The names that lead to the setting."""
    value: str
    whole: str
    """As the user wrote it, for an error's sentence."""


def _assign(group: _Group, assignments: Sequence[_Assignment]) -> _Group:
    """Make all the assignments at once: what they give has to be allowed, not each step to it."""
    names = [each.name for each in fields(group)] if is_dataclass(group) else []
    new: dict[str, object] = {}
    deeper: dict[str, list[_Assignment]] = {}
    for path, value, whole in assignments:
        if path[0] not in names:
            raise SettingsError(
                f"--set {whole}: there is no {path[0]!r}"
                + (f"; choose of {', '.join(names)}" if names else "")
            )
        if len(path) > 1:
            deeper.setdefault(path[0], []).append(_Assignment(path[1:], value, whole))
            continue
        try:
            new[path[0]] = _parse(path[0], value, getattr(group, path[0]))
        except (ValueError, KeyError) as error:
            raise SettingsError(f"--set {whole}: {error}") from None
    for name, inner in deeper.items():
        new[name] = _assign(getattr(group, name), inner)
    try:
        return replace(group, **new)  # type: ignore[type-var]
    except ValueError as error:
        wholes = " --set ".join(each.whole for each in assignments)
        raise SettingsError(f"--set {wholes}: {error}") from None


def _parse(name: str, value: str, current: object) -> object:
    """Read a value of the type of the current one.

    Raises:
        ValueError, KeyError: it isn't of this type.
    """
    if isinstance(current, bool):
        return {"true": True, "false": False}[value.lower()]
    if isinstance(current, tuple):
        parts = [part for part in value.split(",") if part]
        return tuple(parts if name == "families" else map(int, parts))
    if isinstance(current, int | float | str):
        return type(current)(value)
    raise ValueError(f"name one of the settings in {name}")
