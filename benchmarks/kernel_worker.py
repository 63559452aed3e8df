"""The kernel's speed, measured in one process beside fastText's and the reference's.

Called ``kernel_worker ARTIFACT FASTTEXT_MODEL``, in the baselines' environment, with a JSON list of
texts on standard input; prints its measurements as JSON.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

import neuralbits
from neuralbits import artifact, reference

ROUNDS = 7
LIST, LONG_LIST, REFERENCE_LIST = 10_000, 100_000, 2_000  # texts
STARTS = 21
LENGTHS = tuple(round(10 ** (1 + step / 6)) for step in range(19))  # 10 to 10,000 characters
ENOUGH = 5_000_000  # nanoseconds: what is shorter is repeated before the clock is read


def nanoseconds(call: Callable[[], object], times: int = 1) -> float:
    """Return the average time of one of several calls."""
    start = time.perf_counter_ns()
    for _ in range(times):
        call()
    return (time.perf_counter_ns() - start) / times


def by_turns(calls: Sequence[Callable[[], object]], rounds: int = ROUNDS) -> list[float]:
    """Time some calls alternately, after a warm-up: the median of each, nanoseconds."""
    for call in calls:
        call()
    taken = [[nanoseconds(call) for call in calls] for _ in range(rounds)]
    return [statistics.median(each) for each in zip(*taken, strict=True)]


def one_by_one(classify: Callable[[str], object], texts: Sequence[str]) -> float:
    """Return the median over calls with one text each, nanoseconds."""
    return statistics.median(nanoseconds(lambda text=text: classify(text)) for text in texts)  # type: ignore[misc]


def by_length(classifier: neuralbits.Classifier, texts: Sequence[str]) -> list[float]:
    """Time texts of each of `LENGTHS`: the median of each, nanoseconds."""
    running = " ".join(texts)
    taken = []
    for length in LENGTHS:
        # From several offsets, because the number of features a character varies.
        parts = [running[start : start + length] for start in range(0, 5 * length, length)]
        classify = lambda parts=parts: [classifier.classify(part) for part in parts]  # noqa: E731
        times = max(1, round(ENOUGH / nanoseconds(classify)))
        taken.append(statistics.median(nanoseconds(classify, times) / 5 for _ in range(ROUNDS)))
    return taken


def line(lengths: Sequence[int], times: Sequence[float]) -> dict[str, float]:
    """Fit a straight line to times by length.

    Returns:
        The time of a ``call`` and of each ``character``, and ``residual``: the largest distance
        of a time from the line, as a share of that time.
    """
    measured = np.array(times)
    terms = np.stack([np.ones(len(lengths)), lengths], axis=1)
    # Divided by the measured time, so that the shortest text counts as much as the longest.
    fixed, each = np.linalg.lstsq(terms / measured[:, None], np.ones(len(lengths)), rcond=None)[0]
    residual = np.abs(1 - terms @ (fixed, each) / measured).max()
    return {"call": float(fixed), "character": float(each), "residual": float(residual)}


def starts(path: str, text: str) -> tuple[float, float]:
    """Time processes that load the artifact and classify, and that import NumPy: medians."""
    ours = f"import neuralbits; neuralbits.load({path!r}).classify({text!r})"
    commands = [[sys.executable, "-c", code] for code in (ours, "import numpy")]
    first, second = by_turns(
        [lambda command=command: subprocess.run(command, check=True) for command in commands],  # type: ignore[misc]
        STARTS,
    )
    return first, second


def main() -> None:
    """Measure, and print."""
    import fasttext  # which only the baselines' environment has

    from benchmarks.baselines.fasttext_baseline import prepare

    path, model_path = sys.argv[1:]
    texts: list[str] = json.load(sys.stdin)
    prepared = [prepare(text) for text in texts]
    model = fasttext.load_model(model_path)
    classifier = neuralbits.load(path)
    readable = reference.classifier(artifact.read(path))

    singles = [
        (one_by_one(classifier.classify, texts), one_by_one(model.predict, prepared))
        for _ in range(3)
    ]
    single, fasttext_single = map(statistics.median, zip(*singles, strict=True))
    many, fasttext_many = ((given * -(-LIST // len(given)))[:LIST] for given in (texts, prepared))
    batch, fasttext_batch, reference_batch = by_turns(
        [
            lambda: classifier.classify_batch(many),
            lambda: model.predict(fasttext_many),
            lambda: readable.classify_batch(many[:REFERENCE_LIST]),
        ]
    )
    long = (texts * -(-LONG_LIST // len(texts)))[:LONG_LIST]
    one_thread, two_threads = by_turns(
        [
            lambda: classifier.classify_batch(long, threads=1),
            lambda: classifier.classify_batch(long, threads=2),
        ]
    )
    start, numpy_start = starts(path, texts[0])
    measured = {
        "backend": neuralbits.backend(),
        "single": [single, fasttext_single],
        "batch": [batch / LIST, fasttext_batch / LIST],
        "reference": [batch / LIST, reference_batch / REFERENCE_LIST],
        "threads": [one_thread / LONG_LIST, two_threads / LONG_LIST],
        "length": line(LENGTHS, by_length(classifier, texts)),
        "start": [start, numpy_start],
        "features": statistics.mean(
            len(artifact.read(path).projection.features(text)) for text in texts[:500]
        ),
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
