"""The number of threads that NumPy's matrix products use."""

import os


def one_thread() -> None:
    """Limit matrix products to one thread; call this before NumPy is imported.

    The products here are too small to gain from more threads, and slow down on a busy processor.
    """
    for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(variable, "1")
