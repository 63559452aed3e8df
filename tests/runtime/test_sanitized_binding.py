"""The Python module under AddressSanitizer and UndefinedBehaviorSanitizer: its tests once more."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support.paths import ROOT

COMPILER = shutil.which("cc")
SOURCES = [ROOT / "neuralbits" / "_kernel.c", ROOT / "kernel" / "neuralbits.c"]
FLAGS = ["-std=c99", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
INCLUDED = [f"-I{ROOT / 'kernel'}", f"-I{sysconfig.get_path('include')}"]

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="there is no C compiler"),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has LD_PRELOAD"),
]


def runtime(name: str) -> str:
    """Return the path of a sanitizer's runtime, which Python itself has to load first."""
    assert COMPILER is not None
    asked = [COMPILER, f"-print-file-name={name}"]
    path = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(path).is_absolute():  # GCC's answer where it has none
        pytest.skip(f"{COMPILER} has no {name}")
    return path


def test_the_binding_and_the_classifier_pass_their_tests_sanitized(tmp_path: Path) -> None:
    environment = os.environ | {
        "LD_PRELOAD": " ".join(map(runtime, ("libasan.so", "libubsan.so"))),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python frees not all at its end; the tests count blocks
        "PYTHONMALLOC": "malloc",  # each block by itself, so that steps beyond it are seen
        "PYTHONPATH": str(tmp_path),
    }
    for folder in ("neuralbits", "tests", "artifacts"):
        unwanted = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=unwanted)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    module = tmp_path / "neuralbits" / "_kernel.abi3.so"
    assert COMPILER is not None
    build = [COMPILER, "-shared", "-fPIC", *FLAGS, *INCLUDED, *SOURCES, "-o", module]
    subprocess.run(build, check=True)

    # What `pip install` compiles is another module; how threads take turns is no matter of memory.
    others = "not installation and not other_threads"
    files = ["tests/runtime/test_kernel_binding.py", "tests/runtime/test_classifier.py"]
    files.append("tests/runtime/test_explanation.py::test_any_projection_is_explained_alike")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-k", others, *files],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "skipped" not in ran.stdout  # as without the module all of the binding's would be
