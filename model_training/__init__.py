"""The offline job: from utterances with their intents to an artifact.

`fit` trains from Python, and cli.py from the command line; both call `job.fit`. Importing this
package loads neither torch nor NumPy.
"""

from .fitting import DataWarning, fit

__all__ = ["DataWarning", "fit"]
