"""What a connection may take, told from outside: by clients that send bytes as they like."""

import itertools
import re
import socket
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
    settings = environment(
        artifact=artifact_path, port=0, request_timeout=LIMIT, max_connections=MAX_CONNECTIONS
    )
    with started(tmp_path_factory.mktemp("patient"), ["-m", "neuralbits.app"], settings) as server:
        yield server


def connect(server: Server) -> socket.socket:
    return socket.create_connection(server.address(), timeout=LIMIT)


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


def test_a_long_head_is_refused(patient: Server) -> None:
    with connect(patient) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        with_headers = itertools.repeat(b"X-Filler: " + b"x" * 1000 + b"\r\n", 40)
        connection.sendall(b"".join(with_headers))
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"longer than 32,768 bytes" in answer


@pytest.mark.parametrize(
    "noise", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"hello\r\n\r\n", b"\0" * 99]
)
def test_what_isnt_http_is_refused_with_a_sentence(patient: Server, noise: bytes) -> None:
    with connect(patient) as connection:
        connection.sendall(noise)
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"This isn't HTTP/1.1" in answer


def test_one_connection_too_many_is_told_to_come_back(patient: Server) -> None:
    crowd: list[socket.socket] = []

    def crowded() -> bool:
        """Fill the room; whether it was empty, as the connections of the tests before are gone."""
        for each in crowd:
            each.close()
        crowd[:] = [connect(patient) for _ in range(MAX_CONNECTIONS)]
        crowd[-1].sendall(HEAD + BODY)
        return crowd[-1].recv(65536).startswith(b"HTTP/1.1 200 OK")

    until(crowded, pause=0.1)
    with connect(patient) as connection:
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"Retry-After: 1\r\n" in answer
    assert b"too many connections" in answer
    for each in crowd:
        each.close()
    until(lambda: patient.get("/healthz").status_code == 200, pause=0.1)
