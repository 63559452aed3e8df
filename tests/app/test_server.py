"""Starting, listening and TLS, of a real process."""

import ssl
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.commands import run
from tests.support.services import ends, environment, started
from tests.support.waiting import LIMIT


def test_it_is_served_by_tls_to_those_who_trust_its_certificate(
    artifact_path: Path, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    settings = environment(
        artifact=artifact_path, port=0, tls_certificate=certificate[0], tls_key=certificate[1]
    )
    with started(tmp_path, ["-m", "neuralbits.app"], settings) as server:
        assert server.url.startswith("https://")
        trust = ssl.create_default_context(cafile=str(certificate[0]))
        answer = server.post("/classify", json={"text": "lights on"}, verify=trust)
        assert answer.json()["intent"] == "turn_on"
        with pytest.raises(httpx.ConnectError):
            server.get("/healthz")
        with pytest.raises(httpx.HTTPError):
            httpx.get(server.url.replace("https", "http") + "/healthz", timeout=LIMIT)


def test_a_certificate_that_cant_be_used_is_named(
    artifact_path: Path, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    good, key = certificate
    missing = ends(tmp_path, artifact=artifact_path, tls_certificate="none.pem", tls_key=key)
    assert "can't use the TLS certificate none.pem" in missing
    swapped = ends(tmp_path, artifact=artifact_path, tls_certificate=key, tls_key=good)
    assert "both must be PEM files" in swapped
    half = ends(tmp_path, artifact=artifact_path, tls_certificate=good)
    assert "NEURALBITS_TLS_KEY" in half


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_beyond_this_machine_it_is_open_to_everybody_only_if_that_is_said(
    artifact_path: Path, tmp_path: Path, host: str
) -> None:
    refused = ends(tmp_path, artifact=artifact_path, host=host)
    assert f"anyone who can reach {host} could use this service" in refused
    assert "NEURALBITS_OPEN=true" in refused

    settings = environment(artifact=artifact_path, port=0, host="0.0.0.0", open=True)
    with started(tmp_path, ["-m", "neuralbits.app"], settings) as server:
        server.url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert server.post("/classify", json={"text": "lights on"}).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2"])
def test_on_this_machine_it_needs_no_key(artifact_path: Path, tmp_path: Path, host: str) -> None:
    settings = environment(artifact=artifact_path, port=0, host=host)
    with started(tmp_path, ["-m", "neuralbits.app"], settings) as server:
        assert server.post("/classify", json={"text": "lights on"}).status_code == 200


def test_a_key_in_the_place_of_its_hash_isnt_repeated(artifact_path: Path, tmp_path: Path) -> None:
    says = ends(tmp_path, artifact=artifact_path, api_keys="nb_my-secret-key")
    assert "NEURALBITS_API_KEYS" in says
    assert "`neuralbits key` makes both" in says
    assert "secret" not in says


def test_without_the_command_line_the_error_names_the_module_that_makes_keys() -> None:
    script = (
        "import sys; sys.modules['typer'] = None; "
        "from neuralbits.app.command import serve; serve(host='0.0.0.0')"
    )
    error = run(code=1, command=[sys.executable, "-c", script])
    assert "(`python -m neuralbits.app.api_keys` makes one)" in error
