"""What holds a connection to its limits, where the server would wait for ever.

Uvicorn reads a request's head, however long, for as long as its client takes, and waits likewise
for the body and for its answer to be read. So a few hundred clients that send a byte a minute
(Slowloris) could keep all others out.
"""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from .metrics import Metrics
from .problems import PROBLEM_TYPE, problem

_MAX_HEAD = 32_768  # bytes of a request line and headers
_LINGER = 1.0  # seconds to take in why a connection is closed
_REFUSALS = {
    "crowded": (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "There are too many connections; come back later.",
    ),
    "long_head": (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        f"The request line and headers are longer than {_MAX_HEAD:,} bytes; send fewer.",
    ),
    "malformed": (HTTPStatus.BAD_REQUEST, "This isn't HTTP/1.1; send a request of that."),
    "slow_answer": (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Answering took too long; send this request again later, or less at a time.",
    ),
    "slow_request": (HTTPStatus.REQUEST_TIMEOUT, "The request took too long to come in."),
}


class Connection(HttpToolsProtocol):
    """A connection with limits.

    A request has ``timeout`` seconds, from its first byte to the last of its answer; its head has
    32 KiB; and beyond ``limit`` connections a further one gets 503.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limit: int,
        timeout: float,
        metrics: Metrics,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limit = limit
        self._timeout = timeout
        self._metrics = metrics
        self._deadline: asyncio.TimerHandle | None = None
        self._in_head = False
        self._in_request = False
        self._head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, if there is room for it."""
        super().connection_made(transport)
        if len(self.connections) > self._limit:
            self._refuse("crowded")
        else:
            self._deadline = self.loop.call_later(self._timeout, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request, or of several."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._timeout, self._give_up)
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > _MAX_HEAD:
                self._refuse("long_head")

    def on_message_begin(self) -> None:
        """Begin to read a request."""
        super().on_message_begin()
        self._in_head = self._in_request = True
        self._head = 0

    def on_headers_complete(self) -> None:
        """Hand the request to the application, which reads the body."""
        super().on_headers_complete()
        self._in_head = False

    def on_message_complete(self) -> None:
        """End the request."""
        super().on_message_complete()
        self._in_request = False

    def on_response_complete(self) -> None:
        """Give the next request its own time, if a part of it is here already."""
        super().on_response_complete()
        self._disarm()
        if self._in_request or not self.cycle.response_complete:
            self._deadline = self.loop.call_later(self._timeout, self._give_up)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, whether or not its client has read all that it was sent."""
        self.transport.abort()

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def send_400_response(self, msg: str) -> None:
        """Refuse what isn't HTTP."""
        self._refuse("malformed")

    def _give_up(self) -> None:
        """End a request that takes too long, or a connection that none comes over."""
        answering = self.cycle is not None and not self.cycle.response_complete
        self._refuse("slow_answer" if answering and not self._in_request else "slow_request")

    def _refuse(self, reason: str) -> None:
        """Say why, unless an answer is under way, and close the connection."""
        if self.transport.is_closing():
            return
        self._metrics.cut[reason] += 1
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            status, detail = _REFUSALS[reason]
            content = bytes(problem(status, detail).body)
            head = (
                f"HTTP/1.1 {status} {status.phrase}\r\nContent-Type: {PROBLEM_TYPE}\r\n"
                f"Content-Length: {len(content)}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + content)
        self.transport.close()
        self.loop.call_later(_LINGER, self.transport.abort)
