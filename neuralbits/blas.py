"""NumPy's threads, where NumPy does the work: in the reference."""

import os


def one_thread() -> None:
    """Keep matrix products to one thread, if called before NumPy is loaded.

    They are too small here to gain from more threads of the processor, and lose much by them when
    it has other work.
    """
    for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(variable, "1")
