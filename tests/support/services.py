"""The service as a real process, for the tests of it."""

import contextlib
import json
import os
import random
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.waiting import LIMIT, until

_TRUST = httpx.create_ssl_context()  # by default HTTPX makes one for each request, in 20 ms


def environment(**settings: object) -> dict[str, str]:
    """This process's environment, with these settings of the service's and no other."""
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("NEURALBITS_")}
    return inherited | {f"NEURALBITS_{name.upper()}": str(v) for name, v in settings.items()}


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request by a new connection; the options are HTTPX's."""
        defaults = {"timeout": LIMIT, "verify": _TRUST}
        return httpx.request(method, self.url + path, **defaults | options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def address(self) -> tuple[str, int]:
        url = httpx.URL(self.url)
        assert url.port is not None
        return url.host, url.port

    def resident(self) -> int:
        """The kilobytes of the process that are in memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])  # type: ignore[index]

    def peak(self) -> int:
        """The most kilobytes of the process that were in memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])  # type: ignore[index]

    def logged(self) -> list[str]:
        """The level of each event in the log; a fault of the service's own is an ERROR."""
        return [json.loads(line)["level"] for line in self.log.read_text().splitlines()]


def free_port() -> int:
    """A port that only a test asks for: no connection of another process gets it by chance."""
    while True:
        port = random.SystemRandom().randrange(10_000, 30_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _url(process: "subprocess.Popen[bytes]", log: Path) -> str | None:
    """The address that a server has logged."""
    assert process.poll() is None, log.read_text()
    found = re.search(r"https?://[\d.:]+", log.read_text())
    return found[0] if found else None


@contextlib.contextmanager
def started(folder: Path, command: list[str], environment: dict[str, str]) -> Iterator[Server]:
    """Run a server in a folder that holds nothing of the project, until the block ends."""
    log = folder / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=environment, stderr=stderr
        )
    try:
        url = until(lambda: _url(process, log))
        yield Server(process, url, log)
    finally:
        process.kill()
        process.wait()


def encode(body: Any) -> dict[str, Any]:
    """A request's JSON body, lone surrogates and all."""
    headers = {"content-type": "application/json"}
    return {"content": json.dumps(body).encode("ascii"), "headers": headers}


def ends(folder: Path, **settings: object) -> str:
    """Start it with what it can't start with; return what it says, which is one sentence."""
    ended = subprocess.run(
        [sys.executable, "-m", "neuralbits.app"],
        cwd=folder,
        env=environment(**{"port": 0} | settings),
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith("neuralbits: ")
    return ended.stderr
