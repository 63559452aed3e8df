"""The limits of a connection: time, memory and number.

Uvicorn waits as long as a client takes to send a request and to read its answer, and keeps what
was sent meanwhile: a head, however long, headers, trailers and requests, however many. So a few
hundred clients that send a byte a minute (Slowloris) would keep all others out, and one that sends
trailers without end would take all memory, before any key is asked for.
"""

import asyncio
import ssl
from collections import Counter, deque
from collections.abc import Callable, Collection
from http import HTTPStatus
from time import monotonic
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from .metrics import Metrics
from .problems import PROBLEM_TYPE, problem
from .settings import Settings

_MAX_HEAD = 32_768  # bytes of a request line and headers, and of what else isn't body
_MAX_HEADERS = 100
_MAX_PIPELINED = 64  # requests of a connection that wait for the answers to those before
_MAX_HEADS = 4 << 20  # bytes of memory that the heads of all connections take together
_MAX_UNREAD = 4 << 20  # bytes of bodies that have arrived before the application asked for them
_HEADER, _REQUEST = 160, 4096  # bytes of memory that each takes, its content apart
_FRAMING = 8  # bytes of a chunked body that a byte of content may take: a chunk of one has 6
_LINGER = 1.0  # seconds in which a client can read why its connection is closed
_PATIENCE = 262_144  # bytes that one may send meanwhile that was refused
_REFUSALS = {
    "crowded": (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "There are too many connections, or requests on them; come back later.",
    ),
    "long_head": (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        f"The request line and headers are longer than {_MAX_HEAD:,} bytes, or there are more "
        f"than {_MAX_HEADERS} headers; send fewer.",
    ),
    "malformed": (HTTPStatus.BAD_REQUEST, "This isn't HTTP/1.1; send a request of that."),
    "slow_answer": (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Answering took too long; send this request again later, or less at a time.",
    ),
    "slow_request": (HTTPStatus.REQUEST_TIMEOUT, "The request took too long to come in."),
}


class Limits:
    """The limits of all connections, and what these hold together.

    Attributes:
        timeout: seconds that a request may take, from its first byte to the last of its answer,
            and that a TLS handshake may take.
        metrics: where closed connections are counted.
        heads: bytes of memory that heads take.
        bodies: bytes of the bodies of unanswered requests.
        max_bodies: the most that these may be.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.timeout = settings.request_timeout
        self.metrics = metrics
        self.heads = 0
        self.bodies = 0
        self.max_bodies = settings.max_in_flight * settings.max_body + _MAX_UNREAD
        self._max_connections = settings.max_connections

    def admit(self, connections: "Collection[Connection | Handshake]") -> None:
        """Make room for a connection that is already among them, if there are too many.

        Of the address with the most connections, the one is closed that waits the longest.
        """
        if len(connections) <= self._max_connections:
            return
        open_ = [each for each in connections if not each.closed]
        if len(open_) <= self._max_connections:
            return
        count = Counter(each.address for each in open_)
        waiting = [each for each in open_ if each.is_waiting()]
        # There is one: answering takes at most as long as is waited for slow clients, and no more
        # are answered at once than are let in.
        longest = min(
            waiting or open_, key=lambda each: (not each.lingers, -count[each.address], each.since)
        )
        longest.evict()

    def relieve(self, connections: "Collection[Connection | Handshake]") -> None:
        """Close the connections whose heads take the most memory, until all take little enough."""
        for each in sorted(connections, key=lambda each: each.held, reverse=True):
            if self.heads <= _MAX_HEADS:
                break
            each.evict()


class Connection(HttpToolsProtocol):
    """A connection within limits.

    An answer names the limit that the client exceeds, and the connection closes. It also closes
    after an answer that precedes the end of its request's body, so that the rest needn't be read.

    Attributes:
        address: the client's.
        since: the monotonic time since which it waits for a request or its next part.
        held: bytes of memory that the heads of its unanswered requests take.
        lingers: whether it is closing, and only waits for the client to read why.
        closed: whether it is closed.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Limits,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.address = ""
        self.since = 0.0
        self.held = 0
        self.lingers = False
        self.closed = False
        self._limits = limits
        self._deadline: asyncio.TimerHandle | None = None
        self._in_head = self._in_request = False
        self._keep_alive = True
        self._refused = False
        self._excess = "malformed"
        self._head = 0  # bytes of the request's head
        self._counted = 0  # bytes of memory that are counted for it
        self._received = self._body = 0  # bytes since the head's end, and those of them in the body
        self._unparsed = 0  # bytes since the parser's last event, at least
        self._parsed = 0  # bytes of the head and the body up to that event
        # Of each unanswered request: the memory of its head, the bytes of its body.
        self._unanswered: deque[list[int]] = deque()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection; another one may have to go for it."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self.since = monotonic()
        self._arm()
        self._limits.admit(self.connections)  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.closed = True
        self._disarm()
        self._release()
        super().connection_lost(exc)

    def is_waiting(self) -> bool:
        """Return whether it waits for its client, and not for an answer."""
        return self._in_request or self.cycle is None or self.cycle.response_complete

    def evict(self) -> None:
        """Close it to make room for others."""
        if self.lingers or self.transport.is_closing():
            self._abort()
        elif self._in_request or not self.is_waiting():
            self._refuse("crowded")
        else:  # idle, with nothing to answer
            self._limits.metrics.cut["crowded"] += 1
            self._abort()

    # What the client sends

    def data_received(self, data: bytes) -> None:
        """Take a part of a request, or of several.

        What is done here for each request, and in the parser's events, is as little as can be: a
        request that has arrived as a whole needs no more than the limits of its events.
        """
        self._received += len(data)
        if self.lingers:
            if self._refused and self._received > _PATIENCE:
                self._abort()
            return
        if self._deadline is None:
            self._arm()
        super().data_received(data)
        if not self._in_request or self.lingers:
            return
        parsed = self._head + self._body
        self._unparsed = self._unparsed + len(data) if parsed == self._parsed else 0
        self._parsed = parsed
        if self._unparsed > _MAX_HEAD:
            self._refuse("long_head")
        elif not self._in_head and self._received > _MAX_HEAD + _FRAMING * self._body:
            self._refuse("malformed")
        else:
            self._count()

    def on_message_begin(self) -> None:
        """Begin to read a request."""
        if self.lingers or self.closed:  # since the request before, in the same bytes
            self._exceed("crowded")
        if len(self.pipeline) >= _MAX_PIPELINED:
            self._exceed("crowded")
        super().on_message_begin()
        self._in_head = self._in_request = True
        self._head = self._body = self._parsed = self._unparsed = self._counted = 0
        self.since = monotonic()

    def on_url(self, url: bytes) -> None:
        """Take a part of the request line."""
        self.url += url
        self._head += len(url)
        if self._head > _MAX_HEAD:
            self._exceed("long_head")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header or a trailer."""
        self._head += len(name) + len(value) + 4
        headers = self.headers
        if self._head > _MAX_HEAD or len(headers) == _MAX_HEADERS:
            self._exceed("long_head")
        # As Uvicorn does; to call its method would take as long again.
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Hand the request to the application, which reads the body."""
        super().on_headers_complete()
        self._in_head = False
        self._unanswered.append([0, 0])
        self._count()
        self.headers = []  # trailers are no headers of the request
        self._received = 0
        # Until the request is whole, its answer closes the connection.
        cycle = self.cycle
        self._keep_alive = cycle.keep_alive
        cycle.keep_alive = False
        cycle.transport = self  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        length = len(body)
        self._body += length
        if not self.cycle.response_complete:
            limits = self._limits
            self._unanswered[-1][1] += length
            limits.bodies += length
            if limits.bodies > limits.max_bodies:
                self._exceed("crowded")
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        self._in_request = False
        cycle = self.cycle
        if not cycle.response_started:
            cycle.keep_alive = self._keep_alive
        cycle.transport = self.transport
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser, or one of the limits, doesn't take."""
        self._refuse(self._excess)

    def _exceed(self, reason: str) -> None:
        """Stop the parser within what it reads."""
        self._excess = reason
        raise ValueError(reason)

    def _count(self) -> None:
        """Count the memory that the request's head takes by now, and trailers with it."""
        if self.lingers or self.closed:  # then it is released
            return
        now = _REQUEST + self._head + _HEADER * len(self.headers) + self._unparsed
        grown = now - self._counted
        self._counted = now
        self.held += grown
        limits = self._limits
        limits.heads += grown
        if not self._in_head and self._unanswered:
            self._unanswered[-1][0] = now
        if limits.heads > _MAX_HEADS:
            limits.relieve(self.connections)  # type: ignore[arg-type]

    # What it is sent

    def on_response_complete(self) -> None:
        """Give the next request its own time, if a part of it is here already."""
        head, body = self._unanswered.popleft()
        self.held -= head
        limits = self._limits
        limits.heads -= head
        limits.bodies -= body
        if self.lingers:
            return
        super().on_response_complete()
        self._disarm()
        self.since = monotonic()
        if self._in_request or not self.cycle.response_complete or self.transport.is_closing():
            self._arm()
        else:
            self.cycle.body = bytearray()  # which the application may have left unread

    # The transport of an answer that precedes the end of its request

    def write(self, data: bytes) -> None:
        """Send a part of the answer."""
        self.transport.write(data)

    def is_closing(self) -> bool:
        """Return whether the connection is closing."""
        return self.lingers or self.transport.is_closing()

    def close(self) -> None:
        """Close the connection once the client could read the answer."""
        self._linger()

    # How it ends

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, whether or not its client has read all that it was sent."""
        self._abort()

    def shutdown(self) -> None:
        """Close the connection once what is in flight is answered."""
        self._keep_alive = False
        super().shutdown()

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self._limits.timeout, self._give_up)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        """End a request that takes too long, or a connection that none comes over."""
        if self.transport.is_closing():  # the client doesn't read the last answer
            self._limits.metrics.cut["slow_answer"] += 1
            return self._abort()
        answering = self.cycle is not None and not self.cycle.response_complete
        self._refuse("slow_answer" if answering and not self._in_request else "slow_request")

    def _refuse(self, reason: str) -> None:
        """Say why, unless another answer is due, and close the connection."""
        if self.lingers or self.transport.is_closing():
            return
        self._limits.metrics.cut[reason] += 1
        self._refused = True
        self._received = 0
        due = self.pipeline or (
            self.cycle and self.cycle.response_started and not self.cycle.response_complete
        )
        if not due:
            status, detail = _REFUSALS[reason]
            content = bytes(problem(status, detail).body)
            head = (
                f"HTTP/1.1 {status} {status.phrase}\r\nContent-Type: {PROBLEM_TYPE}\r\n"
                f"Content-Length: {len(content)}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + content)
        self._linger()

    def _linger(self) -> None:
        """Send nothing more, and close when the client does, or after a second.

        A connection that is closed with bytes of the client unread is reset, and the client may
        lose what it was sent.
        """
        self.lingers = True
        self._disarm()
        self._unset_keepalive_if_required()
        self._release()
        if self.cycle:
            self.cycle.body = bytearray()
            if not self.cycle.response_complete:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.flow.resume_reading()
        else:
            self.transport.close()
        self._deadline = self.loop.call_later(_LINGER, self._abort)

    def _abort(self) -> None:
        self.closed = True
        self._release()
        self.transport.abort()

    def _release(self) -> None:
        """Forget the requests, and what is counted for them."""
        self.pipeline.clear()
        self.headers = []
        self.url = b""
        self._limits.heads -= self.held
        self.held = 0
        self._limits.bodies -= sum(body for _, body in self._unanswered)
        self._unanswered = deque([0, 0] for _ in self._unanswered)


class Handshake(asyncio.Protocol):
    """A connection until its TLS handshake is done; then a ``Connection`` takes its place.

    Where the server begins TLS itself, connections can be neither counted nor closed before that.
    """

    held = 0
    lingers = False

    def __init__(
        self, make: Callable[[], Connection], context: ssl.SSLContext, limits: Limits
    ) -> None:
        self.address = ""
        self.since = 0.0
        self.closed = False
        self._connection = make()
        self._connections: set[Any] = self._connection.connections
        self._context = context
        self._limits = limits
        self._received = bytearray()  # before TLS began, and then with the handshake's end

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection; another one may have to go for it."""
        self._transport = transport
        self.address = (transport.get_extra_info("peername") or ("",))[0]
        loop = asyncio.get_running_loop()
        self.since = monotonic()
        self._connections.add(self)
        self._limits.admit(self._connections)
        self._task = loop.create_task(self._shake_hands(loop))

    def data_received(self, data: bytes) -> None:
        """Keep what the client sends until there is someone to take it."""
        if self._transport.get_protocol() is self:  # TLS takes the rest
            self._transport.pause_reading()
        self._received += data

    def is_waiting(self) -> bool:
        """Return whether it waits for its client."""
        return True

    def evict(self) -> None:
        """Close it to make room for others."""
        self._limits.metrics.cut["crowded"] += 1
        self._abort()

    def shutdown(self) -> None:
        """Close it, since the server ends."""
        self._abort()

    async def _shake_hands(self, loop: asyncio.AbstractEventLoop) -> None:
        handshake = loop.create_task(
            loop.start_tls(
                self._transport,
                self,
                self._context,
                server_side=True,
                ssl_handshake_timeout=self._limits.timeout,
                ssl_shutdown_timeout=_LINGER,
            )
        )
        await asyncio.sleep(0)  # in which it takes this protocol's place
        if self._received and not self.closed:
            # Uvloop reads before that, paused or not.
            taker: Any = self._transport.get_protocol()
            taker.get_buffer(len(self._received))[: len(self._received)] = self._received
            taker.buffer_updated(len(self._received))
            self._received.clear()
        try:
            transport = await handshake
        except (OSError, RuntimeError):  # it took too long, isn't TLS, or the connection is closed
            transport = None
        self._connections.discard(self)
        if self.closed or transport is None or transport.is_closing():
            if monotonic() - self.since >= self._limits.timeout:
                self._limits.metrics.cut["slow_handshake"] += 1
            return self._abort()
        transport.set_protocol(self._connection)
        self._connection.connection_made(transport)
        if self._received:
            self._connection.data_received(bytes(self._received))

    def _abort(self) -> None:
        self.closed = True
        self._transport.abort()
