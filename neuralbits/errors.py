"""The errors that a user can fix, and how a program reports them.

::

    ValueError
    └── NeuralbitsError           bad input of any kind
        ├── ArtifactError         an artifact can't be used             neuralbits.manifest
        ├── TooVaried             a text is too long to explain         neuralbits.explanation
        ├── HubError              the Hub doesn't have or take it       neuralbits.hub
        ├── ExportError           an artifact can't be exported         neuralbits.export
        ├── TableError            a table can't be read                 neuralbits.tables
        ├── ScoringError          a job can't start or resume           neuralbits.journal
        ├── ForeignFileError      an output would replace a user's file neuralbits.errors
        ├── MissingExtraError     an optional package isn't installed   neuralbits.errors
        ├── DataError             examples can't be used                model_training.data
        ├── SettingsError         a training setting is wrong           model_training.settings
        ├── SizeError             a size can't be read                  neuralbits.sizes
        ├── BudgetError           no network fits the size              model_training.budget
        ├── TrainingError         a training can't start or end         model_training.outputs
        ├── CheckpointError       a run can't continue from its state   model_training.loop
        ├── EncoderError          a sentence encoder can't be used      model_training.networks
        ├── BaseError             a training can't start from a base    model_training.networks
        ├── GraphError            a graph of texts can't be used        model_training.views
        ├── SpecialistError       specialists can't be trained          model_training.networks
        ├── LowRankError          a layer can't be factored             model_training.compression
        ├── SweepError            a sweep can't start or resume         model_training.sweep
        └── EvaluationError       there is nothing to measure           model_training.evaluation

Each message is a clause or two: what is wrong, where, and what to do. `shown` escapes and cuts the
untrusted input that a message quotes.
"""

import contextlib
import sys
from collections.abc import Iterator

SHOWN_CHARACTERS = 80
"""The most that an error quotes of one name or value."""


class NeuralbitsError(ValueError):
    """Bad input of any kind; the message says what is wrong, where, and what to do."""


class ForeignFileError(NeuralbitsError):
    """An output would replace a file that neuralbits didn't write."""


class MissingExtraError(NeuralbitsError):
    """A package of an extra isn't installed; the message names the extra."""


@contextlib.contextmanager
def needing(extra: str) -> Iterator[None]:
    """Name the extra if an import in this context fails.

    Raises:
        MissingExtraError: a package isn't installed.

    Example:
        >>> with needing("reference"):
        ...     import numpy as np
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"this needs {error.name}: pip install 'neuralbits[{extra}]'"
        ) from None


def shown(value: object, characters: int = SHOWN_CHARACTERS) -> str:
    r"""Quote, escape and cut an untrusted value for an error message.

    Example:
        >>> shown("turn on\x1b[2J")
        "'turn on\\x1b[2J'"
        >>> shown("x" * 1000, 10)
        "'xxxxxxxxxx…'"
    """
    if isinstance(value, str):
        return repr(value if len(value) <= characters else value[:characters] + "…")
    text = repr(value)
    return text if len(text) <= characters else text[:characters] + "…"


def escaped(text: str, characters: int = 3 * SHOWN_CHARACTERS) -> str:
    r"""Escape and cut untrusted text for an error message, without quotes.

    Example:
        >>> escaped("turn on\x1b[2J")
        'turn on\\x1b[2J'
    """
    start = text[: characters + 1]
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in start)
    return safe if len(safe) <= characters else safe[:characters] + "…"


@contextlib.contextmanager
def ending_in_a_sentence(program: str) -> Iterator[None]:
    """End a program with one line, not a traceback, for an error that its user can fix.

    Raises:
        SystemExit: such an error, or Ctrl-C.
    """
    try:
        yield
    except NeuralbitsError as error:
        sys.exit(f"{program}: {error}")
    except OSError as error:
        sys.exit(f"{program}: {error.filename or 'the system'}: {error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit(130)
