"""Untrusted requests: any content, in any order, however malformed."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

import neuralbits
from neuralbits.app import api_keys
from tests.support.malformed import SECRET, Malformed, exchange, malformed
from tests.support.services import Server, environment, started
from tests.support.tiers import tiers

JSON = {"content-type": "application/json"}
AT_ONCE = 16
MEMORY = 4096  # kB that it may grow by


@pytest.fixture(scope="module")
def server(artifact_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("untrusted")
    with started(
        folder, ["-m", "neuralbits.app"], environment(artifact=artifact_path, port=0)
    ) as server:
        yield server


# In whatever order


def test_whatever_is_asked_after_whatever_the_openapi_document_holds(
    artifact_path: Path, tmp_path: Path
) -> None:
    key, hashed = api_keys.make()
    with started(
        tmp_path,
        ["-m", "neuralbits.app"],
        environment(artifact=artifact_path, port=0, api_keys=hashed),
    ) as server:
        schema = schemathesis.openapi.from_url(server.url + "/openapi.json")
        # What is too large is refused by its size, before anybody looks at what it holds.
        checks = schema.config.checks
        for check in (checks.positive_data_acceptance, checks.negative_data_rejection):
            check.expected_statuses = [*check.expected_statuses, "413"]
        asked: Counter[str] = Counter()

        class UntrustedClient(schema.as_state_machine()):  # type: ignore[misc]
            """Follows the document's links, and holds later answers against earlier ones."""

            def setup(self) -> None:
                self.answers: dict[str, Any] = {}
                self.digest = server.get("/readyz").json()["digest"]

            def get_call_kwargs(self, case: Any) -> dict[str, Any]:
                return {"headers": {"Authorization": f"Bearer {key}"}}

            def after_call(self, response: Any, case: Any) -> None:
                super().after_call(response, case)
                asked[case.operation.label] += 1
                if response.status_code != 200 or case.operation.path.endswith(".wasm"):
                    return
                answer, path = response.json(), case.operation.path
                if path in ("/model", "/readyz"):
                    assert answer["digest"] == self.digest
                elif path == "/classify":
                    self.answers[case.body["text"]] = answer
                elif path == "/classify/batch":
                    for text, predicted in zip(
                        case.body["texts"], answer["predictions"], strict=True
                    ):
                        alone = self.answers.get(text, predicted)
                        assert predicted["confidence"] == alone["confidence"]
                        assert predicted["intent"] == alone["intent"]

            def teardown(self) -> None:  # no link leads there
                schema["/healthz"]["GET"].Case().call_and_validate()

        UntrustedClient.run(
            settings=settings(
                max_examples=60,
                stateful_step_count=8,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            )
        )
        operations = {each.ok().label for each in schema.get_all_operations()}
        assert asked.keys() == operations - {"GET /healthz"}
        assert server.logged() == ["INFO"] * (1 + asked["POST /model/reload"])


# However wrong


GOOD = (
    b"POST /classify HTTP/1.1\r\nHost: localhost\r\n%sContent-Type: application/json\r\n"
    b'Content-Length: 21\r\n\r\n{"text": "lights on"}'
)
LAST = b"Connection: close\r\n"


def ask_badly(server: Server, requests: list[Malformed]) -> dict[str, Counter[int]]:
    """Send all, some at once, and a good one after every few; count the statuses of each kind."""
    counted: dict[str, Counter[int]] = {each.kind: Counter() for each in requests}

    async def send(some: Iterator[tuple[int, Malformed]]) -> None:
        for index, each in some:
            about = f"{each.kind}: {each.content[:300]!r}"
            try:
                statuses = await exchange(server.address(), each.content, each.whole)
            except TimeoutError:
                pytest.fail(f"not answered: {about}")
            assert all(status // 100 == 4 for status in statuses), f"{statuses} to {about}"
            assert statuses or not each.whole, f"closed without an answer: {about}"
            counted[each.kind].update(statuses)
            if index % 20 == 0:
                assert await exchange(server.address(), GOOD % LAST, whole=True) == [200]

    async def send_all() -> None:
        some = iter(enumerate(requests))  # which all take from
        await asyncio.gather(*(send(some) for _ in range(AT_ONCE)))

    asyncio.run(send_all())
    return counted


@pytest.mark.parametrize("count", tiers(300, 10_000))
def test_malformed_requests_get_4xx_and_leave_no_trace(server: Server, count: int) -> None:
    ask_badly(server, malformed(seed=1, count=1000))  # what memory it takes, it has then
    before = server.resident()
    counted = ask_badly(server, malformed(seed=0, count=count))
    assert server.resident() - before <= MEMORY
    # Each of these statuses refuses some, each for another reason.
    assert {400, 404, 405, 413, 415, 422} <= {
        status for each in counted.values() for status in each
    }
    assert server.logged() == ["INFO"]
    log = server.log.read_text()
    assert not [word for word in ["Traceback", *SECRET.split()] if word in log]


MEGABYTE = 1_000_000
CROWDED = {
    "fields": b"{" + b",".join(b'"f%d": 0' % n for n in range(MEGABYTE // 12)) + b"}",
    "the same field": b"{" + b'"text": "", ' * (MEGABYTE // 12) + b'"text": ""}',
    "objects": b'{"texts": [' + b"{}, " * (MEGABYTE // 4) + b"{}]}",
    "lists": b'{"texts": [' + b"[], " * (MEGABYTE // 4) + b"[]]}",
}


@pytest.mark.parametrize("what", CROWDED)
def test_a_large_body_of_anything_but_texts_costs_little_memory(
    artifact_path: Path, tmp_path: Path, what: str
) -> None:
    with started(
        tmp_path, ["-m", "neuralbits.app"], environment(artifact=artifact_path, port=0)
    ) as server:
        before = server.resident()
        for path in ("/classify", "/classify/batch"):
            refused = server.post(path, content=CROWDED[what], headers=JSON)
            assert refused.status_code == 400
            assert "nested, or has many fields" in refused.json()["detail"]
        assert server.resident() - before < 32 * 1024


def test_texts_may_hold_what_json_is_made_of(
    server: Server, classifier: neuralbits.Classifier
) -> None:
    texts = ['{"a": [1, "\\\\"]}' * 9, "{[:\\", '\\\\"', '"', "{" * 99] * 500
    answer = server.post("/classify/batch", json={"texts": texts}).json()["predictions"]
    assert [each["intent"] for each in answer] == [
        each.intent for each in classifier.classify_batch(texts)
    ]


def test_good_requests_are_answered_behind_bad_ones_on_the_same_connection(server: Server) -> None:
    bad = GOOD.replace(b"text", b"txet") % b""
    pipeline = bad + GOOD % b"" + bad * 3 + GOOD % LAST
    assert asyncio.run(exchange(server.address(), pipeline, whole=True)) == [
        422,
        200,
        422,
        422,
        422,
        200,
    ]
