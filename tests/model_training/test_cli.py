"""The commands of the training job, as a user runs them."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import COMMAND, refusal, run
from tests.support.homes import UTTERANCES


def test_evaluate_measures_an_artifact_on_a_file(artifact_path: Path, tmp_path: Path) -> None:
    rows = [f'"{text}",{intent}' for intent, texts in UTTERANCES.items() for text in texts]
    file = tmp_path / "test.csv"
    file.write_text("\n".join(["text,intent", *rows, "who is the pope,oos"]))
    assert "28\n" in run("evaluate", artifact_path, file)
    measured = json.loads(run("evaluate", artifact_path, file, "--json"))
    assert measured["examples"] == len(rows)
    assert measured["accuracy"] > 0.9
    assert measured["out_of_scope"]["texts"] == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["evaluate", "ARTIFACT", "none.csv"], "none.csv"),
        (["train", "--output", "x.safetensors", "--dataset", "mnist"], "no data set 'mnist'"),
        (["train", "--output", "x.safetensors", "--language", "tlh"], "tlh"),
        (["train", "--output", "x.safetensors", "--max-size", "big"], "write one like 64KiB"),
        (["train", "--output", "x.safetensors", "--set", "epoch=3"], "there is no 'epoch'"),
        (["train", "--output", "x.safetensors", "--trainer", "gru"], "there is no trainer 'gru'"),
        (["train", "--output", "x.safetensors", "--seed", "-1"], "seed is -1"),
        (["train", "--output", "x.safetensors", "--test", "t.csv"], "--test goes with --train"),
        (["sweep", "--output", "x", "--validation", "t.csv"], "--validation goes with --train"),
        (["train", "--output", "x", "--dataset", "snips", "--language", "de"], "not with snips"),
        (
            ["train", "--output", "x", "--train", "t.csv", "--dataset", "snips"],
            "exclude each other",
        ),
        (["train", "--output", "nowhere/x.safetensors"], "nowhere"),
        (["train", "--output", "x", "--trainer", "lstm+encoder"], "needs --encoder"),
        (["train", "--output", "x", "--transfer", "t.csv"], "--transfer goes with --trainer"),
        (["train", "--output", "x", "--trainer", "cnn", "--encoder", "e"], "not cnn"),
        (["pretrain", "--texts", "t.csv", "--encoder", "e", "--output", "x"], "named like"),
        (["sweep", "--output", "x", "--set", "trainer.names=encoder"], "no sentence encoder"),
    ],
)
def test_an_error_that_a_user_can_fix_is_one_line(
    arguments: list[str], sentence: str, artifact_path: Path
) -> None:
    error = refusal(*[artifact_path if a == "ARTIFACT" else a for a in arguments])
    assert error.startswith("neuralbits: ")
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--graph", "none.csv"], "none.csv can't be read"),
        (["--graph", "nearest"], "--graph nearest needs --encoder"),
        (["--base", "none.safetensors"], "none.safetensors can't be read"),
        (["--base", "homes.csv"], "homes.csv isn't a base"),
    ],
)
def test_what_a_training_cannot_start_from_is_named(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    rows = [f"{text},{intent}" for intent, texts in UTTERANCES.items() for text in texts]
    (tmp_path / "homes.csv").write_text("\n".join(["text,intent", *rows]))
    command = ["train", "--train", "homes.csv", "--output", "x.safetensors", "--trainer", "none"]
    with contextlib.chdir(tmp_path):
        error = refusal(*command, *arguments)
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "x.safetensors").exists()


def test_evaluate_names_the_rows_that_it_leaves_out(artifact_path: Path, tmp_path: Path) -> None:
    file = tmp_path / "test.csv"
    file.write_text("text,intent\n" + "lights on,turn_on\n" * 20 + ",turn_on\n")
    command = [*COMMAND, "evaluate", str(artifact_path), str(file), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["examples"] == 20
    assert "line 22" in done.stderr


def test_a_mistake_in_the_arguments_is_reported_before_torch_is_imported() -> None:
    mistakes = [
        ["--set", "epoch=3"],
        ["--trainer", "gru"],
        ["--max-size", "big"],
        ["--max-false-rejects", "many"],
        ["--dataset", "mnist"],
        ["--train", "none.csv"],
    ]
    script = f"""
import sys
from neuralbits.cli import main
for mistake in {mistakes!r}:
    sys.argv = ["neuralbits", "train", "--output", "x.safetensors", *mistake]
    try:
        main()
    except SystemExit as end:
        print(end.code, "torch" in sys.modules)
"""
    lines = run(command=[sys.executable, "-c", script]).splitlines()
    assert len(lines) == len(mistakes)
    for line in lines:
        assert line.startswith("neuralbits: ")
        assert line.endswith(" False")
