"""The paths of the API."""

import functools
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, HTTPException, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field

import neuralbits
from neuralbits.explanation import MAX_NGRAMS, TooVaried

from . import batches
from .metrics import Metrics
from .model_store import Reload, Served
from .problems import documented
from .schemas import (
    MODEL_RESPONSE,
    PREDICTION_RESPONSE,
    PREDICTIONS_RESPONSE,
    READINESS_RESPONSE,
    RELOAD_RESPONSE,
    ExplainedPrediction,
    Model,
    Options,
    Predictions,
    Readiness,
)
from .settings import Settings
from .workers import Workers

if TYPE_CHECKING:
    from .prometheus import Exposition

# A text up to this long is classified on the event loop: handing it to a thread and back would
# take about as long.
_SHORT = 128  # characters


def add_to(app: FastAPI, settings: Settings, served: Served, metrics: Metrics) -> None:
    """Serve the paths of the API."""
    _add_classifying(app, settings, served, metrics)
    _add_model(app, settings, served)
    _add_monitoring(app, served, metrics)


def _add_classifying(app: FastAPI, settings: Settings, served: Served, metrics: Metrics) -> None:
    workers = Workers()
    limited_text = Annotated[str, Field(max_length=settings.max_characters)]

    class ClassifyRequest(Options):
        """A text to classify."""

        text: Annotated[limited_text, Field(examples=["turn of teh lamp"])]
        explain: Annotated[
            bool, Field(description="Whether to add each n-gram's influence on the answer.")
        ] = False

    class BatchRequest(Options):
        """Texts to classify."""

        texts: Annotated[
            list[limited_text],
            Field(min_length=1, max_length=settings.max_texts, examples=[["turn of teh lamp"]]),
        ]

    refusals = documented(400, 401, 413, 415, 421, 422, 503)

    @app.post("/classify", responses=PREDICTION_RESPONSE | refusals)
    async def classify(request: ClassifyRequest) -> neuralbits.Prediction | ExplainedPrediction:
        """Classify one text, and explain the answer on request."""
        classifier = served.classifier
        if len(request.text) <= _SHORT:
            prediction = classifier.classify(request.text, request.top_k)
        else:
            prediction = await workers.run(classifier.classify, request.text, request.top_k)
        metrics.count_prediction(prediction)
        if not request.explain:
            return prediction
        try:
            explanation = await workers.run(classifier.explain, request.text)
        except TooVaried:
            wrong = {"type": "too_varied", "loc": ("body", "text"), "ctx": {"most": MAX_NGRAMS}}
            raise RequestValidationError([wrong]) from None
        return ExplainedPrediction(
            prediction.intent,
            prediction.confidence,
            prediction.in_scope,
            prediction.intents,
            explanation,
        )

    @app.post(
        "/classify/batch", response_model=Predictions, responses=PREDICTIONS_RESPONSE | refusals
    )
    async def classify_batch(request: BatchRequest) -> Response:
        """Classify texts; each gets the very answer that it gets alone."""
        return await batches.answer(
            workers, metrics, served.classifier, request.texts, request.top_k
        )


def _add_model(app: FastAPI, settings: Settings, served: Served) -> None:
    @app.get("/model", responses=MODEL_RESPONSE | documented(401, 503))
    async def model() -> Model:
        """Describe the artifact that is served."""
        manifest = served.classifier.manifest
        return Model(
            labels=list(manifest.labels),
            digest=manifest.digest,
            size=manifest.size,
            projection=manifest.projection,
            scale=manifest.scale,
            temperature=manifest.temperature,
            threshold=manifest.threshold,
            provenance=manifest.provenance,
        )

    @app.post("/model/reload", responses=RELOAD_RESPONSE | documented(401, 403, 409, 503))
    async def reload() -> Reload:
        """Serve the file's present content; if it can't be served, keep the former artifact."""
        if not settings.api_keys:
            raise HTTPException(
                HTTPStatus.FORBIDDEN,
                "Reloading by a request takes a key, and this service has none: set "
                "NEURALBITS_API_KEYS, or send the process the signal SIGHUP.",
            )
        outcome = await served.reload()
        if outcome.status == "refused":
            raise HTTPException(
                HTTPStatus.CONFLICT,
                f"The former artifact is served still, since the new one was refused: "
                f"{outcome.detail}.",
            )
        return outcome


def _add_monitoring(app: FastAPI, served: Served, metrics: Metrics) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Say that the process is alive."""
        return {"status": "alive"}

    @app.get("/readyz", responses=READINESS_RESPONSE)
    async def readyz() -> Readiness:
        """Say that an artifact is served, and how the last reload ended."""
        return Readiness(
            status="ready", digest=served.classifier.manifest.digest, reload=served.last
        )

    @functools.cache
    def exposition() -> "Exposition":
        from .prometheus import Exposition

        return Exposition(metrics, served)

    @app.get("/metrics", include_in_schema=False)
    async def prometheus() -> Response:
        """Expose the counts to Prometheus."""
        return exposition().response()
