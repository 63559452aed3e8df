"""Run the application: listen, serve, stop cleanly."""

import signal
import socket
import sys
from pathlib import Path

import uvicorn

from app.main import create_app
from app.settings import Settings, StartupError
from neuralbits import blas

_GRACE = 10  # seconds that requests in flight have to finish: what Docker waits before it kills


def serve(artifact: Path | None = None, host: str | None = None, port: int | None = None) -> None:
    """Serve an artifact until SIGINT or SIGTERM; what is None comes from the environment.

    Raises:
        StartupError: a setting, the artifact or the address can't be used.
        SystemExit: with status 0, after a signal, once the requests in flight are answered.
    """
    blas.one_thread()
    settings = Settings.read(artifact=artifact, host=host, port=port)
    app = create_app(settings)
    listener = _listen(settings.host, settings.port)

    # Uvicorn finishes what is in flight and then raises the signal again: that ends well here.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    # No access log: it would hold the query strings, and a mistaken client's utterances in them.
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=_GRACE)
    )
    address, bound_port = listener.getsockname()[:2]
    where = f"http://[{address}]" if ":" in address else f"http://{address}"
    print(
        f"neuralbits: serving {settings.artifact} at {where}:{bound_port} "
        "(try /docs; Ctrl-C stops it)",
        file=sys.stderr,
        flush=True,
    )
    server.run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StartupError(
            f"can't listen on {host} port {port}: {reason}; choose another with "
            "--host and --port, or NEURALBITS_HOST and NEURALBITS_PORT"
        ) from None
    return listener
