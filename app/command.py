"""Serving as a command: here, and only here, the state of the whole process is set.

Signal handlers, the log and NumPy's threads. ``neuralbits serve`` and ``python -m neuralbits.app``
both end here; the latter needs no typer.
"""

import sys
from pathlib import Path

from neuralbits import blas

from . import signals


def serve(
    artifact: str | Path | None = None,
    host: str | None = None,
    port: int | None = None,
    watch: bool | None = None,
) -> None:
    """Serve an artifact until SIGINT or SIGTERM; what is None comes from the environment.

    Raises:
        StartupError: a setting, the artifact or the address can't be used.
        SystemExit: with status 0, after a signal, once the requests in flight are answered.
    """
    blas.one_thread()
    with signals.handled() as hangup:
        try:
            from . import logs, server
            from .settings import Settings
        except ModuleNotFoundError as error:
            sys.exit(f"neuralbits: serving needs {error.name}: pip install 'neuralbits[serve]'")
        settings = Settings.read(artifact=artifact, host=host, port=port, watch=watch)
        logs.configure(settings.log_level)
        server.serve(settings, hangup)
