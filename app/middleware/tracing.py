"""OpenTelemetry traces: a span for each request, without a word of what was asked.

Ready-made instrumentations record the URL, which a mistaken client may have put an utterance into,
and what exceptions say; so here is what remains: the method, the path if it is one of those
served, and the status.
"""

from collections.abc import Collection
from os import environ

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import neuralbits

_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}


def provider() -> TracerProvider:
    """Return what sends the spans, in batches, to where OpenTelemetry's own variables say."""
    name = environ.get("OTEL_SERVICE_NAME", "neuralbits")
    resource = Resource.create({SERVICE_NAME: name, SERVICE_VERSION: neuralbits.__version__})
    made = TracerProvider(resource=resource, shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made


class Tracing:
    """ASGI middleware: each request is a span, within its caller's trace if it names one."""

    def __init__(self, app: ASGIApp, provider: TracerProvider, paths: Collection[str]) -> None:
        self._app = app
        self._tracer = provider.get_tracer("neuralbits", neuralbits.__version__)
        self._propagator = TraceContextTextMapPropagator()
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request within a span."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        attributes = {"http.request.method": method, "url.scheme": scope["scheme"]}
        name = method
        if scope["path"] in self._paths:
            attributes["http.route"] = scope["path"]
            name = f"{method} {scope['path']}"

        with self._tracer.start_as_current_span(
            name,
            context=self._propagator.extract(headers),
            kind=SpanKind.SERVER,
            attributes=attributes,
            record_exception=False,
        ) as span:

            async def send_traced(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            await self._app(scope, receive, send_traced)
