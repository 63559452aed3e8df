"""Outputs that can't be written give a one-line error with the file and the reason."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

LIMIT = 3000  # bytes a file may have, for a disk that is full


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text("text\n" + "turn on the lamp\n" * 500)
    return path


REPORT = """
import sys
from pathlib import Path
from neuralbits.errors import ending_in_a_sentence
from neuralbits.model_training.evaluation.report import write_report
from tests.model_training.evaluation.test_report import make_report
with ending_in_a_sentence("neuralbits"):
    write_report(make_report(), Path(sys.argv[1]), Path(sys.argv[2]))
"""


def commands(artifact: Path, table: Path, folder: Path) -> dict[str, list[str]]:
    """Return a command for each kind of output, by its first output file."""
    command = [sys.executable, "-m", "neuralbits"]
    return {
        "out.csv": [*command, "score", str(artifact), str(table), str(folder / "out.csv")],
        "out.parquet": [*command, "score", str(artifact), str(table), str(folder / "out.parquet")],
        "c": [*command, "export", str(artifact), "--format", "c", "--output", str(folder / "c")],
        "x.html": [
            *(sys.executable, "-c", REPORT, str(folder / "x.html")),
            str(folder / "x.metrics.json"),
        ],
    }


OUTPUTS = ["out.csv", "out.parquet", "c", "x.html"]


def refused(command: list[str], prepare: Callable[[], None]) -> str:
    """Run a command that can't write, and return its error."""
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=prepare)
    assert done.returncode == 1, done.stderr
    *bar, sentence = done.stderr.splitlines()
    assert "Traceback" not in done.stderr
    assert len(bar) <= 1  # that of the progress
    assert sentence.startswith("neuralbits: ")
    return sentence


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_full_disk_gives_a_one_line_error_and_no_partial_output(
    name: str, artifact_path: Path, table: Path, folder: Path
) -> None:
    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))

    sentence = refused(commands(artifact_path, table, folder)[name], fill)
    assert f"{folder / name}" in sentence
    assert "File too large" in sentence
    left = {path.name for path in folder.rglob("*") if path.is_file()}
    # A scoring job keeps its partial files to resume, but no file with the output's name.
    assert left <= {
        f"{name}{end}" for end in (".journal", ".partial", ".rejects.partial", ".merged")
    } | ({"neuralbits.h"} if name == "c" else set())


# To root, a folder is closed only without these capabilities.
UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] * (os.geteuid() == 0)


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.skipif(
    bool(UNPRIVILEGED) and not shutil.which("setpriv"), reason="root, and there is no setpriv"
)
def test_a_read_only_folder_gives_a_one_line_error(
    name: str, artifact_path: Path, table: Path, folder: Path
) -> None:
    folder.chmod(0o555)
    command = [*UNPRIVILEGED, *commands(artifact_path, table, folder)[name]]
    sentence = refused(command, lambda: None)
    assert f"{folder / name}" in sentence
    assert "Permission denied" in sentence
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "x.html"])
def test_a_folder_at_the_outputs_path_gives_a_one_line_error(
    name: str, artifact_path: Path, table: Path, folder: Path
) -> None:
    (folder / name).mkdir()
    sentence = refused(commands(artifact_path, table, folder)[name], lambda: None)
    assert f"{folder / name} is a folder: name another output" in sentence
    assert [path.name for path in folder.iterdir()] == [name]


# Messages and statuses of `neuralbits score`


def score(*arguments: object, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "neuralbits", "score", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True)


@pytest.mark.parametrize(
    ("allowed", "code"), [([], 1), (["--max-rejects", 1], 1), (["--max-rejects", 2], 0)]
)
def test_more_rejects_than_allowed_give_status_1_and_the_complete_output(
    allowed: list[object], code: int, artifact_path: Path, folder: Path
) -> None:
    (folder / "in.csv").write_text("text,n\nlights on,1\n\nlights off\nlamp on,2\n")
    done = score(artifact_path, folder / "in.csv", folder / "out.csv", *allowed)
    assert done.returncode == code
    assert b"could not score 2 records; lines and reasons: " in done.stderr
    assert (folder / "out.csv").read_text().count("\n") == 3


def test_overwrite_replaces_an_output(artifact_path: Path, table: Path, folder: Path) -> None:
    output = folder / "out.csv"
    output.write_text("mine")
    done = score(artifact_path, table, output)
    assert done.returncode == 1
    assert (
        b"out.csv isn't as neuralbits wrote it: move it away, name another output, or"
        in done.stderr
    )
    assert output.read_text() == "mine"
    assert score(artifact_path, table, output, "--overwrite").returncode == 0
    assert output.read_text().startswith("text,intent,confidence,in_scope\n")


def test_a_dash_is_standard_input_and_output(artifact_path: Path, tmp_path: Path) -> None:
    done = score(artifact_path, "-", "-", "--format", "csv", stdin=b"text;n\nlights on;1\n\n")
    header, row = done.stdout.decode().splitlines()
    assert header == "text;n;intent;confidence;in_scope"
    assert row.startswith("lights on;1;turn_on;")
    assert b'{"line": 3, "reason": "the line is blank", "raw": ""}' in done.stderr
    assert done.returncode == 1
    formats = ["--format", "csv", "--output-format", "parquet"]
    done = score(artifact_path, "-", "-", *formats, stdin=b"text\nlights on\n")
    (tmp_path / "out.parquet").write_bytes(done.stdout)
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet")["intent"].to_pylist() == ["turn_on"]


def test_the_input_dialect_is_kept_and_formulas_become_text(
    artifact_path: Path, folder: Path
) -> None:
    (folder / "in.csv").write_bytes(b"\xef\xbb\xbfsep=;\r\ntext;;n\r\n=1+1;;-5\r\n")
    done = score(artifact_path, folder / "in.csv", folder / "out.csv", "--safe-csv")
    assert done.returncode == 0
    mark, header, row = (folder / "out.csv").read_bytes().splitlines()
    assert (mark, header) == (b"\xef\xbb\xbfsep=;", b"text;;n;intent;confidence;in_scope")
    assert row.startswith(b"'=1+1;;-5;")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("in.jsonl", None), ("in.parquet", pyarrow.int64()), ("in.parquet", pyarrow.binary())],
)
def test_a_column_without_text_is_refused_before_anything_is_written(
    name: str, kind: pyarrow.DataType | None, artifact_path: Path, folder: Path
) -> None:
    if kind is None:
        (folder / name).write_text('{"text": 1}\n{"text": 2}\n')
    else:
        values = [1, 2] if kind == pyarrow.int64() else [b"a", b"b"]
        pyarrow.parquet.write_table(
            pyarrow.table({"text": pyarrow.array(values, kind)}), folder / name
        )
    done = score(artifact_path, folder / name, folder / "out.csv")
    assert b"the column 'text' has no text: name another by --text-column\n" in done.stderr
    assert (done.returncode, [path.name for path in folder.iterdir()]) == (1, [name])


@pytest.mark.parametrize(
    "kind",
    [
        pyarrow.string_view(),
        pyarrow.large_string(),
        pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
    ],
    ids=str,
)
def test_texts_of_every_string_type_of_parquet_are_scored(
    kind: pyarrow.DataType, artifact_path: Path, folder: Path
) -> None:
    texts = pyarrow.array(["lights on", None, "lights off"], kind)
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), folder / "in.parquet")
    done = score(artifact_path, folder / "in.parquet", folder / "out.parquet", "--max-rejects", 1)
    assert done.returncode == 0, done.stderr
    scored = pyarrow.parquet.read_table(folder / "out.parquet")
    assert scored["text"].to_pylist() == ["lights on", "lights off"]
    assert scored["intent"].to_pylist() == ["turn_on", "turn_off"]
