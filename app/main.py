"""The factory of the application."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.routing import Route

import neuralbits

from . import endpoints, page, problems
from .metrics import Metrics
from .middleware.access import Access
from .middleware.admission import Admission
from .model_store import Served
from .routing import JSONRoute
from .settings import Settings, StartupError
from .signals import Hangup

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_LOG = logging.getLogger("neuralbits")


def create_app(settings: Settings | None = None, hangup: Hangup | None = None) -> FastAPI:
    """Load the artifact and build the application.

    Args:
        settings: by default, those of the environment.
        hangup: the signal to reload on; by default, none, since signals belong to the process.

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
    if served.classifier.backend == "reference":
        _LOG.warning(
            "serving by the slower NumPy backend: "
            + (
                "this installation has no compiled kernel"
                if neuralbits.backend() == "reference"
                else "the compiled kernel can't run this artifact"
            )
        )
    metrics = Metrics()
    spans = _span_provider() if settings.traces else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = []
        if hangup:
            tasks.append(asyncio.create_task(served.reload_on_hangup(hangup)))
        if settings.watch:
            tasks.append(asyncio.create_task(served.reload_on_change()))
        yield
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if spans:
            await asyncio.to_thread(spans.shutdown)  # it sends the spans that are left

    app = FastAPI(
        title="neuralbits",
        summary="Intent detection: raw text in, intent and calibrated confidence out.",
        version=neuralbits.__version__,
        exception_handlers=problems.HANDLERS,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,
        docs_url=None,  # FastAPI's loads scripts of another host
        redoc_url=None,
    )
    app.router.route_class = JSONRoute
    endpoints.add_to(app, settings, served, metrics)
    page.add_to(app, served)

    # The last one added meets a request first.
    paths = frozenset(route.path for route in app.routes if isinstance(route, Route))
    app.add_middleware(Admission, settings=settings, metrics=metrics)
    app.add_middleware(Access, metrics=metrics, paths=paths)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    if spans:
        from .middleware.tracing import Tracing

        app.add_middleware(Tracing, provider=spans, paths=paths)
    app.state.metrics = metrics
    return app


def _span_provider() -> "TracerProvider":
    """Return the provider that sends traces.

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
