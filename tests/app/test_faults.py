"""The service under faults while it is used: broken artifacts, kills, and clients that dawdle."""

import asyncio
import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

import neuralbits
from neuralbits import artifact
from neuralbits.files import atomic_write
from neuralbits.projection import Projection
from tests.app.test_service import expected
from tests.support.homes import UTTERANCES, make_artifact
from tests.support.services import Server, environment, free_port, started
from tests.support.tiers import tiers
from tests.support.waiting import LIMIT, until

TEXTS = [texts[0] for texts in UTTERANCES.values()] + ["", "ÉTEINS la lumière 💡", "jazz " * 60]
SETTLED = 20  # reloads after which memory has settled
GROWTH = 1024  # kB that memory may grow by once it has settled
CLIENTS = 3


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Two, whose intents have different names and which are not equally sure of them."""
    path = tmp_path_factory.mktemp("artifacts") / "one.safetensors"
    found = []
    for number, functions in enumerate((16, 24)):
        made = make_artifact(Projection(functions=functions, dimensions=64, stride=4))
        labels = tuple(f"{label} of artifact {number}" for label in made.labels)
        artifact.write(dataclasses.replace(made, labels=labels), path)
        found.append(path.read_bytes())
    return found


def answers_of(content: bytes, path: Path) -> list[Any]:
    """What the service must say to `TEXTS` with this artifact."""
    path.write_bytes(content)
    classifier = neuralbits.load(path)
    return [expected(classifier.classify(text, 3)) for text in TEXTS]


# A new artifact takes over


def _flipped(content: bytes, random: Random) -> bytes:
    place = random.randrange(len(content))
    return (
        content[:place] + bytes([content[place] ^ 1 << random.randrange(8)]) + content[place + 1 :]
    )


BROKEN: list[Callable[[bytes, Random], bytes | None]] = [
    lambda content, random: content[: random.randrange(1, len(content))],  # truncated
    lambda content, random: content + random.randbytes(8),  # more than there should be
    _flipped,
    lambda content, random: b"",
    lambda content, random: Path(__file__).read_bytes(),  # quite another file
    lambda content, random: random.randbytes(len(content)),
    lambda content, random: None,  # there is none
]


@contextmanager
def asking(server: Server, check: Callable[[list[Any]], None]) -> Iterator[list[int]]:
    """Ask singly and in batches, from several threads, until the block ends.

    Yields:
        How many requests each thread had answered; all that weren't, the block's end raises.
    """
    done, counts = threading.Event(), [0] * CLIENTS

    def ask(number: int) -> None:
        with httpx.Client(base_url=server.url, timeout=LIMIT) as client:
            while not done.is_set():
                for index, text in enumerate(TEXTS):
                    answer = client.post("/classify", json={"text": text, "top_k": 3})
                    assert answer.status_code == 200, answer.text
                    check([(index, answer.json())])
                answer = client.post("/classify/batch", json={"texts": TEXTS, "top_k": 3})
                assert answer.status_code == 200, answer.text
                check(list(enumerate(answer.json()["predictions"])))
                counts[number] += len(TEXTS) + 1

    with ThreadPoolExecutor(CLIENTS) as pool:
        asked: Sequence[Future[None]] = [pool.submit(ask, number) for number in range(CLIENTS)]
        try:
            yield counts
        finally:
            done.set()
    for each in asked:
        each.result()


@pytest.mark.parametrize("reloads", tiers(40, 200))
def test_reloads_under_load_fail_no_request_and_leave_no_memory_behind(
    artifacts: list[bytes], tmp_path: Path, reloads: int
) -> None:
    answers = [answers_of(content, tmp_path / "reference") for content in artifacts]
    digests = [
        neuralbits.load(_written(tmp_path / "reference", c)).manifest.digest for c in artifacts
    ]
    random, path = Random(0), tmp_path / "served.safetensors"
    path.write_bytes(artifacts[0])
    settings = environment(artifact=path, port=0, watch="false")
    current = 0

    def check(given: list[Any]) -> None:
        """Each answer is one artifact's, a batch's all the same one's."""
        assert [n for n in (0, 1) if all(answers[n][index] == each for index, each in given)]

    with (
        started(tmp_path, ["-m", "neuralbits.app"], settings) as server,
        asking(server, check) as counts,
    ):
        for reload in range(reloads):
            if good := reload % 2 == 0:
                current = 1 - current
                _written(path, artifacts[current])
            else:
                broken = BROKEN[reload // 2 % len(BROKEN)](artifacts[1 - current], random)
                path.unlink() if broken is None else _written(path, broken)
            server.process.send_signal(signal.SIGHUP)
            state = _reloaded(server, "loaded" if good else "refused")
            assert state["status"] == "ready"
            assert state["digest"] == digests[current]
            single = server.post("/classify", json={"text": TEXTS[0], "top_k": 3}).json()
            assert single == answers[current][0]  # from now on it is this one's
            if not good:
                assert state["reload"]["detail"]
            if reload + 1 == SETTLED:
                settled = server.resident()
        grown = server.resident() - settled
    assert min(counts) > reloads
    assert grown <= GROWTH
    assert server.logged() == ["INFO", *["INFO", "WARNING"] * (reloads // 2)]


def _written(path: Path, content: bytes) -> Path:
    """Put a file in the place of another, as a deployment does."""
    with atomic_write(path, overwrite=True) as file:
        file.write(content)
    return path


def _reloaded(server: Server, outcome: str) -> Any:
    """Wait until the last reload came to this end, and return what `/readyz` says."""

    def state() -> Any:
        answer = server.get("/readyz").json()
        return answer["reload"] and answer["reload"]["status"] == outcome and answer

    return until(state, pause=0.005)


# It is killed


def test_killed_under_load_it_starts_again_at_once_at_the_same_port(
    artifact_path: Path, tmp_path: Path
) -> None:
    again = environment(artifact=artifact_path, port=free_port())
    for _ in range(5):
        with started(tmp_path, ["-m", "neuralbits.app"], again) as server:
            answered = threading.Event()

            def ask(server: Server = server, answered: threading.Event = answered) -> None:
                with httpx.Client(base_url=server.url, timeout=LIMIT) as client:
                    while True:
                        client.post("/classify/batch", json={"texts": TEXTS * 50})
                        answered.set()

            with ThreadPoolExecutor(CLIENTS) as pool:
                asked = [pool.submit(ask) for _ in range(CLIENTS)]
                assert answered.wait(LIMIT)
                server.process.kill()
            for each in asked:  # they end as their connections do
                assert isinstance(each.exception(), httpx.TransportError)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log"]  # nothing else is left


# Clients that dawdle

SLOW = 300
TIMEOUT = 2  # seconds that a request may take to come in
SLOW_MEMORY = 16 * 1024  # kB that they may take all together
HEAD = b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SLOW_REQUESTS = {
    "heads": HEAD + b"X-Slow: ",
    "bodies": HEAD + b"Content-Length: 1000\r\n\r\n",
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n",
}


@pytest.mark.parametrize("kind", SLOW_REQUESTS)
def test_slow_clients_are_cut_off_and_keep_nobody_waiting(
    artifact_path: Path, tmp_path: Path, kind: str
) -> None:
    begun = threading.Event()

    async def dawdle(server: Server) -> tuple[float, float]:
        """Send a byte a second; return when the connection began, and when it was cut off."""
        start = time.monotonic()
        reader, writer = await asyncio.open_connection(*server.address())
        answer = asyncio.create_task(reader.read())
        try:
            writer.write(SLOW_REQUESTS[kind])
            while not (await asyncio.wait([answer], timeout=1))[0]:
                begun.set()
                writer.write(b" ")
                assert time.monotonic() - start < LIMIT, "it is never cut off"
            assert answer.result()[:12] in (b"", b"HTTP/1.1 408")
        except ConnectionError:
            pass
        finally:
            writer.close()
        return start, time.monotonic()

    async def dawdle_all(server: Server) -> list[tuple[float, float]]:
        return await asyncio.gather(*(dawdle(server) for _ in range(SLOW)))

    settings = environment(artifact=artifact_path, port=0, request_timeout=TIMEOUT)
    with (
        started(tmp_path, ["-m", "neuralbits.app"], settings) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        server.post("/classify", json={"text": "lights on"})
        before = server.resident()
        slow = pool.submit(asyncio.run, dawdle_all(server))
        assert begun.wait(LIMIT)
        answered, most = [], 0
        while not slow.done():
            assert server.post("/classify", json={"text": "lights on"}).status_code == 200
            answered.append(time.monotonic())
            most = max(most, server.resident())
        assert all(cut - start >= TIMEOUT - 0.5 for start, cut in slow.result())
        assert answered[0] < max(cut for _, cut in slow.result())  # not when the slow ones are gone
        assert most - before <= SLOW_MEMORY
