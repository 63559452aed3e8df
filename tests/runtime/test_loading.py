"""Artifacts by name, by path and from bytes."""

import shutil
from pathlib import Path

import pytest

import neuralbits
from neuralbits import loading


@pytest.mark.parametrize("name", ["home-assistant-en", "clinc150"])
def test_a_shipped_artifact_is_loaded_by_its_name(name: str) -> None:
    assert neuralbits.load(name).manifest.size == loading.shipped()[name].stat().st_size


def test_an_unknown_name_is_refused_with_the_shipped_names() -> None:
    with pytest.raises(neuralbits.ArtifactError) as error:
        neuralbits.load("home-assistant-xx")
    assert str(error.value).startswith(
        "no artifact named 'home-assistant-xx' is shipped (only clinc150, home-"
    )
    assert str(error.value).endswith("for a file, write ./home-assistant-xx")


def test_a_name_means_the_same_in_every_folder(
    artifact_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(artifact_path, tmp_path / "clinc150")
    monkeypatch.chdir(tmp_path)
    by_name, by_path = neuralbits.load("clinc150"), neuralbits.load("./clinc150")
    assert len(by_name.manifest.labels) == 150
    assert by_path.manifest.labels == neuralbits.load(artifact_path).manifest.labels
    assert neuralbits.load(Path("clinc150")).manifest == by_path.manifest


@pytest.mark.parametrize("path", ["a.safetensors", "folder/a", "/a", "", ".", "hf:/owner"])
def test_any_other_string_is_a_path(path: str) -> None:
    assert loading.locate(path) == Path(path)
