"""The limits of a connection, for clients that send bytes as they like."""

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.services import Server, environment, started
from tests.support.waiting import LIMIT, until

TIMEOUT = 2
MAX_CONNECTIONS = 20
BODY = b'{"text": "lights on please"}'
HEAD = (
    b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BODY)
)


@pytest.fixture(scope="module")
def server(artifact_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = environment(artifact=artifact_path, port=0, request_timeout=TIMEOUT)
    with started(tmp_path_factory.mktemp("server"), ["-m", "neuralbits.app"], settings) as server:
        yield server


@pytest.fixture(scope="module")
def patient(artifact_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that cuts off no client of these tests for its slowness."""
    settings = environment(artifact=artifact_path, port=0, request_timeout=LIMIT)
    with started(tmp_path_factory.mktemp("patient"), ["-m", "neuralbits.app"], settings) as server:
        yield server


def connect(server: Server, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(server.address(), timeout=LIMIT, source_address=(source, 0))


@contextlib.contextmanager
def crowd_of(
    count: int, server: Server, source: str = "127.0.0.1", sent: bytes = b""
) -> Iterator[list[socket.socket]]:
    """So many connections that each send something, and then wait."""
    with contextlib.ExitStack() as stack:
        crowd = []
        for _ in range(count):
            crowd.append(stack.enter_context(connect(server, source)))
            # The service may close it already, to make room for the next one.
            with contextlib.suppress(ConnectionError):
                crowd[-1].sendall(sent)
        yield crowd


def everything(connection: socket.socket) -> bytes:
    """What is received until the other side closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def cut(server: Server) -> dict[str, int]:
    found = re.findall(r'cut_total{reason="(\w+)"} (\d+)', server.get("/metrics").text)
    return {reason: int(count) for reason, count in found}


@pytest.mark.parametrize("sent", [b"", b"GET", HEAD[:40], HEAD, HEAD + BODY[:5]])
def test_a_request_that_doesnt_come_in_in_time_is_told_so_and_cut_off(
    server: Server, sent: bytes
) -> None:
    before = cut(server).get("slow_request", 0)
    begun = time.monotonic()
    with connect(server) as connection:
        connection.sendall(sent)
        answer = everything(connection)
    assert time.monotonic() - begun > TIMEOUT * 0.9
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"The request took too long to come in." in answer
    assert cut(server)["slow_request"] == before + 1


@pytest.mark.parametrize("drop", [b"a", b"\r\n"])
def test_a_byte_now_and_then_wins_no_time(server: Server, drop: bytes) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD + BODY)  # even after a request that was answered
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")

        def drips() -> bool:
            connection.sendall(drop)
            return False

        with pytest.raises(ConnectionError):
            until(drips, pause=0.1)


def test_a_client_that_doesnt_read_its_answer_is_cut_off(server: Server) -> None:
    texts = b", ".join([b'"lights on please"'] * 10_000)
    body = b'{"top_k": 1000, "texts": [' + texts + b"]}"
    head = HEAD.replace(b"classify", b"classify/batch").replace(
        b"%d" % len(BODY), b"%d" % len(body)
    )
    before = cut(server).get("slow_answer", 0)
    with connect(server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(head + body)
        until(lambda: cut(server).get("slow_answer", 0) > before, pause=0.1)


def test_requests_one_after_another_each_have_their_own_time(server: Server) -> None:
    with connect(server) as connection:
        for _ in range(4):
            connection.sendall(HEAD + BODY)
            answer = b""
            while not answer.endswith(b"}]}"):
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 OK")
            time.sleep(TIMEOUT * 0.4)


def test_requests_sent_together_are_answered_in_their_order(patient: Server) -> None:
    off = b'{"text": "lights off  please"}'
    other = HEAD.replace(b"Length: %d" % len(BODY), b"Length: %d" % len(off)) + off
    last = HEAD.replace(b"Host:", b"Connection: close\r\nHost:") + BODY
    with connect(patient) as connection:
        connection.sendall((HEAD + BODY + other) * 20 + last)
        answers = everything(connection)
    assert re.findall(rb'{"intent":"(\w+)",.*?}]}', answers) == [b"turn_on", b"turn_off"] * 20 + [
        b"turn_on"
    ]


START = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
LONG_HEADS = {
    "headers": START + (b"X-Filler: " + b"x" * 1000 + b"\r\n") * 40 + b"\r\n",
    "a header": START + b"X-Filler: " + b"x" * 40_000 + b"\r\n\r\n",
    "a name": START + b"x" * 40_000 + b": x\r\n\r\n",
    "tiny headers": START + b"a:b\r\n" * 200 + b"\r\n",
    "a path": b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "trailers": HEAD.replace(b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked")
    + b"3\r\n{}\n\r\n0\r\n"
    + b"a:b\r\n" * 200,
}


@pytest.mark.parametrize("piece", [1 << 20, 1000])
@pytest.mark.parametrize("head", LONG_HEADS)
def test_a_long_head_is_refused_however_it_arrives(patient: Server, head: str, piece: int) -> None:
    content = LONG_HEADS[head]
    with connect(patient) as connection:
        with contextlib.suppress(ConnectionError):  # it needn't be read to its end
            for start in range(0, len(content), piece):
                connection.sendall(content[start : start + piece])
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"longer than 32,768 bytes" in answer
    assert b"more than 100 headers" in answer


def test_a_head_within_the_limits_is_taken_behind_a_long_body(patient: Server) -> None:
    texts = b'{"texts": [' + b'"lights on please", ' * 5000 + b'""]}'
    first = HEAD.replace(b"classify", b"classify/batch").replace(
        b"Length: %d" % len(BODY), b"Length: %d" % len(texts)
    )
    filler = b"X-Filler: " + b"x" * 30_000 + b"\r\nConnection: close\r\n"
    with connect(patient) as connection:
        connection.sendall(first + texts + START + filler)
        connection.sendall(b"\r\n")
        answers = everything(connection)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"200"]


CHUNKED = HEAD.replace(b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked")


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ([b"1;" + b"x" * 20_000 + b"\r\n \r\n"] * 3, b"400"),
        ([b"1;" + b"x" * 34_000], b"431"),
    ],
    ids=["extensions of many chunks", "an extension without end"],
)
def test_chunk_extensions_have_their_limit(
    patient: Server, pieces: list[bytes], status: bytes
) -> None:
    with connect(patient) as connection:
        connection.sendall(CHUNKED.replace(b"Host:", b"Expect: 100-continue\r\nHost:"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 Continue")  # the head is read
        for piece in pieces:
            connection.sendall(piece)
        assert everything(connection).startswith(b"HTTP/1.1 " + status)


def test_a_refused_client_that_goes_on_sending_is_cut_off(patient: Server) -> None:
    def send_for_ever(connection: socket.socket) -> None:
        connection.sendall(CHUNKED + b"0\r\n")
        while True:
            connection.sendall(b"a:b\r\n" * 10_000)

    with connect(patient) as connection, pytest.raises(ConnectionError):
        send_for_ever(connection)


def test_a_body_in_chunks_of_one_byte_is_taken(patient: Server) -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY.ljust(20_000)) + b"0\r\n\r\n"
    with connect(patient) as connection:
        connection.sendall(CHUNKED + chunks)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_too_many_pipelined_requests_close_the_connection(patient: Server) -> None:
    before = cut(patient).get("crowded", 0)
    with connect(patient) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(b"GET /healthz HTTP/1.1\r\n\r\n" * 10_000)
        everything(connection)
    assert cut(patient)["crowded"] == before + 1


def test_an_answer_that_precedes_the_end_of_the_body_closes_the_connection(patient: Server) -> None:
    large = HEAD.replace(b"%d" % len(BODY), b"100000000")
    with connect(patient) as connection:
        connection.sendall(large + b" " * 100_000)
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close\r\n" in answer


@pytest.mark.parametrize(
    "noise", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"hello\r\n\r\n", b"\0" * 99]
)
def test_what_isnt_http_is_refused_with_a_sentence(patient: Server, noise: bytes) -> None:
    with connect(patient) as connection:
        connection.sendall(noise)
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"This isn't HTTP/1.1" in answer


def test_a_crowd_of_unfinished_heads_and_pipelined_requests_keeps_no_client_out(
    patient: Server,
) -> None:
    unfinished = START + b"a:b\r\n" * 90
    pipelined = (START + b"\r\n") * 60
    before = cut(patient).get("crowded", 0)
    with crowd_of(250, patient, "127.0.0.3", unfinished) as crowd:
        until(lambda: cut(patient).get("crowded", 0) > before)  # the heads take all their memory
        for connection in [connect(patient, "127.0.0.3") for _ in range(5)]:
            crowd.append(connection)
            connection.sendall(pipelined)  # it exceeds that memory in the midst of its requests
        assert patient.get("/healthz").status_code == 200
        for connection in crowd[-5:]:
            connection.close()


# Too many connections


@pytest.fixture
def small(artifact_path: Path, tmp_path: Path) -> Iterator[Server]:
    """A service that has room for five connections, and patience for each."""
    settings = environment(artifact=artifact_path, port=0, max_connections=5, request_timeout=LIMIT)
    with started(tmp_path, ["-m", "neuralbits.app"], settings) as server:
        yield server


def test_beyond_the_limit_the_connection_that_waits_longest_is_closed(
    small: Server,
) -> None:
    expecting = HEAD.replace(b"Host:", b"Expect: 100-continue\r\nHost:")
    with crowd_of(5, small) as crowd:
        for each in crowd:  # one after another
            each.sendall(expecting)
            assert each.recv(65536).startswith(b"HTTP/1.1 100 Continue")
        crowd[0].sendall(BODY)
        assert crowd[0].recv(65536).startswith(b"HTTP/1.1 200 OK")  # from now on it waits again
        with connect(small) as connection:
            connection.sendall(HEAD + BODY)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
            assert b"There are too many connections" in everything(crowd[1])
            crowd[2].sendall(BODY)
            assert crowd[2].recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert cut(small)["crowded"] >= 1


@pytest.mark.parametrize("sent", [b"", b"GET", HEAD, HEAD + BODY[:5]])
def test_the_probes_are_answered_however_many_connections_wait(small: Server, sent: bytes) -> None:
    with crowd_of(15, small, sent=sent):
        for path in ["/healthz", "/readyz", "/metrics"] * 5:
            assert small.get(path).status_code == 200


def test_of_the_address_with_the_most_connections_one_is_closed_first(
    small: Server,
) -> None:
    with connect(small, "127.0.0.2") as first, crowd_of(20, small, "127.0.0.3"):
        small.get("/healthz")
        first.sendall(HEAD + BODY)
        assert first.recv(65536).startswith(b"HTTP/1.1 200 OK")


# TLS


@pytest.fixture(scope="module")
def tls_server(
    artifact_path: Path,
    certificate: tuple[Path, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    settings = environment(
        artifact=artifact_path,
        port=0,
        request_timeout=TIMEOUT,
        max_connections=MAX_CONNECTIONS,
        tls_certificate=certificate[0],
        tls_key=certificate[1],
    )
    with started(tmp_path_factory.mktemp("tls"), ["-m", "neuralbits.app"], settings) as server:
        yield server


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"])
def test_a_tls_handshake_has_its_time_too(tls_server: Server, sent: bytes) -> None:
    with connect(tls_server) as connection:
        connection.sendall(sent)
        begun = time.monotonic()
        assert everything(connection) == b""
        assert time.monotonic() - begun > TIMEOUT * 0.9
    assert "slow_handshake" in metrics_of(tls_server)


def test_stalled_handshakes_keep_no_client_out(tls_server: Server) -> None:
    with crowd_of(3 * MAX_CONNECTIONS, tls_server):
        answer = tls_server.get("/healthz", verify=UNVERIFIED)
        assert answer.status_code == 200


def test_what_comes_with_the_end_of_the_handshake_is_answered(tls_server: Server) -> None:
    for _ in range(20):
        with UNVERIFIED.wrap_socket(connect(tls_server)) as connection:
            connection.sendall(HEAD + BODY)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


def metrics_of(server: Server) -> str:
    return server.get("/metrics", verify=UNVERIFIED).text


UNVERIFIED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
UNVERIFIED.check_hostname = False
UNVERIFIED.verify_mode = ssl.CERT_NONE
