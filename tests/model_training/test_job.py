"""The offline job as its users meet it: killed, stopped, and gone on with."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import torch

import neuralbits
from neuralbits import artifact, cli
from neuralbits.model_training import data, job
from neuralbits.model_training.compression import group_lasso
from neuralbits.model_training.job import TrainingError
from neuralbits.model_training.loop.history import Observer
from neuralbits.model_training.networks.base import Base
from neuralbits.model_training.networks.sentence_encoder import SentenceEncoder
from neuralbits.model_training.process import stopping_on_interrupt
from neuralbits.model_training.settings import Settings
from neuralbits.projection import Projection
from tests.support.commands import run_here
from tests.support.encoders import encoder_folder, needs_encoder
from tests.support.homes import UTTERANCES
from tests.support.sharing import shared_folder

SIZE = 6 << 10
EPOCHS = 40
SMALL = [
    f"epochs={EPOCHS}",
    "batch_size=8",
    "min_batches=1",
    "trainer.buckets=512",
    "trainer.embedding=16",
    "trainer.hidden=16",
]
TRAIN = ["train", "--train", "homes.csv", "--output", "home.safetensors", "--max-size", str(SIZE)]
COMMAND = [*TRAIN, *(word for setting in SMALL for word in ("--set", setting))]
WRITTEN = {"home.safetensors", "home.md", "home.html", "home.metrics.json"}


def write_homes(folder: Path) -> Path:
    """Write the training data into a folder; return its path."""
    rows = [
        f"{text},{intent},{room}"
        for intent, texts in UTTERANCES.items()
        for text, room in zip(texts, cycle(["hall", "bath"]), strict=False)
    ]
    folder.mkdir(exist_ok=True)
    (folder / "homes.csv").write_text("\n".join(["text,intent,room", *rows]))
    return folder / "homes.csv"


# Training that waits after its first epoch until its standard input ends: a signal finds it there,
# however busy the machine is.
PROGRAM = """
import sys
from neuralbits.cli import main

class PausesAfterAnEpoch:
    def __init__(self, stream):
        self.stream, self.told = stream, ""

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text):
        self.told += text
        return self.stream.write(text)

    def flush(self):
        self.stream.flush()
        if "epoch   1/" in self.told and self.told.endswith("\\n"):
            self.told = ""
            sys.stdin.read()

sys.stderr = PausesAfterAnEpoch(sys.stderr)
main()
"""


def start(folder: Path, *options: str) -> "subprocess.Popen[str]":
    """Start training in a separate process, in this folder."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *COMMAND, *options],
        cwd=folder,
        env=os.environ | {"COLUMNS": "200"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> str:
    """Wait for training to end well; return what it said."""
    _, said = process.communicate()
    assert process.returncode == 0, said
    return said


def signal_after_the_first_epoch(process: "subprocess.Popen[str]", number: signal.Signals) -> str:
    """Send a signal as soon as an epoch has ended; return what the process then still says."""
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith(f"epoch   1/{EPOCHS}"), line + process.stderr.read()
    process.send_signal(number)
    return process.communicate()[1]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that nothing disturbed."""

    def make(folder: Path) -> None:
        write_homes(folder)
        run_here(folder, *COMMAND)

    return shared_folder(tmp_path_factory, "trained", make)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that was killed after its first checkpoint; don't change it."""

    def make(folder: Path) -> None:
        write_homes(folder)
        process = start(folder)
        signal_after_the_first_epoch(process, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL

    return shared_folder(tmp_path_factory, "killed", make)


def refusal(folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> str:
    """Call the command in a folder; return the sentence that it exits with."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["neuralbits", *COMMAND, *options])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    sentence = str(exit_.value)
    assert sentence.startswith("neuralbits: ")
    assert "\n" not in sentence
    return sentence


def test_the_artifact_its_card_its_report_and_its_figures_are_written_and_nothing_else(
    uninterrupted: Path,
) -> None:
    assert {path.name for path in uninterrupted.iterdir()} == {"homes.csv", *WRITTEN}
    digest = neuralbits.load(uninterrupted / "home.safetensors").manifest.digest
    assert digest in (uninterrupted / "home.md").read_text()
    assert (uninterrupted / "home.html").read_text().startswith("<!doctype html>")


def test_the_artifact_fits_the_budget_and_understands_what_it_was_taught(
    uninterrupted: Path,
) -> None:
    classifier = neuralbits.load(uninterrupted / "home.safetensors")
    assert SIZE - 600 < classifier.manifest.size <= SIZE
    assert classifier.manifest.size == (uninterrupted / "home.safetensors").stat().st_size
    for intent, texts in UTTERANCES.items():
        right = [classifier.classify(text).intent == intent for text in texts]
        assert sum(right) >= len(right) - 1, intent


def test_the_artifact_says_where_it_comes_from(uninterrupted: Path) -> None:
    provenance = neuralbits.load(uninterrupted / "home.safetensors").manifest.provenance
    figures = json.loads((uninterrupted / "home.metrics.json").read_text())
    assert provenance == figures["provenance"]
    assert provenance["seed"] == 0
    assert provenance["neuralbits"] == neuralbits.__version__
    assert provenance["command"] == " ".join(["neuralbits", *COMMAND])
    assert provenance["data"]["sha256"] == {
        "train": data.load_file(uninterrupted / "homes.csv").sha256
    }
    measured = figures["artifact"]["evaluation"]["validation"]
    assert provenance["metrics"]["validation"]["accuracy"] == round(measured["accuracy"], 4)
    assert [record["epoch"] for record in figures["history"]] == list(range(1, EPOCHS + 1))
    assert figures["settings"]["epochs"] == EPOCHS


def test_from_one_seed_another_process_makes_the_same_artifact_byte_for_byte(
    uninterrupted: Path, tmp_path: Path
) -> None:
    write_homes(tmp_path)
    finish(start(tmp_path))
    again = (tmp_path / "home.safetensors").read_bytes()
    assert again == (uninterrupted / "home.safetensors").read_bytes()


def test_a_kill_leaves_a_checkpoint_and_no_half_written_artifact(killed: Path) -> None:
    left = {path.name.removesuffix(".partial") for path in killed.iterdir()}
    assert left == {"homes.csv", "home.safetensors.checkpoint"}


def test_resumed_after_a_kill_the_artifact_is_that_of_an_uninterrupted_run(
    killed: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(killed, tmp_path / "resumed")
    _, said = run_here(folder, *COMMAND, "--resume")
    assert f"epoch   1/{EPOCHS}" not in said
    resumed = (folder / "home.safetensors").read_bytes()
    assert resumed == (uninterrupted / "home.safetensors").read_bytes()
    assert {path.name for path in folder.iterdir()} == {"homes.csv", *WRITTEN}


def test_ctrl_c_leaves_the_artifact_so_far_and_a_checkpoint_to_go_on_from(
    uninterrupted: Path, tmp_path: Path
) -> None:
    write_homes(tmp_path)
    process = start(tmp_path)
    said = signal_after_the_first_epoch(process, signal.SIGINT)
    assert "stopped; `--resume` goes on from the last epoch that ended" in said
    assert "Traceback" not in said
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"homes.csv", "home.safetensors.checkpoint", *WRITTEN}
    so_far = neuralbits.load(tmp_path / "home.safetensors")
    assert so_far.classify("turn off the lamp").intent in UTTERANCES
    history = json.loads((tmp_path / "home.metrics.json").read_text())["history"]
    assert 1 <= len(history) < EPOCHS

    run_here(tmp_path, *COMMAND, "--resume")
    resumed = (tmp_path / "home.safetensors").read_bytes()
    assert resumed == (uninterrupted / "home.safetensors").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"homes.csv", *WRITTEN}


def test_stopped_before_the_first_epoch_ended_there_is_no_artifact(tmp_path: Path) -> None:
    homes = data.from_files(write_homes(tmp_path / "homes"))
    stop = threading.Event()
    stop.set()
    output = tmp_path / "home.safetensors"
    with pytest.raises(TrainingError, match="stopped before there was a network to keep"):
        job.train(Settings().override(SMALL), homes, output, max_size=SIZE, command="", stop=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["homes"]


def test_trained_in_a_thread_the_process_is_as_it_was(tmp_path: Path) -> None:
    homes = data.from_files(write_homes(tmp_path / "homes"))
    settings = Settings().override([*SMALL, "epochs=1"])
    output = tmp_path / "home.safetensors"
    handler, threads = signal.getsignal(signal.SIGINT), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(max_workers=1) as executor:
            train = partial(job.train, settings, homes, output, max_size=SIZE, command="")
            report = executor.submit(train).result()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert signal.getsignal(signal.SIGINT) == handler
    assert len(report.history) == 1


def test_the_first_ctrl_c_asks_to_stop_and_the_second_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stopping_on_interrupt() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_files_that_it_did_not_write_are_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_homes(tmp_path)
    (tmp_path / "home.md").write_text("my notes")
    assert "home.md isn't as neuralbits wrote it" in refusal(tmp_path, monkeypatch)
    job.check_outputs(tmp_path / "home.safetensors", overwrite=True)


def test_a_folder_that_cannot_hold_the_checkpoint_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_homes(tmp_path)
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    assert re.search(
        r"has 0 MB free, but writing the checkpoint takes \d+ MB", refusal(tmp_path, monkeypatch)
    )


def test_rows_of_intents_that_training_lacks_count_as_errors_of_the_test(tmp_path: Path) -> None:
    train, test = write_homes(tmp_path / "homes"), tmp_path / "test.csv"
    known = [f"{text},{intent}" for intent, texts in UTTERANCES.items() for text in texts[:2]]
    test.write_text("\n".join(["text,intent", *known, *["boil an egg,cook"] * len(known)]))
    homes = data.from_files(train, test=test)
    report = job.train(
        Settings().override([*SMALL, "epochs=1"]),
        homes,
        tmp_path / "home.safetensors",
        max_size=SIZE,
        command="",
    )
    measured = report.artifact.evaluation["test"]
    assert (measured.examples, measured.unseen) == (2 * len(known), len(known))
    assert measured.accuracy <= 0.5
    page = (tmp_path / "home.html").read_text()
    assert f"{len(known)} of them have an intent that training lacks, and count as errors" in page


def test_a_long_text_is_cut_and_reported(tmp_path: Path) -> None:
    train = write_homes(tmp_path / "homes")
    with train.open("a") as file:
        file.write(f"\n{'play some jazz ' * 1000},play_music,hall")
    homes = data.from_files(train, seed=1)
    short = homes.shortened(100)
    assert max(len(text) for text in short.train.texts + short.validation.texts) == 100
    (cut,) = (each for each in short.report.findings if "cut to" in each.what)
    assert (cut.count, cut.lines) == (1, (len(train.read_text().splitlines()),))
    assert homes.shortened(100_000) == homes


def test_another_runs_checkpoint_is_not_overwritten_unknowingly(
    killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = refusal(killed, monkeypatch)
    assert "home.safetensors.checkpoint holds an unfinished run; go on with --resume" in sentence


@pytest.mark.parametrize(
    "change", [["--seed", "1"], ["--set", "ngram_dropout=0.1"], ["--max-size", "5KiB"]]
)
def test_a_run_with_other_settings_does_not_go_on_from_the_checkpoint(
    change: list[str], killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = refusal(killed, monkeypatch, "--resume", *change)
    assert "home.safetensors.checkpoint is of a run with other settings or other data" in sentence


def test_a_run_on_other_data_does_not_go_on_from_the_checkpoint(
    killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(killed, tmp_path / "changed")
    with (folder / "homes.csv").open("a") as file:
        file.write("\nstop the music,play_music,hall")
    assert "other settings or other data" in refusal(folder, monkeypatch, "--resume")


@pytest.mark.parametrize(
    "damage", ["truncated", "altered", "emptied", "another file", "another torch file"]
)
def test_a_damaged_checkpoint_is_refused(
    damage: str, killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(killed, tmp_path / "damaged")
    checkpoint = folder / "home.safetensors.checkpoint"
    if damage == "another torch file":
        torch.save({"weights": torch.zeros(3)}, checkpoint)
    else:
        held = checkpoint.read_bytes()
        middle = len(held) // 2  # among the weights
        content = {
            "truncated": held[:-100],
            "altered": held[:middle] + bytes([held[middle] ^ 1]) + held[middle + 1 :],
            "emptied": b"",
            "another file": b"text,intent\n" * 100,
        }
        checkpoint.write_bytes(content[damage])
    sentence = refusal(folder, monkeypatch, "--resume")
    assert "home.safetensors.checkpoint can't be read" in sentence
    assert sentence.endswith("delete it to start from the beginning")


def test_a_checkpoint_of_other_labels_in_the_same_file_is_refused(
    killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = refusal(killed, monkeypatch, "--resume", "--label-column", "room")
    assert "other settings or other data" in sentence


def test_widths_that_are_set_are_kept(tmp_path: Path) -> None:
    write_homes(tmp_path)
    paper = ["projection.stride=1", "projection.functions=72", "projection.dimensions=10"]
    paper += ["projection.code_bits=1"]
    settings = [*paper, "network.widths=", "network.first_precision=int8", "epochs=1"]
    run_here(tmp_path, *COMMAND, *(word for setting in settings for word in ("--set", setting)))
    held = artifact.read(tmp_path / "home.safetensors")
    assert held.projection.bits == 720
    assert [layer.inputs for layer in held.network.layers] == [720]


def test_widths_that_are_set_but_too_large_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_homes(tmp_path)
    sentence = refusal(tmp_path, monkeypatch, "--set", "network.widths=500")
    assert "allow more by --max-size" in sentence


def test_a_budget_that_nothing_fits_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_homes(tmp_path)
    assert "allow at least" in refusal(tmp_path, monkeypatch, "--max-size", "1KiB")


@pytest.mark.parametrize("output", ["nowhere/home.safetensors", "home.md", "home"])
def test_an_output_that_cannot_be_written_is_refused_before_training(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_homes(tmp_path)
    assert output.partition("/")[0] in refusal(tmp_path, monkeypatch, "--output", output)


def test_a_pruned_artifact_fits_and_the_report_tells_how_sensitive_its_layers_are(
    tmp_path: Path,
) -> None:
    homes = data.from_files(write_homes(tmp_path / "homes"))
    pruning = ["first_share=0.9", "share=0.5", "sensitivity=true"]
    settings = Settings().override(
        [*SMALL, "epochs=3", "network.first_precision=ternary", *(f"pruning.{s}" for s in pruning)]
    )
    output = tmp_path / "home.safetensors"
    report = job.train(settings, homes, output, max_size=SIZE, command="", device="cpu")
    written = artifact.read(output)
    assert written.size <= SIZE
    for layer, share in zip(written.network.layers, (0.9, 0.5), strict=True):
        assert (layer.weights == 0).sum() >= int(share * layer.weights.size)
    figures = json.loads(output.with_suffix(".metrics.json").read_text())
    measured = figures["sensitivities"]
    assert {(each["layer"], each["pruned_share"]) for each in measured} >= {(0, 0.95), (1, 0.8)}
    # Without a share more of it pruned, the network is as right as the artifact.
    whole = [each["accuracy"] for each in measured if each["pruned_share"] == 0]
    assert whole == [report.artifact.evaluation["validation"].accuracy] * 2
    assert "Sensitivity to pruning" in output.with_suffix(".html").read_text()


def test_an_artifact_holds_nothing_of_functions_that_group_lasso_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_lasso, "REMOVED_BELOW", 1.0)  # on so little data all are much alike
    homes = data.from_files(write_homes(tmp_path / "homes"))
    sizes = []
    for penalty in (0, 0.1):
        output = tmp_path / f"{penalty}.safetensors"
        settings = Settings().override([*SMALL, "epochs=3", f"pruning.group_lasso={penalty}"])
        job.train(settings, homes, output, max_size=SIZE, command="", device="cpu")
        sizes.append(artifact.read(output).size)
    held = artifact.read(output)
    removed = len(held.projection.removed)
    assert removed > 0
    first = held.network.layers[0]
    assert first.inputs == 64 * (held.projection.functions - removed)
    saved = removed * 64 * first.units / 8
    assert sizes[0] - saved <= sizes[1] <= sizes[0] - saved + 200  # their numbers are written down
    classifier = neuralbits.load(output)
    assert classifier.classify("turn off the lamp").intent in UTTERANCES


def test_without_a_trainer_the_report_and_the_card_have_no_rows_for_one(tmp_path: Path) -> None:
    write_homes(tmp_path)
    _, said = run_here(tmp_path, *COMMAND, "--trainer", "none", "--set", "epochs=3")
    assert "right: projection" in said.splitlines()[0]
    assert "trainer" not in said
    figures = json.loads((tmp_path / "home.metrics.json").read_text())
    assert figures["trainer"] is None
    assert figures["history"][0]["trainer_loss"] is None
    assert "trainer (" not in (tmp_path / "home.md").read_text()


def test_without_a_checkpoint_resuming_starts_from_the_beginning(tmp_path: Path) -> None:
    homes = data.from_files(write_homes(tmp_path / "homes"))
    settings = Settings().override([*SMALL, "epochs=2"])
    output = tmp_path / "home.safetensors"
    report = job.train(
        settings, homes, output, max_size=SIZE, command="", resume=True, device="cpu"
    )
    assert [record.epoch for record in report.history] == [1, 2]
    assert artifact.read(output).size == report.artifact.bytes <= SIZE


@needs_encoder
def test_an_encoder_teaches_and_leaves_its_embeddings_for_the_next_run(
    homes: data.TrainingData, tmp_path: Path
) -> None:
    class Watch(Observer):
        embedded = 0

        def embed(self, done: int, count: int) -> None:
            self.embedded = count

    def train(watch: Watch, name: str = "encoder") -> bytes:
        output = tmp_path / "home.safetensors"
        settings = Settings(epochs=2, batch_size=8, min_batches=1).override(
            [f"trainer.names={name}", "trainer.vocabulary=false"]
        )
        report = job.train(
            settings,
            replace(homes, transfer=("where is my parcel",)),
            output,
            max_size=SIZE,
            command="neuralbits train",
            encoder=encoder_folder(),
            observer=watch,
        )
        assert report.trainer
        assert report.trainer.bytes > 80_000_000
        assert output.stat().st_size <= SIZE
        return output.read_bytes()

    first, second = Watch(), Watch()
    assert train(first) == train(second)
    assert (first.embedded, second.embedded) == (len(homes.train) + len(homes.validation) + 1, 0)
    assert len(neuralbits.load(tmp_path / "home.safetensors").manifest.provenance["encoder"]) == 2


@needs_encoder
def test_the_words_that_an_encoder_knows_are_learnt_but_not_those_measured(
    homes: data.TrainingData,
) -> None:
    encoder = SentenceEncoder(encoder_folder())
    held_out = replace(homes.validation, texts=("Lamp!", *homes.validation.texts[1:]))
    words = job.with_vocabulary(replace(homes, validation=held_out, transfer=("a b",)), encoder)
    assert words.transfer[0] == "a b"
    assert "lamp" not in words.transfer
    assert len(words.transfer) == len(encoder.vocabulary)


def test_a_training_from_a_base_has_its_projection(
    homes: data.TrainingData, tmp_path: Path
) -> None:
    projection = Projection(functions=32, dimensions=64, stride=16)
    weights = np.random.default_rng(0).normal(size=(40, projection.inputs)).astype(np.float16)
    base = Base(projection, weights, np.zeros(40, np.float16), {"texts": {"count": 2}})
    base.write(tmp_path / "base.safetensors")
    job.train(
        Settings(epochs=2, batch_size=8, min_batches=1).override(["trainer.names=none"]),
        homes,
        tmp_path / "home.safetensors",
        max_size=16 << 10,
        command="neuralbits train",
        base=tmp_path / "base.safetensors",
    )
    manifest = neuralbits.load(tmp_path / "home.safetensors").manifest
    assert manifest.projection["functions"] == 32  # the budget alone would have chosen 64
    assert manifest.provenance["base"] == {"texts": {"count": 2}}
