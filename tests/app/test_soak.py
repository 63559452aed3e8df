"""The soak: what it counts, and that it finds what is wrong."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.services import environment, started
from tools import soak


def test_the_table_tells_how_each_part_of_the_time_went() -> None:
    start = soak.Window(resident=50_000, files=14)
    window = soak.Window(resident=51_000, files=31, failed=2, seconds=[0.001] * 98 + [0.5] * 2)
    window.answered.update(single=1234, batch=5, slow=3)
    lines = soak.table([start, window], seconds=600)
    assert lines[0].startswith("| seconds | single | batch | malformed | slow | reload | failed |")
    assert lines[2] == "| 0 |  |  |  |  |  | 0 |  |  |  | 51.2 | 14 |"
    assert lines[3] == "| 60 | 1,234 | 5 | 0 | 3 | 0 | 2 | 1.0 | 500.0 | 500.0 | 52.2 | 31 |"


def test_a_short_soak_ends_well() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tools.soak", "--seconds", "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert len(lines) == 2 + 1 + soak.WINDOWS + 2
    assert ", 0 failed, 0 faults logged; a second after the last one" in lines[-1]


@pytest.mark.long
def test_what_is_not_answered_as_it_should_be_is_a_failure(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    served = tmp_path / "served.safetensors"
    served.write_bytes(soak.ARTIFACTS[0].read_bytes())
    limits = environment(artifact=served, port=0, max_texts=1, max_in_flight=1)
    with started(tmp_path, ["-m", "neuralbits.app"], limits) as server:
        soaking = soak.Soak(server, served, seconds=2)
        asyncio.run(soaking.run())
    failed = sum(window.failed for window in soaking.windows)
    assert failed > soak.TOLD
    assert capfd.readouterr().err.count("Failure: ") == soak.TOLD
