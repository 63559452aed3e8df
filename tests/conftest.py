import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

# make test runs one process for each core. More threads in each would only wait for one another:
# they multiply the time of torch's many small steps. (Torch and NumPy read it when first imported.)
os.environ.setdefault("OMP_NUM_THREADS", "1")

import neuralbits
from neuralbits import artifact
from tests.support.homes import UTTERANCES, make_artifact
from tests.support.paths import ROOT
from tests.support.requirements import missing, require, untested

if TYPE_CHECKING:
    from neuralbits.model_training.data import TrainingData


# The examples are the same in each run, and take as long as a busy machine needs; the fuzzers of
# `make test-all` look for others.
hypothesis.settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session")
def artifact_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("artifact") / "home.safetensors"
    artifact.write(make_artifact(), path)
    return path


@pytest.fixture(scope="session")
def classifier(artifact_path: Path) -> neuralbits.Classifier:
    return neuralbits.load(artifact_path)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    require("openssl", package="openssl")
    folder = tmp_path_factory.mktemp("certificate")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 2"
        " -subj /CN=hub -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out certificate.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder / "certificate.pem", folder / "key.pem"


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> "TrainingData":
    """Training data of a home, with a part split off for validation."""
    from neuralbits.model_training import data

    file = tmp_path_factory.mktemp("homes") / "homes.csv"
    rows = [f"{text},{intent}" for intent, texts in UTTERANCES.items() for text in texts]
    file.write_text("\n".join(["text,intent", *rows]))
    return data.from_files(file)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    beside = ROOT.parent / "shared" / "data"
    folder = Path(os.environ.get("NEURALBITS_DATA", beside))
    if not (folder / "clinc150" / "test.csv").exists():
        command = "NEURALBITS_DATA=FOLDER make test"
        pytest.skip(missing("the public intent data sets", command=command))
    return folder


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Print one line that names missing programs and the command that installs them."""
    yield
    skipped = terminalreporter.stats.get("skipped", [])
    if line := untested(report.longrepr[2] for report in skipped):
        terminalreporter.write_line(line, yellow=True)
