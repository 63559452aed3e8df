"""Run the application: listen, serve, stop cleanly."""

import asyncio
import logging
import socket
import ssl
from functools import partial
from typing import Any

import uvicorn

from . import systemd
from .main import create_app
from .protocol import Connection, Handshake, Limits
from .settings import Settings, StartupError, is_loopback
from .signals import Hangup

_GRACE = 10  # seconds that requests in flight have to finish: what Docker waits before it kills
_RECEIVED = 32_768  # bytes of a connection that the kernel keeps until they are read
_LOG = logging.getLogger("neuralbits")


def serve(settings: Settings, hangup: Hangup | None = None) -> None:
    """Serve an artifact until SIGINT or SIGTERM; requests in flight are answered first.

    Args:
        settings: what to serve, where and to whom.
        hangup: the signal to reload on.

    Raises:
        StartupError: the artifact, the certificate or the address can't be used.
    """
    app = create_app(settings, hangup)
    limits = Limits(settings, app.state.metrics)
    tls: ssl.SSLContext | None = None

    def make_connection(**about: Any) -> asyncio.Protocol:
        connection = partial(Connection, limits=limits, **about)
        return Handshake(connection, tls, limits) if tls else connection()

    config = uvicorn.Config(
        app,
        http=make_connection,  # type: ignore[arg-type]  # uvicorn calls it, as it would the class
        ws="none",
        server_header=False,
        # Nothing depends on the client's address or on the scheme that it used.
        proxy_headers=False,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        log_config=None,
        # It would hold the query strings, and a mistaken client's utterances in them.
        access_log=False,
        timeout_graceful_shutdown=_GRACE,
        # Called once requests are taken, and then as often as the watchdog of systemd asks for.
        callback_notify=systemd.notify,
        timeout_notify=(systemd.watchdog_seconds() or 60) / 3,  # type: ignore[arg-type]
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise StartupError(
            f"can't use the TLS certificate {settings.tls_certificate} with the key "
            f"{settings.tls_key}: {error.strerror or error}; both must be PEM files, without a "
            "passphrase, and belong together"
        ) from None
    # Connections begin TLS themselves, so that their handshakes are within limits, too.
    tls, config.ssl = config.ssl, None
    listener = systemd.listener() or _listen(settings.host, settings.port)
    if not (settings.api_keys or settings.open or is_loopback(listener.getsockname()[0])):
        raise StartupError(
            "systemd listens on an address that other machines reach: set NEURALBITS_API_KEYS, or "
            "NEURALBITS_OPEN=true if this is intended"
        )
    address, bound_port = listener.getsockname()[:2]
    where = f"[{address}]" if ":" in address else address
    url = f"http{'s' if config.is_ssl else ''}://{where}:{bound_port}"
    _LOG.info(
        f"serving {settings.artifact} at {url} (Ctrl-C stops it)",
        extra={"url": url, "artifact": str(settings.artifact)},
    )
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # What the kernel keeps for a connection is memory of the container, and so is the buffer
        # that TLS reads it into.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED)
        listener.bind((host, port))
        listener.listen()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StartupError(
            f"can't listen on {host} port {port}: {reason}; choose another with "
            "--host and --port, or NEURALBITS_HOST and NEURALBITS_PORT"
        ) from None
    return listener
