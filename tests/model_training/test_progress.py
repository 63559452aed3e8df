"""Progress in a notebook; on a console, the tests of the job see it."""

from typing import Any

import pytest

from neuralbits.model_training.loop.history import EpochRecord
from neuralbits.model_training.progress import NotebookProgress, shown


class Handle:
    """What IPython's `display` returns: it replaces what is shown."""

    def __init__(self) -> None:
        self.updates: list[dict[str, str]] = []

    def update(self, content: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.updates.append(content)


def test_a_notebook_shows_a_bar_and_the_last_epoch() -> None:
    handle = Handle()
    progress = NotebookProgress(handle)
    progress.begin(2)
    for batch in range(1, 1001):
        progress.advance(batch / 1000)
    progress.end_epoch(EpochRecord(1, 2.5, 1.0, None, None, 1.0, None, 0.875))
    assert 40 < len(handle.updates) < 60  # not for each batch
    assert "<progress value='1.000' max='2'>" in handle.updates[-1]["text/html"]
    assert "projection 87.50%" in handle.updates[-1]["text/plain"]
    progress.stop()
    assert handle.updates[-1]["text/plain"].startswith("stopped; epoch 1/2")


def test_a_kernel_of_jupyter_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    ipython = pytest.importorskip("IPython")
    display = pytest.importorskip("IPython.display")

    class Shell:
        kernel = object()

    def show(*content: Any, **options: Any) -> Handle:
        return Handle()

    monkeypatch.setattr(ipython, "get_ipython", Shell)
    monkeypatch.setattr(display, "display", show)
    with shown(True) as progress:
        assert isinstance(progress, NotebookProgress)
    with shown(False) as progress:
        assert not isinstance(progress, NotebookProgress)
