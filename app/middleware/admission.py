"""Admission: hosts, API keys, limits on requests and bodies."""

from http import HTTPStatus

from fastapi import HTTPException
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import api_keys
from ..hosts import Hosts
from ..metrics import Metrics
from ..problems import problem
from ..settings import Settings

_PUBLIC = {"/", "/neuralbits.mjs", "/healthz", "/readyz", "/docs", "/openapi.json"}
"""Paths that need no key: they tell no more of the model than its digest and its last reload."""
_ALWAYS = {"/healthz", "/readyz", "/metrics"}
"""Paths that are answered however busy the service is: a probe that fails would end it."""
_PROBES = {"/healthz", "/readyz"}
"""Paths that are answered under any name: load balancers probe by their own."""
_LATER = {"Retry-After": "1"}
_LOCAL = ("localhost", 0)
_MIN_PART = 64
"""Bytes of memory that a part of a body takes at least: it is an object until all have arrived."""


class Admission:
    """ASGI middleware: refuse a request before any of its body is read.

    Refused are, in this order, a request beyond those that may be in flight, one for a foreign
    host (``Hosts``), one without a valid key, and one whose body is too large or compressed. A
    request whose body is still coming in isn't in flight, so slow clients don't keep others out;
    all such bodies together may take as much memory as those of the requests in flight.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._hosts = Hosts(settings)
        self._keys = settings.api_keys
        self._max_in_flight = settings.max_in_flight
        self._max_body = settings.max_body
        # The last part of a usual body may be small.
        self._max_bodies = settings.max_in_flight * (settings.max_body + _MIN_PART)
        self._bodies = 0  # bytes of memory
        self._too_large = f"The body is larger than {self._max_body:,} bytes; send less at a time."
        self._full = (
            f"{self._max_in_flight} requests are being answered; send this one again later."
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to the application, or refuse it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        path = scope["path"]
        size, memory, whole = 0, 0, False

        async def receive_limited() -> Message:
            nonlocal size, memory, whole
            if whole:
                return await receive()
            self._metrics.in_flight -= 1
            try:
                message = await receive()
            finally:
                self._metrics.in_flight += 1
            if part := len(message.get("body", b"")):
                size += part
                memory += max(part, _MIN_PART)
                self._bodies += max(part, _MIN_PART)
            whole = not message.get("more_body", False)
            if size > self._max_body:  # a chunked body: no Content-Length gave its size
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)
            if self._bodies > self._max_bodies or self._is_full(path):
                raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, self._full, _LATER)
            return message

        self._metrics.in_flight += 1
        try:
            app = self._refusal(scope, dict(scope["headers"])) or self._app
            await app(scope, receive_limited, send)
        finally:
            self._metrics.in_flight -= 1
            self._bodies -= memory

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> Response | None:
        """Return the problem to answer with, or None for a request that is admitted."""
        path = scope["path"]
        if self._is_full(path):
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, self._full, headers=_LATER)
        address, port = scope["server"] or _LOCAL
        if port is None:  # a socket in the file system
            address = "localhost"
        if path not in _PROBES and (
            refusal := self._hosts.refusal(headers.get(b"host", b""), address)
        ):
            return problem(*refusal)
        if self._keys and path not in _PUBLIC:
            authorization = headers.get(b"authorization", b"")
            if not api_keys.admits(self._keys, authorization):
                wrong = (
                    "The key isn't one of this service's" if authorization else "A key is missing"
                )
                return problem(
                    HTTPStatus.UNAUTHORIZED,
                    f"{wrong}; send one in the header Authorization: Bearer KEY.",
                    headers={"WWW-Authenticate": "Bearer"},
                )
        if int(headers.get(b"content-length", 0)) > self._max_body:
            return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)
        if headers.get(b"content-encoding", b"identity") != b"identity":
            return problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "The body is compressed; send it without a Content-Encoding.",
                headers={"Accept-Encoding": "identity"},
            )
        return None

    def _is_full(self, path: str) -> bool:
        return self._metrics.in_flight > self._max_in_flight and path not in _ALWAYS
