"""The HTTP service, as a real process that real clients talk to."""

import asyncio
import contextlib
import gzip
import itertools
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

import neuralbits
from neuralbits.app.main import create_app
from neuralbits.app.settings import Settings
from tests.support.homes import UTTERANCES
from tests.support.services import Server, encode, ends, environment, started
from tests.support.waiting import LIMIT

SECRET = "my secret utterance"
TEXTS = [
    "turn of teh lamp",
    "",
    "   ",
    "ÉTEINS la lumière, İzmir, 電気を消して 💡",
    "\x00",
    "a lone \ud800 surrogate",
    "play some jazz " * 50,
    *itertools.chain.from_iterable(UTTERANCES.values()),
]


@pytest.fixture(scope="module")
def server(artifact_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with started(
        folder, ["-m", "neuralbits.app"], environment(artifact=artifact_path, port=0)
    ) as server:
        yield server


def expected(prediction: neuralbits.Prediction) -> Any:
    """A prediction as JSON has it."""
    return json.loads(json.dumps(asdict(prediction)))


# What it answers


@pytest.mark.parametrize("top_k", [1, 3, 1000])
def test_a_text_gets_what_the_classifier_says(
    server: Server, classifier: neuralbits.Classifier, top_k: int
) -> None:
    for text in TEXTS:
        response = server.post("/classify", **encode({"text": text, "top_k": top_k}))
        assert response.status_code == 200
        assert response.json() == expected(classifier.classify(text, top_k))


def test_only_the_likeliest_intent_is_named_unless_more_are_asked_for(server: Server) -> None:
    answer = server.post("/classify", json={"text": "turn off the lamp"}).json()
    assert list(answer) == ["intent", "confidence", "in_scope", "intents"]
    assert answer["intents"] == [{"intent": "turn_off", "confidence": answer["confidence"]}]


def test_a_whole_number_may_be_written_with_a_point(server: Server) -> None:
    request = {"content": '{"text": "lights on", "top_k": 2.0}', "headers": JSON}
    assert len(server.post("/classify", **request).json()["intents"]) == 2


def test_an_answer_is_explained_if_one_asks_for_it(
    server: Server, classifier: neuralbits.Classifier
) -> None:
    for text in ["turn of teh lamp", "", "a lone \ud800 surrogate", "play some jazz " * 50]:
        asked = {"text": text, "top_k": 3}
        answer = server.post("/classify", **encode(asked | {"explain": True})).json()
        explanation = answer.pop("explanation")
        assert explanation == json.loads(json.dumps(asdict(classifier.explain(text))))
        assert answer == server.post("/classify", **encode(asked | {"explain": False})).json()


def test_what_is_too_varied_to_be_explained_is_classified_all_the_same(server: Server) -> None:
    text = " ".join(f"{n:x}" for n in range(1500))
    assert server.post("/classify", json={"text": text}).status_code == 200
    refused = server.post("/classify", json={"text": text, "explain": True})
    assert refused.status_code == 422
    assert "#/text: it has more than 2,048 different n-grams" in refused.json()["detail"]


def test_texts_in_a_batch_get_the_answers_that_they_get_alone_in_their_order(
    server: Server,
) -> None:
    alone = [server.post("/classify", **encode({"text": text, "top_k": 2})) for text in TEXTS]
    batch = server.post("/classify/batch", **encode({"texts": TEXTS, "top_k": 2}))
    assert batch.json() == {"predictions": [response.json() for response in alone]}


def test_concurrent_requests_get_the_answers_that_they_get_alone(
    server: Server, classifier: neuralbits.Classifier
) -> None:
    def ask(worker: int) -> list[Any]:
        with httpx.Client(base_url=server.url, timeout=LIMIT) as client:
            answers = []
            for text in TEXTS[worker:] + TEXTS[:worker]:
                answers.append(client.post("/classify", **encode({"text": text})).json())
                batch = client.post("/classify/batch", **encode({"texts": [text, "lights off"]}))
                answers.extend(batch.json()["predictions"])
            return answers

    with ThreadPoolExecutor(8) as pool:
        answered = list(pool.map(ask, range(8)))
    lights_off = expected(classifier.classify("lights off"))
    for worker, answers in enumerate(answered):
        texts = TEXTS[worker:] + TEXTS[:worker]
        alone = [expected(classifier.classify(text)) for text in texts]
        assert answers == [each for one in alone for each in (one, one, lights_off)]


def test_the_model_is_described(server: Server, classifier: neuralbits.Classifier) -> None:
    manifest = classifier.manifest
    assert server.get("/model").json() == {
        "labels": list(manifest.labels),
        "digest": manifest.digest,
        "size": manifest.size,
        "projection": manifest.projection,
        "scale": manifest.scale,
        "temperature": manifest.temperature,
        "threshold": manifest.threshold,
        "provenance": manifest.provenance,
    }


def test_it_says_that_it_lives_and_what_it_is_ready_with(
    server: Server, classifier: neuralbits.Classifier
) -> None:
    assert server.get("/healthz").json() == {"status": "alive"}
    digest = classifier.manifest.digest
    assert server.get("/readyz").json() == {"status": "ready", "digest": digest, "reload": None}


def test_the_openapi_document_shows_no_python(server: Server) -> None:
    assert ">>>" not in server.get("/openapi.json").text


def test_the_documented_examples_are_answered(server: Server) -> None:
    assert server.get("/docs").status_code == 200
    document = server.get("/openapi.json").json()
    for path, model in [("/classify", "ClassifyRequest"), ("/classify/batch", "BatchRequest")]:
        properties = document["components"]["schemas"][model]["properties"]
        body = {name: field["examples"][0] for name, field in properties.items() if "text" in name}
        answer = server.post(path, json=body)
        assert answer.status_code == 200
        documented = document["paths"][path]["post"]["responses"]["200"]["content"]
        assert answer.json().keys() == documented["application/json"]["example"].keys()


@pytest.fixture(scope="module")
def openapi(server: Server) -> Any:
    schema = schemathesis.openapi.from_url(server.url + "/openapi.json")
    # What is too large is refused by its size, before anybody looks at what it holds.
    checks = schema.config.checks
    for check in (checks.positive_data_acceptance, checks.negative_data_rejection):
        check.expected_statuses = [*check.expected_statuses, "413"]
    return schema


@pytest.mark.parametrize(
    ("mode", "method", "path"),
    [
        ("positive", "POST", "/classify"),
        ("negative", "POST", "/classify"),
        ("positive", "POST", "/classify/batch"),
        ("negative", "POST", "/classify/batch"),
        ("positive", "GET", "/model"),
        ("positive", "GET", "/healthz"),
        ("positive", "GET", "/readyz"),
    ],
)
def test_it_keeps_to_its_openapi_document(openapi: Any, mode: str, method: str, path: str) -> None:
    cases = openapi[path][method].as_strategy(generation_mode=GenerationMode(mode))

    @given(case=cases)
    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    def keeps_to_it(case: Any) -> None:
        case.call_and_validate()

    keeps_to_it()


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/metrics", "/model", "/", "/openapi.json"]
)
def test_head_is_answered_like_get_without_the_body(server: Server, path: str) -> None:
    head, get = httpx.head(server.url + path), server.get(path)
    assert head.status_code == get.status_code == 200
    assert head.content == b""
    differing = {"date", "x-request-id", *(["content-length"] if path == "/metrics" else [])}
    assert {k: v for k, v in head.headers.items() if k not in differing} == {
        k: v for k, v in get.headers.items() if k not in differing
    }


# What it refuses

GZIP = {"content-type": "application/json", "content-encoding": "gzip"}
UTF8, JSON = {"content-type": "text/plain; charset=utf-8"}, {"content-type": "application/json"}
REFUSALS: dict[str, tuple[str, dict[str, Any], int, str]] = {
    # name: path, request, status, what the body says
    "no text": ("/classify", {"json": {}}, 422, "#/text: it is required"),
    "no body": ("/classify", {"headers": JSON}, 422, "#: it is required"),
    "null": ("/classify", {"json": {"text": None}}, 422, "#/text: it must be a string"),
    "a number": ("/classify", {"json": {"text": 7}}, 422, "#/text: it must be a string"),
    "a list": ("/classify", {"json": {"text": [SECRET]}}, 422, "#/text: it must be a string"),
    "an array": ("/classify", {"json": [SECRET]}, 422, "#: it must be a JSON object"),
    "a long text": (
        "/classify",
        {"json": {"text": (SECRET * 1000)[:10_001]}},
        422,
        "#/text: it must have a length of at most 10000",
    ),
    "an unknown field": (
        "/classify",
        {"json": {"text": SECRET, "topk": 2}},
        422,
        "#/topk: it is not a field",
    ),
    "a private field": ("/classify", {"json": {"text": "", SECRET: 2}}, 422, "#: it has a field"),
    "top_k of 0": ("/classify", {"json": {"text": SECRET, "top_k": 0}}, 422, "at least 1"),
    "top_k of 1001": ("/classify", {"json": {"text": SECRET, "top_k": 1001}}, 422, "at most 1000"),
    "top_k in words": ("/classify", {"json": {"text": "", "top_k": SECRET}}, 422, "whole number"),
    "half a top_k": ("/classify", {"json": {"text": SECRET, "top_k": 1.5}}, 422, "whole number"),
    "a true top_k": ("/classify", {"json": {"text": SECRET, "top_k": True}}, 422, "whole number"),
    "explain in words": (
        "/classify",
        {"json": {"text": "", "explain": SECRET}},
        422,
        "#/explain: it must be true or false",
    ),
    "no texts": ("/classify/batch", {"json": {"texts": []}}, 422, "#/texts: it must have a length"),
    "one text": ("/classify/batch", {"json": {"texts": SECRET}}, 422, "#/texts: it must be an arr"),
    "a wrong one": ("/classify/batch", {"json": {"texts": [SECRET, 1]}}, 422, "#/texts/1: it must"),
    "many texts": ("/classify/batch", {"json": {"texts": [""] * 10_001}}, 422, "at most 10000"),
    "no JSON": ("/classify", {"content": SECRET, "headers": JSON}, 400, "line 1, column 1"),
    "cut JSON": ("/classify", {"content": '{"text": ', "headers": JSON}, 400, "column 10"),
    "deep JSON": ("/classify", {"content": "[" * 200_000, "headers": JSON}, 400, "nested"),
    "a long number": (
        "/classify",
        {"content": '{"text": "", "top_k": 1' + "0" * 5000 + "}", "headers": JSON},
        400,
        "digits",
    ),
    "not UTF-8": (
        "/classify",
        {"content": b'{"text": "\xff"}', "headers": JSON},
        400,
        "not valid UTF-8 at byte 10",
    ),
    "UTF-8 of a surrogate": (
        "/classify",
        {"content": b'{"text": "\xed\xa0\x80"}', "headers": JSON},
        400,
        "not valid UTF-8 at byte 10",
    ),
    "UTF-16": (
        "/classify",
        {"content": '{"text": ""}'.encode("utf-16"), "headers": JSON},
        400,
        "UTF-8",
    ),
    "plain text": ("/classify", {"content": SECRET, "headers": UTF8}, 415, "Content-Type: app"),
    "gzip": (
        "/classify",
        {"content": gzip.compress(b'{"text": ""}'), "headers": GZIP},
        415,
        "compressed; send it without a Content-Encoding",
    ),
    "a form": ("/classify", {"data": {"text": SECRET}}, 415, "Content-Type: application/json"),
    "no type": ("/classify", {"content": '{"text": ""}'}, 415, "Content-Type: application/json"),
    "a large body": (
        "/classify/batch",
        {"json": {"texts": ["x" * 9000] * 200}},
        413,
        "larger than 1,048,576 bytes",
    ),
    "another path": ("/" + SECRET, {"json": {"text": SECRET}}, 404, "/docs"),
    "a slash more": ("/classify/", {"json": {"text": SECRET}}, 404, "/docs"),
    "another method": ("/model?text=" + SECRET, {"json": {"text": SECRET}}, 405, "GET only"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_bad_input_is_refused_with_what_is_wrong_where_and_how_to_mend_it(
    server: Server, name: str
) -> None:
    path, request, status, says = REFUSALS[name]
    response = server.post(path, **request)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert list(problem) == ["title", "status", "detail", "errors"]
    assert problem["status"] == status
    assert says in problem["detail"]
    for error in problem["errors"]:
        assert list(error) == ["pointer", "detail"]
    assert bool(problem["errors"]) == (status == 422)
    assert SECRET not in response.text
    assert server.get("/healthz").status_code == 200


def test_errors_beyond_count_are_counted_and_the_first_of_them_named(server: Server) -> None:
    problem = server.post("/classify", json={f"f{n}": 0 for n in range(4_000)}).json()
    assert "This is the first of 4001 errors" in problem["detail"]
    assert len(problem["errors"]) == 20


def test_an_over_large_body_is_refused_before_any_of_it_is_sent(server: Server) -> None:
    with socket.create_connection(server.address(), timeout=LIMIT) as connection:
        connection.sendall(
            b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000000000000\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_an_endless_body_is_refused_and_never_held_in_memory(server: Server) -> None:
    def peak() -> int:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])  # type: ignore[index]

    before = peak()
    body = itertools.repeat(b" " * 65536, 2048)  # 128 MiB, of a length not told before
    response = server.post("/classify", content=body, headers=JSON)
    assert response.status_code == 413
    assert "larger than 1,048,576 bytes" in response.json()["detail"]
    assert peak() - before < 32 * 1024


def test_utterances_reach_neither_log_nor_standard_error(server: Server) -> None:
    for path, request, *_ in REFUSALS.values():
        server.post(path, **request)
    server.get(f"/classify?text={SECRET}")
    server.post("/classify", json={"text": SECRET})
    log = server.log.read_text()
    assert "serving" in log
    assert "secret" not in log  # not in an encoded URL either
    assert "Traceback" not in log


def test_a_fault_of_its_own_is_told_in_the_same_shape_and_without_its_cause(
    artifact_path: Path,
) -> None:
    app = create_app(Settings(artifact=artifact_path))

    @app.get("/fault")
    def fault() -> None:
        raise RuntimeError(SECRET)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get("/fault")

    response = asyncio.run(ask())
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert list(response.json()) == ["title", "status", "detail", "errors"]
    assert SECRET not in response.text


# What can be set


def test_limits_are_settings_and_what_reaches_them_exactly_is_taken(
    artifact_path: Path, tmp_path: Path
) -> None:
    limits = environment(artifact=artifact_path, port=0, max_characters=5, max_texts=2, max_body=64)
    with started(tmp_path, ["-m", "neuralbits.app"], limits) as server:

        def status(path: str, content: str) -> int:
            return server.post(path, content=content, headers=JSON).status_code

        assert status("/classify", '{"text": "💡💡💡💡💡"}') == 200
        assert status("/classify", '{"text": "123456"}') == 422
        assert status("/classify/batch", '{"texts": ["12345", ""]}') == 200
        assert status("/classify/batch", '{"texts": ["", "", ""]}') == 422
        assert status("/classify", '{"text": ""}'.ljust(64)) == 200
        assert status("/classify", '{"text": ""}'.ljust(65)) == 413
        document = server.get("/openapi.json").json()["components"]["schemas"]
        assert document["ClassifyRequest"]["properties"]["text"]["maxLength"] == 5
        assert document["BatchRequest"]["properties"]["texts"]["maxItems"] == 2


def test_a_flag_takes_precedence_over_the_environment(artifact_path: Path, tmp_path: Path) -> None:
    program = (
        f"from neuralbits.app.command import serve; serve(artifact={str(artifact_path)!r}, port=0)"
    )
    wrong = environment(artifact="missing.safetensors", port=1)
    with started(tmp_path, ["-c", program], wrong) as server:
        assert server.get("/readyz").status_code == 200


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURALBITS_PORT", "")
    assert Settings.read().port == 8000


def test_it_runs_under_any_asgi_server_by_its_factory(artifact_path: Path, tmp_path: Path) -> None:
    command = ["-m", "uvicorn", "--factory", "neuralbits.app.main:create_app", "--port", "0"]
    with started(tmp_path, command, environment(artifact=artifact_path)) as server:
        assert server.post("/classify", json={"text": "lights on"}).json()["intent"] == "turn_on"


# How it starts and stops


@pytest.fixture
def damaged(artifact_path: Path, tmp_path: Path) -> Path:
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(artifact_path.read_bytes()[:-1])
    return path


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"artifact": "missing.safetensors"}, "missing.safetensors: No such file"),
        ({"artifact": "."}, "Is a directory"),
        ({"artifact": "damaged.safetensors"}, "can't use damaged.safetensors as an artifact"),
        ({"port": "eighty"}, "NEURALBITS_PORT: Input should be a valid integer"),
        ({"port": 65536}, "NEURALBITS_PORT: Input should be less than or equal to 65535"),
        ({"max_texts": 0}, "NEURALBITS_MAX_TEXTS: Input should be greater than or equal to 1"),
        (
            {"host": "no.such.host.invalid", "open": True},
            "can't listen on no.such.host.invalid port 0",
        ),
        ({"host": "x" * 300, "open": True}, "port 0"),
    ],
)
def test_what_it_cannot_start_with_ends_it_at_once_with_one_sentence(
    artifact_path: Path, damaged: Path, settings: dict[str, Any], says: str
) -> None:
    assert says in ends(damaged.parent, **{"artifact": artifact_path} | settings)


def test_a_port_in_use_ends_it_with_one_sentence(
    server: Server, artifact_path: Path, tmp_path: Path
) -> None:
    port = server.address()[1]
    assert ends(tmp_path, artifact=artifact_path, port=port) == (
        f"neuralbits: can't listen on 127.0.0.1 port {port}: Address already in use; choose "
        "another with --host and --port, or NEURALBITS_HOST and NEURALBITS_PORT\n"
    )


def test_under_another_server_a_missing_artifact_is_one_sentence_too(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "uvicorn", "--factory", "neuralbits.app.main:create_app"],
        cwd=tmp_path,
        env=environment(artifact="missing.safetensors"),
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    assert "neuralbits: can't read the artifact missing.safetensors" in ended.stderr


def test_without_the_serving_dependencies_it_names_their_installation(tmp_path: Path) -> None:
    missing = "raise ModuleNotFoundError(name='fastapi')"
    (tmp_path / "fastapi.py").write_text(missing)
    ended = subprocess.run(
        [sys.executable, "-m", "neuralbits.app"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert ended.returncode == 1
    assert ended.stderr == ("neuralbits: serving needs fastapi: pip install 'neuralbits[serve]'\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_once_the_request_in_flight_is_answered(
    artifact_path: Path, tmp_path: Path, number: signal.Signals
) -> None:
    body = b'{"text": "lights off please"}'
    with started(
        tmp_path, ["-m", "neuralbits.app"], environment(artifact=artifact_path, port=0)
    ) as server:
        with socket.create_connection(server.address(), timeout=LIMIT) as connection:
            connection.sendall(
                b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(body)
            )
            assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")  # it waits for the body
            server.process.send_signal(number)
            with contextlib.suppress(ConnectionError):
                while True:  # until it takes no more
                    socket.create_connection(server.address(), timeout=LIMIT).close()
            connection.sendall(body)
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        assert b" 200 OK" in answer
        assert b'"turn_off"' in answer
        assert server.process.wait(LIMIT) == 0
        assert len(server.log.read_text().splitlines()) == 1


# What it does without

# With the kernel, not even what computes the reference.
UNUSED = ["numpy", "mmh3"] if neuralbits.backend() == "kernel" else []
FOREIGN = [
    *UNUSED,
    "torch",
    "sklearn",
    "scipy",
    "pyarrow",
    "matplotlib",
    "hassil",
]
COMMANDS = [["-m", "neuralbits.app"], [str(Path(sys.executable).with_name("neuralbits")), "serve"]]


@pytest.mark.parametrize("command", COMMANDS, ids=["python -m neuralbits.app", "neuralbits serve"])
def test_the_running_process_holds_nothing_that_trains(
    artifact_path: Path, tmp_path: Path, command: list[str]
) -> None:
    traps, sprung = tmp_path / "traps", tmp_path / "sprung"
    traps.mkdir()
    for name in FOREIGN:  # a module found before the real one, that tells of its import and fails
        tell = f"open({str(sprung)!r}, 'a').write({name!r})"
        (traps / f"{name}.py").write_text(f"{tell}\nraise ImportError({name!r})\n")
    trapped = environment(artifact=artifact_path, port=0) | {"PYTHONPATH": str(traps)}

    with started(tmp_path, command, trapped) as server:
        for path in ["/model", "/healthz", "/readyz", "/docs", "/openapi.json", "/nothing"]:
            server.get(path)
        for text in TEXTS:
            server.post("/classify", **encode({"text": text}))
        assert server.post("/classify/batch", **encode({"texts": TEXTS})).status_code == 200
        assert not sprung.exists()
        maps = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert "/safetensors/" in maps  # so the libraries that a process uses do show there
        assert not [name for name in FOREIGN if f"/{name}/" in maps]

    for name in FOREIGN:  # and the traps do work
        import_it = [sys.executable, "-c", f"import {name}"]
        ended = subprocess.run(import_it, cwd=tmp_path, env=trapped, capture_output=True)
        assert ended.returncode == 1
    assert sprung.read_text() == "".join(FOREIGN)
