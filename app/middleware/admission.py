"""Who and what is let in to the application, and the account that is given of it."""

import logging
import re
import secrets
from collections.abc import Collection
from http import HTTPStatus
from itertools import count
from time import perf_counter

from fastapi import HTTPException
from fastapi.responses import Response
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import api_keys
from ..metrics import Metrics
from ..problems import problem
from ..settings import Settings

_LOG = logging.getLogger("neuralbits")
_PUBLIC = {"/", "/neuralbits.mjs", "/healthz", "/readyz", "/docs", "/openapi.json"}
"""What needs no key: it tells no more of the model than its digest, and of its last reload."""
_ALWAYS = {"/healthz", "/readyz", "/metrics"}
"""What is answered however busy the service is: a probe that fails would end it."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_DISCONNECTED = 499  # what nginx calls a request whose client didn't wait for the answer
_LATER = {"Retry-After": "1"}
_NOSNIFF = (b"x-content-type-options", b"nosniff")


class Guard:
    """ASGI middleware around the whole application.

    It refuses, in this order and before any of the body is read: what comes while too many
    requests are in flight, what comes without a key, and what is too large. A request whose body
    is still coming in isn't in flight, so that slow clients don't keep others out; what such
    bodies take together is limited to what those in flight may have. Each answer has a request id
    in ``X-Request-ID``: the client's own if that is a plain word, and else a new one.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, metrics: Metrics, paths: Collection[str]
    ) -> None:
        self._app = app
        self._keys = settings.api_keys
        self._max_in_flight = settings.max_in_flight
        self._max_body = settings.max_body
        self._max_held = settings.max_in_flight * settings.max_body
        self._held = 0  # bytes of bodies
        self._too_large = f"The body is larger than {self._max_body:,} bytes; send less at a time."
        self._full = (
            f"{self._max_in_flight} requests are being answered; send this one again later."
        )
        self._metrics = metrics
        self._paths = paths
        self._ids = (f"{secrets.token_hex(4)}-{number:x}".encode() for number in count(1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in or refuse it, and count it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = perf_counter()
        path = scope["path"] if scope["path"] in self._paths else "other"
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = next(self._ids)
        status = _DISCONNECTED

        async def send_identified(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                identified = (b"x-request-id", request_id)
                message["headers"] = [*message["headers"], identified, _NOSNIFF]
            await send(message)

        size, whole = 0, False

        async def receive_limited() -> Message:
            nonlocal size, whole
            if whole:
                return await receive()
            self._metrics.in_flight -= 1
            try:
                message = await receive()
            finally:
                self._metrics.in_flight += 1
            part = len(message.get("body", b""))
            size += part
            self._held += part
            whole = not message.get("more_body", False)
            if size > self._max_body:  # of a length that wasn't told before
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)
            if self._held > self._max_held or self._is_full(path):
                raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, self._full, _LATER)
            return message

        self._metrics.in_flight += 1
        try:
            app = self._refusal(path, headers) or self._app
            await app(scope, receive_limited, send_identified)
        except ClientDisconnect:
            pass
        except Exception as error:
            facts = {"request_id": request_id.decode(), "path": path}
            _LOG.error("failed to answer a request", exc_info=error, extra=facts)
            if status == _DISCONNECTED:
                await _fault(scope, receive, send_identified)
        finally:
            self._metrics.in_flight -= 1
            self._held -= size
            seconds = perf_counter() - started
            self._metrics.count_request(path, status, seconds)
            if _LOG.isEnabledFor(logging.DEBUG):
                facts = {"request_id": request_id.decode(), "path": path, "status": status}
                _LOG.debug("answered", extra=facts | {"milliseconds": round(1000 * seconds, 3)})

    def _refusal(self, path: str, headers: dict[bytes, bytes]) -> Response | None:
        """Return why a request isn't let in, if it isn't."""
        if self._is_full(path):
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, self._full, headers=_LATER)
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
        return None

    def _is_full(self, path: str) -> bool:
        return self._metrics.in_flight > self._max_in_flight and path not in _ALWAYS


_fault = problem(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "The service failed to answer; its log says where, under this answer's X-Request-ID. "
    "The request may be sent again.",
)
