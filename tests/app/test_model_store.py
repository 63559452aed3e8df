"""How another artifact takes the place of the one that is served, while requests come in."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import neuralbits
from neuralbits import artifact
from neuralbits.app import api_keys
from neuralbits.app.model_store import Served
from tests.support.homes import make_artifact
from tests.support.services import Server, environment, started
from tests.support.waiting import LIMIT, until

KEY, HASH = api_keys.make()
AUTHORIZED = {"Authorization": f"Bearer {KEY}"}
OTHER = make_artifact(threshold=0.4)


def hang_up(server: Server) -> None:
    os.kill(server.process.pid, signal.SIGHUP)


def request(server: Server) -> None:
    server.post("/model/reload", headers=AUTHORIZED)


def wait(server: Server) -> None:
    """The service looks at the file by itself."""


@pytest.fixture
def path(artifact_path: Path, tmp_path: Path) -> Path:
    path = tmp_path / "served.safetensors"
    path.write_bytes(artifact_path.read_bytes())
    return path


@pytest.fixture
def server(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    settings = environment(artifact=path, port=0, api_keys=HASH, **getattr(request, "param", {}))
    with started(tmp_path, ["-m", "neuralbits.app"], settings) as server:
        yield server


ASKED = [({}, hang_up), ({}, request)]
WATCHED = ({"watch": True}, wait)


def ways(*chosen: Any) -> pytest.MarkDecorator:
    """Run a test for each way to have another artifact served."""
    names = ["SIGHUP", "request", "watch"]
    return pytest.mark.parametrize(("server", "reload"), chosen, ids=names, indirect=["server"])


@ways(*ASKED, WATCHED)
def test_a_new_artifact_is_served_after(
    server: Server, path: Path, reload: Callable[[Server], None]
) -> None:
    artifact.write(OTHER, path)
    reload(server)
    ready = until(lambda: (ready := server.get("/readyz").json())["reload"] and ready)
    digest = neuralbits.load(path).manifest.digest
    assert ready == {
        "status": "ready",
        "digest": digest,
        "reload": {"status": "loaded", "detail": f"{digest} is served"},
    }
    model = server.get("/model", headers=AUTHORIZED).json()
    assert model["threshold"] == 0.4
    assert f'digest="{digest}"' in server.get("/metrics", headers=AUTHORIZED).text


def reloaded(server: Server, status: str) -> Any:
    """Wait until the last reload has this status; return the answer of ``/readyz``."""

    def ready() -> Any:
        answer = server.get("/readyz").json()
        return answer["reload"] and answer["reload"]["status"] == status and answer

    return until(ready)


@ways(*ASKED, pytest.param(*WATCHED, marks=pytest.mark.long))
def test_a_broken_one_is_refused_the_old_one_goes_on_and_everybody_is_told(
    server: Server, path: Path, reload: Callable[[Server], None]
) -> None:
    before = server.get("/readyz").json()["digest"]
    content = path.read_bytes()
    for count, broken in enumerate([content[:-100], b"", b"\x7fELF" * 999, None], start=1):
        if broken is None:
            path.unlink()
        else:
            path.write_bytes(broken)
        reload(server)

        ready = reloaded(server, "refused")
        assert ready["digest"] == before
        assert str(path) in ready["reload"]["detail"]
        answer = server.post("/classify", json={"text": "lights on please"}, headers=AUTHORIZED)
        assert answer.json()["intent"] == "turn_on"
        metrics = server.get("/metrics", headers=AUTHORIZED).text
        assert f'neuralbits_reloads_total{{outcome="refused"}} {count}.0' in metrics
        assert "neuralbits_last_reload_successful 0.0" in metrics
        assert server.log.read_text().count("refused to reload") == count

        path.write_bytes(content)  # and once it is whole, it is taken again
        reload(server)
        reloaded(server, "loaded")


def test_a_request_to_reload_is_told_what_came_of_it(server: Server, path: Path) -> None:
    artifact.write(OTHER, path)
    loaded = server.post("/model/reload", headers=AUTHORIZED)
    assert loaded.status_code == 200
    assert loaded.json()["status"] == "loaded"
    path.write_bytes(b"")
    refused = server.post("/model/reload", headers=AUTHORIZED)
    assert refused.status_code == 409
    assert "former artifact is served still" in refused.json()["detail"]
    assert str(path) in refused.json()["detail"]


def test_without_keys_no_request_can_reload(artifact_path: Path, tmp_path: Path) -> None:
    with started(
        tmp_path, ["-m", "neuralbits.app"], environment(artifact=artifact_path, port=0)
    ) as server:
        refused = server.post("/model/reload")
        assert refused.status_code == 403
        assert "NEURALBITS_API_KEYS" in refused.json()["detail"]
        assert server.get("/readyz").json()["reload"] is None


def test_a_file_that_is_being_written_is_left_alone_until_it_stays_the_same(path: Path) -> None:
    content = path.read_bytes()
    os.utime(path, ns=(0, 0))  # so that what is written has another time, however soon
    served = Served(path)

    async def write_and_look() -> None:
        with path.open("wb", buffering=0) as file:
            for start in range(0, len(content), len(content) // 20):
                file.write(content[start : start + len(content) // 20])
                await served.look()
                assert served.last is None
        await served.look()
        assert served.last is not None
        assert served.last.status == "loaded"

    asyncio.run(write_and_look())


def test_no_request_fails_while_artifacts_change_and_each_answer_is_of_one_of_them(
    server: Server, path: Path
) -> None:
    whole = [path.read_bytes()]
    artifact.write(OTHER, path)
    whole.append(path.read_bytes())
    text = "turn on the lamp"
    expected = [neuralbits.loads(content).classify(text).confidence for content in whole]
    statuses, confidences, done = set(), set(), threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.url, headers=AUTHORIZED, timeout=LIMIT) as client:
            while not done.is_set():
                answer = client.post("/classify", json={"text": text})
                statuses.add(answer.status_code)
                confidences.add(answer.json()["confidence"])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(30):
        path.write_bytes(whole[turn % 2] if turn % 3 else b"broken")
        server.post("/model/reload", headers=AUTHORIZED)
    done.set()
    for thread in threads:
        thread.join()
    assert statuses == {200}
    assert confidences <= set(expected)
