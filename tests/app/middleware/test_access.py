"""Request ids and the headers of each answer, seen by clients of a real process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.services import Server, environment, started


@pytest.fixture(scope="module")
def server(artifact_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = environment(artifact=artifact_path, port=0)
    with started(tmp_path_factory.mktemp("access"), ["-m", "neuralbits.app"], settings) as server:
        yield server


def test_each_answer_has_an_id_of_its_own_or_that_of_its_request(server: Server) -> None:
    ids = {server.get("/healthz").headers["x-request-id"] for _ in range(10)}
    assert len(ids) == 10
    own = server.get("/nothing", headers={"X-Request-ID": "a-trace_1.2"})
    assert own.headers["x-request-id"] == "a-trace_1.2"


@pytest.mark.parametrize("wrong", ["what I said", "x" * 65, "", 'a"b'])
def test_an_id_that_is_no_plain_word_is_replaced(server: Server, wrong: str) -> None:
    answer = server.get("/healthz", headers={"X-Request-ID": wrong})
    assert answer.headers["x-request-id"] not in ("", wrong)


def test_answers_name_no_server_and_are_what_they_say(server: Server) -> None:
    headers = server.get("/healthz").headers
    assert "server" not in headers
    assert headers["x-content-type-options"] == "nosniff"
