"""The artifact that is served, and how another one takes its place."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import neuralbits
from neuralbits import Classifier, manifest

from .signals import Hangup

_LOG = logging.getLogger("neuralbits")
_INTERVAL = 1.0  # seconds between two looks at the file

Signature = tuple[int, int, int, int] | None
"""What tells a changed file from the same one; None if there is none."""


@dataclass(frozen=True, slots=True)
class Reload:
    """What came of an attempt to take the file's present content."""

    status: Literal["loaded", "refused"]
    detail: str
    """What is served since, or why the former artifact still is."""


class Served:
    """One artifact, always whole: a request that has taken the classifier keeps it to its end.

    Attributes:
        classifier: the one to answer with.
        content: the artifact's bytes.
        last: what came of the last attempt to reload; None before the first.
        loaded: how many attempts succeeded.
        refused: how many didn't.

    Raises:
        ArtifactError: there is nothing to serve.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._one_at_a_time = asyncio.Lock()
        self._seen = self._settled = _signature(path)
        self.content, self.classifier = _read(path)
        self.last: Reload | None = None
        self.loaded = 0
        self.refused = 0

    async def reload(self) -> Reload:
        """Serve what the file holds now; if that can't be served, go on with what is."""
        async with self._one_at_a_time:
            self._seen = _signature(self._path)
            try:
                content, classifier = await asyncio.to_thread(_read, self._path)
            except neuralbits.ArtifactError as error:
                self.refused += 1
                self.last = Reload("refused", str(error))
                _LOG.warning(f"refused to reload, and goes on as before: {error}")
            else:
                self.content, self.classifier = content, classifier
                self.loaded += 1
                digest = classifier.manifest.digest
                self.last = Reload("loaded", f"{digest} is served")
                _LOG.info(f"reloaded: {self.last.detail}", extra={"digest": digest})
            return self.last

    async def reload_on_hangup(self, hangup: Hangup) -> None:
        """Reload on each SIGHUP, until cancelled."""
        while True:
            await hangup.wait()
            await self.reload()

    async def reload_on_change(self) -> None:
        """Reload when the file has changed and then stayed the same for a second, until cancelled.

        By looking, not by the kernel's notifications, which network file systems don't give and
        which follow a mounted link to where it once led.
        """
        while True:
            await asyncio.sleep(_INTERVAL)
            await self.look()

    async def look(self) -> None:
        """Reload if the file has changed since it was read, but not since the last look."""
        now = _signature(self._path)
        if now == self._settled != self._seen:
            await self.reload()
        self._settled = now


def _read(path: Path) -> tuple[bytes, Classifier]:
    with manifest.reading(path) as content:
        return content, neuralbits.loads(content)


def _signature(path: Path) -> Signature:
    with suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
    return None
