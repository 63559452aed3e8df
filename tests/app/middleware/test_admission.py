"""Who and what is let in, told from outside: by clients of a real process."""

import asyncio
import json
import select
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from neuralbits.app import api_keys
from neuralbits.app.main import create_app
from neuralbits.app.metrics import Metrics
from neuralbits.app.middleware.admission import Admission
from neuralbits.app.settings import Settings
from tests.support.services import Server, environment, started
from tests.support.waiting import LIMIT, until

(KEY, HASH), (SECOND, SECOND_HASH) = api_keys.make(), api_keys.make()
TEXT = {"text": "lights on please"}


def with_key(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def guarded(artifact_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    hashes = f"{HASH}, {SECOND_HASH}"
    settings = environment(artifact=artifact_path, port=0, api_keys=hashes, host="0.0.0.0")
    with started(tmp_path_factory.mktemp("guarded"), ["-m", "neuralbits.app"], settings) as server:
        server.url = server.url.replace("0.0.0.0", "127.0.0.1")
        yield server


# Keys


@pytest.mark.parametrize("path", ["/classify", "/classify/batch", "/model/reload", "/nothing"])
@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "A key is missing"),
        (with_key("guessed"), "The key isn't one of this service's"),
        (with_key(HASH), "The key isn't one of this service's"),
        ({"Authorization": "Basic " + KEY}, "The key isn't one of this service's"),
    ],
    ids=["no key", "a wrong key", "the hash", "another scheme"],
)
def test_without_a_key_nothing_is_answered_but_how_to_send_one(
    guarded: Server, path: str, headers: dict[str, str], says: str
) -> None:
    response = guarded.post(path, json=TEXT, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert says in response.json()["detail"]
    assert "Authorization: Bearer KEY" in response.json()["detail"]


@pytest.mark.parametrize("path", ["/model", "/metrics"])
def test_what_tells_of_the_model_or_of_its_use_takes_a_key(guarded: Server, path: str) -> None:
    assert guarded.get(path).status_code == 401
    assert guarded.get(path, headers=with_key(KEY)).status_code == 200


@pytest.mark.parametrize("key", [KEY, SECOND], ids=["first", "second"])
def test_each_of_several_keys_is_let_in(guarded: Server, key: str) -> None:
    answer = guarded.post("/classify", json=TEXT, headers=with_key(key))
    assert answer.json()["intent"] == "turn_on"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json"])
def test_probes_and_documentation_need_none(guarded: Server, path: str) -> None:
    assert guarded.get(path).status_code == 200


# Pages of other hosts

PREFLIGHT = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}


def test_pages_of_other_hosts_are_let_in_if_they_are_named(
    guarded: Server, artifact_path: Path, tmp_path: Path
) -> None:
    closed = httpx.options(guarded.url + "/classify", headers=PREFLIGHT | with_key(KEY))
    assert "access-control-allow-origin" not in closed.headers

    settings = environment(
        artifact=artifact_path, port=0, api_keys=HASH, cors_origins="https://shop.example"
    )
    with started(tmp_path, ["-m", "neuralbits.app"], settings) as server:
        allowed = httpx.options(server.url + "/classify", headers=PREFLIGHT)
        assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
        other = PREFLIGHT | {"Origin": "https://other.example"}
        refused = httpx.options(server.url + "/classify", headers=other)
        assert "access-control-allow-origin" not in refused.headers


# Requests in flight


def test_beyond_the_requests_in_flight_a_further_one_is_sent_away_at_once(
    artifact_path: Path, tmp_path: Path
) -> None:
    settings = environment(artifact=artifact_path, port=0, max_in_flight=2)
    with started(tmp_path, ["-m", "neuralbits.app"], settings) as server:
        waiting = [slow_reader(server) for _ in range(2)]
        until(lambda: "in_flight 3.0" in server.get("/metrics").text)  # with this one

        refused = server.post("/classify", json=TEXT)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert "2 requests are being answered" in refused.json()["detail"]
        assert server.get("/healthz").status_code == server.get("/readyz").status_code == 200

        for connection in waiting:
            assert everything(connection).startswith(b"HTTP/1.1 200 ")
        assert server.post("/classify", json=TEXT).status_code == 200


def slow_reader(server: Server) -> socket.socket:
    """A client that asks for more than fits between the two, and doesn't read it yet."""
    connection = socket.create_connection(server.address(), timeout=LIMIT)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    body = json.dumps({"texts": ["lights on"] * 10_000, "top_k": 1000}).encode()
    connection.sendall(HEAD % (b"/classify/batch", len(body)) + body)
    return connection


def everything(connection: socket.socket) -> bytes:
    with connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        return b"".join(iter(lambda: connection.recv(65536), b""))


HEAD = (
    b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)


def test_requests_that_are_still_coming_in_keep_nobody_out(
    artifact_path: Path, tmp_path: Path
) -> None:
    settings = environment(artifact=artifact_path, port=0, max_in_flight=2)
    with started(tmp_path, ["-m", "neuralbits.app"], settings) as server:
        body = json.dumps(TEXT).encode()
        waiting = [socket.create_connection(server.address(), timeout=LIMIT) for _ in range(9)]
        for connection in waiting:
            connection.sendall(HEAD % (b"/classify", len(body)) + body[:5])
        for _ in range(5):
            assert server.post("/classify", json=TEXT).status_code == 200
        for connection in waiting:
            connection.sendall(body[5:])
            assert everything(connection).startswith(b"HTTP/1.1 200 ")
        until(lambda: "in_flight 1.0" in server.get("/metrics").text)


def test_their_bodies_have_together_no_more_than_those_in_flight_may_have(
    artifact_path: Path, tmp_path: Path
) -> None:
    settings = environment(artifact=artifact_path, port=0, max_in_flight=2, max_body=1000)
    with started(tmp_path, ["-m", "neuralbits.app"], settings) as server:
        body = json.dumps(TEXT).encode().ljust(1000)
        waiting = [socket.create_connection(server.address(), timeout=LIMIT) for _ in range(3)]
        for connection in waiting:
            connection.sendall(HEAD % (b"/classify", len(body)) + body[:900])
        ((refused,), _, _) = select.select(waiting, [], [], LIMIT)
        assert everything(refused).startswith(b"HTTP/1.1 503 ")
        waiting.remove(refused)
        for connection in waiting:
            connection.sendall(body[900:])
            assert everything(connection).startswith(b"HTTP/1.1 200 ")


def test_the_application_runs_in_a_thread_which_gets_no_signals(artifact_path: Path) -> None:
    server = uvicorn.Server(
        uvicorn.Config(create_app(Settings(artifact=artifact_path)), port=0, log_level="error")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started or not thread.is_alive())
    port = server.servers[0].sockets[0].getsockname()[1]
    answer = httpx.post(f"http://127.0.0.1:{port}/classify", json=TEXT, timeout=LIMIT)
    server.should_exit = True
    thread.join()
    assert answer.json()["intent"] == "turn_on"


# Bodies in parts

BODY = b'{"text": "lights on please"}'.ljust(4096)


def read(admission: Admission, size: int) -> None:
    """Send it the body in parts of one size."""
    parts = [BODY[start : start + size] for start in range(0, len(BODY), size)]
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    remaining = iter(messages)

    async def receive() -> Message:
        return next(remaining)

    async def send(message: Message) -> None: ...

    scope: dict[str, Any] = {"type": "http", "path": "/classify", "headers": [], "server": None}
    asyncio.run(admission(scope, receive, send))


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    assert await Request(scope, receive).body() == BODY


@pytest.fixture
def admission() -> Admission:
    return Admission(application, Settings(max_body=len(BODY), max_in_flight=1), Metrics())


@pytest.mark.parametrize("size", [len(BODY), 1000, 64])
def test_a_body_in_usual_parts_is_taken(admission: Admission, size: int) -> None:
    for _ in range(3):  # and its memory is free again
        read(admission, size)


def test_a_body_in_tiny_parts_counts_as_the_memory_that_they_take(admission: Admission) -> None:
    with pytest.raises(HTTPException) as refused:
        read(admission, 2)
    assert refused.value.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    read(admission, len(BODY))
