"""The application: settings in, an ASGI application with one loaded artifact out."""

from functools import partial
from typing import Annotated

import anyio.to_thread
from fastapi import FastAPI
from pydantic import Field, InstanceOf, WithJsonSchema

import neuralbits
from app import problems
from app.requests import BodyLimit, JSONRoute
from app.schemas import PREDICTION_EXAMPLE, PREDICTIONS_EXAMPLE, Model, Options, Predictions
from app.settings import Settings, StartupError

# A text up to this long is classified on the event loop: handing it to a thread and back would
# take about as long. Longer ones and batches go to a thread, so that nobody waits behind them;
# to one of a few, since the work is the processor's and more threads would only take memory.
_SHORT = 128  # characters
_THREADS = 4


def create_app(settings: Settings | None = None) -> FastAPI:
    """Load the artifact and build the application; without settings, read the environment's.

    Raises:
        StartupError: a setting or the artifact can't be used.
    """
    settings = settings or Settings.read()
    try:
        classifier = neuralbits.load(settings.artifact)
    except neuralbits.ArtifactError as error:
        raise StartupError(
            f"{error} (ARTIFACT or NEURALBITS_ARTIFACT names what to serve)"
        ) from None

    app = FastAPI(
        title="neuralbits",
        summary="Intent detection: raw text in, intent and calibrated confidence out.",
        version=neuralbits.__version__,
        exception_handlers=problems.HANDLERS,
        redirect_slashes=False,
        redoc_url=None,
    )
    app.add_middleware(BodyLimit, limit=settings.max_body)
    app.router.route_class = JSONRoute

    # Pydantic's own string refuses lone surrogates, which JSON can hold and the classifier takes.
    limited_text = Annotated[
        InstanceOf[str],
        Field(max_length=settings.max_characters),
        WithJsonSchema({"type": "string", "maxLength": settings.max_characters}),
    ]

    class ClassifyRequest(Options):
        """A text to classify."""

        text: Annotated[limited_text, Field(examples=["turn of teh lamp"])]

    class BatchRequest(Options):
        """Texts to classify."""

        texts: Annotated[
            list[limited_text],
            Field(min_length=1, max_length=settings.max_texts, examples=[["turn of teh lamp"]]),
        ]

    in_thread = partial(anyio.to_thread.run_sync, limiter=anyio.CapacityLimiter(_THREADS))
    refusals = problems.documented(400, 413, 415, 422)

    @app.post("/classify", responses=PREDICTION_EXAMPLE | refusals)
    async def classify(request: ClassifyRequest) -> neuralbits.Prediction:
        """Classify one text."""
        if len(request.text) <= _SHORT:
            return classifier.classify(request.text, request.top_k)
        return await in_thread(classifier.classify, request.text, request.top_k)

    @app.post("/classify/batch", responses=PREDICTIONS_EXAMPLE | refusals)
    async def classify_batch(request: BatchRequest) -> Predictions:
        """Classify texts; each gets the very answer that it gets alone."""
        predictions = await in_thread(classifier.classify_batch, request.texts, request.top_k)
        return Predictions(predictions=predictions)

    @app.get("/model")
    async def model() -> Model:
        """Describe the artifact that is served."""
        manifest = classifier.manifest
        return Model(
            labels=list(manifest.labels),
            digest=manifest.digest,
            size=manifest.size,
            projection=manifest.projection,
            temperature=manifest.temperature,
            threshold=manifest.threshold,
            provenance=manifest.provenance,
        )

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Say that the process is alive."""
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        """Say that the artifact is loaded: no request is taken before it is."""
        return {"status": "ready"}

    return app
