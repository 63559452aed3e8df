"""The `neuralbits` command, as a user runs it."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

import neuralbits
from tests.support.commands import run
from tests.support.homes import UTTERANCES


def test_it_tells_its_version() -> None:
    assert run("--version").startswith("neuralbits 0.")


def test_classify_names_the_likeliest_intents(artifact_path: Path) -> None:
    first, *ranked = run("classify", artifact_path, "turn of teh lamp", "--top-k", 2).splitlines()
    assert first == "turn of teh lamp"
    assert [line.split()[-1] for line in ranked] == ["turn_off", "turn_on"]


def test_classify_says_what_is_out_of_scope(artifact_path: Path) -> None:
    assert run("classify", artifact_path, "").startswith("  (out of scope)\n")


def test_classify_prints_one_json_object_a_text(artifact_path: Path) -> None:
    lines = run("classify", artifact_path, "lights on", "play jazz", "--json").splitlines()
    predictions = [json.loads(line) for line in lines]
    assert [p["text"] for p in predictions] == ["lights on", "play jazz"]
    assert [p["intent"] for p in predictions] == ["turn_on", "play_music"]
    assert predictions[0]["intents"][0]["confidence"] == predictions[0]["confidence"]


def test_classify_names_the_ngrams_that_spoke_for_an_intent_and_against_it(
    artifact_path: Path,
) -> None:
    explained = neuralbits.load(artifact_path).explain("turn of teh lamp")
    printed = run("classify", artifact_path, "turn of teh lamp", "--top-k", 2, "--explain")
    assert [line.split(maxsplit=2) for line in printed.splitlines()[3:]] == [
        [f"{each.influence:+.2f}", each.family, repr(each.ngram)] for each in explained.ngrams[:10]
    ]
    (answer,) = run("classify", artifact_path, "lights on", "--explain", "--json").splitlines()
    explained = neuralbits.load(artifact_path).explain("lights on")
    assert json.loads(answer)["explanation"] == json.loads(json.dumps(asdict(explained)))


def test_classify_says_that_a_text_is_too_varied_to_be_explained(artifact_path: Path) -> None:
    varied = "".join(map(chr, range(0x4E00, 0x5300)))
    error = run("classify", artifact_path, varied, "--explain", code=1)
    assert error.startswith("neuralbits: the text has more than 2,048 different n-grams")
    assert error.count("\n") == 1


def test_inspect_shows_what_the_artifact_holds(artifact_path: Path) -> None:
    shown = run("inspect", artifact_path)
    assert f"{artifact_path.stat().st_size:,} bytes" in shown
    assert '6: "turn_on", "turn_off"' in shown
    assert "1024 → 6, binary, 0% zeros" in shown
    assert "6 → 6, int8, 83% zeros" in shown
    held = json.loads(run("inspect", artifact_path, "--json"))
    assert held["labels"] == list(UTTERANCES)
    assert held["size"] == artifact_path.stat().st_size


def test_score_adds_predictions_to_a_table(artifact_path: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_text("id,text\n1,lights on\n2,play jazz\n")
    run("score", artifact_path, source, output)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [(row["id"], row["intent"]) for row in rows] == [("1", "turn_on"), ("2", "play_music")]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["classify", "none.safetensors", "x"],
            "can't read the artifact none.safetensors: No such",
        ),
        (["classify", __file__, "x"], "it is no safetensors file"),
        (["score", "ARTIFACT", "none.csv", "out.csv"], "none.csv"),
    ],
)
def test_what_a_user_can_fix_is_one_sentence(
    arguments: list[str], sentence: str, artifact_path: Path
) -> None:
    error = run(*[str(artifact_path) if a == "ARTIFACT" else a for a in arguments], code=1)
    assert error.startswith("neuralbits: ")
    assert sentence in error
    assert error.count("\n") == 1


def test_classifying_imports_nothing_that_trains_or_serves(artifact_path: Path) -> None:
    script = (
        "import sys; from neuralbits.cli import command_line;"
        f"command_line()(['classify', {str(artifact_path)!r}, 'lights on'], standalone_mode=False);"
        "print(sorted(sys.modules))"
    )
    imported = run(command=[sys.executable, "-c", script]).splitlines()[-1]
    for package in ("torch", "sklearn", "fastapi", "pyarrow"):
        assert f"'{package}'" not in imported


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"),
    [("torch", ["train", "--output", "x"], "train"), ("uvicorn", ["serve"], "serve")],
)
def test_without_an_extra_a_command_says_how_to_install_it(
    missing: str, arguments: list[str], extra: str
) -> None:
    script = f"import sys; sys.modules[{missing!r}] = None; from neuralbits.cli import main; main()"
    error = run(*arguments, code=1, command=[sys.executable, "-c", script])
    assert f"pip install 'neuralbits[{extra}]'" in error
