"""A soak test: the service under mixed traffic, and its memory over time.

    python -m tools.soak --seconds 600

Some clients send single texts, some batches, one malformed requests, some a byte a second. Every
few seconds the service loads another artifact, or refuses a broken one. A wrong answer is a
failure. The result is printed as a table in Markdown; with failures, the status is 1.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx

import neuralbits
from neuralbits.files import atomic_write
from tests.support.homes import UTTERANCES
from tests.support.malformed import exchange, malformed
from tests.support.services import Server, environment, started

ARTIFACTS = [
    Path(__file__).parents[1] / "artifacts" / f"{name}.safetensors"
    for name in ("clinc150", "home-assistant-en")
]
TEXTS = [text for texts in UTTERANCES.values() for text in texts]
BATCH = 2_000  # texts, at most
WINDOWS = 10  # lines of the table
CUT_WITHIN = 30  # seconds that a slow client may hold a connection
TOLD = 5  # failures, of as many as there are
# How many clients of each kind, and for how many seconds each pauses between two requests: a
# machine at its limit would tell less of the service.
CLIENTS = {
    "single": (4, 0.02),
    "batch": (2, 0.2),
    "malformed": (1, 0.02),
    "slow": (10, 0.0),
    "reload": (1, 5.0),
}


class Failure(Exception):
    """A wrong answer."""


@dataclass
class Window:
    """The counts of one window of time, and the process's resources at its end."""

    resident: int = 0
    files: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    seconds: list[float] = field(default_factory=list)
    """How long single texts took."""

    def end(self, server: Server) -> None:
        """Read the process's memory and open files."""
        self.resident = server.resident()
        self.files = len(os.listdir(f"/proc/{server.process.pid}/fd"))  # noqa: PTH208


class Soak:
    """Clients of one server, and the counts of their answers."""

    def __init__(self, server: Server, served: Path, seconds: float) -> None:
        self.windows: list[Window] = []
        self._server = server
        self._served = served
        self._seconds = seconds
        self._malformed = iter(malformed(seed=0, count=10_000) * 100)
        self._reloads = 0
        classifiers = [neuralbits.load(path) for path in ARTIFACTS]
        self._right = {
            text: [json.loads(json.dumps(asdict(each.classify(text)))) for each in classifiers]
            for text in TEXTS
        }

    async def run(self) -> None:
        """Run all clients until the time is over."""
        asks: dict[str, Callable[[Random], Awaitable[None]]] = {
            "single": self._ask_single,
            "batch": self._ask_batch,
            "malformed": self._ask_malformed,
            "slow": self._ask_slowly,
            "reload": self._reload,
        }
        self._until = time.monotonic() + self._seconds
        start = Window()
        start.end(self._server)
        self.windows.append(start)
        async with httpx.AsyncClient(base_url=self._server.url, timeout=60) as client:
            self._client = client
            await asyncio.gather(
                self._look(),
                *(
                    self._repeat(kind, asks[kind], pause, Random(seed))
                    for kind, (count, pause) in CLIENTS.items()
                    for seed in range(count)
                ),
            )

    async def _repeat(
        self, kind: str, ask: Callable[[Random], Awaitable[None]], pause: float, random: Random
    ) -> None:
        while time.monotonic() < self._until:
            try:
                await ask(random)
            except (Failure, httpx.HTTPError, OSError, TimeoutError) as error:
                self.windows[-1].failed += 1
                if sum(window.failed for window in self.windows) <= TOLD:
                    print(f"{kind}: {type(error).__name__}: {error}", file=sys.stderr)
            else:
                self.windows[-1].answered[kind] += 1
            await asyncio.sleep(pause)

    async def _look(self) -> None:
        for number in range(WINDOWS):
            self.windows.append(Window())
            end = self._until - self._seconds * (1 - (number + 1) / WINDOWS)
            await asyncio.sleep(end - time.monotonic())
            self.windows[-1].end(self._server)
            print(line(number + 1, self._seconds, self.windows[-1]), file=sys.stderr, flush=True)

    async def _ask_single(self, random: Random) -> None:
        text = random.choice(TEXTS)
        begun = time.perf_counter()
        answer = await self._client.post("/classify", json={"text": text})
        self.windows[-1].seconds.append(time.perf_counter() - begun)
        _check(answer.status_code == 200, answer.text)
        _check(answer.json() in self._right[text], "an answer of neither artifact")

    async def _ask_batch(self, random: Random) -> None:
        texts = random.choices(TEXTS, k=random.randrange(1, BATCH))
        answer = await self._client.post("/classify/batch", json={"texts": texts})
        _check(answer.status_code == 200, answer.text[:200])
        _check(answer.content.count(b'"in_scope"') == len(texts), "a batch isn't answered whole")

    async def _ask_malformed(self, random: Random) -> None:
        wrong = next(self._malformed)
        statuses = await exchange(self._server.address(), wrong.content, wrong.whole)
        _check(all(status // 100 == 4 for status in statuses), f"{wrong.kind} got {statuses}")
        _check(bool(statuses) or not wrong.whole, f"{wrong.kind} got no answer")

    async def _ask_slowly(self, random: Random) -> None:
        head = "POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        begins = random.choice([f"{head}X-Slow: ", f"{head}Content-Length: 9999\r\n\r\n"])
        reader, writer = await asyncio.open_connection(*self._server.address())
        answer = asyncio.create_task(reader.read())
        try:
            writer.write(begins.encode())
            for _ in range(CUT_WITHIN):
                if (await asyncio.wait([answer], timeout=1))[0]:
                    with suppress(ConnectionError):
                        answer.result()
                    return
                writer.write(b" ")
            raise Failure("a slow client is never cut off")
        finally:
            answer.cancel()
            writer.close()

    async def _reload(self, random: Random) -> None:
        """Load the other artifact, or, alternately, have a broken one refused."""
        content = ARTIFACTS[(self._reloads // 2 + 1) % len(ARTIFACTS)].read_bytes()
        good = self._reloads % 2 == 0
        self._reloads += 1
        with atomic_write(self._served, overwrite=True) as file:
            file.write(content if good else content[: random.randrange(len(content))])
        self._server.process.send_signal(signal.SIGHUP)
        outcome = "loaded" if good else "refused"
        for _ in range(CUT_WITHIN * 10):
            state: dict[str, Any] = (await self._client.get("/readyz")).json()
            if state["reload"] and state["reload"]["status"] == outcome:
                return
            await asyncio.sleep(0.1)
        raise Failure(f"the artifact isn't {outcome}: {state}")


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Failure(otherwise)


def megabytes(window: Window) -> str:
    """Return the process's resources, in the table's form."""
    return f"{window.resident * 1024 / 1e6:.1f}"


def line(number: int, seconds: float, window: Window) -> str:
    """Return a line of the table."""
    times = [1e3 * each for each in window.seconds]
    shares = statistics.quantiles(times, n=100) if len(times) > 1 else [0.0] * 99
    counts = [f"{window.answered[kind]:,}" for kind in CLIENTS]
    latencies = [f"{ms:.1f}" for ms in (shares[49], shares[98], max(times, default=0))]
    ended = f"{seconds * number / WINDOWS:.0f}"
    if not times:  # before the first request
        counts, latencies = [""] * len(counts), [""] * len(latencies)
    cells = [ended, *counts, str(window.failed), *latencies]
    cells += [megabytes(window), str(window.files)]
    return "| " + " | ".join(cells) + " |"


def table(windows: Sequence[Window], seconds: float) -> list[str]:
    """Return the lines of the table: the start, and the end of each window."""
    titles = ["seconds", *CLIENTS, "failed", "p50 ms", "p99 ms", "longest ms", "MB", "files"]
    head = ["| " + " | ".join(each) + " |" for each in (titles, ["---:"] * len(titles))]
    return head + [line(number, seconds, window) for number, window in enumerate(windows)]


def main() -> int:
    """Soak, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        served = folder / "served.safetensors"
        served.write_bytes(ARTIFACTS[0].read_bytes())
        with started(
            folder, ["-m", "neuralbits.app"], environment(artifact=served, port=0)
        ) as server:
            soak = Soak(server, served, seconds)
            asyncio.run(soak.run())
            after = Window()
            time.sleep(1)  # until the last connections are closed
            after.end(server)
            faults = server.logged().count("ERROR")
    failed = sum(window.failed for window in soak.windows)
    answered = sum((window.answered for window in soak.windows), Counter[str]())
    print("\n".join(table(soak.windows, seconds)))
    print(
        f"\n{answered.total():,} requests, {failed} failed, {faults} faults logged; a second after "
        f"the last one {megabytes(after)} MB and {after.files} files"
    )
    return int(bool(failed or faults))


if __name__ == "__main__":
    sys.exit(main())
