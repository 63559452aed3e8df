"""The progress of a training: a bar, and on a console a line for each epoch."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from importlib import import_module
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .loop.history import EpochRecord, Observer


class ConsoleProgress(Observer):
    """Shows a run on a console; a context manager.

    Args:
        console: where.
        advice: what to do after a stop, added to the line that reports it.
    """

    def __init__(self, console: Console, advice: str = "") -> None:
        self._advice = advice
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:.0f} %"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
        )
        self._bar = self._progress.add_task("preparing", total=None)
        self._epochs = 0

    def __enter__(self) -> "ConsoleProgress":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def embed(self, done: int, count: int) -> None:
        """Move the bar of the texts that are embedded."""
        self._progress.update(self._bar, description="embedding texts", completed=done, total=count)

    def begin(self, epochs: int) -> None:
        """Show an empty bar."""
        self._epochs = epochs
        self._progress.update(self._bar, description="training", completed=0, total=epochs)

    def advance(self, epochs: float) -> None:
        """Move the bar."""
        epoch = min(int(epochs) + 1, self._epochs)
        self._progress.update(
            self._bar, description=f"epoch {epoch} of {self._epochs}", completed=epochs
        )

    def end_epoch(self, record: EpochRecord) -> None:
        """Print the epoch's figures."""
        self._print(f"epoch {record.epoch:3d}/{self._epochs} {record}")

    def stop(self) -> None:
        """Print that it stopped, and how to go on."""
        self._print(f"stopped{self._advice}")

    def _print(self, line: str) -> None:
        self._progress.console.print(line, highlight=False, soft_wrap=True)


class NotebookProgress(Observer):
    """Shows a run below a notebook's cell: a bar, and the last epoch's figures.

    Args:
        display: a handle of IPython, whose ``update`` replaces what is shown.
    """

    def __init__(self, display: Any) -> None:
        self._display = display
        self._epochs = 1
        self._figures = "preparing"
        self._shown = -1.0

    def embed(self, done: int, count: int) -> None:
        """Show how many texts are embedded."""
        self._epochs, self._figures = max(count, 1), "embedding texts"
        self._show(done)

    def begin(self, epochs: int) -> None:
        """Show an empty bar."""
        self._epochs = epochs
        self._show(0)

    def advance(self, epochs: float) -> None:
        """Move the bar, a hundred times in the whole run."""
        if epochs - self._shown >= self._epochs / 100:
            self._show(epochs)

    def end_epoch(self, record: EpochRecord) -> None:
        """Show the epoch's figures."""
        self._figures = f"epoch {record.epoch}/{self._epochs} {record}"
        self._show(record.epoch)

    def stop(self) -> None:
        """Show that it stopped."""
        self._figures = f"stopped; {self._figures}"
        self._show(self._shown)

    def _show(self, epochs: float) -> None:
        self._shown = epochs
        bar = f"<progress value='{epochs:.3f}' max='{self._epochs}'></progress>"
        shown = {"text/html": f"{bar} {escape(self._figures)}", "text/plain": self._figures}
        self._display.update(shown, raw=True)


@contextmanager
def shown(progress: bool | Observer | None) -> Iterator[Observer]:
    """Yield an observer that shows a run in a notebook or on standard error, or nothing.

    Args:
        progress: whether to show it; or an observer that does it.
    """
    if isinstance(progress, Observer):
        yield progress
    elif not progress:
        yield Observer()
    elif _in_notebook():
        display = import_module("IPython.display").display
        yield NotebookProgress(display({"text/plain": ""}, raw=True, display_id=True))
    else:
        with ConsoleProgress(Console(file=sys.stderr)) as console:
            yield console


def _in_notebook() -> bool:
    """Return whether the program runs in a kernel of Jupyter, which has no terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")
