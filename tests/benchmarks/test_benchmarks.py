"""The benchmark: its figures, its cached trainings, and its tables."""

import json
import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import neuralbits
from tests.support.homes import UTTERANCES
from tests.support.requirements import missing
from tests.support.waiting import LIMIT, until

pytest.importorskip("sklearn", reason="needs neuralbits[train]")
pytest.importorskip("torch", reason="needs neuralbits[train]")

import numpy as np

from benchmarks import __main__, figures, plan, tables, targets
from benchmarks.answering import Answers, microseconds_per_text
from benchmarks.figures import Figures
from benchmarks.measure import Worker, misspelt
from benchmarks.plan import System
from benchmarks.results import Results, Run
from benchmarks.targets import TARGETS, Target
from benchmarks.trainings import ROOT, BenchmarkError, Training, code_digest, run_all
from neuralbits.errors import NeuralbitsError
from neuralbits.files import locked
from neuralbits.model_training import data
from neuralbits.model_training.data import Examples
from neuralbits.model_training.evaluation.metrics import evaluate, out_of_scope
from neuralbits.model_training.settings import Settings

TEXTS = [text for texts in UTTERANCES.values() for text in texts]
INTENTS = [intent for intent, texts in UTTERANCES.items() for _ in texts]


# Figures.


@pytest.fixture
def probabilities() -> tuple[np.ndarray, np.ndarray]:
    """Return answers to 200 in-scope and 80 out-of-scope texts, for 4 intents."""
    random = np.random.default_rng(0)
    inside, outside = random.gumbel(size=(200, 4)) * 3, random.gumbel(size=(80, 4))
    a, b = (np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in (inside, outside))
    return a, b


def as_answers(probabilities: np.ndarray) -> Answers:
    intents = [str(each) for each in probabilities.argmax(axis=1)]
    highest = probabilities.max(axis=1).tolist()
    return Answers(intents, highest, highest)


def test_the_figures_are_those_of_the_evaluation(
    probabilities: tuple[np.ndarray, np.ndarray],
) -> None:
    inside, outside = probabilities
    labels = np.random.default_rng(1).integers(4, size=len(inside))
    rejection = out_of_scope(inside.max(axis=1), outside.max(axis=1), threshold=0.6)
    expected = evaluate(inside, labels, list("0123"), rejection)
    answers, intents = as_answers(inside), [str(label) for label in labels]
    assert figures.accuracy(answers, intents) == pytest.approx(expected.accuracy)
    assert figures.expected_calibration_error(answers, intents) == pytest.approx(
        expected.expected_calibration_error
    )
    rates = figures.out_of_scope(answers, as_answers(outside), threshold=0.6)
    assert expected.out_of_scope is not None
    for name, value in rates._asdict().items():
        assert value == pytest.approx(getattr(expected.out_of_scope, name)), name


def test_a_models_decision_takes_precedence_over_a_threshold() -> None:
    inside = Answers(["a"] * 4, [0.9] * 4, None, [True, True, True, False])
    outside = Answers(["a"] * 2, [0.8] * 2, None, [False, True])
    rates = figures.out_of_scope(inside, outside, threshold=0.0)
    assert (rates.oos_recall, rates.false_reject_rate) == (0.5, 0.25)


def test_margins_have_no_calibration_error() -> None:
    assert figures.expected_calibration_error(Answers(["a"], [1.5]), ["a"]) is None


def test_the_timing_calls_one_by_one_then_all_at_once() -> None:
    calls: list[int] = []
    times = microseconds_per_text(lambda texts: calls.append(len(texts)), ["text"] * 50)
    assert calls == [1] * (20 + 50) + [50] * 5
    assert times.keys() == {"single", "batched"}


def test_every_system_gets_the_same_typos() -> None:
    examples = Examples(tuple(TEXTS), tuple(INTENTS), tuple(range(len(TEXTS))))
    texts = misspelt(examples)
    assert texts == misspelt(examples)
    assert len(texts) == len(TEXTS)
    assert sum(a != b for a, b in zip(texts, TEXTS, strict=True)) > 0.9 * len(TEXTS)


# The systems.


def system(output: Path, *worker: str) -> System:
    return System("it", Training("it", (), output, ()), worker)


def test_neuralbits_answers_as_its_classifier_does(artifact_path: Path) -> None:
    command = (sys.executable, "-m", "benchmarks.neuralbits_worker", str(artifact_path))
    texts = [*TEXTS, "", "?!"]
    with Worker(system(artifact_path, *command)) as worker:
        assert worker.versions["neuralbits"] == neuralbits.__version__
        answers = worker.classify(texts)
        assert worker.ask("time", TEXTS).keys() == {"single", "batched"}
    expected = neuralbits.load(artifact_path).classify_batch(texts)
    assert answers.intents == [prediction.intent for prediction in expected]
    assert answers.confidences == [prediction.confidence for prediction in expected]
    assert answers.in_scope == [prediction.in_scope for prediction in expected]


def test_the_memory_is_the_workers_own(artifact_path: Path) -> None:
    here = bytearray(400 << 20)  # as large as a process that trains
    here[::4096] = b"1" * len(here[::4096])
    command = (sys.executable, "-m", "benchmarks.neuralbits_worker", str(artifact_path))
    with Worker(system(artifact_path, *command)) as worker:
        memory = worker.ask("memory", TEXTS)
    assert 0 <= memory["model"] < memory["peak"] < len(here) / 2


def test_a_worker_that_ends_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"^it: the process that answers for it has ended"):
        Worker(system(tmp_path, sys.executable, "-c", ""))


def baselines_python() -> Path:
    python = ROOT / ".venv-bench" / "bin" / "python"
    if not python.exists():
        command = "make .venv-bench/.installed"
        pytest.skip(missing("the environment of the baselines", command=command))
    return python


@pytest.mark.parametrize(
    "module", ["linear_svc", pytest.param("fasttext_baseline", marks=pytest.mark.long)]
)
def test_a_baseline_learns_and_answers(module: str, tmp_path: Path) -> None:
    """Fasttext needs the baselines' environment; scikit-learn is also in this one."""
    python = Path(sys.executable) if module == "linear_svc" else baselines_python()
    learn, model = tmp_path / "learn.json", tmp_path / "model"
    # fastText's settings ask for more than 32 texts.
    learn.write_text(json.dumps({"train": {"texts": TEXTS * 5, "intents": INTENTS * 5}}))
    run = (str(python), "-m", f"benchmarks.baselines.{module}")
    subprocess.run([*run, "train", str(learn), str(model), "0"], check=True, cwd=ROOT)
    with Worker(system(model, *run, "answer", str(model))) as worker:
        answers = worker.classify([*TEXTS, "", "zzz"])
    right = [a == b for a, b in zip(answers.intents, INTENTS, strict=False)]
    assert sum(right) > 0.9 * len(INTENTS)
    assert len(answers.scores) == len(TEXTS) + 2
    assert answers.in_scope is None
    if module == "fasttext_baseline":
        assert answers.confidences == answers.scores
        assert all(0 < confidence <= 1 for confidence in answers.scores)
    else:
        assert answers.confidences is None


# The plan.


def test_the_plain_network_has_the_papers_settings() -> None:
    settings = Settings().override(plan.PLAIN_SETTINGS)
    assert settings.projection.bits == 720
    assert settings.projection.functions == 60
    assert settings.projection.stride == 1
    assert settings.network.widths == ()
    assert settings.network.first_precision == "float"


def test_the_baselines_never_get_the_test_texts(tmp_path: Path, homes: data.TrainingData) -> None:
    planned = plan.systems(homes, 0, ["64KiB"], [], tmp_path, Path(sys.executable))
    (learn,) = tmp_path.iterdir()
    given = json.loads(learn.read_text())
    assert given["train"]["texts"] == list(homes.train.texts)
    assert given["validation"]["intents"] == list(homes.validation.intents)
    assert homes.test is not None
    assert not set(homes.test.texts) & {*given["train"]["texts"], *given["validation"]["texts"]}
    commands = {each.name: " ".join(each.training.command) for each in planned}
    assert str(learn) in commands[plan.FASTTEXT]
    assert str(learn) in commands[plan.LINEAR_SVC]
    assert f"--dataset {homes.name} --seed 0 --max-size 64KiB" in commands["neuralbits, 64KiB"]


def test_without_the_baselines_environment_the_plan_says_how_to_make_it(
    tmp_path: Path, homes: data.TrainingData
) -> None:
    with pytest.raises(BenchmarkError, match="`make bench` makes it"):
        plan.systems(homes, 0, ["64KiB"], [], tmp_path, tmp_path / "python")


@pytest.fixture
def homes(tmp_path_factory: pytest.TempPathFactory) -> data.TrainingData:
    """Training data of a home, with a test split of other texts."""
    folder = tmp_path_factory.mktemp("homes")
    rows = [f"{text},{intent}" for text, intent in zip(TEXTS, INTENTS, strict=True)]
    (folder / "train.csv").write_text("\n".join(["text,intent", *rows]))
    asked = [f"please {text} now,{intent}" for text, intent in zip(TEXTS, INTENTS, strict=True)]
    (folder / "test.csv").write_text("\n".join(["text,intent", *asked]))
    return data.from_files(folder / "train.csv", test=folder / "test.csv")


# The trainings.


def training(folder: Path, program: str, *inputs: str) -> Training:
    """Return a training that runs a Python program, whose ``argv[1]`` is the output."""
    command = (sys.executable, "-c", program, str(folder / "model.bin"))
    return Training("a model", command, folder / "model.bin", inputs, resume=("--resume",))


def run(*trainings: Training) -> str:
    """Run trainings; return what was shown."""
    shown = StringIO()
    with locked(trainings[0].output.parent) as lock:
        run_all(trainings, 2, lock, Console(file=shown, width=200))
    return shown.getvalue()


NOTE = "import sys; print('learning', file=sys.stderr); open(sys.argv[1], 'a').write('x')"


def test_a_finished_training_is_not_repeated_until_something_changes(tmp_path: Path) -> None:
    assert "a model | learning" in run(training(tmp_path, NOTE, "code 1"))
    assert run(training(tmp_path, NOTE, "code 1")) == "1 of 1 trainings are done already\n"
    assert (tmp_path / "model.bin").read_text() == "x"
    seconds = training(tmp_path, NOTE, "code 1").seconds
    assert seconds is not None
    assert 0 < seconds < 60

    (tmp_path / "model.checkpoint").touch()
    run(training(tmp_path, NOTE, "code 2"))
    assert (tmp_path / "model.bin").read_text() == "x"  # restarted, not appended to
    assert not (tmp_path / "model.checkpoint").exists()


def test_a_training_whose_output_is_gone_is_repeated(tmp_path: Path) -> None:
    run(training(tmp_path, NOTE))
    (tmp_path / "model.bin").unlink()
    run(training(tmp_path, NOTE))
    assert (tmp_path / "model.bin").exists()


def test_a_failed_training_names_its_log_and_is_repeated(tmp_path: Path) -> None:
    fails = training(tmp_path, "import sys; sys.exit('no more memory')")
    for _ in range(2):
        with pytest.raises(BenchmarkError, match=r"exit code 1 \(no more memory\); .*model\.log"):
            run(fails)
    assert fails.log.read_text() == "no more memory\n" * 2


BENCH = """
import sys
from pathlib import Path
from rich.console import Console
from benchmarks.trainings import Training, interruptible, run_all
from neuralbits.files import locked
output = Path(sys.argv[1])
program = '''
import os, signal, sys, time
if "--resume" in sys.argv:
    sys.exit()
with open(sys.argv[1], "w") as file:
    file.write(str(os.getpid()))
signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
print("learning", file=sys.stderr, flush=True)
time.sleep(600)
'''
training = Training("it", (sys.executable, "-c", program, str(output)), output, (), ("--resume",))
with interruptible(), locked(output.parent) as lock:
    run_all([training], 1, lock, Console(stderr=True))
"""


def wait_until_it_learns(process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None
    assert "0 of 1" in process.stderr.readline()
    assert "learning" in process.stderr.readline()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_resumes(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C sends SIGINT; make sends SIGTERM to its processes."""

    def start() -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", BENCH, str(tmp_path / "model.bin")]
        return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)

    process = start()
    wait_until_it_learns(process)
    with pytest.raises(NeuralbitsError, match="another process is using"), locked(tmp_path):
        pass
    process.send_signal(number)
    _, said = process.communicate(timeout=LIMIT)
    assert "the same command resumes" in said
    with locked(tmp_path):  # nothing is left running
        record = json.loads((tmp_path / "model.record.json").read_bytes())
    assert not record["finished"]

    process = start()
    process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    again = json.loads((tmp_path / "model.record.json").read_bytes())
    assert again["finished"]
    assert again["seconds"] > record["seconds"] > 0


def test_the_lock_outlives_a_benchmark_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BENCH, str(tmp_path / "model.bin")]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_until_it_learns(process)
    process.kill()
    process.communicate()
    with pytest.raises(NeuralbitsError, match="another process is using"), locked(tmp_path):
        pass
    os.kill(int((tmp_path / "model.bin").read_text()), signal.SIGKILL)

    def is_free() -> bool:
        try:
            with locked(tmp_path):
                return True
        except NeuralbitsError:
            return False

    until(is_free)


def test_changed_comments_and_docstrings_repeat_no_training(tmp_path: Path) -> None:
    versions = {
        "a.py": 'def f():\n    """Return it."""\n    return 1\n',
        "b.py": "def f():  # well\n    return (1)\n",
        "c.py": "def f():\n    return 2\n",
    }
    digests = {}
    for name, source in versions.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "f.py").write_text(source)
        digests[name] = code_digest(tmp_path / name)
    assert digests["a.py"] == digests["b.py"] != digests["c.py"]


# Results and tables.


def measured(accuracy: float = 0.9, **others: float) -> Figures:
    known = {
        "typo_accuracy": accuracy - 0.02,
        "typo_loss": 0.02,
        "expected_calibration_error": 0.01,
        "distance_from_trainer": 0.01,
        "bytes": 65000,
        "microseconds_single": 100.0,
        "microseconds_batched": 50.0,
        "peak_memory": 50 << 20,
        "model_memory": 1 << 20,
        "training_seconds": 100.0,
    }
    return Figures(accuracy=accuracy, **(known | others))  # type: ignore[arg-type]


def results(*runs: tuple[int, str, Figures]) -> Results:
    return Results(
        runs=[Run("snips", seed, name, each, {"numpy": "2.0"}) for seed, name, each in runs],
        datasets={"snips": {"intents": 7, "train": 100, "test": 10, "out-of-scope test": 0}},
        settings=[],
        conditions={"processor": "a fast one"},
    )


def test_seeds_are_combined_by_the_kind_of_figure() -> None:
    table = results(
        (0, "it", measured(0.90, bytes=100, microseconds_single=5.0)),
        (1, "it", measured(0.93, bytes=300, microseconds_single=6.0)),
        (2, "it", measured(0.93, bytes=200, microseconds_single=90.0)),
    )
    assert table.figure("snips", "it", "accuracy") == pytest.approx(0.92)
    assert table.spread("snips", "it", "accuracy") == pytest.approx(
        np.std([90, 93, 93], ddof=1) / 100
    )
    assert table.figure("snips", "it", "bytes") == 300
    assert table.figure("snips", "it", "microseconds_single") == 6.0
    assert table.figure("snips", "it", "oos_recall") is None
    assert table.figure("snips", "another", "accuracy") is None


def test_the_best_system_is_bold() -> None:
    table = results(
        (0, "neuralbits, 64KiB", measured(0.97, bytes=65_000)),
        (0, plan.LINEAR_SVC, measured(0.98, bytes=2_000_000)),
    )
    page = tables.markdown(table, trial=False)
    assert "| neuralbits, 64KiB | 97.00 |" in page
    assert "| TF-IDF + LinearSVC | **98.00** |" in page
    assert "| neuralbits, 64KiB | **65,000** |" in page
    assert "| TF-IDF + LinearSVC | 2,000,000 |" in page
    assert "trial" not in page
    assert "AUROC" not in page  # nothing of it was measured
    assert "100 train, 10 test\n" in page


def test_a_target_is_compared_before_rounding() -> None:
    page = tables.markdown(results((0, "neuralbits, 64KiB", measured(0.97999))), trial=True)
    assert "| accuracy, % | snips | 64KiB | 98.00 | ≥ 98.00 | **no** |" in page
    assert "| bytes | snips | 64KiB | 65,000 | ≤ 65,536 | yes |" in page
    assert "16KiB" not in page
    assert "**A trial" in page


def test_spreads_are_shown_for_several_seeds() -> None:
    runs = [(seed, "it", measured(accuracy)) for seed, accuracy in enumerate((0.90, 0.92))]
    assert "| it | **91.00 ± 1.41** |" in tables.markdown(results(*runs), trial=False)


def test_results_are_json() -> None:
    content = json.loads(json.dumps(results((0, "it", measured(oos_recall=0.8))).to_json()))
    assert content["schema"] == 1
    assert content["runs"][0]["figures"]["oos_recall"] == 0.8


def test_a_figure_equal_to_its_target_meets_it() -> None:
    assert Target("accuracy", "snips", "64KiB", least=0.98).met(0.98)
    assert not Target("accuracy", "snips", "64KiB", least=0.98).met(0.9799)
    assert Target("typo_loss", "snips", "64KiB", most=0.03).met(-0.01)
    assert not Target("typo_loss", "snips", "64KiB", most=0.03).met(0.031)


def test_every_target_has_a_row() -> None:
    assert {target.figure for target in TARGETS} <= tables.COLUMNS.keys()
    assert tables.COLUMNS.keys() <= set(Figures.__dataclass_fields__)
    assert {target.size for target in TARGETS} == {targets.LARGE, targets.SMALL}


# The command.


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--seeds", "0,one"], "benchmarks: --seeds 0,one: write whole numbers, such as 0,1,2"),
        (["--datasets", "mnist"], "benchmarks: --datasets mnist: 'mnist' is none of clinc150,"),
        (["--sizes", "big"], "benchmarks: 'big' isn't a size"),
        (["--set", "epoch=1"], "benchmarks: --set epoch=1: there is no 'epoch'"),
    ],
)
def test_a_wrong_argument_gives_a_one_line_error(
    options: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *options])
    with pytest.raises(SystemExit) as exit_:
        __main__.main()
    assert str(exit_.value).startswith(sentence)
    assert "\n" not in str(exit_.value)
