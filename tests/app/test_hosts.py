"""The hosts that a service answers for: DNS rebinding, and servers that listen more widely."""

import socket
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from neuralbits.app import api_keys
from neuralbits.app.hosts import Hosts
from neuralbits.app.settings import Settings
from tests.support.services import Server, environment, started

KEY, HASH = api_keys.make()
LOCAL, OTHER = "127.0.0.1", "192.168.1.7"
FOREIGN = [
    "evil.example",
    "evil.example:8000",
    "evil",
    "localhost.evil.example",
    "127.0.0.1.nip.io",
]
OWN = [
    "localhost",
    "LOCALHOST:8000",
    "localhost.",
    "app.localhost",
    "127.0.0.1:8000",
    "192.168.1.7",
    "[::1]:8000",
    "[::1]",
    socket.gethostname(),
    f"{socket.gethostname()}.local:80",
    "",
]


def status(name: str, address: str = LOCAL, **settings: Any) -> HTTPStatus | None:
    refusal = Hosts(Settings(**settings)).refusal(name.encode(), address)
    return refusal and refusal[0]


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("open_", [True, False])
def test_without_keys_a_foreign_name_is_refused(host: str, open_: bool) -> None:
    assert status(host, open=open_) == HTTPStatus.MISDIRECTED_REQUEST


@pytest.mark.parametrize("host", OWN)
def test_addresses_and_names_of_this_machine_are_answered(host: str) -> None:
    assert status(host) is None


def test_allowed_names_are_answered_and_the_name_to_listen_on() -> None:
    names = {"allowed_hosts": "hub.example, .example.org"}
    assert status("HUB.example:8000", **names) is None
    assert status("a.b.example.org", **names) is None
    assert status("example.org", **names) == HTTPStatus.MISDIRECTED_REQUEST
    assert status("hub.example.net", **names) == HTTPStatus.MISDIRECTED_REQUEST
    assert status("hub.lan", host="hub.lan", open=True) is None


def test_with_keys_names_are_checked_if_some_are_allowed() -> None:
    assert status("evil.example", OTHER, api_keys=HASH) is None
    names = {"api_keys": HASH, "allowed_hosts": "hub.example"}
    assert status("hub.example", OTHER, **names) is None
    assert status("evil.example", OTHER, **names) == HTTPStatus.MISDIRECTED_REQUEST


def test_without_keys_requests_from_other_machines_are_refused_unless_it_is_open() -> None:
    assert status("localhost", OTHER) == HTTPStatus.FORBIDDEN
    assert status("localhost", OTHER, open=True) is None
    assert status("localhost", OTHER, api_keys=HASH) is None


def test_a_page_under_a_foreign_name_can_read_nothing(artifact_path: Path, tmp_path: Path) -> None:
    settings = environment(artifact=artifact_path, port=0)
    with started(tmp_path, ["-m", "neuralbits.app"], settings) as server:
        foreign = {"Host": "evil.example"}
        for path in ["/", "/metrics", "/model", "/docs", "/openapi.json", "/nothing"]:
            refused = server.get(path, headers=foreign)
            assert refused.status_code == 421
            assert "NEURALBITS_ALLOWED_HOSTS" in refused.json()["detail"]
        refused = server.post("/classify", json={"text": "lights on"}, headers=foreign)
        assert refused.status_code == 421
        for path in ["/healthz", "/readyz"]:  # a load balancer's probe
            assert server.get(path, headers=foreign).status_code == 200


@pytest.fixture
def own_address() -> str:
    """An address of this machine that others can reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no network")
        return str(probe.getsockname()[0])


@pytest.mark.parametrize(
    ("settings", "expected"), [({}, 403), ({"open": True}, 200), ({"api_keys": HASH}, 200)]
)
def test_another_server_that_listens_on_all_addresses_opens_nothing(
    artifact_path: Path, tmp_path: Path, own_address: str, settings: dict[str, Any], expected: int
) -> None:
    command = ["-m", "uvicorn", "--factory", "neuralbits.app.main:create_app"]
    command += ["--host", "0.0.0.0", "--port", "0"]
    with started(tmp_path, command, environment(artifact=artifact_path, **settings)) as server:
        port = server.address()[1]
        key = {"Authorization": f"Bearer {KEY}"}
        text = {"text": "lights on"}
        there = Server(server.process, f"http://{own_address}:{port}", server.log)
        answer = there.post("/classify", json=text, headers=key)
        assert answer.status_code == expected
        here = Server(server.process, f"http://127.0.0.1:{port}", server.log)
        assert here.post("/classify", json=text, headers=key).status_code == 200
