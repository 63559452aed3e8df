"""A tutorial's commands and programs run in an empty folder, in the order of its page."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.requirements import require

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NEEDS = {"devices": {"cc": "gcc", "node": "nodejs"}, "serve": {"curl": "curl"}}
SAYS = {
    "train": ["track_order", "opening_hours", "(out of scope)"],
    "score": ["20001", "HassTurnOff", "stray"],
    "serve": ['"intent":"HassTurnOff"', '"in_scope":false', "NEURALBITS_API_KEYS="],
    "devices": ['"intent": "HassTurnOff"', "intent: 'HassTurnOff'"],
}
"""What the commands print, among other things."""


def test_there_is_something_to_run() -> None:
    assert {page.stem for page in TUTORIALS} == SAYS.keys()
    for page in TUTORIALS:
        assert BLOCK.search(page.read_text(encoding="utf-8"))


@pytest.mark.long
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: str(page.stem))
def test_a_tutorial_runs(page: Path, tmp_path: Path) -> None:
    for command, package in NEEDS.get(page.stem, {}).items():
        require(command, package=package)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    printed = ""
    for language, program in BLOCK.findall(page.read_text(encoding="utf-8")):
        command = ["bash", "-euo", "pipefail", "-c"] if language == "sh" else [sys.executable, "-c"]
        ran = subprocess.run(
            [*command, program.replace("8000", port)],
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{program}\n{ran.stderr}"
        printed += ran.stdout
    for each in SAYS[page.stem]:
        assert each in printed
