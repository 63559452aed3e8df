"""The API page: served from the package alone, with a policy, under any path prefix."""

import base64
import hashlib
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.requirements import needs_chromium
from tests.support.services import Server, environment, started


@pytest.fixture(scope="module")
def server(artifact_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = environment(artifact=artifact_path, port=0)
    with started(tmp_path_factory.mktemp("docs"), ["-m", "neuralbits.app"], settings) as server:
        yield server


@contextmanager
def proxy(server: Server, prefix: str) -> Iterator[str]:
    """A reverse proxy that serves it under a prefix, which it strips."""

    class Handler(BaseHTTPRequestHandler):
        def forward(self) -> None:
            if not self.path.startswith(prefix + "/"):
                return self.send_error(404)
            length = int(self.headers.get("content-length", 0))
            answer = server.request(
                self.command,
                self.path.removeprefix(prefix),
                content=self.rfile.read(length),
                headers={"content-type": self.headers.get("content-type", "")},
            )
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name != "transfer-encoding":
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = forward  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}{prefix}"
        listening.shutdown()


def test_it_loads_nothing_from_another_host_and_its_policy_forbids_that(server: Server) -> None:
    page = server.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    linked = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
    assert [link for link in linked if not link.startswith("data:")] == [
        "./",
        "openapi.json",
        "openapi.json",
    ]
    policy = page.headers["content-security-policy"]
    [script] = re.findall(r"<script\b.*?>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy


@needs_chromium
@pytest.mark.parametrize("prefix", ["", "/nlu", "/a/b"])
def test_it_shows_and_tries_each_path_under_a_prefix(server: Server, prefix: str) -> None:
    from playwright import sync_api as playwright

    with proxy(server, prefix) as url, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page: Any = browser.new_page(viewport={"width": 320, "height": 640})
        page.set_default_timeout(120_000)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        page.goto(url + "/docs")
        for path in ["/classify", "/classify/batch", "/model", "/model/reload", "/healthz"]:
            page.locator("h2", has_text=path).first.wait_for()
        page.get_by_role("button", name="Send POST /classify", exact=True).click()
        page.get_by_text('"intent": "turn_o').first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        browser.close()
    assert complaints == []
