"""Attacks without a key on the memory of a service, and on its time for others.

Each runs against a process that has 96 MiB of memory, as docker/compose.yaml gives it. The kernel
enforces the limit: it would end the process. The service must answer its probes during an attack
and after it.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from neuralbits.app import api_keys
from tests.adversary.attack import ATTACKS
from tests.adversary.memory_limit import NoLimit, memory_limit
from tests.support.paths import ROOT
from tests.support.services import Server, environment, started
from tests.support.waiting import LIMIT

MEMORY = 96 << 20
_, HASH = api_keys.make()
JOIN_GROUP = """
import os, pathlib
pathlib.Path({group!r}).write_text(str(os.getpid()))
from neuralbits.app.command import serve
serve()
"""


@contextmanager
def group_or_skip() -> Iterator[Path]:
    """A group with a limit on its memory; without one, a peak would include pages of files."""
    with ExitStack() as stack:
        try:
            group = stack.enter_context(memory_limit(MEMORY))
        except NoLimit as error:
            pytest.skip(f"the system limits no memory here: {error}")
        yield group


@contextmanager
def limited(folder: Path, settings: dict[str, str]) -> Iterator[Server]:
    """A service with a limit on its memory."""
    with group_or_skip() as group:
        program = ["-c", JOIN_GROUP.format(group=str(group))]
        with started(folder, program, settings) as server:
            yield server


@contextmanager
def attacked(server: Server, attack: str, connections: int, seconds: float) -> Iterator[None]:
    host, port = server.address()
    command = [sys.executable, "-m", "tests.adversary.attack", host, str(port), attack]
    command += ["--connections", str(connections), "--seconds", str(seconds)]
    command += ["--tls"] if server.url.startswith("https") else []
    attacker = subprocess.Popen(command, cwd=ROOT)
    try:
        yield
        assert attacker.wait(LIMIT) == 0
    finally:
        attacker.kill()
        attacker.wait()


def probe(server: Server) -> float:
    """Probe it as a new client of another address; return the milliseconds that it took.

    From the attacker's address, it could be the one that is closed at the limit on connections.
    """
    begun = time.perf_counter()
    other = httpx.HTTPTransport(verify=False, local_address="127.0.0.2")
    with httpx.Client(transport=other, timeout=LIMIT) as client:
        assert client.get(server.url + "/healthz").status_code == 200
    return 1000 * (time.perf_counter() - begun)


def survives(
    server: Server, attack: str, connections: int, seconds: float, record: pytest.FixtureRequest
) -> None:
    """Attack it; check that it lives, and answers all the time."""
    during: list[float] = []
    with attacked(server, attack, connections, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            during.append(probe(server))
            assert server.process.poll() is None, "it ran out of memory"
            time.sleep(0.05)
    after = [probe(server) for _ in range(5)]
    assert server.process.poll() is None
    figures = (
        f"{attack}, {connections} connections: at most {server.peak() // 1024} MB; a probe took "
        f"{statistics.median(during):.0f} ms (median), {max(during):.0f} (maximum), and "
        f"{statistics.median(after):.0f} after the attack"
    )
    print(figures)
    record.node.user_properties.append(("figures", figures))


def settings_of(artifact_path: Path, **settings: object) -> dict[str, str]:
    common = {"artifact": artifact_path, "port": 0, "max_body": "256KiB"}
    return environment(**common | settings)


def test_a_mixture_of_attacks(
    artifact_path: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with limited(tmp_path, settings_of(artifact_path, api_keys=HASH)) as server:
        survives(server, "mixture", 20, 2, request)


@pytest.mark.long
@pytest.mark.parametrize("connections", [1, 500])
@pytest.mark.parametrize("keys", [HASH, ""], ids=["keys", "open"])
@pytest.mark.parametrize("attack", [*ATTACKS, "mixture"])
def test_no_attack_takes_more_memory_than_it_has(
    artifact_path: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    attack: str,
    keys: str,
    connections: int,
) -> None:
    with limited(tmp_path, settings_of(artifact_path, api_keys=keys)) as server:
        survives(server, attack, connections, 5, request)


@pytest.mark.long
@pytest.mark.parametrize("attack", [*ATTACKS, "mixture"])
def test_nor_does_one_over_tls(
    artifact_path: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    certificate: tuple[Path, Path],
    attack: str,
) -> None:
    settings = settings_of(
        artifact_path,
        api_keys=HASH,
        tls_certificate=certificate[0],
        tls_key=certificate[1],
        max_connections=64,  # as docs/operations.md recommends
    )
    with limited(tmp_path, settings) as server:
        survives(server, attack, 500, 5, request)


def test_the_limit_is_real(tmp_path: Path) -> None:
    greedy = "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))"
    greedy += "\nheld = bytearray(os.urandom(1 << 20)) * 200"
    with group_or_skip() as group:
        ended = subprocess.run([sys.executable, "-c", greedy, str(group)], capture_output=True)
    assert ended.returncode == -9
