"""What was counted, in the format that Prometheus reads.

Imported with the first scrape: a device without Prometheus starts sooner.
"""

from collections.abc import Iterator

from fastapi import Response
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
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

import neuralbits

from .metrics import Metrics
from .model_store import Served


class Exposition(Collector):
    """The service's counts, and the library's own figures of the process."""

    def __init__(self, metrics: Metrics, served: Served) -> None:
        self._metrics = metrics
        self._served = served
        self._registry = CollectorRegistry()
        for collector in (self, PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            self._registry.register(collector)

    def response(self) -> Response:
        """Expose all."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    def collect(self) -> Iterator[Metric]:
        """Give the counts as metrics."""
        counted, served = self._metrics, self._served
        requests = CounterMetricFamily(
            "neuralbits_requests", "Requests that were answered.", labels=["path", "status"]
        )
        for (path, status), count in counted.requests.items():
            requests.add_metric([path, str(status)], count)
        yield requests
        seconds = HistogramMetricFamily(
            "neuralbits_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            labels=["path"],
        )
        for path, histogram in counted.seconds.items():
            seconds.add_metric([path], *histogram.exposed())
        yield seconds
        yield GaugeMetricFamily(
            "neuralbits_requests_in_flight",
            "Requests that are being answered.",
            value=counted.in_flight,
        )
        cut = CounterMetricFamily(
            "neuralbits_connections_cut",
            "Connections that were closed on a client, by the reason.",
            labels=["reason"],
        )
        for reason, count in counted.cut.items():
            cut.add_metric([reason], count)
        yield cut

        with counted.lock:
            predicted = counted.predictions.copy()
            confidences = counted.confidences.exposed()
        predictions = CounterMetricFamily(
            "neuralbits_predictions",
            "Texts by their likeliest intent, and whether they were in scope.",
            labels=["intent", "in_scope"],
        )
        for (intent, in_scope), count in predicted.items():
            predictions.add_metric([intent, str(in_scope).lower()], count)
        yield predictions
        yield HistogramMetricFamily(
            "neuralbits_confidence_ratio",
            "Confidences of the likeliest intents, from 0 to 1.",
            *confidences,
        )
        yield HistogramMetricFamily(
            "neuralbits_batch_texts", "Texts in a batch.", *counted.batches.exposed()
        )

        manifest = served.classifier.manifest
        artifact = InfoMetricFamily("neuralbits_artifact", "The artifact that is served.")
        facts = {"version": neuralbits.__version__, "backend": neuralbits.backend()}
        artifact.add_metric([], {"digest": manifest.digest, **facts})
        yield artifact
        yield GaugeMetricFamily(
            "neuralbits_artifact_size_bytes", "The artifact's size.", value=manifest.size
        )
        reloads = CounterMetricFamily(
            "neuralbits_reloads", "Attempts to load the artifact's file again.", labels=["outcome"]
        )
        reloads.add_metric(["loaded"], served.loaded)
        reloads.add_metric(["refused"], served.refused)
        yield reloads
        yield GaugeMetricFamily(
            "neuralbits_last_reload_successful",
            "1, or 0 if the last attempt to load the file again was refused.",
            value=served.last is None or served.last.status == "loaded",
        )
