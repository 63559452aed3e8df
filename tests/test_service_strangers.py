"""The service among strangers: what they may send, in what order, and how wrong."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.malformed import SECRET, Malformed, malformed
from tests.services import Server, environment, started

COUNT = 10_000
AT_ONCE = 16
MEMORY = 4096  # kB that it may grow by


@pytest.fixture(scope="module")
def server(artifact_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("strangers")
    with started(folder, ["-m", "app"], environment(artifact=artifact_path, port=0)) as server:
        yield server


def resident(server: Server) -> int:
    """The kilobytes of the process that are in memory."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])  # type: ignore[index]


async def exchange(server: Server, content: bytes, whole: bool) -> list[int]:
    """Send it, wait until the server closes the connection, and return the statuses that came."""
    reader, writer = await asyncio.open_connection(*server.address())
    answer = b""
    try:
        writer.write(content)
        if not whole:
            writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        pass  # closed while it was still being sent
    finally:
        writer.close()
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


GOOD = (
    b"POST /classify HTTP/1.1\r\nHost: hub\r\n%sContent-Type: application/json\r\n"
    b'Content-Length: 21\r\n\r\n{"text": "lights on"}'
)
LAST = b"Connection: close\r\n"


def ask_badly(server: Server, requests: list[Malformed]) -> dict[str, Counter[int]]:
    """Send all, some at once, and a good one after every few; count the statuses of each kind."""
    counted: dict[str, Counter[int]] = {each.kind: Counter() for each in requests}

    async def send(some: Iterator[tuple[int, Malformed]]) -> None:
        for index, each in some:
            about = f"{each.kind}: {each.content[:300]!r}"
            try:
                statuses = await exchange(server, each.content, each.whole)
            except TimeoutError:
                pytest.fail(f"not answered: {about}")
            assert all(status // 100 == 4 for status in statuses), f"{statuses} to {about}"
            assert statuses or not each.whole, f"closed without an answer: {about}"
            counted[each.kind].update(statuses)
            if index % 20 == 0:
                assert await exchange(server, GOOD % LAST, whole=True) == [200]

    async def send_all() -> None:
        some = iter(enumerate(requests))  # which all take from
        await asyncio.gather(*(send(some) for _ in range(AT_ONCE)))

    asyncio.run(send_all())
    return counted


def test_ten_thousand_malformed_requests_get_4xx_and_leave_no_trace(server: Server) -> None:
    ask_badly(server, malformed(seed=1, count=COUNT // 10))  # what memory it takes, it has then
    before = resident(server)
    counted = ask_badly(server, malformed(seed=0, count=COUNT))
    assert resident(server) - before <= MEMORY
    # They are what they are meant to be: each of these refuses some, for a reason of its own.
    assert {400, 404, 405, 413, 415, 422} <= {
        status for each in counted.values() for status in each
    }
    log = server.log.read_text()
    assert "Traceback" not in log
    assert not [word for word in SECRET.split() if word in log]


def test_good_requests_are_answered_behind_bad_ones_on_the_same_connection(server: Server) -> None:
    bad = GOOD.replace(b"text", b"txet") % b""
    pipeline = bad + GOOD % b"" + bad * 3 + GOOD % LAST
    assert asyncio.run(exchange(server, pipeline, whole=True)) == [422, 200, 422, 422, 422, 200]
