"""The examples in the runtime's docstrings run, and print what they show."""

import doctest
import importlib
from pathlib import Path

import pytest

import neuralbits

# Of the example of fit: so little data is worth a warning.
pytestmark = pytest.mark.filterwarnings("ignore::neuralbits.model_training.DataWarning")

FOLDER = Path(neuralbits.__file__).parent
MODULES = sorted(
    file.stem for file in FOLDER.glob("*.py") if ">>> " in file.read_text(encoding="utf-8")
)
FACADE = [name for name in neuralbits.__all__ if name != "ArtifactError"]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_print_what_they_show(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = neuralbits if name == "__init__" else importlib.import_module(f"neuralbits.{name}")
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("name", FACADE)
def test_each_public_name_has_an_example(name: str) -> None:
    assert ">>> " in getattr(neuralbits, name).__doc__


@pytest.mark.parametrize("name", ["classify", "classify_batch", "scores", "explain"])
def test_each_method_of_the_classifier_has_an_example(name: str) -> None:
    assert ">>> " in getattr(neuralbits.Classifier, name).__doc__
