"""A sweep as its users meet it: a folder of artifacts with their figures, in one go or in many."""

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import neuralbits
from neuralbits import artifact, cli
from neuralbits.errors import NeuralbitsError
from neuralbits.model_training import data
from neuralbits.model_training.data import TrainingData
from neuralbits.model_training.sweep import run as sweep_job
from neuralbits.model_training.sweep.plan import Sweep, SweepError, plan
from neuralbits.model_training.sweep.results import Results
from tests.support.commands import run_here
from tests.support.homes import UTTERANCES
from tests.support.sharing import shared_folder

SMALL = [
    "batch_size=8",
    "min_batches=1",
    "trainer.buckets=512",
    "trainer.embedding=16",
    "trainer.hidden=16",
]
SETTINGS = ["epochs=60", "network.widths=8", *SMALL]
SOURCE = ["--train", "homes.csv", "--test", "test.csv"]
SOURCE += ["--out-of-scope", "outside.csv", "--unlabelled", "log.csv"]
SET = [word for setting in SETTINGS for word in ("--set", setting)]
COMMAND = ["sweep", *SOURCE, *SET, "--bits", "128,256", "--output", "swept"]
NAMES = ("bits-128-seed-0", "bits-256-seed-0")
ENDINGS = (".safetensors", ".md", ".html", ".metrics.json")
FILES = {name + ending for name in NAMES for ending in ENDINGS} | {"sweep.json", "sweep.svg"}


def write_homes(folder: Path) -> None:
    """Write utterances to train on, and others like them to test on."""
    rows = [f"{text},{intent}" for intent, texts in UTTERANCES.items() for text in texts]
    (folder / "homes.csv").write_text("\n".join(["text,intent", *rows]))
    (folder / "test.csv").write_text("\n".join(["text,intent", *(f"please {row}" for row in rows)]))
    (folder / "outside.csv").write_text("text\nwho won the match\ntell me a joke\nwhat is love\n")
    (folder / "log.csv").write_text("text\nput the light on\nbrighter please\nsome jazz\n")


def load(folder: Path) -> dict[int, TrainingData]:
    return {
        0: data.from_files(
            folder / "homes.csv",
            test=folder / "test.csv",
            out_of_scope=[folder / "outside.csv"],
            unlabelled=[folder / "log.csv"],
        )
    }


def planned(bits: str = "128,256", settings: list[str] | None = None) -> Sweep:
    return plan(bits, None, "0", settings or SETTINGS, SOURCE)


def run(folder: Path, sweep: Sweep | None = None) -> tuple[Results | None, dict[str, str], str]:
    """Sweep within this process; return results, failures, and what was shown."""
    shown = StringIO()
    console = Console(file=shown, width=200)
    return *sweep_job.run(sweep or planned(), load(folder), folder / "swept", console=console), (
        shown.getvalue()
    )


def start(folder: Path, *command: str) -> "subprocess.Popen[str]":
    """Start the command in a new process group, in this folder."""
    program = "from neuralbits.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, *command],
        cwd=folder,
        env=os.environ | {"COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder of a sweep that nothing disturbed, and what it printed."""

    def make(folder: Path) -> None:
        write_homes(folder)
        output, _ = run_here(folder, *COMMAND, "--workers", "2")
        (folder / "printed").write_text(output)

    folder = shared_folder(tmp_path_factory, "sweep", make)
    return folder, (folder / "printed").read_text()


@pytest.fixture(scope="module")
def uninterrupted(printed: tuple[Path, str]) -> Path:
    return printed[0] / "swept"


@pytest.fixture
def copied(uninterrupted: Path, tmp_path: Path) -> Path:
    """Return a folder with the data and with a finished sweep, to change at will."""
    shutil.copytree(uninterrupted.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_each_artifact_lies_there_with_its_card_and_report_and_nothing_else(
    uninterrupted: Path,
) -> None:
    assert set(content(uninterrupted)) == FILES


def test_the_figures_are_those_of_the_artifacts(uninterrupted: Path) -> None:
    results = json.loads((uninterrupted / "sweep.json").read_text())
    assert [run["bits"] for run in results["runs"]] == [128, 256]
    for name, run in zip(NAMES, results["runs"], strict=True):
        held = artifact.read(uninterrupted / f"{name}.safetensors")
        figures = json.loads((uninterrupted / f"{name}.metrics.json").read_text())
        assert run["artifact"] == f"{name}.safetensors"
        assert run["digest"] == held.digest
        assert run["provenance"] == held.provenance
        assert run["bits"] == run["value"] == held.projection.bits
        assert run["units"] == [8] == [held.network.layers[0].units]
        assert run["bytes"] == (uninterrupted / run["artifact"]).stat().st_size
        for network, accuracy in (("artifact", "accuracy"), ("trainer", "trainer_accuracy")):
            evaluation = figures[network]["evaluation"]
            assert run[accuracy] == {split: evaluation[split]["accuracy"] for split in evaluation}
        assert list(run["accuracy"]) == ["validation", "test"]
        assert all(time > 0 for time in run["microseconds_per_text"].values())
    assert results["split"] == "test"
    assert results["failed"] == {}


def test_the_results_say_where_they_come_from(uninterrupted: Path) -> None:
    results = json.loads((uninterrupted / "sweep.json").read_text())
    assert results["versions"]["neuralbits"] == neuralbits.__version__
    assert results["settings"]["epochs"] == 60
    file = data.load_file(uninterrupted.parent / "homes.csv")
    assert results["data"]["0"]["provenance"]["sha256"]["train"] == file.sha256


def test_the_table_and_the_plot_show_the_same(printed: tuple[Path, str]) -> None:
    folder, table = printed
    results = json.loads((folder / "swept" / "sweep.json").read_text())
    plot = (folder / "swept" / "sweep.svg").read_text()
    for run in results["runs"]:
        row = next(line for line in table.splitlines() if line.startswith(f"{run['bits']} "))
        assert f" {run['bytes']:,} " in row
        for accuracy in (*run["accuracy"].values(), run["trainer_accuracy"]["test"]):
            assert f" {accuracy:.2%}" in row
        assert f">{run['bits']} bits</text>" in plot
    assert "right on the test split of homes.csv, %" in plot
    assert f"trainer (lstm): {100 * results['trainer_accuracy']['mean']:.1f} %" in plot


def test_an_artifact_is_the_one_that_its_command_makes(uninterrupted: Path, tmp_path: Path) -> None:
    artifact = uninterrupted / f"{NAMES[0]}.safetensors"
    write_homes(tmp_path)
    name, *arguments = shlex.split(neuralbits.load(artifact).manifest.provenance["command"])
    assert name == "neuralbits"
    run_here(tmp_path, *arguments)
    assert (tmp_path / artifact.name).read_bytes() == artifact.read_bytes()


def test_what_is_finished_is_not_trained_again(copied: Path) -> None:
    before = content(copied / "swept")
    results, failed, shown = run(copied)
    assert "2 of 2 artifacts are there already" in shown
    assert "is trained" not in shown
    assert results is not None
    assert failed == {}
    after = content(copied / "swept")
    changed = {name for name in FILES if before[name] != after[name]}
    assert changed <= {"sweep.json", "sweep.svg"}  # the times are taken again


@pytest.mark.long
def test_a_sweep_goes_on_after_ctrl_c_and_after_a_kill(uninterrupted: Path, tmp_path: Path) -> None:
    write_homes(tmp_path)
    checkpoint = tmp_path / "swept" / f"{NAMES[1]}.safetensors.checkpoint"

    def signal_after_an_epoch(number: signal.Signals) -> tuple[int, str]:
        epochs_before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        process = start(tmp_path, *COMMAND, "--workers", "1")
        while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == epochs_before:
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        _, said = process.communicate()  # which waits for the workers too: they hold the pipe
        return process.returncode, said

    code, said = signal_after_an_epoch(signal.SIGINT)
    assert code == 130
    assert "the same command goes on" in said
    assert "Traceback" not in said
    assert set(content(tmp_path / "swept")) == {"sweep.json", checkpoint.name}

    code, _ = signal_after_an_epoch(signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert not list(tmp_path.glob("swept/*.safetensors"))
    (
        tmp_path / "swept" / f"{NAMES[1]}.safetensorsab12cd34.partial"
    ).touch()  # of a kill while saving

    _, failed, _ = run(tmp_path)
    assert failed == {}
    assert set(content(tmp_path / "swept")) == FILES
    for name in NAMES:
        resumed = (tmp_path / "swept" / f"{name}.safetensors").read_bytes()
        assert resumed == (uninterrupted / f"{name}.safetensors").read_bytes()


@pytest.mark.long
def test_a_value_is_added_and_one_that_failed_is_tried_again(copied: Path) -> None:
    damaged = copied / "swept" / "bits-64-seed-0.safetensors.checkpoint"
    damaged.write_bytes(b"no checkpoint")
    more = planned("64,128,256")
    results, failed, _ = run(copied, more)
    assert results is not None
    assert [point.value for point in results.points] == [128, 256]
    assert failed.keys() == {"bits-64-seed-0"}
    assert "delete it to start from the beginning" in failed["bits-64-seed-0"]
    written = json.loads((copied / "swept" / "sweep.json").read_text())
    assert written["failed"] == failed

    damaged.unlink()
    results, failed, shown = run(copied, more)
    assert results is not None
    assert [point.value for point in results.points] == [64, 128, 256]
    assert failed == {}
    assert "2 of 3 artifacts are there already" in shown
    assert json.loads((copied / "swept" / "sweep.json").read_text())["failed"] == {}


def test_a_sweep_of_which_nothing_could_be_trained_exits_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_homes(tmp_path)
    monkeypatch.chdir(tmp_path)
    command = ["sweep", *SOURCE, "--sizes", "1KiB", "--output", "swept"]
    monkeypatch.setattr(sys, "argv", ["neuralbits", *command])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert str(exit_.value).startswith("neuralbits: 1 of the trainings failed (size-1KiB-seed-0)")
    assert set(content(tmp_path / "swept")) == {"sweep.json"}


@pytest.fixture
def unchanged(copied: Path) -> Iterator[Path]:
    """Return a folder with a finished sweep that a refusal has to leave as it is."""
    yield copied
    after = content(copied / "swept")
    after.pop("stray", None)
    assert set(after) == FILES


def test_a_sweep_with_other_settings_is_refused(unchanged: Path) -> None:
    with pytest.raises(SweepError, match=r"swept holds a sweep with another settings; repeat its"):
        run(unchanged, planned(settings=[*SETTINGS, "epochs=61"]))


def test_a_sweep_of_another_kind_is_refused(unchanged: Path) -> None:
    by_size = plan(None, "4KiB", "0", SMALL, SOURCE)
    with pytest.raises(SweepError, match=r"holds a sweep with another kind \(bits or sizes\)"):
        run(unchanged, by_size)


@pytest.mark.parametrize("file", ["homes.csv", "test.csv"])
def test_a_sweep_with_other_data_is_refused(file: str, unchanged: Path) -> None:
    with (unchanged / file).open("a") as table:
        table.write("\nstop the music,play_music")
    with pytest.raises(SweepError, match="holds a sweep with another data"):
        run(unchanged)


def test_a_folder_with_files_of_the_same_names_is_refused(tmp_path: Path) -> None:
    write_homes(tmp_path)
    (tmp_path / "swept").mkdir()
    foreign = tmp_path / "swept" / "bits-128-seed-0.safetensors"
    foreign.write_text("precious")
    with pytest.raises(SweepError, match=r"bits-128-seed-0\.safetensors would be overwritten"):
        run(tmp_path)
    assert content(tmp_path / "swept") == {foreign.name: b"precious"}


@pytest.mark.parametrize("damage", ["", "{", "{}", "[]", '{"versions": 1, "data": {}}'])
def test_results_that_are_damaged_are_refused(damage: str, unchanged: Path) -> None:
    (unchanged / "swept" / "sweep.json").write_text(damage)
    with pytest.raises(SweepError, match=r"sweep\.json is damaged, or of no sweep"):
        run(unchanged)


def test_two_sweeps_do_not_share_a_folder(unchanged: Path) -> None:
    folder = os.open(unchanged / "swept", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(NeuralbitsError, match="another process is using"):
            run(unchanged)
    finally:
        os.close(folder)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    write_homes(tmp_path)
    nowhere = tmp_path / "none" / "swept"
    with pytest.raises(SweepError, match="there is no folder"):
        sweep_job.run(planned(), load(tmp_path), nowhere)


def test_seeds_may_be_added_but_not_with_other_data(unchanged: Path) -> None:
    path = unchanged / "swept" / "sweep.json"
    results = json.loads(path.read_text())
    results["data"]["7"] = {"sha256": "of other texts", "provenance": {}}
    path.write_text(json.dumps(results))
    seeds = replace(planned(), seeds=(0, 7))
    both = load(unchanged) | {7: load(unchanged)[0]}
    with pytest.raises(SweepError, match="another data"):
        sweep_job.run(seeds, both, unchanged / "swept")
