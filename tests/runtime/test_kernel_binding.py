"""The kernel as a Python module: its inputs, its errors, and its side effects."""

import gc
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuralbits
from neuralbits import artifact, kernel, manifest
from neuralbits.kernel import Kernel, Refused
from neuralbits.manifest import ArtifactError
from neuralbits.reference import Reference
from tests.runtime.test_artifact import FORGERIES, Settings, Tensors, forged
from tests.support.homes import make_artifact, make_float_artifact
from tests.support.paths import ROOT
from tests.support.requirements import needs_kernel
from tests.support.waiting import until

pytestmark = needs_kernel

HELD = make_artifact()
CONTENT = artifact.encode(HELD)[0]
VARIED = "".join(map(chr, range(0x4E00, 0x5300)))


def test_the_kernel_refuses_a_file_that_it_cannot_use() -> None:
    for content in (b"", CONTENT[:-1], b"\xff" * 100):
        with pytest.raises(Refused):
            Kernel(content, HELD.labels)
    with pytest.raises(Refused, match="2 labels for 6 intents"):
        Kernel(CONTENT, ("a", "b"))


@pytest.fixture
def float_weights(tmp_path: Path) -> Path:
    artifact.write(make_float_artifact(), tmp_path / "float.safetensors")
    return tmp_path / "float.safetensors"


def test_an_artifact_with_float_weights_uses_the_reference(float_weights: Path) -> None:
    assert neuralbits.load(float_weights).classify("lights on").intent == "turn_on"


@pytest.mark.parametrize("missing", ["numpy", "mmh3"])
def test_float_weights_without_the_references_packages_are_refused(
    float_weights: Path, missing: str
) -> None:
    script = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "import neuralbits\n"
        f"try: neuralbits.load({str(float_weights)!r})\n"
        "except neuralbits.ArtifactError as error: print(error)"
    )
    output = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert "float.safetensors as an artifact: this artifact needs the NumPy backend" in output
    assert f"needs {missing}: pip install 'neuralbits[reference]'" in output


@pytest.mark.parametrize(
    ("change", "sentence"), [each for each in FORGERIES if "canonical" not in each[1]]
)
def test_a_file_that_the_reference_refuses_is_not_loaded(
    change: Callable[[Settings, Tensors], object], sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "forged.safetensors").write_bytes(forged(change))
    with pytest.raises(ArtifactError, match="forged") as caught:
        neuralbits.load(tmp_path / "forged.safetensors")
    assert sentence in str(caught.value)


def test_a_text_of_megabytes_uses_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, beyond = Kernel(CONTENT, HELD.labels), "lamp" * 2**22
    with pytest.raises(OverflowError, match="16777216 bytes is longer than the kernel takes"):
        engine._model.classify([beyond], 1)
    with pytest.raises(OverflowError):
        engine._model.scores([beyond])
    with pytest.raises(OverflowError):
        engine._model.explain(beyond)
    # The reference would take minutes for it.
    calls: list[Sequence[str]] = []

    class Patient:
        def classify(self, texts: Sequence[str], top_k: int) -> list[Any]:
            calls.append(texts)
            return []

        def scores(self, texts: Sequence[str]) -> None:
            calls.append(texts)

        def explain(self, text: str) -> None:
            calls.append([text])

    assert isinstance(engine._reference, Reference)
    monkeypatch.setattr(engine, "_reference", Patient())
    engine.classify([beyond], 1)
    engine.scores([beyond])
    engine.explain(beyond)
    assert calls == [[beyond]] * 3


def test_a_list_that_changes_while_it_is_classified_is_safe() -> None:
    engine, texts = Kernel(CONTENT, HELD.labels), ["turn on the lamp"] * 50_000
    changing = threading.Thread(target=lambda: [texts.pop() for _ in range(40_000)])
    changing.start()
    predictions = engine.classify(texts, 1)
    changing.join()
    assert {prediction.intent for prediction in predictions} == {"turn_on"}


def test_other_threads_run_while_the_kernel_works() -> None:
    engine, texts = Kernel(CONTENT, HELD.labels), ["turn on the lamp in the kitchen " * 300] * 256

    def longest_pause() -> float:
        """The longest time for which this thread stood still, as a share of the other's work."""
        working = threading.Thread(target=engine.classify, args=(texts, 1))
        started = time.monotonic()
        working.start()
        longest = 0.0
        while working.is_alive():
            before = time.monotonic()
            time.sleep(0)
            longest = max(longest, time.monotonic() - before)
        return longest / (time.monotonic() - started)

    # If it held Python's lock, this thread would wait for nearly all of that time, in each try.
    # Else only other programs make it wait, now and then.
    until(lambda: longest_pause() < 0.5)


def test_the_binding_leaks_no_memory() -> None:
    def use() -> None:
        engine = Kernel(CONTENT, HELD.labels)
        engine.classify(["turn on the lamp", "", "\ud800"], 6)
        engine.scores(["lamp"])
        for text in ("turn on the lamp", "", "\ud800"):
            engine.explain(text)
        with pytest.raises(ValueError, match="more than 2,048"):
            engine.explain(VARIED)
        with pytest.raises(TypeError):
            engine.explain(5)  # type: ignore[arg-type]
        for wrong in (["lamp", 5], 5):
            with pytest.raises(TypeError):
                engine.classify(wrong, 1)  # type: ignore[arg-type]

    use()
    gc.collect()
    before = sys.getrefcount(HELD.labels), sys.getrefcount(neuralbits.Prediction)
    blocks = sys.getallocatedblocks()
    for _ in range(500):
        use()
    gc.collect()
    assert (sys.getrefcount(HELD.labels), sys.getrefcount(neuralbits.Prediction)) == before
    assert sys.getallocatedblocks() - blocks < 250


def test_loading_and_classifying_import_neither_numpy_nor_mmh3(artifact_path: Path) -> None:
    script = (
        "import sys, neuralbits;"
        f"classifier = neuralbits.load({str(artifact_path)!r});"
        "classifier.classify_batch(['lights on'] * 1000, threads=2);"
        "classifier.explain('lights on');"
        "assert not {'numpy', 'mmh3', 'torch'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(("compiler", "backend"), [("cc", "kernel"), ("false", "reference")])
def test_the_package_installs_with_and_without_a_compiler(
    compiler: str, backend: str, artifact_path: Path, tmp_path: Path
) -> None:
    source, installed = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    for folder in ("neuralbits", "app", "model_training", "kernel", "artifacts"):
        unwanted = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(ROOT / folder, source / folder, symlinks=True, ignore=unwanted)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    install = ["pip", "install", "--no-build-isolation", "--no-deps", "--target", installed, source]
    environment = os.environ | {"CC": compiler}
    subprocess.run([sys.executable, "-m", *install], check=True, env=environment)
    script = (
        "import neuralbits; print(neuralbits.__file__, neuralbits.backend(),"
        f"neuralbits.load({str(artifact_path)!r}).classify('lights on').intent)"
    )
    # With -S, and the dependencies named, this checkout isn't found.
    path = os.pathsep.join([str(installed), sysconfig.get_path("platlib")])
    output = subprocess.run(
        [sys.executable, "-S", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert output.split() == [str(installed / "neuralbits" / "__init__.py"), backend, "turn_on"]


def test_features_are_projected_text_by_text() -> None:
    settings = manifest.dump(asdict(HELD.projection)).encode()
    features = HELD.projection.features("turn on the lamp")
    for wrong in (
        [len(features) - 1],
        [len(features), 1],
        [-1, len(features) + 1],
        [2**62, -(2**62)],
    ):
        with pytest.raises(ValueError, match="other features than were counted"):
            kernel.project(settings, features, np.array(wrong, dtype=np.int64))
    with pytest.raises(ValueError, match="no settings"):
        kernel.project(b'{"functions":0}', features, np.array([len(features)]))
    assert kernel.project(settings, features[:0], np.array([0, 0])).shape == (2, 32)
