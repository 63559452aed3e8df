import os
from pathlib import Path

import pytest

import neuralbits
from neuralbits import artifact
from tests.homes import make_artifact


@pytest.fixture(scope="session")
def artifact_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("artifact") / "home.safetensors"
    artifact.write(make_artifact(), path)
    return path


@pytest.fixture(scope="session")
def classifier(artifact_path: Path) -> neuralbits.Classifier:
    return neuralbits.load(artifact_path)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("NEURALBITS_DATA", beside))
    if not (folder / "clinc150" / "test.csv").exists():
        pytest.skip(f"the public intent data sets are not in {folder}; set NEURALBITS_DATA")
    return folder
