"""Batches: answered part by part in threads, so that nobody waits long behind one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from fastapi import Response
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter

from app.metrics import Metrics
from neuralbits import Classifier, Prediction

_THREADS = 4  # the work is the processor's, so more of them would only take memory
# What a part has at the most, so that it holds Python's lock for a fraction of a millisecond.
_TEXTS, _INTENTS = 256, 4096
_dump = TypeAdapter(Prediction).serializer.to_json

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Workers:
    """A few threads for whatever would hold up the event loop."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="worker")

    async def run(
        self,
        function: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Call a function in one of the threads."""
        future = self._executor.submit(function, *args, **kwargs)
        return await asyncio.wrap_future(future)


async def answer(
    workers: Workers, metrics: Metrics, classifier: Classifier, texts: Sequence[str], top_k: int
) -> Response:
    """Answer a batch by one classifier: ``{"predictions": […]}``.

    An answer of several parts is sent as it is made, no faster than its client reads it, so that
    it is never in memory as a whole.
    """
    metrics.batches.observe(len(texts))
    size = max(1, min(_TEXTS, _INTENTS // top_k))

    def classify(start: int) -> bytes:
        predictions = classifier.classify_batch(texts[start : start + size], top_k)
        metrics.count_predictions(predictions)
        return b",".join(map(_dump, predictions))

    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"predictions":['
        yield await workers.run(classify, 0)
        for start in range(size, len(texts), size):
            yield b"," + await workers.run(classify, start)
        yield b"]}"

    if len(texts) <= size:
        content = b"".join([piece async for piece in pieces()])
        return Response(content, media_type="application/json")
    return StreamingResponse(pieces(), media_type="application/json")
