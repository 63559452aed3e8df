"""The application: settings in, an ASGI application that answers with one artifact out."""

import asyncio
import functools
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, HTTPException, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from pydantic import Field
from starlette.routing import Route

import neuralbits
from neuralbits.explanation import MOST_NGRAMS, TooVaried

from . import batches, page, problems
from .batches import Workers
from .metrics import Metrics
from .middleware.admission import Guard
from .model_store import Reload, Served
from .routing import JSONRoute
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
from .settings import Settings, StartupError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from .prometheus import Exposition

# A text up to this long is classified on the event loop: handing it to a thread and back would
# take about as long.
_SHORT = 128  # characters


def create_app(settings: Settings | None = None) -> FastAPI:
    """Load the artifact and build the application; without settings, read the environment's.

    Raises:
        StartupError: a setting or the artifact can't be used.
    """
    settings = settings or Settings.read()
    try:
        served = Served(settings.artifact)
    except neuralbits.ArtifactError as error:
        raise StartupError(
            f"{error} (ARTIFACT or NEURALBITS_ARTIFACT names what to serve)"
        ) from None
    metrics = Metrics()
    workers = Workers()
    spans = _span_provider() if settings.traces else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = []
        if hasattr(signal, "SIGHUP") and current_thread() is main_thread():  # who gets signals
            tasks.append(asyncio.create_task(served.reload_on_hangup()))
        if settings.watch:
            tasks.append(asyncio.create_task(served.reload_on_change()))
        yield
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if spans:
            await asyncio.to_thread(spans.shutdown)  # which sends what it has left

    app = FastAPI(
        title="neuralbits",
        summary="Intent detection: raw text in, intent and calibrated confidence out.",
        version=neuralbits.__version__,
        exception_handlers=problems.HANDLERS,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,
        redoc_url=None,
    )
    app.router.route_class = JSONRoute

    limited_text = Annotated[str, Field(max_length=settings.max_characters)]

    class ClassifyRequest(Options):
        """A text to classify."""

        text: Annotated[limited_text, Field(examples=["turn of teh lamp"])]
        explain: Annotated[
            bool, Field(description="Whether to tell what each n-gram did for the answer.")
        ] = False

    class BatchRequest(Options):
        """Texts to classify."""

        texts: Annotated[
            list[limited_text],
            Field(min_length=1, max_length=settings.max_texts, examples=[["turn of teh lamp"]]),
        ]

    refusals = problems.documented(400, 401, 413, 415, 422, 503)

    @app.post("/classify", responses=PREDICTION_RESPONSE | refusals)
    async def classify(request: ClassifyRequest) -> neuralbits.Prediction | ExplainedPrediction:
        """Classify one text, and explain the answer if one asks for that."""
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
            wrong = {"type": "too_varied", "loc": ("body", "text"), "ctx": {"most": MOST_NGRAMS}}
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

    @app.get("/model", responses=MODEL_RESPONSE | problems.documented(401, 503))
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

    @app.post("/model/reload", responses=RELOAD_RESPONSE | problems.documented(401, 403, 409, 503))
    async def reload() -> Reload:
        """Serve what the artifact's file holds now; if it can't be served, go on as before."""
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

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Say that the process is alive."""
        return {"status": "alive"}

    @app.get("/readyz", responses=READINESS_RESPONSE)
    async def readyz() -> Readiness:
        """Say that an artifact is served, and what came of the last attempt to take another."""
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

    page.add_to(app, served)

    paths = frozenset(route.path for route in app.routes if isinstance(route, Route))
    app.add_middleware(Guard, settings=settings, metrics=metrics, paths=paths)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    if spans:
        from .middleware.tracing import Traces

        app.add_middleware(Traces, provider=spans, paths=paths)
    app.state.metrics = metrics
    return app


def _span_provider() -> "TracerProvider":
    """Return what sends traces.

    Raises:
        StartupError: the packages that this takes aren't installed.
    """
    try:
        from .middleware import tracing
    except ModuleNotFoundError as error:
        raise StartupError(
            f"NEURALBITS_TRACES needs {error.name}: pip install 'neuralbits[traces]'"
        ) from None
    return tracing.provider()
