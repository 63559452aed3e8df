"""What is counted; never a text.

Plain numbers under a lock, which a scrape turns into metrics (prometheus.py): the counters of
Prometheus' library take a lock and a look-up each, together as long as the kernel takes for a text.
"""

import threading
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter

from neuralbits import Prediction

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)


class Histogram:
    """How many values lie up to each bound, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def observe_all(self, values: Iterable[float]) -> None:
        """Count values; of many, in less time than one by one."""
        ordered, counted = sorted(values), 0
        for index, bound in enumerate(self._bounds):
            reached = bisect_right(ordered, bound)
            self._counts[index] += reached - counted
            counted = reached
        self._counts[-1] += len(ordered) - counted
        self._sum += sum(ordered)

    def exposed(self) -> tuple[list[tuple[str, float]], float]:
        """Return how many values lie up to each bound, which has a name, and the sum of all."""
        total, buckets = 0, []
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets, self._sum


class Metrics:
    """Counts since the service started.

    Attributes:
        in_flight: requests that are being answered.
        requests: those answered, by path and status; the path is one of those that are served.
        seconds: how long that took, by path.
        cut: connections that were closed on a client, by reason.
        lock: held while one of the others changes, since texts are classified in threads, too.
        predictions: texts by their likeliest intent, and whether they were in scope.
        confidences: those of the likeliest intents.
        batches: their texts.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.requests: Counter[tuple[str, int]] = Counter()
        self.seconds: dict[str, Histogram] = {}
        self.cut: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.predictions: Counter[tuple[str, bool]] = Counter()
        self.confidences = Histogram(_CONFIDENCE)
        self.batches = Histogram(_TEXTS)

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self.requests[path, status] += 1
        if path not in self.seconds:
            self.seconds[path] = Histogram(_SECONDS)
        self.seconds[path].observe(seconds)

    def count_prediction(self, prediction: Prediction) -> None:
        """Count what the classifier made of a text."""
        with self.lock:
            self.predictions[prediction.intent, prediction.in_scope] += 1
            self.confidences.observe(prediction.confidence)

    def count_predictions(self, predictions: Sequence[Prediction]) -> None:
        """Count what it made of many."""
        with self.lock:
            self.predictions.update(map(attrgetter("intent", "in_scope"), predictions))
            self.confidences.observe_all(map(attrgetter("confidence"), predictions))
