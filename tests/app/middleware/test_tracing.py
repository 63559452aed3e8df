"""What an OpenTelemetry collector receives from a real process."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.services import environment, started
from tests.support.waiting import LIMIT

trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

SECRET = "my secret utterance"
WITHOUT_SDK = """
import sys
sys.modules["opentelemetry.sdk"] = None
from neuralbits.app.command import serve
serve()
"""
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Collector(HTTPServer):
    """A collector that keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.received: list[bytes] = []

    def spans(self) -> list[Any]:
        found = []
        for content in self.received:
            request = trace_service.ExportTraceServiceRequest.FromString(content)
            for resource in request.resource_spans:
                found += [span for scope in resource.scope_spans for span in scope.spans]
        return found


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Collector)
        self.server.received.append(content)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


def test_a_span_tells_of_each_request_and_of_nothing_that_was_said(
    collector: Collector, artifact_path: Path, tmp_path: Path
) -> None:
    settings = environment(artifact=artifact_path, port=0, traces=True) | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
    }
    with started(tmp_path, ["-m", "neuralbits.app"], settings) as server:
        server.post("/classify", json={"text": SECRET}, headers={"traceparent": PARENT})
        server.post("/classify", json={"text": [SECRET], SECRET: 1})
        server.request("PURGE", f"/{SECRET}?text={SECRET}")
        server.process.terminate()  # which sends what is left
        assert server.process.wait(LIMIT) == 0

    classified, refused, unknown = collector.spans()
    assert classified.name == refused.name == "POST /classify"
    assert classified.trace_id.hex() == PARENT.split("-")[1]
    assert classified.parent_span_id.hex() == PARENT.split("-")[2]
    attributes = [
        {each.key: each.value.string_value or each.value.int_value for each in span.attributes}
        for span in (classified, refused, unknown)
    ]
    assert attributes[0] == {
        "http.request.method": "POST",
        "http.route": "/classify",
        "http.response.status_code": 200,
        "url.scheme": "http",
    }
    assert attributes[1]["http.response.status_code"] == 422
    assert unknown.name == "_OTHER"
    assert "http.route" not in attributes[2]
    assert not [content for content in collector.received if b"secret" in content]


def test_without_their_packages_it_says_what_to_install(
    artifact_path: Path, tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_SDK],
        cwd=tmp_path,
        env=environment(artifact=artifact_path, port=0, traces=True),
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("neuralbits: NEURALBITS_TRACES needs opentelemetry.sdk")
    assert "pip install 'neuralbits[traces]'" in ended.stderr
