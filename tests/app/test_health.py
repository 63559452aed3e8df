"""The health check, beside a service that is a real process."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.support.services import environment, started

SERVE, CHECK = ["-m", "neuralbits.app"], [sys.executable, "-m", "neuralbits.app.health"]


def check(**settings: object) -> str:
    """Run the check; return what it says is wrong."""
    done = subprocess.run(CHECK, env=environment(**settings), capture_output=True, text=True)
    assert bool(done.returncode) == bool(done.stderr)
    assert not done.stdout
    return done.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_service_is_healthy_until_it_ends(host: str, artifact_path: Path, tmp_path: Path) -> None:
    settings = {"artifact": artifact_path, "host": host, "open": True}
    with started(tmp_path, SERVE, environment(**settings, port=0)) as server:
        port = server.address()[1]
        assert check(host=host, port=port) == ""
    gone = check(host=host, port=port)
    assert gone.startswith(f"neuralbits: port {port} of {host} doesn't answer: ConnectionRefused")
    assert gone.count("\n") == 1


def test_a_service_with_keys_and_tls_is_healthy(
    artifact_path: Path, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    tls = {"tls_certificate": certificate[0], "tls_key": certificate[1]}
    keys = {"api_keys": "sha256:" + "0" * 64}
    with started(
        tmp_path, SERVE, environment(artifact=artifact_path, port=0, **tls, **keys)
    ) as server:
        port = server.address()[1]
        assert check(port=port, **tls) == ""
        assert "doesn't answer" in check(port=port)


@contextmanager
def answering(status: int | None) -> Iterator[int]:
    """A server that answers every request with a status, or with what isn't HTTP; its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if status is None:
                self.wfile.write(b"no HTTP\r\n\r\n")
            else:
                self.send_response(status)
                self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "says"), [(503, r"isn't ready: it answers with status 503"), (None, "BadStatusLine")]
)
def test_whatever_else_answers_is_not_healthy(status: int | None, says: str) -> None:
    with answering(status) as port:
        assert re.search(says, check(port=port))


def test_it_takes_little_memory_of_the_container() -> None:
    script = (
        "import sys, neuralbits.app.health\n"
        "assert not {'pydantic', 'fastapi', 'safetensors', 'asyncio'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=environment())
