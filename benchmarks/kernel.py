"""The command ``python -m benchmarks.kernel``: how fast the kernel is, in one table.

The artifact is the shipped one of CLINC150, the texts are that data set's test split. fastText's
model is the one that ``python -m benchmarks`` trains from seed 0; this trains it if need be.
"""

import json
import subprocess
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from benchmarks import plan, results
from benchmarks.trainings import (
    ENVIRONMENT,
    ROOT,
    BenchmarkError,
    interruptible,
    run_all,
)
from model_training import data
from neuralbits.errors import ending_in_a_sentence
from neuralbits.files import locked, replacing

FOLDER = ROOT / "runs" / "bench"
PAGE = ROOT / "benchmarks" / "KERNEL.md"
ARTIFACT = ROOT / "artifacts" / "clinc150.safetensors"
PEERS = ROOT / ".venv-bench" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    work: str
    against: str
    ours: str
    theirs: str
    ratio: float
    reach: float
    smaller_is_better: bool
    unit: str = " ×"

    @property
    def met(self) -> bool:
        """Whether the ratio, not rounded, is within its reach."""
        return self.ratio <= self.reach if self.smaller_is_better else self.ratio >= self.reach

    def cells(self) -> list[str]:
        """Return what stands in the line."""
        scale = 100 if self.unit == " %" else 1
        sign = "≤" if self.smaller_is_better else "≥"
        return [
            self.work,
            self.against,
            self.ours,
            self.theirs,
            f"{scale * self.ratio:.2f}{self.unit}",
            f"{sign} {scale * self.reach:g}{self.unit}",
            "yes" if self.met else "**no**",
        ]


def rows(measured: dict[str, Any]) -> list[Row]:
    """Compare what the worker measured with what is to be reached."""

    def micro(nanoseconds: float) -> str:
        return f"{nanoseconds / 1e3:.1f} µs"

    def milli(nanoseconds: float) -> str:
        return f"{nanoseconds / 1e6:.0f} ms"

    single, batch, slow = measured["single"], measured["batch"], measured["reference"]
    threads, start, length = measured["threads"], measured["start"], measured["length"]
    line = f"{micro(length['call'])} + {length['character']:.0f} ns a character"
    return [
        Row(
            "one text",
            "fastText's `predict`, its text prepared",
            micro(single[0]),
            micro(single[1]),
            single[0] / single[1],
            0.5,
            True,
        ),
        Row(
            "a list of 10,000, a text",
            "the same",
            micro(batch[0]),
            micro(batch[1]),
            batch[1] / batch[0],
            5,
            False,
        ),
        Row(
            "the same",
            "the reference",
            micro(slow[0]),
            micro(slow[1]),
            slow[1] / slow[0],
            30,
            False,
        ),
        Row(
            "100,000 texts, a text",
            "two threads against one",
            micro(threads[1]),
            micro(threads[0]),
            threads[0] / threads[1],
            1.8,
            False,
        ),
        Row(
            "10 to 10,000 characters",
            "a straight line: the furthest from it",
            line,
            "",
            length["residual"],
            0.1,
            True,
            " %",
        ),
        Row(
            "start, load, first answer",
            "`import numpy`",
            milli(start[0]),
            milli(start[1]),
            start[0] / start[1],
            1,
            True,
        ),
    ]


def page(measured: dict[str, Any], conditions: dict[str, str]) -> str:
    """Write the page, in Markdown."""
    titles = ["work", "against", "neuralbits", "the other", "ratio", "reach", "met"]
    table = [titles, ["---"] * len(titles), *(row.cells() for row in rows(measured))]
    lines = ["| " + " | ".join(cells) + " |" for cells in table]
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
            *lines,
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
            for each in plan.contestants(loaded, 0, [], [], FOLDER, PEERS)
            if each.name == plan.FASTTEXT
        )
        run_all([fasttext], 1, lock, console)
        assert loaded.test is not None
        files = (str(ARTIFACT), str(fasttext.output))
        command = [str(PEERS), "-m", "benchmarks.kernel_worker", *files]
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
            raise BenchmarkError("the measuring process failed; what it says stands above")
        measured = json.loads(done.stdout)
    if measured["backend"] != "kernel":
        raise BenchmarkError(
            "the kernel isn't compiled: install a C compiler, then `make bench-kernel`"
        )
    text = page(measured, results.conditions())
    for path, content in (
        (FOLDER / "kernel.json", json.dumps(measured, indent=2) + "\n"),
        (PAGE, text),
    ):
        with replacing(path) as file:
            file.write(content.encode())
    print(text)


if __name__ == "__main__":
    with ending_in_a_sentence("benchmarks"):
        bench()
