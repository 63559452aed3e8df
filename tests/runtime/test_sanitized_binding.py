"""The tests of the Python module, run under AddressSanitizer and UndefinedBehaviorSanitizer."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support.builds import KERNEL, SANITIZED, compiled
from tests.support.paths import ROOT
from tests.support.requirements import needs_compiler
from tests.support.tiers import tiers

INCLUDED = [f"-I{ROOT / 'kernel'}", f"-I{sysconfig.get_path('include')}"]

pytestmark = [
    needs_compiler,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has LD_PRELOAD"),
]

FILES = [
    "tests/runtime/test_kernel_binding.py",
    "tests/runtime/test_classifier.py",
    "tests/runtime/test_explanation.py::test_any_projection_is_explained_alike",
]
SOME = "leaks or cannot_use or features_are or wrong_arguments"
# The module that `pip install` compiles is another one, and the memory is the same in any thread.
ALL = "not package_installs and not other_threads"


def runtime(name: str) -> str:
    """Return the path of a sanitizer's runtime, which Python itself has to load first."""
    asked = ["cc", f"-print-file-name={name}"]
    path = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(path).is_absolute():  # GCC's answer where it has none
        pytest.skip(f"cc has no {name}")
    return path


@pytest.mark.parametrize("chosen", tiers(SOME, ALL), ids=["some", "all"])
def test_the_binding_passes_its_tests_under_sanitizers(chosen: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if "PYTEST" not in name} | {
        "LD_PRELOAD": " ".join(map(runtime, ("libasan.so", "libubsan.so"))),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python frees not all at its end; the tests count blocks
        "PYTHONMALLOC": "malloc",  # each block by itself, so that steps beyond it are seen
        "PYTHONPATH": str(tmp_path),
    }
    for folder in ("neuralbits", "tests", "artifacts"):
        unwanted = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=unwanted)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    sources = [ROOT / "neuralbits" / "_kernel.c", KERNEL]
    module = compiled("cc", ["-std=c99", "-shared", "-fPIC", *SANITIZED, *INCLUDED], sources)
    shutil.copy(module, tmp_path / "neuralbits" / "_kernel.abi3.so")

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:xdist", "-k", chosen, *FILES],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "skipped" not in ran.stdout  # as without the module all of the binding's would be
