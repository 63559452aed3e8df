"""Measure: every system's process gets the same questions, alternately."""

import json
import statistics
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from random import Random
from types import TracebackType
from typing import Any, Self

import numpy as np
from rich.console import Console

from benchmarks import figures
from benchmarks.answering import Answers
from benchmarks.figures import Figures
from benchmarks.plan import System
from benchmarks.trainings import ENVIRONMENT, ROOT, BenchmarkError
from neuralbits.model_training.data import Examples, TrainingData
from neuralbits.model_training.evaluation import calibration
from neuralbits.model_training.evaluation.metrics import TIMED_TEXTS
from neuralbits.model_training.views.typos import typo

ROUNDS = 3
"""How often each system is timed, alternating with the others."""
TYPOS_SEED = 0


class Worker:
    """A system's process; a context manager that ends it."""

    def __init__(self, system: System) -> None:
        self._name = system.training.name
        self._process = subprocess.Popen(
            system.worker,
            cwd=ROOT,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C reaches this process alone, which ends the other
        )
        try:
            self.versions: dict[str, str] = self._hear()
            """Of the packages that do the system's work."""
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def ask(self, what: str, texts: Sequence[str]) -> dict[str, Any]:
        """Ask a question of answering.py.

        Raises:
            BenchmarkError: the process has ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"ask": what, "texts": texts}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has printed the reason
        return self._hear()

    def classify(self, texts: Sequence[str]) -> Answers:
        """Let the system classify texts."""
        return Answers(**self.ask("classify", texts))

    def _end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError(
                f"{self._name}: the process that answers for it has ended; what it said stands "
                "above"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer


def measure(
    systems: Sequence[System],
    data: TrainingData,
    max_false_rejects: float,
    console: Console,
) -> dict[str, tuple[Figures, dict[str, str]]]:
    """Measure trained systems on the test split of the data that they learnt from.

    Args:
        systems: trained ones.
        data: the same for each.
        max_false_rejects: the share of validation's in-scope texts below a baseline's threshold.
        console: where progress is shown.

    Returns:
        By the systems' names: the figures, and the versions of the packages that did the work.

    Raises:
        BenchmarkError: a system's process has ended.
    """
    test = data.test
    assert test is not None
    timed = test.texts[:TIMED_TEXTS]
    times: dict[str, list[dict[str, Any]]] = {each.name: [] for each in systems}
    memory: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for each in systems:
            workers[each.name] = stack.enter_context(Worker(each))
            # The first question to the process, so that the figure contains nothing else.
            memory[each.name] = workers[each.name].ask("memory", timed)
        for _ in range(ROUNDS):
            for name, worker in workers.items():
                console.print(f"timing {data.name}, {name}", highlight=False)
                times[name].append(worker.ask("time", timed))
        measured = {}
        for each in systems:
            console.print(f"measuring {each.training.name}", highlight=False)
            worker, single = workers[each.name], times[each.name]
            answers = worker.classify(test.texts)
            right = figures.accuracy(answers, test.intents)
            right_with_typo = figures.accuracy(worker.classify(misspelt(test)), test.intents)
            trainer = each.trainer_accuracy()
            outside = _out_of_scope(worker, answers, data, max_false_rejects)
            found = Figures(
                accuracy=right,
                typo_accuracy=right_with_typo,
                typo_loss=right - right_with_typo,
                expected_calibration_error=figures.expected_calibration_error(
                    answers, test.intents
                ),
                distance_from_trainer=None if trainer is None else trainer - right,
                bytes=each.training.output.stat().st_size,
                microseconds_single=statistics.median(one["single"] for one in single),
                microseconds_batched=statistics.median(one["batched"] for one in single),
                peak_memory=memory[each.name]["peak"],
                model_memory=memory[each.name]["model"],
                training_seconds=each.training.seconds,
                **outside,
            )
            measured[each.name] = (found, worker.versions)
    return measured


def misspelt(examples: Examples) -> list[str]:
    """Return the texts with one typo each: always the same ones."""
    random = Random(TYPOS_SEED)
    return [typo(text, random) for text in examples.texts]


def _out_of_scope(
    worker: Worker, inside: Answers, data: TrainingData, max_false_rejects: float
) -> dict[str, float]:
    if not len(data.out_of_scope_test):
        return {}
    # As neuralbits' own training does: from the in-scope texts of the validation split.
    validated = np.array(worker.classify(data.validation.texts).scores)
    threshold = calibration.threshold(validated, max_false_rejects)
    outside = worker.classify(data.out_of_scope_test.texts)
    return figures.out_of_scope(inside, outside, threshold)._asdict()
