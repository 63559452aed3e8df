"""Worker threads: what takes too long for the event loop runs in them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_THREADS = 4  # classifying needs the processor, so more threads would only take memory

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Workers:
    """A few threads."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, "worker")

    async def run(
        self,
        function: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Call a function in one of the threads, and return its result."""
        future = self._executor.submit(function, *args, **kwargs)
        return await asyncio.wrap_future(future)
