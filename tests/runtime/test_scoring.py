"""Batch jobs, run in separate processes so that tests can kill them."""

import csv
import importlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import threadpoolctl

import neuralbits
from neuralbits import scoring, table_writers
from neuralbits.errors import ForeignFileError, NeuralbitsError
from neuralbits.scoring import Progress, ScoringError, score
from neuralbits.tables import TableError
from tests.support.homes import UTTERANCES
from tests.support.waiting import until

FORMATS = ["csv", "tsv", "jsonl", "parquet"]
TEXTS = [text for texts in UTTERANCES.values() for text in texts]

# A job with small chunks and many checkpoints. Its standard output is one line of JSON an event.
JOB = """
import json, math, multiprocessing, os, resource, signal, sys, threading, time
from pathlib import Path
from neuralbits import scoring, table_writers

table_writers._ROW_GROUP_BYTES = 1 << 20
scoring._CHUNK_ROWS, scoring._CHECKPOINT_SECONDS = 64, 0.0
artifact, source, destination, options = *sys.argv[1:4], json.loads(sys.argv[4])
# The tests themselves may run in a shell's background, where Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

def tell(**event):
    print(json.dumps(event), flush=True)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def progress(now, calls=[]):
    tell(rows=now.rows, workers=[worker.pid for worker in multiprocessing.active_children()])
    calls.append(now)
    if len(calls) == options.get("die_after"):
        threading.Timer(options["die_in"], die).start()
    if len(calls) >= options.get("die_after", math.inf) + 2:
        time.sleep(600)  # it dies before it ends, however late the timer is
    time.sleep(options.get("slow", 0))

def dying(method, calls=[]):
    def call(*args, **kwargs):
        calls.append(method)
        if len(calls) == options["die_at_step"]:
            die()
        return method(*args, **kwargs)
    return call

if "die_at_step" in options:
    Path.replace, Path.unlink = dying(Path.replace), dying(Path.unlink)
if "largest_file" in options:
    resource.setrlimit(resource.RLIMIT_FSIZE, (options["largest_file"],) * 2)
try:
    summary = scoring.score(
        artifact,
        sys.stdin.buffer if source == "-" else source,
        destination,
        workers=options.get("workers", 2),
        progress=progress,
        input_format=options.get("input_format"),
    )
    status = Path("/proc/self/status")
    words = status.read_text().split() if status.exists() else ["VmHWM:", "0"]
    peak = int(words[words.index("VmHWM:") + 1]) // 1024
    tell(done=summary.rows, rejected=summary.rejected, resumed=summary.resumed_from, peak=peak)
except scoring.ScoringError as error:
    tell(error=str(error))
except KeyboardInterrupt:
    tell(stopped=True)
"""


class Job:
    """A job in a process; the context manager leaves no process behind."""

    def __init__(self, artifact: Path, source: Path | str, destination: Path, **options: Any):
        command = [sys.executable, "-c", JOB, artifact, source, destination, json.dumps(options)]
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout
        self.events = (json.loads(line) for line in self.process.stdout)

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def next(self) -> dict[str, Any]:
        return dict(next(self.events))

    def result(self, stdin: str = "") -> dict[str, Any]:
        """Return the last event."""
        lines, errors = self.process.communicate(stdin)
        assert errors == ""
        return dict(json.loads(lines.splitlines()[-1]))


def run(artifact: Path, source: Path | str, destination: Path, **options: Any) -> dict[str, Any]:
    stdin = options.pop("stdin", "")
    with Job(artifact, source, destination, **options) as job:
        return job.result(stdin)


def utterances(path: Path, rows: int, width: int = 0) -> Path:
    """Write a CSV of utterances; some records have two lines, and some are broken."""
    pick = random.Random(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "text", "note"])
        for row in range(rows):
            writer.writerow([row, f"{pick.choice(TEXTS)} {row % 97}", 'x, "y"\n' + "z" * width])
            if row % 50 == 49:
                file.write("broken\n")
    return path


def convert(path: Path, ending: str) -> Path:
    """Write the readable records as a table of another format."""
    converted = path.with_suffix(ending)
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["text"]]
    if ending == ".jsonl":
        converted.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif ending == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), converted, row_group_size=500)
    return converted


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for the output, with the input beside it and not in it."""
    folder = tmp_path / "output"
    folder.mkdir()
    return folder


@pytest.fixture
def uninterrupted(tmp_path: Path) -> Path:
    """A folder for a job that isn't interrupted."""
    (tmp_path / "uninterrupted").mkdir()
    return tmp_path / "uninterrupted"


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A folder for a job that is."""
    (tmp_path / "killed").mkdir()
    return tmp_path / "killed"


# The output of a job


def test_rows_keep_their_order_and_columns_and_get_the_classifiers_predictions(
    artifact_path: Path, classifier: neuralbits.Classifier, folder: Path
) -> None:
    source = utterances(folder.parent / "in.csv", 130)
    summary = score(artifact_path, source, folder / "out.csv", workers=2)
    with (folder / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [str(number) for number in range(130)]
    assert rows[0].keys() == {"id", "text", "note", "intent", "confidence", "in_scope"}
    for row in rows:
        prediction = classifier.classify(row["text"])
        assert row["note"] == 'x, "y"\n'
        assert row["intent"] == prediction.intent
        assert float(row["confidence"]) == prediction.confidence
        assert row["in_scope"] == ("true" if prediction.in_scope else "false")
    assert (summary.rows, summary.rejected, summary.resumed_from) == (130, 2, 0)


def test_the_rejects_have_the_line_and_the_reason_of_each_record(
    artifact_path: Path, folder: Path
) -> None:
    source = folder.parent / "in.jsonl"
    odd = (
        'broken\n{"text": null}\n{"other": 1}\n{"text": 5}\n\n'
        '{"text": "a", "in_scope": 1}\n{"text": "b", "x": 1e999}\n{"text": ""}\n'
    )
    source.write_text('{"text": "lights on"}\n' * 1000 + odd)
    summary = score(artifact_path, source, folder / "out.jsonl", workers=1)
    assert (summary.rows, summary.rejected) == (1001, 7)
    assert summary.rejects == folder / "out.jsonl.rejects.jsonl"
    rejects = [json.loads(line) for line in summary.rejects.read_text().splitlines()]
    assert [(reject["line"], reject["reason"].partition(":")[0]) for reject in rejects] == [
        (1001, "the JSON is broken"),
        (1002, "the column 'text' is null"),
        (1003, "the record has no column 'text'"),
        (1004, "the column 'text' has a value of type int"),
        (1005, "the line is blank"),
        (1006, "the record already has a column 'in_scope'"),
        (1007, "Out of range float values are not JSON compliant"),
    ]
    assert [reject["raw"] for reject in rejects][:2] == ["broken", '{"text": null}']


def test_a_job_without_rejects_leaves_only_the_output(artifact_path: Path, folder: Path) -> None:
    source = folder.parent / "in.csv"
    source.write_text("text\nlights on\n")
    (folder / "out.csv").write_text("of an earlier job")
    (folder / "out.csv.rejects.jsonl").write_text("of an earlier job")
    output = folder / "out.csv"
    assert score(artifact_path, source, output, workers=1, overwrite=True).rejects is None
    assert files(folder).keys() == {"out.csv"}
    assert (
        (folder / "out.csv").read_text().startswith("text,intent,confidence,in_scope\nlights on,")
    )


@pytest.mark.parametrize("ending", FORMATS)
def test_a_table_without_rows_gives_a_table_without_rows(
    artifact_path: Path, folder: Path, ending: str
) -> None:
    source = folder.parent / "in.csv"
    source.write_text("text\n")
    output = folder / f"out.{ending}"
    assert score(artifact_path, source, output, workers=1).rows == 0
    if ending == "parquet":
        assert pyarrow.parquet.read_table(output).schema.names[0] == "text"
    else:
        assert output.read_text().count("\n") == (ending != "jsonl")


def test_parquet_keeps_the_types_of_the_other_columns(artifact_path: Path, folder: Path) -> None:
    table = pyarrow.table(
        {
            "when": pyarrow.array([1, 2, 3], pyarrow.timestamp("ns", "UTC")),
            "text": pyarrow.array(["lights on", None, "lights off"], pyarrow.large_string()),
            "nested": [{"a": 1}, None, {"a": 2}],
        }
    )
    pyarrow.parquet.write_table(table, folder.parent / "in.parquet")
    score(artifact_path, folder.parent / "in.parquet", folder / "out.parquet", workers=1)
    scored = pyarrow.parquet.read_table(folder / "out.parquet")
    assert scored.select(["when", "text", "nested"]).equals(table.take([0, 2]))
    assert scored["intent"].to_pylist() == ["turn_on", "turn_off"]
    assert scored.schema.field("confidence").type == pyarrow.float64()
    assert scored.schema.field("in_scope").type == pyarrow.bool_()


def test_a_whole_batch_of_parquet_may_be_rejected(artifact_path: Path, folder: Path) -> None:
    table = pyarrow.table({"text": pyarrow.array([None, None], pyarrow.string())})
    pyarrow.parquet.write_table(table, folder.parent / "in.parquet")
    summary = score(artifact_path, folder.parent / "in.parquet", folder / "out.parquet", workers=1)
    assert (summary.rows, summary.rejected) == (0, 2)
    assert pyarrow.parquet.read_table(folder / "out.parquet").num_rows == 0


def test_json_values_become_typed_columns_of_parquet(artifact_path: Path, folder: Path) -> None:
    source = folder.parent / "in.jsonl"
    source.write_text('{"text": "lights on", "n": 1, "x": 0.5, "b": true, "l": [1]}\n')
    score(artifact_path, source, folder / "out.parquet", workers=1)
    [row] = pyarrow.parquet.read_table(folder / "out.parquet").to_pylist()
    assert [row[name] for name in "nxbl"] == [1, 0.5, True, "[1]"]


def test_progress_is_reported_up_to_the_whole(artifact_path: Path, folder: Path) -> None:
    source = utterances(folder.parent / "in.csv", 3000)
    told: list[Progress] = []
    score(artifact_path, source, folder / "out.jsonl", workers=1, progress=told.append)
    assert [now.rows for now in told] == sorted({now.rows for now in told})
    assert told[-1] == Progress(rows=3000, rejected=60, fraction=1.0)
    assert len(told) == 3


def blas_threads() -> set[int]:
    importlib.import_module("numpy")
    return {library["num_threads"] for library in threadpoolctl.threadpool_info()}


def test_each_worker_uses_one_thread(
    artifact_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    before = dict(os.environ)
    setup = scoring._Setup(str(artifact_path), "", table_writers.JsonLinesWriter(), "text", ())
    with scoring._pool(1, setup) as pool:
        assert pool.submit(blas_threads).result() == {1}
    assert dict(os.environ) == before


# Errors before a job starts


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"text_column": "utterance"}, "has no column 'utterance', only 'text', 'intent'"),
        ({}, "already has a column 'intent'"),
    ],
)
def test_a_wrong_column_is_refused_before_the_work_begins(
    artifact_path: Path, folder: Path, options: dict[str, Any], sentence: str
) -> None:
    source = folder.parent / "in.csv"
    source.write_text("text,intent\nlights on,turn_on\n")
    with pytest.raises(NeuralbitsError, match=sentence):
        score(artifact_path, source, folder / "out.csv", **options)
    assert files(folder) == {}
    score(artifact_path, source, folder / "out.csv", prefix="predicted_", workers=1)
    assert (folder / "out.csv").read_text().startswith("text,intent,predicted_intent,predicted_con")


def test_an_output_that_cannot_be_written_is_refused_before_the_work_begins(
    artifact_path: Path, folder: Path
) -> None:
    source = utterances(folder / "in.csv", 1)
    with pytest.raises(ScoringError, match="is the input: name another output"):
        score(artifact_path, source, source)
    with pytest.raises(ScoringError, match="there is no folder"):
        score(artifact_path, source, folder / "none" / "out.csv")
    with pytest.raises(TableError, match=r"a table's name must end in \.csv"):
        score(artifact_path, source, folder / "out.xlsx")
    with pytest.raises(
        ScoringError, match=r"can't write a compressed table, .*out\.csv\.gz: leave out"
    ):
        score(artifact_path, source, folder / "out.csv.gz")
    with pytest.raises(neuralbits.ArtifactError, match=r"none\.safetensors"):
        score(folder / "none.safetensors", source, folder / "out.csv")
    assert files(folder).keys() == {"in.csv"}


def test_standard_input_needs_a_format(artifact_path: Path, folder: Path) -> None:
    with (
        utterances(folder / "in.csv", 1).open("rb") as stream,
        pytest.raises(ScoringError, match="--format"),
    ):
        score(artifact_path, stream, folder / "out.csv")


# Interrupted jobs


def interrupt(artifact: Path, source: Path | str, destination: Path, **options: Any) -> int:
    """Run a job that is killed soon after a checkpoint, and return how many rows that counts."""
    stdin = options.pop("stdin", "")
    options = {"die_after": 1, "die_in": 0, "slow": 0.002, **options}
    with Job(artifact, source, destination, **options) as job:
        lines, _ = job.process.communicate(stdin)
        assert job.process.returncode == -signal.SIGKILL
    assert not destination.exists()
    return int(json.loads(lines.splitlines()[-1])["rows"])


@pytest.mark.parametrize(
    ("source", "output"),
    [*(("file", output) for output in FORMATS), ("-", "csv"), ("-", "parquet")],
)
def test_a_job_that_is_killed_repeatedly_makes_the_same_files(
    artifact_path: Path, uninterrupted: Path, killed: Path, source: str, output: str
) -> None:
    table = utterances(uninterrupted.parent / "in.csv", 1500)
    options: dict[str, Any] = {"input_format": "csv"}
    if source == "-":
        options["stdin"] = table.read_text()
    given = table if source == "file" else source
    result = run(artifact_path, given, uninterrupted / f"out.{output}", **options)
    assert (result["done"], result["rejected"]) == (1500, 30)

    moment = random.Random(output)
    reached = [
        interrupt(
            artifact_path,
            given,
            killed / f"out.{output}",
            die_after=moment.randint(1, 4),
            die_in=moment.uniform(0, 0.02),
            **options,
        )
        for _ in range(3)
    ]
    assert reached == sorted(set(reached))

    result = run(artifact_path, given, killed / f"out.{output}", **options)
    assert result["done"] == 1500
    assert result["resumed"] >= reached[-1]
    assert files(killed) == files(uninterrupted)


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_a_job_on_any_format_resumes(
    artifact_path: Path, uninterrupted: Path, killed: Path, ending: str
) -> None:
    table = convert(utterances(uninterrupted.parent / "in.csv", 1500), ending)
    run(artifact_path, table, uninterrupted / "out.parquet")
    interrupt(artifact_path, table, killed / "out.parquet")
    assert run(artifact_path, table, killed / "out.parquet")["resumed"] > 0
    assert files(killed) == files(uninterrupted)
    assert pyarrow.parquet.read_table(killed / "out.parquet").num_rows == 1500


@pytest.mark.parametrize("output", ["csv", "parquet"])
def test_a_job_killed_while_it_publishes_is_published_by_the_next_run(
    artifact_path: Path, uninterrupted: Path, killed: Path, output: str
) -> None:
    table = utterances(uninterrupted.parent / "in.csv", 100)
    run(artifact_path, table, uninterrupted / f"out.{output}", workers=1)
    for step in range(1, {"csv": 3, "parquet": 4}[output] + 1):
        destination = killed / f"out.{output}"
        with Job(artifact_path, table, destination, die_at_step=step, workers=1) as job:
            assert job.process.wait() == -signal.SIGKILL
        result = run(artifact_path, table, destination)
        assert (result["done"], result["rejected"], result["resumed"]) == (100, 2, 102)
        assert files(killed) == files(uninterrupted)
        for path in killed.iterdir():
            path.unlink()


def test_bytes_after_the_last_checkpoint_are_cut_off(
    artifact_path: Path, uninterrupted: Path, killed: Path
) -> None:
    table = utterances(uninterrupted.parent / "in.csv", 1500)
    run(artifact_path, table, uninterrupted / "out.csv")
    interrupt(artifact_path, table, killed / "out.csv")
    for ending, torn in (
        (".partial", b"half a r"),
        (".rejects.partial", b'{"line": 1'),
        (".journal", b'{"position": {"line": 900, "off'),
    ):
        with (killed / f"out.csv{ending}").open("ab") as file:
            file.write(torn)
    run(artifact_path, table, killed / "out.csv")
    assert files(killed) == files(uninterrupted)


def test_an_interrupted_job_resumes_only_with_the_same_settings(
    artifact_path: Path, folder: Path
) -> None:
    source = utterances(folder.parent / "in.csv", 1500)
    output = folder / "out.csv"
    interrupt(artifact_path, source, output)
    with pytest.raises(ScoringError, match=r"a different settings: .* pass --restart"):
        score(artifact_path, source, output, prefix="new_")
    os.utime(source, (1, 1))
    with pytest.raises(ScoringError, match="a different input: "):
        score(artifact_path, source, output)
    summary = score(artifact_path, source, output, restart=True, workers=1)
    assert (summary.rows, summary.resumed_from) == (1500, 0)


def test_a_job_on_a_pipe_does_not_resume_with_other_content(
    artifact_path: Path, folder: Path
) -> None:
    table = utterances(folder.parent / "in.csv", 1500).read_text()
    options: dict[str, Any] = {"input_format": "csv"}
    interrupt(artifact_path, "-", folder / "out.csv", stdin=table, **options)
    other = table.replace("\n0,", "\n1500,")
    result = run(artifact_path, "-", folder / "out.csv", stdin=other, **options)
    assert "the input isn't the one that the interrupted job read" in result["error"]
    result = run(artifact_path, "-", folder / "out.csv", stdin=table, **options)
    assert result["done"] == 1500


def test_a_lost_or_damaged_file_of_an_interrupted_job_is_refused(
    artifact_path: Path, folder: Path
) -> None:
    source = utterances(folder.parent / "in.csv", 1500)
    interrupt(artifact_path, source, folder / "out.csv")
    partial = folder / "out.csv.partial"
    content = partial.read_bytes()
    partial.write_bytes(content.replace(b"turn", b"burn"))
    with pytest.raises(ScoringError, match=r"out\.csv\.partial was changed: pass --restart"):
        score(artifact_path, source, folder / "out.csv")
    partial.unlink()
    with pytest.raises(ScoringError, match=r"out\.csv\.partial was cut short: pass --restart"):
        score(artifact_path, source, folder / "out.csv")
    assert score(artifact_path, source, folder / "out.csv", restart=True, workers=1).rows == 1500


def damaged(lines: list[bytes]) -> dict[str, list[bytes]]:
    """Return damaged journals by the kind of damage."""
    last = json.loads(lines[-1])
    other = [
        json.dumps({**last, "entry": last["entry"] | change}).encode()
        for change in (
            {"complete": True},
            {"position": {"line": 1, "offset": 4, "digest": ""}},
            {"output_bytes": "many"},
            {"rows": None},
        )
    ]
    return {
        "an edited entry": [lines[0], other[0]],
        "another offset": [*lines[:-1], other[1]],
        "another type": [*lines[:-1], other[2]],
        "a null": [*lines[:-1], other[3]],
        "an empty object": [*lines, lines[0].partition(b'"sum"')[0] + b'"x": 1}'],
        "a missing line": [lines[0], *lines[2:]],
        "a repeated line": [*lines, lines[-1]],
        "another order": [lines[0], *lines[:0:-1]],
        "text": [*lines, b"text"],
        "bytes": [*lines, b"\xff\0"],
    }


def test_a_damaged_journal_is_refused_and_discarded_by_restart(
    artifact_path: Path, folder: Path
) -> None:
    source = utterances(folder.parent / "in.csv", 1500)
    output = folder / "out.csv"
    interrupt(artifact_path, source, output, die_after=4)
    journal = folder / "out.csv.journal"
    lines = journal.read_bytes().splitlines()
    assert len(lines) > 3
    for what, other in damaged(lines).items():
        journal.write_bytes(b"\n".join(other) + b"\n")
        with pytest.raises(ScoringError, match=r"journal is damaged: pass --restart to discard it"):
            score(artifact_path, source, output)
        assert journal.exists(), what
    assert score(artifact_path, source, output, restart=True, workers=1).rows == 1500


SIDES = ["out.csv.journal", "out.csv.partial", "out.csv.rejects.partial", "out.csv.merged"]


@pytest.mark.parametrize("name", [*SIDES, "out.csv", "out.csv.rejects.jsonl"])
@pytest.mark.parametrize("content", ["mine", "{}\n"])
def test_a_file_of_the_user_is_not_replaced(
    name: str, content: str, artifact_path: Path, folder: Path
) -> None:
    source = utterances(folder.parent / "in.csv", 10)
    (folder / name).write_text(content)
    for restart in (False, True):
        with pytest.raises(ForeignFileError, match=name):
            score(artifact_path, source, folder / "out.csv", workers=1, restart=restart)
        assert files(folder) == {name: content.encode()}


@pytest.mark.parametrize("name", [*SIDES, "out.csv", "out.csv.rejects.jsonl"])
@pytest.mark.parametrize("target", ["precious", "none"])
def test_no_link_is_followed(name: str, target: str, artifact_path: Path, folder: Path) -> None:
    source = utterances(folder.parent / "in.csv", 10)
    (folder.parent / "precious").write_text("mine")
    (folder / name).symlink_to(folder.parent / target)
    with pytest.raises(ForeignFileError, match=name):
        score(artifact_path, source, folder / "out.csv", workers=1)
    if name in SIDES:
        with pytest.raises(ForeignFileError, match=name):
            score(artifact_path, source, folder / "out.csv", workers=1, overwrite=True)
    assert (folder.parent / "precious").read_text() == "mine"
    assert not (folder.parent / "none").exists()
    assert [path.name for path in folder.iterdir()] == [name]


def test_a_file_that_appears_while_a_job_runs_is_not_replaced(
    artifact_path: Path, folder: Path
) -> None:
    source = utterances(folder.parent / "in.csv", 100)
    output = folder / "out.csv"
    with pytest.raises(ForeignFileError, match=r"out\.csv isn't as neuralbits wrote it"):
        score(
            artifact_path, source, output, workers=1, progress=lambda _: output.write_text("mine")
        )
    assert output.read_text() == "mine"
    output.unlink()
    assert score(artifact_path, source, output, workers=1).resumed_from == 102


def test_two_jobs_cannot_write_the_same_output(artifact_path: Path, folder: Path) -> None:
    source = utterances(folder.parent / "in.csv", 1500)
    with Job(artifact_path, source, folder / "out.csv", slow=600) as job:
        job.next()
        with pytest.raises(ScoringError, match="another process is writing"):
            score(artifact_path, source, folder / "out.csv", restart=True)


def test_ctrl_c_stops_without_a_traceback_and_the_same_command_resumes(
    artifact_path: Path, folder: Path
) -> None:
    source = utterances(folder.parent / "in.csv", 1500)
    with Job(artifact_path, source, folder / "out.csv", slow=600) as job:
        job.next()
        os.killpg(job.process.pid, signal.SIGINT)
        assert job.result() == {"stopped": True}
    assert not (folder / "out.csv").exists()
    result = run(artifact_path, source, folder / "out.csv")
    assert result["done"] == 1500
    assert result["resumed"] > 0


def test_a_worker_that_dies_is_one_sentence_and_the_same_command_resumes(
    artifact_path: Path, folder: Path
) -> None:
    source = utterances(folder.parent / "in.csv", 1500)
    with Job(artifact_path, source, folder / "out.csv", slow=1) as job:
        os.kill(job.next()["workers"][0], signal.SIGKILL)
        assert job.result() == {
            "error": "a worker process died or was killed: rerun the same command to resume"
        }
    assert run(artifact_path, source, folder / "out.csv")["done"] == 1500


def test_no_worker_outlives_a_killed_job(artifact_path: Path, folder: Path) -> None:
    source = utterances(folder.parent / "in.csv", 1500)
    with Job(artifact_path, source, folder / "out.csv", slow=600) as job:
        workers = job.next()["workers"]
        assert len(workers) == 2
    until(lambda: not any(alive(worker) for worker in workers))


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not (status.exists() and ") Z " in status.read_text())  # ended, but not yet reaped


def test_a_full_disk_is_one_sentence_and_the_same_command_resumes(
    artifact_path: Path, folder: Path
) -> None:
    source = utterances(folder.parent / "in.csv", 1500)
    result = run(artifact_path, source, folder / "out.csv", largest_file=50_000)
    assert result["error"] == (
        f"{folder / 'out.csv'}: File too large: fix this, then rerun the same command to resume"
    )
    result = run(artifact_path, source, folder / "out.csv")
    assert result["done"] == 1500
    assert result["resumed"] > 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
def test_a_job_takes_the_same_memory_for_a_large_and_a_small_file(
    artifact_path: Path, folder: Path
) -> None:
    peaks = []
    for rows in (1_000, 4_000):
        source = utterances(folder.parent / f"{rows}.csv", rows, width=20_000)
        peaks.append(run(artifact_path, source, folder / f"{rows}.parquet")["peak"])
    assert peaks[1] - peaks[0] < 20  # MiB, where the files differ by 57
