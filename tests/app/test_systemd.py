"""The service under systemd: its socket, its readiness, its watchdog, its unit."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.paths import ROOT
from tests.support.services import environment

UNITS = ROOT / "docker" / "systemd"
# What systemd does before it runs a service: the socket is file 3, and its number is in LISTEN_PID.
PASS_SOCKET = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "neuralbits.app"])
"""


def serve(listener: socket.socket, settings: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PASS_SOCKET, str(listener.fileno())],
        env=settings,
        pass_fds=[listener.fileno()],
        stderr=subprocess.PIPE,
    )


def test_it_serves_on_the_socket_that_it_is_passed_and_says_that_it_is_ready_and_alive(
    artifact_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "notify"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        channel.bind(str(path))
        channel.settimeout(120)
        settings = environment(artifact=artifact_path)
        settings |= {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "300000"}
        with serve(listener, settings) as process:
            try:
                for _ in range(3):  # every 0.1 s
                    assert channel.recv(4096) == b"READY=1\nWATCHDOG=1"
                port = listener.getsockname()[1]
                answer = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=60)
                assert answer.status_code == 200
            finally:
                process.terminate()
            assert process.wait(120) == 0


def test_a_socket_that_other_machines_reach_takes_keys_too(artifact_path: Path) -> None:
    with (
        socket.create_server(("0.0.0.0", 0)) as listener,
        serve(listener, environment(artifact=artifact_path)) as process,
    ):
        _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert b"systemd listens on an address that other machines reach" in said


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, of a program that is installed."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is missing; Debian: apt-get install systemd")
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("/opt/neuralbits/bin/python", sys.executable)
        (tmp_path / unit.name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("unit", ["neuralbits.service", "neuralbits.socket"])
def test_systemd_finds_no_fault_with_the_units(units: Path, unit: str) -> None:
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(units / unit)], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    assert "neuralbits" not in checked.stderr


def test_systemd_finds_the_service_little_exposed(units: Path) -> None:
    service = str(units / "neuralbits.service")
    checked = subprocess.run(
        [*["systemd-analyze", "security", "--offline=true", "--threshold=15"], service],
        capture_output=True,
        text=True,
        env=os.environ | {"SYSTEMD_PAGER": "cat"},
    )
    assert checked.returncode == 0, checked.stdout[-2000:]
