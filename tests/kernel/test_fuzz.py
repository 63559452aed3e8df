"""The fuzz targets of fuzz/ on the committed corpus; `make fuzz` continues from it."""

import subprocess
from pathlib import Path

import pytest

from neuralbits import manifest
from tests.support.paths import ROOT
from tests.support.requirements import needs
from tools.make_fuzz_corpus import FOLDER, corpus


def test_the_committed_corpus_is_up_to_date() -> None:
    committed = {
        path.relative_to(FOLDER).as_posix(): path.read_bytes()
        for path in FOLDER.rglob("*")
        if path.is_file()
    }
    # If not: python -m tools.make_fuzz_corpus
    assert committed == corpus()


def test_the_corpus_has_first_layers_of_every_kind() -> None:
    kinds = set()
    for path in (FOLDER / "open").glob("*.safetensors"):
        contents = manifest.open(path.read_bytes())
        first = contents.settings["network"]["layers"][0]
        weights = contents.tensors["layers.0.weights"]
        kinds.add((first["precision"], "sparse" if len(weights.shape) == 1 else "dense"))
    precisions = ("ternary", "int4", "int8")
    expected = {(each, form) for each in precisions for form in ("sparse", "dense")}
    assert kinds == expected | {("binary", "dense"), ("float", "dense")}


@needs("clang", package="clang libclang-rt-14-dev")
@pytest.mark.parametrize("target", ["open", "text"])
def test_the_kernel_survives_the_corpus(target: str, tmp_path: Path) -> None:
    build = ["make", f"runs/fuzz/fuzz_{target}"]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    fuzzer = ROOT / "runs" / "fuzz" / f"fuzz_{target}"
    ran = subprocess.run(
        [
            fuzzer,
            "-runs=1000",
            "-seed=1",
            f"-artifact_prefix={tmp_path}/",
            tmp_path,
            FOLDER / target,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
