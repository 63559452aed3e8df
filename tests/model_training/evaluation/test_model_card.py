import json
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml  # type: ignore[import-untyped]

import neuralbits
from neuralbits import artifact
from neuralbits.artifact import Artifact
from neuralbits.model_training.evaluation.metrics import evaluate
from neuralbits.model_training.evaluation.model_card import model_card
from neuralbits.model_training.evaluation.report import TrainingReport, kibibytes
from tests.model_training.evaluation.test_report import NASTY, make_evaluation, make_report

EXAMPLE = "what's the weather like?"
COMMAND = "neuralbits train --dataset home-assistant --output home.safetensors"


@pytest.fixture
def report() -> TrainingReport:
    data = {"name": "home", "licence": None, "language": "en", "sha256": {"train": "ab" * 32}}
    return replace(make_report(), name="home", provenance={"data": data, "command": COMMAND})


@pytest.fixture
def home(artifact_path: Path) -> Artifact:
    return artifact.read(artifact_path)


def card_of(home: Artifact, report: TrainingReport) -> str:
    return model_card(home, report, "home.safetensors", EXAMPLE)


def test_the_card_identifies_the_very_file(home: Artifact, report: TrainingReport) -> None:
    card = card_of(home, report)
    assert f"---\n\n# home\n\nAn intent classifier of {kibibytes(home.size)}: " in card
    assert f"- digest: `{home.digest}`" in card
    assert f"- file: `home.safetensors`, {home.size:,} bytes" in card


def header_of(card: str) -> dict[str, Any]:
    start, header, _ = card.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(header)  # type: ignore[no-any-return]


def test_the_header_is_the_hubs_yaml(home: Artifact, report: TrainingReport) -> None:
    data = {"name": "clinc150", "licence": "CC BY 3.0"}
    header = header_of(card_of(home, replace(report, provenance={"data": data})))
    assert header["license"] == "cc-by-3.0"
    assert header["language"] == "en"
    assert header["library_name"] == "neuralbits"
    assert header["pipeline_tag"] == "text-classification"
    assert header["datasets"] == ["clinc/clinc_oos"]
    assert header["metrics"] == ["accuracy", "f1"]
    (model,) = header["model-index"]
    assert model["name"] == "home"
    validation, test = model["results"]
    assert test["dataset"] == {"type": "clinc/clinc_oos", "name": "clinc150", "split": "test"}
    measured = report.artifact.evaluation["test"]
    assert [metric["value"] for metric in test["metrics"]] == [
        round(measured.accuracy, 4),
        round(measured.macro_f1, 4),
    ]
    assert validation["dataset"]["split"] == "validation"


@pytest.mark.parametrize("name", [NASTY, "--- a: 'b' \"c\" # d", "a\x00\x85\u2028\ufeff😀", "on"])
def test_the_header_is_yaml_whatever_the_data_is_called(
    name: str, home: Artifact, report: TrainingReport
) -> None:
    data = {"name": name, "licence": None, "language": name}
    header = header_of(card_of(home, replace(report, name=name, provenance={"data": data})))
    assert header["model-index"][0]["name"] == name
    assert header["model-index"][0]["results"][0]["dataset"]["name"] == name
    assert header["language"] == name
    assert header["license"] == "unknown"
    assert "datasets" not in header


def test_the_python_example_runs_as_it_stands(
    home: Artifact, report: TrainingReport, artifact_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = re.search(r"```python\n(.*?)```", card_of(home, report), re.DOTALL)
    assert code
    monkeypatch.chdir(artifact_path.parent)
    names: dict[str, neuralbits.Prediction] = {}
    exec(code[1], names)
    assert names["prediction"].intent == "weather"


def test_the_shell_example_sends_the_text_as_json(home: Artifact, report: TrainingReport) -> None:
    curl = re.search(r"^curl .* -d (.*)$", card_of(home, report), re.MULTILINE)
    assert curl
    echoed = subprocess.run(["sh", "-c", f"echo {curl[1]}"], capture_output=True, check=True)
    assert json.loads(echoed.stdout) == {"text": EXAMPLE}


def test_the_file_name_is_quoted_for_the_shell(home: Artifact, report: TrainingReport) -> None:
    card = model_card(home, report, "my home.safetensors", EXAMPLE)
    assert f"neuralbits serve {shlex.quote('my home.safetensors')}\n" in card


def test_every_measured_rate_names_its_split(home: Artifact, report: TrainingReport) -> None:
    card = card_of(home, report)
    measured = card[card.index("## Measured") :]
    for measure in ("Accuracy", "Macro F1", "Expected calibration error"):
        for split in ("validation", "test"):
            assert f"| {measure}, {split} |" in measured
    assert "The weakest intents on the test split" in measured
    assert "140 examples\nof the test split" in card


def test_the_data_are_named_with_licence_checksum_and_counts(
    home: Artifact, report: TrainingReport
) -> None:
    card = card_of(home, report)
    assert "- licence: `not recorded`" in card
    assert f"- sha256.train: `{'ab' * 32}`" in card
    assert "- examples.train: `700`" in card


def test_the_command_and_the_settings_that_make_it_again_are_given(
    home: Artifact, report: TrainingReport
) -> None:
    card = card_of(home, report)
    assert f"```sh\n{COMMAND}\n```" in card
    settings = re.search(r"```json\n(.*?)```", card, re.DOTALL)
    assert settings
    assert json.loads(settings[1]) == report.settings


def test_what_was_not_recorded_is_said_to_be_so(home: Artifact, report: TrainingReport) -> None:
    card = card_of(home, replace(report, provenance={}))
    assert "The command was not recorded." in card
    assert "the language of its data" in card


def test_the_threshold_is_explained_with_what_it_catches(
    home: Artifact, report: TrainingReport
) -> None:
    card = card_of(home, report)
    assert f"threshold of {home.threshold:,.0f}" in card
    assert "of 50 out-of-scope texts" in card


def test_out_of_scope_texts_that_were_not_measured_are_said_to_be_so(
    home: Artifact, report: TrainingReport
) -> None:
    network = replace(report.artifact, evaluation={"test": make_evaluation(out_of_scope=False)})
    card = card_of(home, replace(report, artifact=network, trainer=network))
    assert "this catches was **not measured**" in card


def test_out_of_scope_texts_are_told_of_the_split_that_has_them(
    home: Artifact, report: TrainingReport
) -> None:
    splits = {"validation": make_evaluation(), "test": make_evaluation(out_of_scope=False)}
    network = replace(report.artifact, evaluation=splits)
    card = card_of(home, replace(report, artifact=network, trainer=network))
    assert "On the validation split this rejected" in card
    assert "| OOS recall, validation |" in card


def test_up_to_thirty_intents_are_listed_and_more_are_folded(
    home: Artifact, report: TrainingReport
) -> None:
    few, many = card_of(home, report), replace(home, labels=tuple(f"i{n}" for n in range(31)))
    assert few.endswith("## Intents\n\n" + "\n".join(f"- `{x}`" for x in home.labels) + "\n")
    assert "<details>\n<summary>All 31 intents</summary>\n\n- `i0`\n" in card_of(many, report)


def test_names_from_outside_are_shown_as_they_are_and_never_obeyed(
    home: Artifact, report: TrainingReport
) -> None:
    wild = ("tick`tock", "``", "two\nlines", NASTY)
    network = replace(report.artifact, evaluation={"test": evaluate(np.eye(4), range(4), wild)})
    card = card_of(
        replace(home, labels=wild),
        replace(report, name="a | b\n# c <i>", artifact=network, trainer=network),
    )
    assert "\n---\n\n# a \\| b \\# c \\<i\\>" in card
    assert "- ``tick`tock``\n- ``` `` ```\n- `two lines`\n" in card
    assert f"- `{NASTY}`\n" in card
