"""State that belongs to the whole process: set for a while, then as it was before."""

import signal
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from .outputs import TrainingError


def choose_device(name: str) -> torch.device:
    """Return the device of this name, or a GPU for ``auto`` if there is one.

    Raises:
        TrainingError: there is no such device.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("there is no GPU that torch can use; leave --device out")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


_one_at_a_time = threading.Lock()


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Make what is computed the same on each run: one thread, deterministic algorithms on a GPU.

    Rounding depends on the order of additions, so on the number of threads. That number and torch's
    random generators belong to the process, so another thread waits here until this one is done;
    the generators then go on as if nothing had happened.
    """
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with _one_at_a_time, torch.random.fork_rng(devices=devices), _one_thread(device):
        yield


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    if device.type == "cuda":  # on a CPU one thread is enough
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
        if device.type == "cuda":
            torch.use_deterministic_algorithms(deterministic)


@contextmanager
def stopping_on_interrupt() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C sets; the second raises KeyboardInterrupt.

    For a command line: signal handlers belong to the main thread. It also acts where a shell's
    background ignores Ctrl-C.
    """
    stop = threading.Event()

    def handle(number: int, frame: types.FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
