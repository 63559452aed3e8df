"""The metrics of a real process, as Prometheus reads them."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

import neuralbits
from neuralbits.app.metrics import Histogram
from tests.support.homes import UTTERANCES
from tests.support.services import Server, environment, started

SECRET = "my secret utterance"
TEXTS = [text for texts in UTTERANCES.values() for text in texts]


@pytest.fixture
def server(artifact_path: Path, tmp_path: Path) -> Iterator[Server]:
    with started(
        tmp_path, ["-m", "neuralbits.app"], environment(artifact=artifact_path, port=0)
    ) as server:
        yield server


def samples(server: Server) -> dict[tuple[str, str], float]:
    """All samples: by name, and the values of the labels in the order of their names."""
    response = server.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, ",".join(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_requests_are_counted_by_path_and_status_and_paths_that_arent_served_together(
    server: Server,
) -> None:
    for _ in range(3):
        server.post("/classify", json={"text": "lights on"})
    server.post("/classify", json={})
    server.get(f"/{SECRET}")
    server.get("/another")
    found = samples(server)
    assert found["neuralbits_requests_total", "/classify,200"] == 3
    assert found["neuralbits_requests_total", "/classify,422"] == 1
    assert found["neuralbits_requests_total", "other,404"] == 2
    assert found["neuralbits_request_duration_seconds_count", "/classify"] == 4
    assert 0 < found["neuralbits_request_duration_seconds_sum", "/classify"] < 60


def test_predictions_are_counted_by_intent_and_scope_whether_single_or_in_a_batch(
    server: Server, classifier: neuralbits.Classifier
) -> None:
    foreign = ["colourless green ideas sleep furiously", ""]
    for text in TEXTS:
        server.post("/classify", json={"text": text})
    server.post("/classify/batch", json={"texts": TEXTS + foreign})
    predictions = classifier.classify_batch(2 * TEXTS + foreign)
    found = samples(server)
    for intent in classifier.manifest.labels:
        for in_scope in (True, False):
            expected = sum(p.intent == intent and p.in_scope == in_scope for p in predictions)
            key = "neuralbits_predictions_total", f"{str(in_scope).lower()},{intent}"
            assert found.get(key, 0) == expected
    assert found["neuralbits_confidence_ratio_count", ""] == len(predictions)
    confidences = [prediction.confidence for prediction in predictions]
    assert found["neuralbits_confidence_ratio_sum", ""] == pytest.approx(math.fsum(confidences))
    assert found["neuralbits_confidence_ratio_bucket", "0.9"] == sum(c <= 0.9 for c in confidences)
    assert found["neuralbits_batch_texts_count", ""] == 1
    assert found["neuralbits_batch_texts_sum", ""] == len(TEXTS) + 2


def test_the_artifact_and_the_process_are_named(
    server: Server, classifier: neuralbits.Classifier
) -> None:
    found = samples(server)
    digest = classifier.manifest.digest
    facts = f"{neuralbits.backend()},{digest},{neuralbits.__version__}"
    assert found["neuralbits_artifact_info", facts] == 1
    assert found["neuralbits_artifact_size_bytes", ""] == classifier.manifest.size
    assert found["neuralbits_last_reload_successful", ""] == 1
    assert found["neuralbits_reloads_total", "loaded"] == 0
    assert found["neuralbits_requests_in_flight", ""] == 1
    assert found["process_resident_memory_bytes", ""] > 1e6


def test_names_keep_to_the_conventions_of_prometheus(server: Server) -> None:
    server.post("/classify/batch", json={"texts": TEXTS})
    units = ("_seconds", "_bytes", "_ratio", "_texts")
    for family in text_string_to_metric_families(server.get("/metrics").text):
        if not family.name.startswith("neuralbits_"):
            continue
        names = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert all(name.endswith("_total") for name in names)
        elif family.type == "histogram":
            assert family.name.endswith(units)
        assert "_seconds" not in family.name or "_duration_" in family.name
        assert family.documentation.endswith(".")


def test_no_utterance_is_among_them(server: Server) -> None:
    server.post("/classify", json={"text": SECRET})
    server.post("/classify/batch", json={"texts": [SECRET], SECRET: SECRET})
    server.get(f"/{SECRET}?text={SECRET}")
    assert "secret" not in server.get("/metrics").text


@given(st.lists(st.floats(-1e6, 1e6)), st.lists(st.floats(-1e6, 1e6), min_size=1, unique=True))
def test_a_histogram_counts_the_values_up_to_each_bound(
    values: list[float], bounds: list[float]
) -> None:
    histogram, at_once = Histogram(sorted(bounds)), Histogram(sorted(bounds))
    for value in values:
        histogram.observe(value)
    at_once.observe_all(values)
    buckets, total = histogram.exposed()
    assert at_once.exposed() == (buckets, pytest.approx(total, abs=1e-3))
    assert buckets[-1] == ("+Inf", len(values))
    assert total == pytest.approx(math.fsum(values), abs=1e-3)
    for name, count in buckets[:-1]:
        assert count == sum(value <= float(name) for value in values)
