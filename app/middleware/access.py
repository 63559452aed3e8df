"""Access: request ids, the log, counts, and the answer to a fault."""

import logging
import re
import secrets
from collections.abc import Collection
from http import HTTPStatus
from itertools import count
from time import perf_counter

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..metrics import Metrics
from ..problems import problem

_LOG = logging.getLogger("neuralbits")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_CLIENT_CLOSED_REQUEST = 499  # nginx's status for a client that left before it was answered
_NOSNIFF = (b"x-content-type-options", b"nosniff")


class Access:
    """ASGI middleware: identify, log and count each request.

    Each answer has a request id in ``X-Request-ID``: the client's own if that is a plain word,
    else a new one. An exception that the application didn't handle is logged under that id and
    answered with 500.

    Args:
        app: the application.
        metrics: where requests are counted.
        paths: those that are served; all others count as ``other``, since a path that a client
            made up may hold an utterance.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = paths
        process = secrets.token_hex(4)
        self._ids = (f"{process}-{number:x}".encode() for number in count(1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and account for it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = perf_counter()
        path = scope["path"] if scope["path"] in self._paths else "other"
        request_id = dict(scope["headers"]).get(b"x-request-id", b"")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = next(self._ids)
        status = _CLIENT_CLOSED_REQUEST

        async def send_identified(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                identified = (b"x-request-id", request_id)
                message["headers"] = [*message["headers"], identified, _NOSNIFF]
            await send(message)

        try:
            await self._app(scope, receive, send_identified)
        except ClientDisconnect:
            pass
        except Exception as error:
            facts = {"request_id": request_id.decode(), "path": path}
            _LOG.error("failed to answer a request", exc_info=error, extra=facts)
            if status == _CLIENT_CLOSED_REQUEST:  # no answer has begun
                await _fault(scope, receive, send_identified)
        finally:
            seconds = perf_counter() - started
            self._metrics.count_request(path, status, seconds)
            if _LOG.isEnabledFor(logging.DEBUG):
                facts = {"request_id": request_id.decode(), "path": path, "status": status}
                _LOG.debug("answered", extra=facts | {"milliseconds": round(1000 * seconds, 3)})


_fault = problem(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "The service failed to answer; its log says where, under this answer's X-Request-ID. "
    "The request may be sent again.",
)
