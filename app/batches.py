"""Batches: answered part by part in threads, so that nobody waits long behind one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from fastapi import Response
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter

from neuralbits import Classifier, Prediction

from .metrics import Metrics

_THREADS = 4  # the work is the processor's, so more of them would only take memory
_AT_ONCE = 256  # texts of a batch that is answered in one go
# Texts of a part of a longer one: where the event loop has to wait for the processor, it waits for
# about as long as a part takes.
_PART = 64
_INTENTS = 4096  # that are named in one go, or in a part
_dump = TypeAdapter(list[Prediction]).serializer.to_json

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Workers:
    """A few threads for whatever would hold up the event loop."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, "worker")

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

    if len(texts) <= _AT_ONCE and len(texts) * top_k <= _INTENTS:
        content = b"".join([part async for part in parts(len(texts))])
        return Response(content, media_type="application/json")
    size = max(1, min(_PART, _INTENTS // top_k))
    return StreamingResponse(parts(size), media_type="application/json")
