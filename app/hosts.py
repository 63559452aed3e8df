"""Which addresses and host names a service without keys answers for.

A web page whose name an attacker points at 127.0.0.1 (DNS rebinding) is of the same origin as the
service, for the browser, and could read whatever it answers. The ``Host`` of such requests gives
them away: it is the attacker's name.
"""

import ipaddress
import socket
from functools import lru_cache
from http import HTTPStatus

from .settings import Settings, is_loopback

_CACHED = 64  # headers; more names than a service has

Refusal = tuple[HTTPStatus, str]


class Hosts:
    """The check of a request's ``Host`` and of the address that it reached.

    Answered are IP addresses, ``localhost``, this machine's name, the name to listen on and
    NEURALBITS_ALLOWED_HOSTS, where an entry like ``.example.org`` has all its subdomains. With
    keys, a foreign page can't read anything, so the name is checked only where some are allowed.
    """

    def __init__(self, settings: Settings) -> None:
        own = socket.gethostname().lower()
        self._names = {"localhost", own, f"{own}.local", settings.host.lower()}
        self._names |= {name for name in settings.allowed_hosts if not name.startswith(".")}
        self._domains = (
            ".localhost",
            *(name for name in settings.allowed_hosts if name.startswith(".")),
        )
        self._any_name = bool(settings.api_keys) and not settings.allowed_hosts
        self._any_address = bool(settings.api_keys) or settings.open
        self.refusal = lru_cache(_CACHED)(self._refusal)

    def _refusal(self, host: bytes, address: str) -> Refusal | None:
        """Return why a request isn't answered: a status and a sentence; None if it is.

        Args:
            host: the request's ``Host`` header; empty, if it has none, as no browser's.
            address: the address of this machine that it reached.
        """
        if not (self._any_address or is_loopback(address)):
            return (
                HTTPStatus.FORBIDDEN,
                "This service has no keys, so it answers this machine alone: set "
                "NEURALBITS_API_KEYS, or NEURALBITS_OPEN=true to answer anyone.",
            )
        if not (self._any_name or not host or self._is_known(_name(host))):
            return (
                HTTPStatus.MISDIRECTED_REQUEST,
                "This service isn't known by the name in the Host header; list its names in "
                "NEURALBITS_ALLOWED_HOSTS.",
            )
        return None

    def _is_known(self, name: str) -> bool:
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names or name.endswith(self._domains)
        return True


def _name(host: bytes) -> str:
    """Return the name in a ``Host`` header, without port and brackets."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].removesuffix(".")
