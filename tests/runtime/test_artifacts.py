"""The shipped artifacts and their model cards."""

from pathlib import Path

import pytest

import neuralbits
from neuralbits.artifact import read
from tests.support.paths import ROOT

ARTIFACTS = sorted((ROOT / "artifacts").glob("*.safetensors"))


@pytest.mark.parametrize("path", ARTIFACTS, ids=lambda path: path.stem)
def test_an_artifact_fits_64_kib_with_everything_in_it(path: Path) -> None:
    artifact = read(path)
    assert artifact.size == path.stat().st_size <= 64 * 1024
    assert len(artifact.labels) > 1


@pytest.mark.parametrize("path", ARTIFACTS, ids=lambda path: path.stem)
def test_a_model_card_has_the_digest_and_the_accuracy_of_its_artifact(path: Path) -> None:
    artifact = read(path)
    card = path.with_suffix(".md").read_text()
    assert artifact.digest in card
    assert f"{artifact.provenance['metrics']['test']['accuracy']:.2%}".replace("%", " %") in card


def test_two_artifacts_are_shipped() -> None:
    assert [path.stem for path in ARTIFACTS] == ["clinc150", "home-assistant-en"]


def test_a_misheard_command_gets_an_intent() -> None:
    prediction = neuralbits.load(ARTIFACTS[1]).classify("turn of teh lamp", top_k=3)
    assert "HassTurnOff" in [each.intent for each in prediction.intents]


def test_clinc150_is_as_accurate_as_its_provenance_says(data_folder: Path) -> None:
    evaluation = pytest.importorskip(
        "neuralbits.model_training.evaluation.metrics", reason="needs neuralbits[train]"
    )
    from neuralbits.model_training.data import load_file

    classifier = neuralbits.load(ARTIFACTS[0])
    test = load_file(data_folder / "clinc150" / "test.csv").examples
    measured = evaluation.evaluate_classifier(classifier, test.texts, test.intents)
    assert (
        round(measured.accuracy, 4) == classifier.manifest.provenance["metrics"]["test"]["accuracy"]
    )
    assert measured.accuracy >= 0.91
