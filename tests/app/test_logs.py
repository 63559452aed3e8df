"""The log of a real process."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import neuralbits
from neuralbits import artifact
from tests.support.homes import make_float_artifact
from tests.support.services import environment, started
from tests.support.waiting import until

SECRET = "my secret utterance"
# A service of which a path fails, with an utterance in the exception's text.
FAULTY = f"""
import neuralbits.app.server
from neuralbits.app.command import serve

create = neuralbits.app.server.create_app

def create_faulty(*args):
    made = create(*args)
    @made.get("/fault")
    async def fault():
        raise RuntimeError({SECRET!r})
    return made

neuralbits.app.server.create_app = create_faulty
serve()
"""


def lines(log: Path, count: int) -> list[dict[str, Any]]:
    """So many lines; a request's is written after its answer is sent.

    Where no kernel is compiled, the first line says so, and is left out here.
    """

    def written() -> list[dict[str, Any]]:
        events = map(json.loads, log.read_text().splitlines())
        return [event for event in events if "NumPy backend" not in event["message"]]

    until(lambda: len(written()) >= count)
    assert len(written()) == count
    return written()


def test_each_event_is_a_line_of_json(artifact_path: Path, tmp_path: Path) -> None:
    with started(
        tmp_path, ["-m", "neuralbits.app"], environment(artifact=artifact_path, port=0)
    ) as server:
        (line,) = lines(server.log, 1)
    assert line["level"] == "INFO"
    assert line["url"] == server.url
    assert line["artifact"] == str(artifact_path)
    assert line["timestamp"].startswith("20")


def test_the_slower_backend_is_logged_once_at_the_start(tmp_path: Path) -> None:
    artifact.write(make_float_artifact(), tmp_path / "float.safetensors")
    settings = environment(artifact=tmp_path / "float.safetensors", port=0)
    with started(tmp_path, ["-m", "neuralbits.app"], settings) as server:
        assert server.post("/classify", json={"text": "lights on"}).status_code == 200
        warnings = [line for line in server.log.read_text().splitlines() if "WARNING" in line]
    (warning,) = map(json.loads, warnings)
    reason = (
        "the compiled kernel can't run this artifact"
        if neuralbits.backend() == "kernel"
        else "this installation has no compiled kernel"
    )
    assert warning["message"] == f"serving by the slower NumPy backend: {reason}"


def test_requests_are_logged_if_one_asks_for_it_without_what_they_hold(
    artifact_path: Path, tmp_path: Path
) -> None:
    settings = environment(artifact=artifact_path, port=0, log_level="DEBUG")
    with started(tmp_path, ["-m", "neuralbits.app"], settings) as server:
        answer = server.post("/classify", json={"text": SECRET})
        server.get(f"/{SECRET}?text={SECRET}")
        _, classified, unknown = lines(server.log, 3)
    assert classified["level"] == "DEBUG"
    assert classified["request_id"] == answer.headers["x-request-id"]
    assert (classified["path"], classified["status"]) == ("/classify", 200)
    assert 0 < classified["milliseconds"] < 60_000
    assert (unknown["path"], unknown["status"]) == ("other", 404)
    assert "secret" not in server.log.read_text()


def test_a_fault_is_told_by_its_kind_place_and_request_but_not_by_its_words(
    artifact_path: Path, tmp_path: Path
) -> None:
    settings = environment(artifact=artifact_path, port=0)
    with started(tmp_path, ["-c", FAULTY], settings) as server:
        answer = server.get("/fault")
        _, fault = lines(server.log, 2)
    assert answer.status_code == 500
    assert answer.json()["title"] == "Internal Server Error"
    assert SECRET not in answer.text
    assert fault["level"] == "ERROR"
    assert fault["error"].startswith("RuntimeError at <string>:")
    assert fault["request_id"] == answer.headers["x-request-id"]
    assert "secret" not in server.log.read_text()


def test_on_a_terminal_it_is_a_sentence(artifact_path: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "neuralbits.app"],
        cwd=tmp_path,
        env=environment(artifact=artifact_path, port=0),
        stderr=theirs,
    )
    try:
        said = os.read(ours, 4096).decode()
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
    assert said.startswith(f"neuralbits: serving {artifact_path} at http://127.0.0.1:")
