"""`neuralbits.fit`: training from Python."""

import doctest
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neuralbits
from neuralbits.errors import NeuralbitsError
from neuralbits.model_training import DataWarning, fitting, trained
from neuralbits.model_training.data import DataError
from neuralbits.model_training.loop.history import EpochRecord, Observer
from neuralbits.model_training.settings import SettingsError
from neuralbits.model_training.trained import Trained
from tests.support.homes import UTTERANCES

SETTINGS = {"epochs": 3, "batch_size": 8, "min_batches": 20}
TEXTS = [text for texts in UTTERANCES.values() for text in texts]
INTENTS = [intent for intent, texts in UTTERANCES.items() for _ in texts]
STRANGE = [f"the {animal} sleeps in the shade" for animal in ("cat", "dog", "fox", "owl", "hen")]

pytestmark = pytest.mark.filterwarnings("ignore::neuralbits.model_training.DataWarning")


def fit(texts: Iterable[Any] = TEXTS, intents: Iterable[Any] = INTENTS, **options: Any) -> Trained:
    """Train in a second."""
    settings = SETTINGS | options.pop("settings", {})
    return neuralbits.fit(
        texts, intents, **({"max_size": "6KiB", "trainer": "none"} | options), settings=settings
    )


@pytest.fixture(scope="module")
def model() -> Trained:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return fit(out_of_scope=STRANGE * 2)


def test_it_answers_as_its_classifier_does(model: Trained) -> None:
    predictions = model.classifier.classify_batch(TEXTS)
    assert model.predict(TEXTS).tolist() == [each.intent for each in predictions]
    assert model.in_scope(TEXTS).tolist() == [each.in_scope for each in predictions]
    margins = model.decision_function(TEXTS)
    assert (margins >= model.artifact.threshold).tolist() == model.in_scope(TEXTS).tolist()
    probabilities = model.predict_proba(TEXTS)
    assert probabilities.shape == (len(TEXTS), len(UTTERANCES))
    assert probabilities.max(axis=1) == pytest.approx([each.confidence for each in predictions])


def test_it_learns(model: Trained) -> None:
    assert model.evaluate(TEXTS, INTENTS).accuracy > 0.9
    assert [record.epoch for record in model.history] == [1, 2, 3]
    assert model.artifact.size <= 6 << 10
    assert model.finished
    assert "of validation right" in repr(model)


def test_no_texts_get_no_answers(model: Trained) -> None:
    assert model.predict([]).shape == (0,)
    assert model.predict_proba([]).shape == (0, len(UTTERANCES))
    assert model.decision_function([]).shape == model.in_scope([]).shape == (0,)


@pytest.mark.parametrize("texts", [["lights on", None], ["lights on", 3]])
def test_what_is_no_text_gets_no_answer(texts: list[Any], model: Trained) -> None:
    with pytest.raises(DataError, match=r"texts\[1\] is of type"):
        model.predict(texts)


def test_the_same_seed_gives_the_same_artifact_from_the_command_line(tmp_path: Path) -> None:
    """But for the provenance, which names files."""
    rows = [f"{text},{intent}" for text, intent in zip(TEXTS, INTENTS, strict=True)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,intent", *rows]))
    words = [f"--set={name}={value}" for name, value in SETTINGS.items()]
    words += ["--set=network.widths=8", "--set=projection.functions=4", "--trainer=none"]
    command = ["-m", "neuralbits", "train", "--train=texts.csv", "--output=a.safetensors", *words]
    subprocess.run(
        [sys.executable, *command, "--set=projection.stride=4"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    widths = {"network.widths": 8, "projection.functions": 4, "projection.stride": 4}
    mine = fit(settings=widths)
    theirs = neuralbits.load(tmp_path / "a.safetensors")
    assert (mine.classifier.scores(TEXTS) == theirs.scores(TEXTS)).all()
    assert mine.classifier.manifest.threshold == theirs.manifest.threshold


def test_what_is_saved_is_loaded_and_reported(model: Trained, tmp_path: Path) -> None:
    model.save(tmp_path / "mine.safetensors")
    loaded = neuralbits.load(tmp_path / "mine.safetensors")
    assert loaded.manifest == model.classifier.manifest
    report = model.report(tmp_path / "mine.html")
    assert report is model.summary
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"mine.safetensors", "mine.html", "mine.metrics.json", "mine.md"}
    assert "mine.safetensors" in (tmp_path / "mine.md").read_text()


def test_an_lstm_is_measured_when_a_report_is_asked_for() -> None:
    small = {f"trainer.{name}": 16 for name in ("embedding", "hidden")} | {"trainer.buckets": 64}
    model = fit(trainer="lstm", settings=small)
    assert model.summary.trainer is not None
    assert model.summary.trainer.name == "lstm"


def test_the_figures_are_shown_in_a_notebook(model: Trained) -> None:
    measured = model.evaluate([*TEXTS, "who is the pope"], [*INTENTS, "oos"])
    assert measured.out_of_scope is not None
    assert f"accuracy: {measured.accuracy:.2%}" in str(measured)
    page = measured._repr_html_()
    assert f"<td>{measured.accuracy:.2%}</td>" in page
    assert "recall of" in page


class Watcher(Observer):
    def __init__(self, act: Callable[[], None] = lambda: None) -> None:
        self.records: list[EpochRecord] = []
        self._act = act

    def end_epoch(self, record: EpochRecord) -> None:
        self.records.append(record)
        self._act()


def test_it_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    fit()
    assert capfd.readouterr() == ("", "")


def test_progress_is_shown_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    fit(progress=True)
    output, errors = capfd.readouterr()
    assert output == ""
    assert "epoch   3/3" in errors


def test_an_observer_sees_each_epoch() -> None:
    watcher = Watcher()
    assert fit(progress=watcher).history == tuple(watcher.records)


def test_stopped_from_elsewhere_it_keeps_what_it_has() -> None:
    stop = threading.Event()
    model = fit(stop=stop, progress=Watcher(stop.set))
    assert len(model.history) == 1
    assert not model.finished
    assert set(model.predict(TEXTS)) <= set(UTTERANCES)


def test_stopped_in_the_first_epoch_there_is_nothing_to_keep() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(ValueError, match="stopped before there was a network to keep"):
        fit(stop=stop)


def test_threads_get_what_one_alone_gets_and_the_process_is_as_it_was() -> None:
    threads, drawn = torch.get_num_threads(), torch.get_rng_state()
    small = {"trainer.embedding": 16, "trainer.hidden": 16, "trainer.buckets": 64}
    alone = fit(trainer="lstm", settings=small).artifact.digest
    with ThreadPoolExecutor(2) as executor:
        both = [executor.submit(fit, trainer="lstm", settings=small) for _ in range(2)]
        assert {each.result().artifact.digest for each in both} == {alone}
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), drawn)


def test_what_is_found_is_in_the_findings_and_in_one_warning() -> None:
    with pytest.warns(DataWarning) as warned:
        model = fit([*TEXTS, TEXTS[0], None], [*INTENTS, INTENTS[0], "turn_on"])
    assert len(warned) == 1
    assert warned[0].filename == __file__
    whats = {finding.what: finding.lines for finding in model.findings}
    assert whats["duplicates"] == (len(TEXTS) + 1,)
    assert whats["rows without text"] == (len(TEXTS) + 2,)
    assert all(str(finding) in str(warned[0].message) for finding in model.findings)


@pytest.mark.parametrize(
    ("texts", "intents", "options", "sentence"),
    [
        (["lights on"], ["on"], {}, "has 1 intent, and a classifier needs at least 2"),
        ([], [], {}, "texts holds no examples"),
        (TEXTS, INTENTS[1:], {}, "there are 28 texts and 27 intents; give one intent"),
        ("lights on", INTENTS, {}, "texts: give a list, not a single str"),
        (TEXTS, None, {}, "there are 28 texts and 0 intents"),
        (TEXTS, 3, {}, "intents: give a list, not a single int"),
        ([1, 2, 3], ["a", "b", "c"], {}, "line 1: the text is of type int: write it as a string"),
        (TEXTS, [0.5] * 28, {}, 'the intent is the number 0.5: write it as a string, "0.5"'),
        (TEXTS, [True] * 28, {}, "the intent is the boolean true"),
        ([float("nan")] * 28, INTENTS, {}, "line 1: no text"),
        ([""] * 28, INTENTS, {}, "28 of 28 rows can't be used"),
        (TEXTS, [None] * 28, {}, "line 1: no intent"),
        (TEXTS, ["a\nb"] * 28, {}, "holds a control character, U.000A"),
        (TEXTS, INTENTS, {"validation": TEXTS}, "validation: give a pair"),
        (TEXTS, INTENTS, {"out_of_scope": []}, "out_of_scope holds no examples"),
        (TEXTS, INTENTS, {"unlabelled": "log"}, "unlabelled: give a list"),
        (TEXTS, INTENTS, {"trainer": "gru"}, "there is no trainer 'gru'"),
        (TEXTS, INTENTS, {"trainer": "encoder"}, "--trainer encoder needs --encoder"),
        (TEXTS, INTENTS, {"transfer": STRANGE}, "--transfer goes with --trainer encoder"),
        (TEXTS, INTENTS, {"base": "none.safetensors"}, "none.safetensors"),
        (TEXTS, INTENTS, {"max_size": "big"}, "write one like 64KiB"),
        (TEXTS, INTENTS, {"max_size": 100}, "allow at least"),
        (TEXTS, INTENTS, {"seed": -1}, "seed is -1"),
        (TEXTS, INTENTS, {"max_false_rejects": 2}, "max_false_rejects is 2"),
        (TEXTS, INTENTS, {"settings": {"epoch": 3}}, "there is no 'epoch'"),
    ],
)
def test_what_cannot_be_used_is_a_value_error_of_one_sentence(
    texts: Any, intents: Any, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence) as error:
        fit(texts, intents, **options)
    assert isinstance(error.value, NeuralbitsError)
    assert "\n" not in str(error.value)


def test_a_setting_of_another_type_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"epochs=2\.5"):
        fit(settings={"epochs": 2.5})


def test_whole_numbers_are_intents() -> None:
    numbers = np.array([list(UTTERANCES).index(intent) for intent in INTENTS])
    assert set(fit(TEXTS, numbers, settings={"epochs": 1}).labels) == set("012345")


def test_validation_is_held_out_unless_it_is_given() -> None:
    model = fit(validation=(TEXTS[:10], INTENTS[:10]), settings={"epochs": 1})
    assert model.evaluation["validation"].examples == 10


@pytest.mark.parametrize("module", [fitting, trained])
def test_the_examples_print_what_they_show(module: Any) -> None:
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


def test_offering_fit_loads_nothing_that_training_needs() -> None:
    script = (
        "import sys, neuralbits; neuralbits.fit\n"
        "print({'numpy', 'torch', 'sklearn', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_without_torch_the_error_names_the_extra() -> None:
    script = (
        "import sys, neuralbits\n"
        "class Missing:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'torch': raise ModuleNotFoundError(name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "try: neuralbits.fit(['a', 'b', 'c', 'd'], ['x', 'y', 'x', 'y'])\n"
        "except neuralbits.errors.MissingExtraError as error: print(error)"
    )
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "this needs torch: pip install 'neuralbits[train]'\n", done.stderr
