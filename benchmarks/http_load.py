"""Servers on the loopback interface, and wrk, which sends them requests."""

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.trainings import ROOT, BenchmarkError

_SCRIPT = ROOT / "benchmarks" / "load.lua"
_STARTS_WITHIN = 60  # seconds
_LOOK_AGAIN = 0.001  # seconds


@dataclass(frozen=True, slots=True)
class Cores:
    """The processors of the servers and of wrk."""

    server: set[int]
    load: set[int]

    @classmethod
    def apart(cls) -> "Cores":
        """Give the first to the servers and the last to wrk, if there are two."""
        there = sorted(os.sched_getaffinity(0))
        return cls({there[0]}, {there[-1]})

    @classmethod
    def together(cls) -> "Cores":
        """Give all to both."""
        there = os.sched_getaffinity(0)
        return cls(there, there)


@dataclass(frozen=True, slots=True)
class Server:
    """A process that answers."""

    process: "subprocess.Popen[bytes]"
    port: int
    seconds: float
    """From its start to the first answer."""

    def memory(self) -> dict[str, int]:
        """Return the bytes resident, ``rss``, and its share of what others hold, too, ``pss``."""
        about = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        sizes = dict(re.findall(r"^(Rss|Pss): +(\d+) kB$", about, re.MULTILINE))
        return {name.lower(): int(kilobytes) * 1024 for name, kilobytes in sizes.items()}


@contextlib.contextmanager
def running(
    module: str, settings: Mapping[str, object], cores: Cores, body: bytes
) -> Iterator[Server]:
    """Run a module that serves at the port of NEURALBITS_PORT, until the block ends.

    Args:
        module: what ``python -m`` runs.
        settings: the service's, by their names in lower case.
        cores: whose first the process runs on.
        body: sent to ``POST /classify`` until it answers.

    Raises:
        BenchmarkError: it ends, or doesn't answer in time.
    """
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("NEURALBITS_")}
    port = _free_port()
    given = {f"NEURALBITS_{name.upper()}": str(v) for name, v in settings.items()}
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env={**inherited, **given, "NEURALBITS_PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, cores.server),
        )
        try:
            while not _answers(port, body):
                if process.poll() is not None or time.perf_counter() - start > _STARTS_WITHIN:
                    log.seek(0)
                    said = log.read().decode(errors="replace").strip()
                    raise BenchmarkError(f"`python -m {module}` doesn't answer; it says: {said}")
                time.sleep(_LOOK_AGAIN)
            yield Server(process, port, time.perf_counter() - start)
        finally:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _answers(port: int, body: bytes) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_STARTS_WITHIN)
    try:
        connection.request("POST", "/classify", body, {"Content-Type": "application/json"})
        status = connection.getresponse().status
    except ConnectionError:
        return False
    finally:
        connection.close()
    if status != http.HTTPStatus.OK:
        raise BenchmarkError(f"POST /classify is answered with {status}, not with 200")
    return True


@dataclass(frozen=True, slots=True)
class Answered:
    """The counts and times of wrk; times in microseconds."""

    requests: int
    seconds: float
    failed: int
    """Not answered, or with a status of 400 or more."""
    late: int
    """Begun later than the timetable says, if there is one."""
    p50: int
    p99: int
    max: int

    @property
    def rate(self) -> float:
        """Requests answered in a second."""
        return self.requests / self.seconds


def answered(output: str) -> Answered:
    """Read what wrk prints: the last line is ours (``load.lua``).

    Raises:
        BenchmarkError: it isn't there, or a request failed.
    """
    lines = output.strip().splitlines()
    try:
        counted = Answered(**json.loads(lines[-1]))
    except (IndexError, ValueError, TypeError):
        raise BenchmarkError(f"wrk failed; it says: {output.strip()}") from None
    if not counted.requests:
        raise BenchmarkError(
            "no request was answered while wrk was sending: the service or the machine stalled; "
            "rerun it on an idle machine"
        )
    if counted.failed:
        raise BenchmarkError(
            f"{counted.failed} of {counted.requests} requests failed: the service doesn't stand "
            "the load, so there is nothing to compare"
        )
    return counted


def require_wrk() -> None:
    """Make sure that wrk can be run.

    Raises:
        BenchmarkError: it isn't installed.
    """
    if shutil.which("wrk") is None:
        raise BenchmarkError(
            "wrk, which makes the load, isn't installed: `apt-get install wrk` on Debian, and then "
            "the same command again"
        )


@dataclass(frozen=True, slots=True)
class Load:
    """The requests of a load."""

    path: str
    bodies: Path
    """A file; a line is a request's body."""
    connections: int
    rate: float | None = None
    """Requests that begin in a second; as many as are answered, if None."""


@contextlib.contextmanager
def sending(
    load: Load, server: Server, cores: Cores, seconds: int
) -> Iterator["subprocess.Popen[str]"]:
    """Send for a number of seconds, in a process that has ended when the block has."""
    command = ["wrk", "--threads", "1", "--connections", str(load.connections)]
    command += ["--duration", f"{seconds}s", "--timeout", "30s", "--script", str(_SCRIPT)]
    command += [f"http://127.0.0.1:{server.port}{load.path}", "--", str(load.bodies)]
    command += [] if load.rate is None else [str(load.rate)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores.load),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def send(load: Load, server: Server, cores: Cores, seconds: int) -> Answered:
    """Send for a number of seconds, and return the counts.

    Raises:
        BenchmarkError: a request failed.
    """
    with sending(load, server, cores, seconds) as process:
        return answered(process.communicate()[0])


def requests_by_line(path: Path, bodies: Sequence[object]) -> Path:
    """Write the file of bodies that a load sends, as JSON."""
    path.write_text("\n".join(map(json.dumps, bodies)) + "\n")
    return path
