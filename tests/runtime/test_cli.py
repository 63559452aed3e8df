"""The `neuralbits` command, as a user runs it."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import neuralbits
from neuralbits.cli import command_line
from tests.support.commands import COMMAND, refusal, run
from tests.support.homes import UTTERANCES

COMMANDS = (
    "classify",
    "score",
    "inspect",
    "models",
    "export",
    "push",
    "serve",
    "key",
    "train",
    "pretrain",
    "sweep",
    "evaluate",
)


def test_version_prints_the_version_and_the_backend() -> None:
    assert run("--version") == f"neuralbits {neuralbits.__version__} ({neuralbits.backend()})\n"


def test_help_summarizes_each_command_on_a_line() -> None:
    listed = run("--help").partition("Commands:")[2]
    assert {line.split()[0] for line in listed.splitlines() if line} == set(COMMANDS)
    assert "..." not in listed


@pytest.mark.parametrize("command", COMMANDS)
def test_a_commands_help_has_an_example_and_truncates_nothing(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = CliRunner().invoke(command_line(), [command, "--help"], env={"COLUMNS": "80"}).output
    assert f"\n    neuralbits {command}" in shown.partition("Example")[2]
    assert "…" not in shown
    for parameter in get_command(command_line()).get_command(None, command).params:  # type: ignore
        assert all(option in shown for option in parameter.opts if option.startswith("--"))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_output_is_written_in_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    run("inspect", "home-assistant-en")
    assert run("classify", "home-assistant-en", "→ światło").startswith("\\u2192 ")
    (line,) = run("classify", "home-assistant-en", "→ 😀", "--json").splitlines()
    assert json.loads(line)["text"] == "→ 😀"
    run("train", "--help")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_standard_output_gives_a_one_line_error(unbuffered: str) -> None:
    for arguments in (["--help"], ["models"], ["inspect", "home-assistant-en"]):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [*COMMAND, *arguments],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            )
        assert done.returncode == 1
        assert done.stderr.startswith("neuralbits: ")
        assert done.stderr.endswith(": No space left on device\n")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("argument", ["models", "--help"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_ends_the_command_quietly(unbuffered: str, argument: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = subprocess.run(
            [*COMMAND, argument],
            stdout=closed,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    "module", ["typer", "json", "neuralbits.cli", "neuralbits.app.cli", "neuralbits.manifest"]
)
def test_ctrl_c_while_modules_are_imported_prints_no_traceback(module: str) -> None:
    script = f"""
import os, runpy, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
sys.modules.pop({module!r}, None)
sys.meta_path.insert(0, Interrupting())
sys.argv = ["neuralbits", "classify", "home-assistant-en", "lights on"]
from neuralbits.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode in (-signal.SIGINT, 130)
    assert "Traceback" not in done.stderr


def test_without_typer_the_command_says_what_to_install() -> None:
    script = "import sys; sys.modules['typer'] = None; from neuralbits.__main__ import main; main()"
    error = run("models", code=1, command=[sys.executable, "-c", script])
    assert error == ("neuralbits: the command line needs typer: pip install 'neuralbits[cli]'\n")


def test_the_package_runs_as_a_module() -> None:
    assert "home-assistant-en" in run("models", command=[sys.executable, "-m", "neuralbits"])


def test_models_lists_the_shipped_artifacts() -> None:
    listed = [json.loads(line) for line in run("models", "--json").splitlines()]
    assert {each["name"] for each in listed} >= {"home-assistant-en", "clinc150"}
    assert all(Path(each["path"]).stat().st_size == each["size"] for each in listed)


def test_the_slow_backend_is_noted_on_standard_error(artifact_path: Path) -> None:
    script = (
        "import sys; sys.modules['neuralbits._kernel'] = None;"
        "from neuralbits.cli import main; main()"
    )
    command = [sys.executable, "-c", script, "classify", str(artifact_path), "lights on"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "has no compiled kernel; using the slower NumPy backend" in done.stderr
    assert done.stderr.count("\n") == 1


def test_classify_lists_the_likeliest_intents(artifact_path: Path) -> None:
    first, *ranked = run("classify", artifact_path, "turn of teh lamp", "--top-k", 2).splitlines()
    assert first == "turn of teh lamp"
    assert [line.split()[-1] for line in ranked] == ["turn_off", "turn_on"]


def test_classify_marks_out_of_scope_texts(artifact_path: Path) -> None:
    assert run("classify", artifact_path, "").startswith("  (out of scope)\n")


def test_classify_prints_one_json_object_per_text(artifact_path: Path) -> None:
    lines = run("classify", artifact_path, "lights on", "play jazz", "--json").splitlines()
    predictions = [json.loads(line) for line in lines]
    assert [p["text"] for p in predictions] == ["lights on", "play jazz"]
    assert [p["intent"] for p in predictions] == ["turn_on", "play_music"]
    assert predictions[0]["intents"][0]["confidence"] == predictions[0]["confidence"]


def test_classify_lists_the_strongest_ngrams_of_an_explanation(
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


def test_classify_refuses_to_explain_a_text_with_too_many_ngrams(artifact_path: Path) -> None:
    varied = "".join(map(chr, range(0x4E00, 0x5300)))
    error = run("classify", artifact_path, varied, "--explain", code=1)
    assert error.startswith("neuralbits: the text has more than 2,048 different n-grams")
    assert error.count("\n") == 1


def test_inspect_prints_the_artifacts_size_intents_and_layers(artifact_path: Path) -> None:
    shown = run("inspect", artifact_path)
    assert f"{artifact_path.stat().st_size:,} bytes" in shown
    assert '6: "turn_on", "turn_off"' in shown
    assert "1024 → 6, binary, 0% zeros" in shown
    assert "6 → 6, int8, 83% zeros" in shown
    facts = json.loads(run("inspect", artifact_path, "--json"))
    assert facts["labels"] == list(UTTERANCES)
    assert facts["size"] == artifact_path.stat().st_size


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
def test_an_error_that_a_user_can_fix_is_one_line(
    arguments: list[str], sentence: str, artifact_path: Path
) -> None:
    error = refusal(*[artifact_path if a == "ARTIFACT" else a for a in arguments])
    assert error.startswith("neuralbits: ")
    assert sentence in error
    assert error.count("\n") == 1


def test_classifying_imports_no_training_or_serving_packages(artifact_path: Path) -> None:
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
