"""Several trainings at once: each ends by itself, and all of them with this process."""

import multiprocessing
import threading
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from neuralbits.model_training import job
from neuralbits.model_training.data import TrainingData
from neuralbits.model_training.settings import Settings
from neuralbits.model_training.sweep import processes
from neuralbits.model_training.sweep.processes import Training
from neuralbits.projection import Projection

SMALL = [
    "batch_size=8",
    "min_batches=1",
    "trainer.buckets=512",
    "trainer.embedding=16",
    "trainer.hidden=16",
]
ENDLESS = 10_000  # epochs


def make_training(
    homes: TrainingData, output: Path, epochs: int = 2, max_size: int = 1 << 20
) -> Training:
    settings = Settings(
        epochs=epochs, projection=Projection(functions=4, dimensions=64, stride=4)
    ).override(SMALL)
    return Training(settings, homes, output, max_size, choose_widths=False, command="the command")


def train_all(
    *trainings: Training, stop: threading.Event | None = None
) -> tuple[dict[Path, str], str]:
    """Run the trainings, two at a time; return the failures, and what was shown."""
    shown = Console(file=StringIO(), force_terminal=True, color_system=None, width=150)
    failures = processes.train_all(trainings, 2, shown, stop)
    assert isinstance(shown.file, StringIO)
    return failures, shown.file.getvalue()


def when(condition: Callable[[], object], act: Callable[[], object]) -> threading.Thread:
    """Act from a thread as soon as a condition holds."""

    def wait() -> None:
        while not condition():
            time.sleep(0.005)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_those_that_fail_say_why_and_the_others_give_what_they_give_alone(
    homes: TrainingData, tmp_path: Path
) -> None:
    good = make_training(homes, tmp_path / "good.safetensors")
    killed = make_training(homes, tmp_path / "killed.safetensors", ENDLESS)
    large = make_training(homes, tmp_path / "large.safetensors", max_size=100)

    def kill_the_last() -> None:
        (process,) = multiprocessing.active_children()
        process.kill()

    def only_the_endless_one_runs() -> bool:
        card = good.output.with_suffix(".md")  # the last file that is written
        return card.exists() and len(multiprocessing.active_children()) == 1

    killer = when(only_the_endless_one_runs, kill_the_last)
    failures, shown = train_all(good, killed, large)
    killer.join()
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["good.safetensors"]
    assert failures.keys() == {killed.output, large.output}
    assert "its process was ended by SIGKILL" in failures[killed.output]
    assert "more than 100" in failures[large.output]
    assert f"large failed: {failures[large.output]}" in shown
    assert "good is trained" in shown
    lines = [" ".join(line.split()) for line in shown.splitlines() if "good " in line]
    for epoch in ("1/2", "2/2"):
        assert any(f" {epoch} trainer " in line and "%, projection " in line for line in lines)

    alone = tmp_path / "alone.safetensors"
    job.train(
        good.settings,
        homes,
        alone,
        max_size=good.max_size,
        choose_widths=False,
        command=good.command,
        device="cpu",
    )
    assert good.output.read_bytes() == alone.read_bytes()


def test_asked_to_stop_all_leave_their_checkpoints(homes: TrainingData, tmp_path: Path) -> None:
    outputs = [tmp_path / f"{name}.safetensors" for name in ("a", "b", "c")]
    checkpoints = [tmp_path / f"{name}.safetensors.checkpoint" for name in ("b", "c")]
    stop = threading.Event()
    interrupter = when(lambda: all(checkpoint.exists() for checkpoint in checkpoints), stop.set)
    with pytest.raises(KeyboardInterrupt):
        train_all(*(make_training(homes, output, ENDLESS) for output in outputs), stop=stop)
    interrupter.join()
    assert multiprocessing.active_children() == []
    assert sorted(tmp_path.iterdir()) == checkpoints
