"""What is counted, for Prometheus; never a text.

The counts are plain numbers under one lock, which a scrape turns into the library's metrics. The
library's own counters take a lock and a look-up each: together as long as the kernel takes for a
text.
"""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

import neuralbits
from app.served import Served
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

    def exposed(self) -> tuple[list[tuple[str, float]], float]:
        """Return what `HistogramMetricFamily` takes: counts up to each bound, and the sum."""
        total, buckets = 0, []
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets, self._sum


class Metrics(Collector):
    """Counts since the service started.

    Attributes:
        in_flight: requests that are being answered.
        cut: connections that were cut off, by reason.
    """

    def __init__(self, served: Served) -> None:
        self._served = served
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: dict[str, Histogram] = {}
        self._predictions: Counter[tuple[str, bool]] = Counter()
        self._confidences = Histogram(_CONFIDENCE)
        self._batches = Histogram(_TEXTS)
        self.in_flight = 0
        self.cut: Counter[str] = Counter()

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Count an answered request; the path is one of those served, not what a client wrote."""
        self._requests[path, status] += 1
        if path not in self._seconds:
            self._seconds[path] = Histogram(_SECONDS)
        self._seconds[path].observe(seconds)

    def count_prediction(self, prediction: Prediction) -> None:
        """Count what the classifier made of a text."""
        with self._lock:
            self._predictions[prediction.intent, prediction.in_scope] += 1
            self._confidences.observe(prediction.confidence)

    def count_predictions(self, predictions: Iterable[Prediction]) -> None:
        """Count what it made of several."""
        with self._lock:
            for prediction in predictions:
                self._predictions[prediction.intent, prediction.in_scope] += 1
                self._confidences.observe(prediction.confidence)

    def count_batch(self, texts: int) -> None:
        """Count a batch of so many texts."""
        self._batches.observe(texts)

    def registry(self) -> CollectorRegistry:
        """Return a registry that exposes the counts, and the library's figures of the process."""
        registry = CollectorRegistry()
        for collector in (self, PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            registry.register(collector)
        return registry

    def collect(self) -> Iterator[Metric]:
        """Give the counts as metrics."""
        requests = CounterMetricFamily(
            "neuralbits_requests", "Requests that were answered.", labels=["path", "status"]
        )
        for (path, status), count in self._requests.copy().items():
            requests.add_metric([path, str(status)], count)
        yield requests
        seconds = HistogramMetricFamily(
            "neuralbits_request_seconds", "How long answering a request took.", labels=["path"]
        )
        for path, histogram in self._seconds.copy().items():
            seconds.add_metric([path], *histogram.exposed())
        yield seconds
        yield GaugeMetricFamily(
            "neuralbits_requests_in_flight",
            "Requests that are being answered.",
            value=self.in_flight,
        )
        cut = CounterMetricFamily(
            "neuralbits_connections_cut",
            "Connections that were closed on a client, by the reason.",
            labels=["reason"],
        )
        for reason, count in self.cut.items():
            cut.add_metric([reason], count)
        yield cut

        with self._lock:
            predicted = self._predictions.copy()
            confidences = self._confidences.exposed()
        predictions = CounterMetricFamily(
            "neuralbits_predictions",
            "Texts by their likeliest intent, and whether they were in scope.",
            labels=["intent", "in_scope"],
        )
        for (intent, in_scope), count in predicted.items():
            predictions.add_metric([intent, str(in_scope).lower()], count)
        yield predictions
        yield HistogramMetricFamily(
            "neuralbits_confidence", "Confidences of the likeliest intents.", *confidences
        )
        yield HistogramMetricFamily(
            "neuralbits_batch_texts", "Texts in a batch.", *self._batches.exposed()
        )

        served = self._served
        artifact = GaugeMetricFamily(
            "neuralbits_artifact", "The artifact that is served.", labels=["digest", "version"]
        )
        artifact.add_metric([served.classifier.manifest.digest, neuralbits.__version__], 1)
        yield artifact
        reloads = CounterMetricFamily(
            "neuralbits_reloads", "Attempts to serve the file anew.", labels=["outcome"]
        )
        reloads.add_metric(["loaded"], served.loaded)
        reloads.add_metric(["refused"], served.refused)
        yield reloads
        yield GaugeMetricFamily(
            "neuralbits_reload_failed",
            "Whether the last attempt to serve the file anew was refused.",
            value=served.last is not None and served.last.status == "refused",
        )
