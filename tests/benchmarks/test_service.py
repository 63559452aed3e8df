"""The service's benchmark: its load, its measurements and its page."""

import json
import os
import re
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks import bare_service, http_load, service
from benchmarks.trainings import BenchmarkError
from neuralbits.app.main import create_app
from neuralbits.app.settings import Settings
from tests.support.homes import UTTERANCES
from tests.support.paths import ROOT
from tests.support.requirements import needs
from tests.support.waiting import LIMIT, until

TEXTS = [text for texts in UTTERANCES.values() for text in texts]
COUNTED = {
    "requests": 600,
    "seconds": 3.0,
    "failed": 0,
    "late": 2,
    "p50": 350,
    "p99": 1200,
    "max": 9000,
}
MEASURED: dict[str, Any] = {
    "apart": True,
    "singles": [4100.0],
    "requests": {"neuralbits": [4000.0, 4200.0, 4100.0], "bare": [5000.0, 4000.0, 5125.0]},
    "rate": 2050.0,
    "p99": {"neuralbits": [900, 1200, 1500], "bare": [600, 800, 5000]},
    "late": 7,
    "paced": 12_345,
    "memory": {
        "neuralbits": {"rss": 58_000_000, "pss": 50_000_000},
        "bare": {"rss": 52_500_000, "pss": 45_000_000},
    },
    "start": {"neuralbits": [0.5, 0.6, 0.55], "bare": [0.5, 0.5, 0.5]},
    "batch": [82_000.0, 90_000.0, 80_000.0],
    "idle": [500, 520, 480],
    "beside": [1500, 1501, 9000],
    "long_batches": 77,
    "others": 0.034,
    "characters": [2, 39.4, 125],
}
needs_wrk = needs("wrk", package="wrk")


def test_what_wrk_counted_is_read_from_its_last_line() -> None:
    output = "Running 3s test @ http://127.0.0.1:1/\n  600 requests in 3.00s\n"
    counted = http_load.answered(output + json.dumps(COUNTED) + "\n")
    assert (counted.rate, counted.p99, counted.late) == (200, 1200, 2)


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("", "wrk failed"),
        ("unable to connect to 127.0.0.1:1 Connection refused", "Connection refused"),
        ('{"requests": 1}', "wrk failed"),
        (json.dumps(COUNTED | {"failed": 3}), "3 of 600 requests failed"),
        (json.dumps(COUNTED | {"requests": 0}), "no request was answered while wrk was sending"),
    ],
)
def test_a_load_with_failed_requests_ends_the_run(output: str, says: str) -> None:
    with pytest.raises(BenchmarkError, match=says):
        http_load.answered(output)


def test_every_ratio_is_compared_with_its_target() -> None:
    rows = service.rows(MEASURED)
    assert [row.ratio for row in rows] == [0.82, 1.5, 5.5, pytest.approx(1.1), 20, 3.002]
    assert [row.met for row in rows[:3]] == [False, True, False]
    assert [row.met for row in rows[4:]] == [True, False]
    assert [row.target for row in rows] == [0.9, 1.5, 5, 1.1, 20, 3]


def test_the_page_shows_missed_targets_and_the_spread() -> None:
    page = service.page(MEASURED, {"processor": "A", "uvicorn": "1"})
    bare = "5,000 /s (4,000 to 5,125)"
    ours = "4,100 /s (4,000 to 4,200)"
    assert f"the bare endpoint | {ours} | {bare} | 0.82 × | ≥ 0.9 × | **no** |" in page
    assert "| its p99 at 2,050 requests a second |" in page
    assert "1.20 ms (0.90 to 1.50) | 0.80 ms (0.60 to 5.00) | 1.50 × | ≤ 1.5 × | yes |" in page
    assert "| 58.0 MB | 52.5 MB | 5.50 MB more | ≤ 5 MB more | **no** |" in page
    assert "\n12,345 requests sent at half load, 7 began later\n" in page
    assert "Meanwhile other\nprocesses took 3 % of" in page
    assert "processor A, uvicorn 1." in page


def test_the_bare_endpoint_has_the_models_of_the_service(artifact_path: Path) -> None:
    ours = create_app(Settings(artifact=artifact_path)).openapi()
    bare = bare_service.app.openapi()

    def described(document: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        """Return the schemas of request and response, and the schemas that they refer to."""
        operation = document["paths"]["/classify"]["post"]
        request = operation["requestBody"]["content"]["application/json"]["schema"]
        response = operation["responses"]["200"]["content"]["application/json"]["schema"]
        schemas: dict[str, Any] = {}
        waiting = [request, response]
        while waiting:
            for name in re.findall("#/components/schemas/(\\w+)", json.dumps(waiting.pop())):
                if name not in schemas:
                    schemas[name] = document["components"]["schemas"][name]
                    waiting.append(schemas[name])
        del schemas["ClassifyRequest"]["description"]
        return request, response["anyOf"], schemas  # its title is the operation's

    assert described(bare) == described(ours)


def test_the_error_without_wrk_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchmarkError, match="`apt-get install wrk` on Debian"):
        service.bench()


def test_a_server_that_ends_early_is_reported_with_its_output() -> None:
    with (
        pytest.raises(BenchmarkError, match=r"(?s)doesn't answer.*missing\.safetensors"),
        http_load.running("neuralbits.app", {"artifact": "missing.safetensors"}, CORES, b"{}"),
    ):
        pass


CORES = http_load.Cores.apart()


@needs_wrk
def test_a_rate_is_kept_while_answers_take_less(tmp_path: Path, artifact_path: Path) -> None:
    bodies = http_load.requests_by_line(tmp_path / "bodies", [{"text": text} for text in TEXTS])
    with http_load.running(
        "neuralbits.app", {"artifact": artifact_path}, CORES, b'{"text": ""}'
    ) as server:
        load = http_load.Load("/classify", bodies, connections=4, rate=100)

        def is_kept() -> bool:
            paced = http_load.send(load, server, CORES, seconds=1)
            due = 100 * paced.seconds
            assert paced.requests <= due + 1  # however busy the machine is
            return paced.requests >= 0.95 * due

        until(is_kept)
        with pytest.raises(BenchmarkError, match="requests failed"):
            http_load.send(http_load.Load("/nothing", bodies, 1), server, CORES, seconds=1)


@needs_wrk
@pytest.mark.long
def test_one_run_measures_everything() -> None:
    effort = service.Effort(rounds=1, seconds=1, starts=1)
    output = StringIO()
    measured = service.measure(TEXTS * 12, effort, Console(file=output))
    assert measured.keys() == MEASURED.keys()
    for figures in (measured["requests"], measured["start"]):
        assert figures["neuralbits"] != figures["bare"]
    for row in service.rows(measured):
        assert row.unit != " ×" or row.ratio > 0
    assert measured["rate"] == measured["requests"]["neuralbits"][0] / 2
    assert measured["paced"] > 0
    assert measured["long_batches"] > 0
    assert output.getvalue().count("1 of 1: ") == 4
    assert "| yes |" in service.page(measured, {})


@needs_wrk
@pytest.mark.long
def test_ctrl_c_stops_the_benchmark_and_its_processes() -> None:
    program = f"""
from rich.console import Console
from benchmarks import service
from benchmarks.trainings import interruptible
from neuralbits.errors import ending_in_a_sentence
with ending_in_a_sentence("benchmarks"), interruptible():
    service.measure({TEXTS * 12!r}, service.Effort(seconds=1), Console())
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"1 of 9: requests a second")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
        assert process.wait(LIMIT) == 130

    def all_are_gone() -> bool:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    until(all_are_gone)
