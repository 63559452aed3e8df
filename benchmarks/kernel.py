"""The command ``python -m benchmarks.kernel``: the kernel's speed in one table.

The artifact is the shipped one of CLINC150, the texts are that data set's test split. fastText's
model is the one that ``python -m benchmarks`` trains from seed 0; this trains it if need be.
"""

import json
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from benchmarks import plan, results
from benchmarks.comparison import Row, table
from benchmarks.published import publish
from benchmarks.trainings import (
    ENVIRONMENT,
    ROOT,
    BenchmarkError,
    interruptible,
    run_all,
)
from neuralbits.errors import ending_in_a_sentence
from neuralbits.files import locked
from neuralbits.model_training import data

FOLDER = ROOT / "runs" / "bench"
PAGE = ROOT / "benchmarks" / "KERNEL.md"
ARTIFACT = ROOT / "artifacts" / "clinc150.safetensors"
BASELINES = ROOT / ".venv-bench" / "bin" / "python"


Show = Callable[[float], str]


def _micro(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e3:.1f} µs"


def _milli(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e6:.0f} ms"


def _time(work: str, against: str, times: Sequence[float], target: float, show: Show) -> Row:
    """Compare our time with the other's; the target is a share of it."""
    ours, theirs = times
    return Row(work, against, show(ours), show(theirs), ours / theirs, target, True)


def _rate(work: str, against: str, times: Sequence[float], target: float) -> Row:
    """Compare our rate with the other's; the target is a multiple; times are of a text."""
    ours, theirs = times
    return Row(work, against, _micro(ours), _micro(theirs), theirs / ours, target, False)


def rows(measured: dict[str, Any]) -> list[Row]:
    """Compare the worker's measurements with the targets."""
    length, prepared = measured["length"], "fastText's `predict`, its text prepared"
    line = f"{_micro(length['call'])} + {length['character']:.0f} ns a character"
    straight = "a straight line: the furthest from it"
    one_thread, two_threads = measured["threads"]
    return [
        _time("one text", prepared, measured["single"], 0.5, _micro),
        _rate("a list of 10,000, a text", "the same", measured["batch"], 5),
        _rate("the same", "the reference", measured["reference"], 30),
        _rate("100,000 texts, a text", "two threads against one", (two_threads, one_thread), 1.8),
        Row("10 to 10,000 characters", straight, line, "", length["residual"], 0.1, True, " %"),
        _time("start, load, first answer", "`import numpy`", measured["start"], 1, _milli),
    ]


def page(measured: dict[str, Any], conditions: dict[str, str]) -> str:
    """Write the page, in Markdown."""
    about = ", ".join(f"{name} {value}" for name, value in conditions.items())
    return "\n".join(
        [
            "# The kernel's speed",
            "",
            "Written by `make bench-kernel`: one process, medians, ratios of medians. The artifact",
            "is the shipped `clinc150`, the texts are that data set's test split.",
            "[README.md](README.md) says how each is measured, and",
            "[docs/kernel.md](../docs/kernel.md) what bounds what isn't met.",
            "",
            *table("work", rows(measured)),
            "",
            f"{about}. A text has {measured['features']:.0f} features in the mean.",
            "",
        ]
    )


def bench() -> None:
    """Measure, and write the page and ``kernel.json``."""
    console = Console(stderr=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with interruptible(), locked(FOLDER) as lock:
        loaded = data.from_name("clinc150")
        (fasttext,) = (
            each.training
            for each in plan.systems(loaded, 0, [], [], FOLDER, BASELINES)
            if each.name == plan.FASTTEXT
        )
        run_all([fasttext], 1, lock, console)
        assert loaded.test is not None
        files = (str(ARTIFACT), str(fasttext.output))
        command = [str(BASELINES), "-m", "benchmarks.kernel_worker", *files]
        console.print("measuring, for a minute or two", highlight=False)
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=ENVIRONMENT,
            input=json.dumps(loaded.test.texts),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BenchmarkError("the measuring process failed; its message is above")
        measured = json.loads(done.stdout)
    if measured["backend"] != "kernel":
        raise BenchmarkError(
            "the kernel isn't compiled: install a C compiler, then `make bench-kernel`"
        )
    text = page(measured, results.conditions())
    publish(measured, FOLDER / "kernel.json", text, PAGE)
    print(text)


if __name__ == "__main__":
    with ending_in_a_sentence("benchmarks"):
        bench()
