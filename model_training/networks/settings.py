"""The settings of the networks, apart from them: they are read without torch."""

from dataclasses import dataclass
from typing import get_args

from neuralbits import packing
from neuralbits.errors import NeuralbitsError
from neuralbits.network import Activation
from neuralbits.packing import Precision

TRAINERS = ("lstm", "feedforward", "cnn")
ENCODER = "encoder"
NO_TRAINER = "none"


@dataclass(frozen=True)
class NetworkSettings:
    """The shape of the projection network."""

    widths: tuple[int, ...] = (64,)
    """The units of each hidden layer; none for a single layer, as in the paper."""
    first_precision: Precision = "binary"
    """The weights of the layer that reads the bits."""
    precision: Precision = "int4"
    """The weights of the layers after it."""
    activation: Activation = "relu"
    """Of the hidden layers."""

    def __post_init__(self) -> None:
        """Refuse a shape that no network has.

        Raises:
            ValueError: a setting is out of its range; the sentence says which.
        """
        if any(units < 1 for units in self.widths):
            raise ValueError(f"widths is {self.widths}; each must be at least 1")
        for name, choices in (
            ("first_precision", packing.PRECISIONS),
            ("precision", packing.PRECISIONS),
            ("activation", get_args(Activation)),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; choose of {', '.join(choices)}"
                )


@dataclass(frozen=True)
class TrainerSettings:
    """The shape of the trainer."""

    names: str = "lstm"
    """``lstm``, ``feedforward``, ``cnn``, ``encoder``, or several joined by ``+``; or ``none``."""
    buckets: int = 2**15
    """How many embeddings the hashed n-grams share."""
    embedding: int = 128
    """The width of an embedding."""
    hidden: int = 128
    """The width of an encoder; of each direction, for the LSTM."""
    token_dropout: float = 0.15
    """The share of tokens whose embedding is dropped as a whole."""
    embedding_dropout: float = 0.5
    """The share of the embedded tokens' coordinates that is dropped."""
    dropout: float = 0.6
    """The share of the encoder's outputs that is dropped."""

    vocabulary: bool = True
    """Whether the words that a sentence encoder knows are texts of other domains."""

    def __post_init__(self) -> None:
        """Refuse a trainer that doesn't exist.

        Raises:
            ValueError: with a sentence that lists those which do.
        """
        for name in self.names.split("+") if self.present else ():
            if name not in (*TRAINERS, ENCODER):
                raise ValueError(
                    f"there is no trainer {name!r}; choose of {', '.join((*TRAINERS, ENCODER))}, "
                    f"several joined by +, or {NO_TRAINER}"
                )
        for size in ("buckets", "embedding", "hidden"):
            if getattr(self, size) < 1:
                raise ValueError(f"{size} is {getattr(self, size)}; it must be at least 1")
        for share in ("token_dropout", "embedding_dropout", "dropout"):
            if not 0 <= getattr(self, share) < 1:
                raise ValueError(f"{share} is {getattr(self, share)}, not within 0 and 1")

    @property
    def present(self) -> bool:
        """Whether there is a trainer at all."""
        return self.names != NO_TRAINER

    @property
    def learnt(self) -> tuple[str, ...]:
        """The members that learn from the tokens, batch by batch."""
        return tuple(name for name in self.names.split("+") if name in TRAINERS)

    @property
    def encoder(self) -> bool:
        """Whether a sentence encoder is among the members."""
        return ENCODER in self.names.split("+")

    def check_encoder(self, name: str | None, transfer: bool) -> None:
        """Refuse an encoder that isn't named, and what nothing uses without one.

        Args:
            name: of the encoder, if one is named.
            transfer: whether there are texts of other domains.

        Raises:
            EncoderError: with a sentence that says which option is missing.
        """
        if self.encoder and not name:
            raise EncoderError(
                f"--trainer {ENCODER} needs --encoder: a folder, or a name on the Hub"
            )
        for given, option in ((name, "--encoder"), (transfer, "--transfer")):
            if given and not self.encoder:
                raise EncoderError(f"{option} goes with --trainer {ENCODER}, not {self.names}")


class EncoderError(NeuralbitsError):
    """A sentence encoder that is missing or can't be loaded, or whose embeddings can't be read."""


class SpecialistError(NeuralbitsError):
    """Why there can't be so many specialists, in one sentence."""


@dataclass(frozen=True)
class SpecialistSettings:
    """How many specialists there are, and what they are."""

    groups: int = 0
    """The groups of intents, each with a specialist; 0 for none."""
    after: int = 3
    """The epochs after which the generalist's predictions say what is confusable."""
    width: int = 32
    """The width of a specialist's embeddings and of its encoder, which is ``feedforward``."""
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        """Refuse what can't be done.

        Raises:
            ValueError: a setting is out of its range; the sentence says which.
        """
        if self.groups < 0 or self.groups == 1:
            raise ValueError(f"groups is {self.groups}; it must be 0, or at least 2")
        if self.after < 1 or self.width < 1:
            raise ValueError(f"after is {self.after}, width {self.width}; each must be at least 1")
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"learning_rate is {self.learning_rate}, not within 0 and 1")

    def check(self, intents: int) -> None:
        """Refuse more groups than there can be of so many intents.

        Raises:
            SpecialistError: there are too many.
        """
        if self.groups >= intents:
            raise SpecialistError(
                f"specialists.groups is {self.groups}, but there are {intents} intents; set fewer"
            )

    def begin(self, epochs: int) -> bool:
        """Whether specialists are to be found after so many epochs."""
        return self.groups > 0 and epochs == self.after
