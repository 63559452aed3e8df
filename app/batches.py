"""Batches: classified part by part in worker threads, so that other requests wait for one part."""

from collections.abc import AsyncIterator, Sequence

from fastapi import Response
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter

from neuralbits import Classifier, Prediction

from .metrics import Metrics
from .workers import Workers

_WHOLE = 256  # texts of a batch that is answered at once
# Texts of a part of a longer one: where the event loop has to wait for the processor, it waits for
# about as long as a part takes.
_PART = 64
_INTENTS = 4096  # intents that are named at once, or in a part
_dump = TypeAdapter(list[Prediction]).serializer.to_json


async def answer(
    workers: Workers, metrics: Metrics, classifier: Classifier, texts: Sequence[str], top_k: int
) -> Response:
    """Answer a batch by one classifier: ``{"predictions": […]}``.

    A long answer is sent part by part, no faster than its client reads it, so that it is never in
    memory as a whole.
    """
    metrics.batches.observe(len(texts))

    def classify(start: int, end: int) -> bytes:
        predictions = classifier.classify_batch(texts[start:end], top_k)
        metrics.count_predictions(predictions)
        return _dump(predictions)[1:-1]  # without its brackets

    async def parts(size: int) -> AsyncIterator[bytes]:
        yield b'{"predictions":['
        yield await workers.run(classify, 0, size)
        for start in range(size, len(texts), size):
            yield b"," + await workers.run(classify, start, start + size)
        yield b"]}"

    if len(texts) <= _WHOLE and len(texts) * top_k <= _INTENTS:
        content = b"".join([part async for part in parts(len(texts))])
        return Response(content, media_type="application/json")
    size = max(1, min(_PART, _INTENTS // top_k))
    return StreamingResponse(parts(size), media_type="application/json")
