"""The command ``python -m benchmarks.service``: the service's speed and memory in a table.

The artifact is the shipped one of CLINC150, the texts are that data set's test split. The service
alternates with an endpoint that does nothing (``bare_service.py``).
"""

import contextlib
import json
import os
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

import neuralbits
from benchmarks.comparison import Row, table
from benchmarks.http_load import (
    Answered,
    Cores,
    Load,
    Server,
    answered,
    requests_by_line,
    require_wrk,
    running,
    send,
    sending,
)
from benchmarks.machine import machine
from benchmarks.published import publish
from benchmarks.trainings import ROOT, BenchmarkError, interruptible
from neuralbits.errors import ending_in_a_sentence
from neuralbits.files import locked
from neuralbits.model_training import data

FOLDER = ROOT / "runs" / "bench"
PAGE = ROOT / "benchmarks" / "SERVICE.md"
ARTIFACT = ROOT / "artifacts" / "clinc150.safetensors"
MODULES = {"neuralbits": "neuralbits.app", "bare": "benchmarks.bare_service"}
PACKAGES = ("fastapi", "uvicorn", "httptools", "uvloop", "pydantic")
UNBOUND = "neuralbits on all cores"
CONNECTIONS = 32
BATCH, LONG_BATCH = 256, 10_000  # texts
LIGHT_RATE, LIGHT_CONNECTIONS = 200, 8  # requests a second
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Effort:
    """How often and how long to measure."""

    rounds: int = 9
    seconds: int = 3
    starts: int = 31


def bodies(texts: Sequence[str], folder: Path) -> dict[str, Path]:
    """Write the requests: single texts, batches, and one long batch."""
    texts = random.Random(0).sample(texts, len(texts))  # the file's are sorted by intent
    batches = [texts[start : start + BATCH] for start in range(0, len(texts) - BATCH + 1, BATCH)]
    long = (texts * -(-LONG_BATCH // len(texts)))[:LONG_BATCH]
    return {
        "single": requests_by_line(folder / "single", [{"text": text} for text in texts]),
        "batch": requests_by_line(folder / "batch", [{"texts": batch} for batch in batches]),
        "long batch": requests_by_line(folder / "long-batch", [{"texts": long}]),
    }


class _Measuring:
    """Two servers and their load."""

    def __init__(
        self, servers: dict[str, Server], files: dict[str, Path], cores: Cores, effort: Effort
    ) -> None:
        self._servers = servers
        self._files = files
        self._cores = cores
        self._effort = effort

    def _send(self, name: str, load: Load) -> Answered:
        cores = Cores.together() if name == UNBOUND else self._cores
        return send(load, self._servers[name], cores, self._effort.seconds)

    def saturated(self, name: str) -> float:
        """Return the requests with one text that one core answers in a second."""
        return self._send(name, Load("/classify", self._files["single"], CONNECTIONS)).rate

    def batched(self) -> float:
        """Return the texts in batches that all cores answer in a second."""
        load = Load("/classify/batch", self._files["batch"], CONNECTIONS)
        return BATCH * self._send(UNBOUND, load).rate

    def paced(self, name: str, rate: float) -> Answered:
        """Send a fixed number of requests a second, however long the answers take."""
        return self._send(name, Load("/classify", self._files["single"], CONNECTIONS, rate))

    def light(self) -> int:
        """Return the 99th percentile of single requests at a light load, in microseconds."""
        load = Load("/classify", self._files["single"], LIGHT_CONNECTIONS, LIGHT_RATE)
        return self._send("neuralbits", load).p99

    def light_beside_a_batch(self) -> tuple[int, int]:
        """Return the same while long batches follow one another, and how many were answered."""
        load = Load("/classify/batch", self._files["long batch"], 1)
        seconds = self._effort.seconds + 1  # it begins before the others, and ends after them
        with sending(load, self._servers["neuralbits"], self._cores, seconds) as batches:
            p99 = self.light()
            return p99, answered(batches.communicate()[0]).requests


def _by_turns(round_: int) -> list[str]:
    """Return the order of the two in a round: each is first equally often."""
    names = list(MODULES)
    return names if round_ % 2 == 0 else names[::-1]


def measure(texts: Sequence[str], effort: Effort, console: Console) -> dict[str, Any]:
    """Measure everything; lists hold a figure for each round.

    Raises:
        BenchmarkError: a server doesn't answer, or a request failed.
    """
    cores = Cores.apart()
    settings = {"artifact": ARTIFACT}
    first = json.dumps({"text": texts[0]}).encode()
    measured: dict[str, Any] = {
        "apart": cores.server != cores.load,
        "requests": {name: [] for name in MODULES},
        "p99": {name: [] for name in MODULES},
        "late": 0,
        "paced": 0,
        "start": {name: [] for name in MODULES},
        "singles": [],
        "batch": [],
        "idle": [],
        "beside": [],
        "long_batches": 0,
        "characters": [
            min(map(len, texts)),
            statistics.mean(map(len, texts)),
            max(map(len, texts)),
        ],
    }
    begun, (busy, ours) = time.monotonic(), _busy()
    with contextlib.ExitStack() as stack:
        files = bodies(texts, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        servers = {
            name: stack.enter_context(running(module, settings, cores, first))
            for name, module in MODULES.items()
        }
        measuring = _Measuring(servers, files, cores, effort)
        servers[UNBOUND] = stack.enter_context(
            running("neuralbits.app", settings, Cores.together(), first)
        )
        for name in servers:
            measuring.saturated(name)  # doesn't count: caches fill, memory is taken
        for round_ in range(effort.rounds):
            for name in _by_turns(round_):
                measured["requests"][name].append(measuring.saturated(name))
            _tell(console, "requests a second", round_, effort.rounds, measured["requests"])
        rate = measured["rate"] = statistics.median(measured["requests"]["neuralbits"]) / 2
        for round_ in range(effort.rounds):
            for name in _by_turns(round_):
                paced = measuring.paced(name, rate)
                measured["p99"][name].append(paced.p99)
                measured["late"] += paced.late
                measured["paced"] += paced.requests
            _tell(
                console, f"p99 at {rate:,.0f} a second, µs", round_, effort.rounds, measured["p99"]
            )
        measured["memory"] = {name: servers[name].memory() for name in MODULES}
        for round_ in range(effort.rounds):
            measured["singles"].append(measuring.saturated(UNBOUND))
            measured["batch"].append(measuring.batched())
            measured["idle"].append(measuring.light())
            beside, batches = measuring.light_beside_a_batch()
            measured["beside"].append(beside)
            measured["long_batches"] += batches
            latest = {key: measured[key] for key in ("singles", "batch", "idle", "beside")}
            _tell(
                console, "texts a second; p99 without, with a batch", round_, effort.rounds, latest
            )
    for round_ in range(effort.starts):
        for name in _by_turns(round_):
            with running(MODULES[name], settings, cores, first) as server:
                measured["start"][name].append(server.seconds)
    _tell(
        console,
        "seconds until the first answer",
        effort.starts - 1,
        effort.starts,
        measured["start"],
    )
    still_busy, still_ours = _busy()
    others = (still_busy - busy) - (still_ours - ours)
    measured["others"] = max(0.0, others / (time.monotonic() - begun) / (os.cpu_count() or 1))
    return measured


def _busy() -> tuple[float, float]:
    """Return the busy seconds of all processors, and of this process with its ended children."""
    ticks = [int(each) for each in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, *_ = ticks
    busy = (user + nice + system + interrupts + soft_interrupts) / os.sysconf("SC_CLK_TCK")
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return busy, sum(each.ru_utime + each.ru_stime for each in used)


def _tell(
    console: Console, what: str, round_: int, rounds: int, figures: dict[str, list[float]]
) -> None:
    latest = ", ".join(f"{name} {each[-1]:,.4g}" for name, each in figures.items())
    console.print(f"{round_ + 1} of {rounds}: {what}: {latest}", highlight=False)


def _spread(figures: Sequence[float], scale: float, digits: int, unit: str) -> str:
    """Show the median, and the least and the greatest figure."""
    middle, least, most = (
        f"{scale * each:,.{digits}f}"
        for each in (statistics.median(figures), min(figures), max(figures))
    )
    return f"{middle} {unit} ({least} to {most})"


def _median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(ours) / statistics.median(theirs)


def rows(measured: dict[str, Any]) -> list[Row]:
    """Compare the measurements with the targets."""

    def against_bare(what: str, key: str, target: float, less: bool, *shown: Any) -> Row:
        ours, bare = (measured[key][name] for name in MODULES)
        ratio = _median_ratio(ours, bare)
        bound = "the bare endpoint"
        return Row(what, bound, _spread(ours, *shown), _spread(bare, *shown), ratio, target, less)

    singles, batch = measured["singles"], measured["batch"]
    idle, beside = measured["idle"], measured["beside"]
    resident, bare_resident = (measured["memory"][name]["rss"] / MEGABYTE for name in MODULES)
    half = f"its p99 at {measured['rate']:,.0f} requests a second"
    return [
        against_bare("`POST /classify`", "requests", 0.9, False, 1, 0, "/s"),
        against_bare(half, "p99", 1.5, True, 1e-3, 2, "ms"),
        Row(
            "resident memory after that",
            "the bare endpoint",
            f"{resident:.1f} MB",
            f"{bare_resident:.1f} MB",
            resident - bare_resident,
            5,
            True,
            " MB more",
        ),
        against_bare("start until the first answer", "start", 1.1, True, 1e3, 0, "ms"),
        Row(
            f"`/classify/batch`, {BATCH} texts a request, by all cores: texts",
            "`/classify`",
            _spread(batch, 1, 0, "/s"),
            _spread(singles, 1, 0, "/s"),
            _median_ratio(batch, singles),
            20,
            False,
        ),
        Row(
            f"p99 of single requests beside a batch of {LONG_BATCH:,}",
            "without it",
            _spread(beside, 1e-3, 2, "ms"),
            _spread(idle, 1e-3, 2, "ms"),
            _median_ratio(beside, idle),
            3,
            True,
        ),
    ]


def page(measured: dict[str, Any], conditions: dict[str, str]) -> str:
    """Write the page, in Markdown."""
    shares = [measured["memory"][name]["pss"] / MEGABYTE for name in MODULES]
    shortest, mean, longest = measured["characters"]
    cores = (
        "one core, wrk on another" if measured["apart"] else "the one core that wrk runs on, too"
    )
    about = ", ".join(f"{name} {value}" for name, value in conditions.items())
    return "\n".join(
        [
            "# The service's speed and weight",
            "",
            "Written by `make bench-service`: wrk on the loopback interface, one process a server,",
            f"the servers on {cores}. The artifact is the shipped `clinc150`, the",
            "texts are that data set's test split. The bare endpoint has the same request and",
            "response models and the server's same settings; it answers each text with a constant.",
            "For batches a further process of neuralbits, and wrk with it, may use all cores: it",
            "answers batches in threads.",
            "Both take turns; medians of the rounds, in parentheses the least and the greatest;",
            "ratios of medians. [README.md](README.md) says how each is measured, and",
            "[docs/service.md](../docs/service.md) what bounds what isn't met.",
            "",
            *table("figure", rows(measured)),
            "",
            f"A text has {shortest} to {longest} characters, {mean:.0f} in the mean. Of the",
            f"{measured['paced']:,} requests sent at half load, {measured['late']:,} began later",
            f"than they should. {measured['long_batches']:,} long batches were answered beside",
            "single requests. Counting in parts what processes share (PSS), neuralbits takes",
            f"{shares[0]:.1f} MB and the bare endpoint {shares[1]:.1f} MB. Meanwhile other",
            f"processes took {100 * measured['others']:.0f} % of the machine's time.",
            "",
            f"{about}.",
            "",
        ]
    )


def bench() -> None:
    """Measure, and write the page and ``service.json``."""
    require_wrk()
    if neuralbits.backend() != "kernel":
        raise BenchmarkError(
            "the kernel isn't compiled: install a C compiler, then `make bench-service`"
        )
    console = Console(stderr=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with interruptible(), locked(FOLDER):
        loaded = data.from_name("clinc150")
        assert loaded.test is not None
        console.print("measuring, for five minutes", highlight=False)
        measured = measure(loaded.test.texts, Effort(), console)
    versions = {package: version(package) for package in PACKAGES}
    text = page(measured, machine() | versions)
    publish(measured, FOLDER / "service.json", text, PAGE)
    print(text)


if __name__ == "__main__":
    with ending_in_a_sentence("benchmarks"):
        bench()
