"""The progress of a training on a console: a bar, and a line for each epoch."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .loop.history import EpochRecord, Observer


class ConsoleProgress(Observer):
    """Shows a run on a console; a context manager."""

    def __init__(self, console: Console) -> None:
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
        """Print how to go on."""
        self._print("stopped; `--resume` goes on from the last epoch that ended")

    def _print(self, line: str) -> None:
        self._progress.console.print(line, highlight=False, soft_wrap=True)
