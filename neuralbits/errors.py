"""The one kind of error that a user can mend, and how a program tells of it."""

import contextlib
import sys
from collections.abc import Iterator


class NeuralbitsError(ValueError):
    """Bad input of any kind; its text is one sentence: what, where, and how to mend it."""


@contextlib.contextmanager
def ending_in_a_sentence(program: str) -> Iterator[None]:
    """End a program; what its user can mend is said in one sentence, without a traceback.

    Raises:
        SystemExit: something went wrong, or Ctrl-C was pressed.
    """
    try:
        yield
    except NeuralbitsError as error:
        sys.exit(f"{program}: {error}")
    except OSError as error:
        sys.exit(f"{program}: {error.filename or 'the system'}: {error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit(130)
