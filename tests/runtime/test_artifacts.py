"""The shipped artifacts, and what their cards say of them."""

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
def test_its_card_is_of_this_very_file(path: Path) -> None:
    artifact = read(path)
    card = path.with_suffix(".md").read_text()
    assert artifact.digest in card
    assert f"{artifact.provenance['metrics']['test']['accuracy']:.2%}".replace("%", " %") in card


def test_the_shipped_ones_are_these() -> None:
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
