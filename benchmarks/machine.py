"""The machine, on which the times depend."""

import os
import platform
from pathlib import Path


def machine() -> dict[str, str]:
    """Return it by name."""
    return {
        "processor": _processor(),
        "system": platform.system(),
        "Python": platform.python_version(),
    }


def _processor() -> str:
    cores = os.cpu_count() or 1
    model = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    if about.exists():
        named = [line for line in about.read_text().splitlines() if line.startswith("model name")]
        model = named[0].partition(":")[2].strip() if named else model
    return f"{model}, {cores} core{'s'[: cores != 1]}"
