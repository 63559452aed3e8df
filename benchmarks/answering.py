"""A system's side of the measurement: a process with one model, which answers questions.

A question is a line of JSON on standard input, ``{"ask": …, "texts": […]}``; its answer is a line
of JSON on standard output. This module imports the standard library alone: it runs in every
system's environment, and its memory is in every system's figure.
"""

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Protocol

WARM_UPS, BATCHES = 20, 5


class Answers(NamedTuple):
    """A model's answers, a value for each text."""

    intents: list[str]
    scores: list[float]
    """Scores that separate in-scope texts (high) from out-of-scope texts (low)."""
    confidences: list[float] | None = None
    """The probabilities of the intents; None if the model gives none."""
    in_scope: list[bool] | None = None
    """The model's decision; None if it makes none."""


class Model(Protocol):
    """A loaded model."""

    def classify(self, texts: list[str]) -> Any:
        """Give each text an intent and a score, in the model's form: this is timed."""

    def answers(self, classified: Any) -> Answers:
        """Convert the result of `classify` to the common form: this is not timed."""


def answer(load: Callable[[], Model], packages: Sequence[str]) -> None:
    """Answer questions until standard input ends.

    First prints the versions of the installed packages.

    Args:
        load: loads the model; all that it needs has been imported by now.
        packages: the distributions that the model uses.
    """
    _say({package: version(package) for package in packages})
    imported = peak_memory()
    model = load()
    for line in sys.stdin:
        question = json.loads(line)
        texts = question["texts"]
        match question["ask"]:
            case "classify":
                _say(model.answers(model.classify(texts))._asdict())
            case "memory":
                model.classify(texts)
                peak = peak_memory()
                _say({"peak": peak, "model": peak - imported})
            case "time":
                _say(microseconds_per_text(model.classify, texts))


def microseconds_per_text(
    classify: Callable[[list[str]], object], texts: list[str]
) -> dict[str, float]:
    """Time a function as model_training/evaluation/metrics.py times a classifier.

    Returns:
        Wall-clock microseconds per text: ``single``, the median over calls with one text, and
        ``batched``, the median over calls with all texts, divided by their number.
    """

    def microseconds(batch: list[str]) -> float:
        start = time.perf_counter_ns()
        classify(batch)
        return (time.perf_counter_ns() - start) / 1000

    for text in texts[:WARM_UPS]:
        classify([text])
    return {
        "single": statistics.median(microseconds([text]) for text in texts),
        "batched": statistics.median(microseconds(texts) for _ in range(BATCHES)) / len(texts),
    }


def peak_memory() -> int:
    """Return the peak resident memory of this process, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux getrusage also counts the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)
