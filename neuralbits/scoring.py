"""Batch scoring: classify the texts of a table of any size, and add three columns to it.

Worker processes score and encode chunks of the input. The main process appends their bytes to
``OUTPUT.partial`` in the order of the input. ``OUTPUT.journal`` records how many of these bytes are
on the disk, and for which part of the input. So the same command resumes a job that was killed.
"""

import hashlib
import json
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import neuralbits
from neuralbits import blas
from neuralbits.errors import shown
from neuralbits.journal import Output, ScoringError, Stream
from neuralbits.table_writers import CsvWriter, JsonLinesWriter, ParquetWriter, TableWriter
from neuralbits.tables import (
    Batch,
    Chunk,
    Format,
    Position,
    Row,
    Table,
    Unreadable,
    find_column,
    format_of,
    import_pyarrow,
    open_table,
)

__all__ = ["COLUMNS", "Progress", "ScoringError", "Summary", "progress_bar", "score"]

COLUMNS = ("intent", "confidence", "in_scope")

_CHUNK_ROWS = 1024
_CHUNKS_PER_WORKER = 3  # in flight, so that workers don't wait for reading and writing
_CHECKPOINT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a job."""

    rows: int
    """The number of rows scored, by this run and by earlier runs of the job."""
    rejected: int
    """The number of records that could not be read or scored."""
    fraction: float | None
    """The part of the input that is done, from 0 to 1; None if the input's size is unknown."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of a finished job."""

    rows: int
    """The number of rows scored, by this run and by earlier runs of the job."""
    rejected: int
    """The number of records that could not be read or scored."""
    seconds: float
    """The duration of this run."""
    resumed_from: int
    """The number of records that earlier runs of the job had done."""
    rejects: Path | None
    """The file of the rejected records, with line numbers and reasons; None if no record was
    rejected, or if the rejects went to standard error."""
    joined_lines: int = 0
    """The number of lines of CSV or TSV that continue a quoted record."""


def score(
    artifact_path: str | os.PathLike[str],
    source: str | os.PathLike[str] | BinaryIO,
    destination: str | os.PathLike[str] | BinaryIO,
    *,
    text_column: str = "text",
    prefix: str = "",
    input_format: Format | None = None,
    output_format: Format | None = None,
    safe_csv: bool = False,
    workers: int | None = None,
    restart: bool = False,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    r"""Score every row of a table, in constant memory, and resume an interrupted job.

    Rows keep their order and their columns, and get the columns ``intent`` (string),
    ``confidence`` (float from 0 to 1) and ``in_scope`` (boolean), whose names begin with
    ``prefix``. Records that can't be read or scored go to ``DESTINATION.rejects.jsonl``. The
    destination appears only when it is complete.

    Args:
        artifact_path: the artifact's file.
        source: the table's file, or a binary stream such as ``sys.stdin.buffer``.
        destination: the scored table's file, whose ending gives the format; or a binary stream
            such as ``sys.stdout.buffer``, which gets the rows as they are scored. Then rejects go
            to standard error, and the job can't be resumed.
        text_column: the column to classify.
        prefix: a prefix for the names of the new columns.
        input_format: the format of the source; by default, its file name's.
        output_format: the format of a stream; by default, the source's.
        safe_csv: in CSV and TSV, put ``'`` before cells that a spreadsheet would run as formulas.
        workers: the number of processes; by default, the number of cores.
        restart: discard an interrupted job instead of resuming it.
        overwrite: replace a file at the destination, and rejects beside it.
        progress: a function that is called with the progress after each chunk.

    Raises:
        ArtifactError: the artifact can't be used.
        TableError: the source can't be read as a table.
        ForeignFileError: the destination, or a file beside it, exists and no job wrote it.
        ScoringError: the job can't start or resume. The finished part is kept, to be resumed.

    Example:
        >>> from neuralbits.loading import locate
        >>> size = Path("texts.csv").write_text("text\nturn off the lamp\n")
        >>> score(locate("home-assistant-en"), "texts.csv", "scored.csv", workers=1).rows
        1
    """
    started = time.monotonic()
    if isinstance(source, str | os.PathLike):
        source = Path(source)
        input_format = input_format or format_of(source)
    elif input_format is None:
        raise ScoringError("name the format of standard input by --format")
    output: Output | Stream
    if isinstance(destination, str | os.PathLike):
        output = Output(Path(destination), overwrite=overwrite)
        if isinstance(source, Path) and output.path.exists() and output.path.samefile(source):
            raise ScoringError(f"{source} is the input: name another output")
    else:
        output = Stream(destination, output_format or input_format, sys.stderr.buffer)
    digest = neuralbits.load(artifact_path).manifest.digest
    added = tuple(prefix + name for name in COLUMNS)
    try:
        with open_table(source, input_format) as table:
            text_column = _check_columns(table, text_column, added)
            job = {
                "input": _identity(source),
                "artifact": digest,
                "settings": [input_format, text_column, prefix, safe_csv],
                "version of neuralbits": neuralbits.__version__,
            }
            writer = _writer(output.format, table, input_format, added, safe_csv)
            setup = _Setup(os.fspath(artifact_path), digest, writer, text_column, added)
            with output.opened(job, restart=restart):
                resumed = output.done
                if not resumed.complete:
                    _work(table, output, setup, workers or cores(), progress)
                    output.checkpoint(complete=True)
                output.publish()
            lines = table.dialect.lines if table.dialect else None
    except BrokenProcessPool:
        raise ScoringError(f"a worker process died or was killed: {_RESUME}") from None
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or error
        if isinstance(output, Stream):
            raise ScoringError(f"{error.filename or 'standard output'}: {reason}") from error
        place = error.filename or output.path
        raise ScoringError(f"{place}: {reason}: fix this, then {_RESUME}") from error
    done = output.done
    joined = 0
    if lines is not None and done.position:
        joined = done.position.line - lines - done.rows - done.rejected
    return Summary(
        rows=done.rows,
        rejected=done.rejected,
        seconds=time.monotonic() - started,
        resumed_from=resumed.rows + resumed.rejected,
        rejects=output.rejects if done.rejected and isinstance(output, Output) else None,
        joined_lines=joined,
    )


@contextmanager
def progress_bar() -> Iterator[Callable[[Progress], None]]:
    """Show a job's progress on standard error; pass the function that this yields to `score`."""
    from rich import console, progress

    counts = progress.TextColumn("{task.fields[rows]:,} scored, {task.fields[rejected]:,} rejected")
    bar = progress.Progress(
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        counts,
        progress.TimeRemainingColumn(),
        console=console.Console(stderr=True),
    )

    def show(now: Progress) -> None:
        if not bar.tasks:  # started late, so that a job that can't start shows no bar
            bar.start()
            bar.add_task("", total=None, rows=0, rejected=0)
        total = None if now.fraction is None else 1
        bar.update(
            bar.task_ids[0],
            total=total,
            completed=now.fraction,
            rows=now.rows,
            rejected=now.rejected,
        )

    try:
        yield show
    finally:
        if bar.tasks:
            bar.stop()


_RESUME = "rerun the same command to resume"


def _work(
    table: Table,
    output: Output | Stream,
    setup: "_Setup",
    workers: int,
    progress: Callable[[Progress], None] | None,
) -> None:
    """Score the rest of the table, chunk by chunk, in order."""
    if output.done.position is None:
        output.append(None, setup.writer.header)
    elif not table.skip_to(output.done.position):
        raise ScoringError(
            "the input isn't the one that the interrupted job read: give the same input, or pass "
            "--restart to discard the job"
        )
    saved = time.monotonic()
    with _pool(workers, setup) as pool:
        for scored, position in _in_order(pool, table.chunks(_CHUNK_ROWS), workers):
            output.append(position, *scored)
            if time.monotonic() - saved >= _CHECKPOINT_SECONDS:
                output.checkpoint()
                saved = time.monotonic()
            if progress:
                fraction = position.offset / table.size if table.size else None
                progress(Progress(output.done.rows, output.done.rejected, fraction))


def _in_order(
    pool: ProcessPoolExecutor, chunks: Iterator[tuple[Chunk, Position]], workers: int
) -> Iterator[tuple["_Scored", Position]]:
    """Yield the scored chunks in order, with a bounded number of chunks in flight."""
    waiting: deque[tuple[Future[_Scored], Position]] = deque()
    for chunk, position in chunks:
        waiting.append((pool.submit(_score_chunk, chunk), position))
        if len(waiting) == workers * _CHUNKS_PER_WORKER:
            future, after = waiting.popleft()
            yield future.result(), after
    for future, after in waiting:
        yield future.result(), after


@contextmanager
def _pool(workers: int, setup: "_Setup") -> Iterator[ProcessPoolExecutor]:
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (setup,))
    # Ctrl-C reaches the whole process group, but only this process must act on it, so the workers
    # inherit the signal as blocked.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    for _ in range(workers):
        pool.submit(os.getpid)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


# ---- Checks before the job starts ------------------------------------------------------------


def _identity(source: Path | BinaryIO) -> Any:
    """Return what identifies a file; for a pipe, a resumed job compares the content instead."""
    if not isinstance(source, Path) or not source.is_file():
        return "a pipe"
    status = source.stat()
    with source.open("rb") as file:
        head = hashlib.sha256(file.read(1 << 16)).hexdigest()
    return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns, "head": head}


def _check_columns(table: Table, text_column: str, added: tuple[str, ...]) -> str:
    """Return the name of the text column.

    Raises:
        ScoringError: the column has no text, or the table already has one of the new columns.
        TableError: the table has no such column.
    """
    column = find_column(table, text_column, "--text-column")
    if not table.holds_text(column):
        raise ScoringError(
            f"{table.name}: the column {shown(column)} has no text: name another by --text-column"
        )
    for name in added:
        if name in table.columns:
            raise ScoringError(
                f"{table.name} already has a column {shown(name)}: rename the new ones by, for "
                "example, --prefix predicted_"
            )
    return column


def _writer(
    format: Format,
    table: Table,
    input_format: Format,
    added: tuple[str, ...],
    safe_csv: bool,
) -> TableWriter:
    if format == "jsonl":
        return JsonLinesWriter()
    if format == "parquet":
        arrow = import_pyarrow()
        types = (arrow.string(), arrow.float64(), arrow.bool_())
        schema = table.arrow_schema()
        for name, type_ in zip(added, types, strict=True):
            schema = schema.append(arrow.field(name, type_))
        return ParquetWriter(schema)
    delimiter, preamble, header = "," if format == "csv" else "\t", "", table.columns
    if dialect := table.dialect:
        preamble, header = dialect.preamble, dialect.header
        if format == input_format == "csv":
            delimiter = dialect.delimiter
        else:
            preamble = preamble[: preamble.startswith("\ufeff")]  # drops an outdated line ``sep=``
    columns = [*table.columns, *added]
    return CsvWriter(columns, delimiter, header=[*header, *added], preamble=preamble, safe=safe_csv)


def cores() -> int:
    """Count the cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # outside Linux
        return os.cpu_count() or 1


# ---- Worker processes ------------------------------------------------------------------------


class _Setup(NamedTuple):
    artifact_path: str
    digest: str
    writer: TableWriter
    text_column: str
    added: tuple[str, ...]


class _Scored(NamedTuple):
    """A chunk's bytes for the two files, and its numbers of rows and rejects."""

    output: bytes
    rejects: bytes
    rows: int
    rejected: int


_setup: _Setup


def _start_worker(setup: _Setup) -> None:
    global _setup  # sent once per worker instead of with each chunk
    _setup = setup
    blas.one_thread()
    # Otherwise a worker whose parent was killed would wait for work forever.
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@cache
def _classifier(path: str, digest: str) -> neuralbits.Classifier:
    classifier = neuralbits.load(path)
    if classifier.manifest.digest != digest:
        raise ScoringError(f"the artifact {path} was replaced meanwhile: rerun the command")
    return classifier


def _score_chunk(chunk: Chunk) -> _Scored:
    rows: list[Row] = []
    rejects: list[Unreadable] = []
    for record in chunk.rows() if isinstance(chunk, Batch) else chunk:
        if isinstance(record, Unreadable):
            rejects.append(record)
        elif problem := _problem(record.values):
            rejects.append(_rejected(record, problem))
        else:
            rows.append(record)
    classifier = _classifier(_setup.artifact_path, _setup.digest)
    predictions = classifier.classify_batch([row.values[_setup.text_column] for row in rows])
    scores = [
        dict(zip(_setup.added, (p.intent, p.confidence, p.in_scope), strict=True))
        for p in predictions
    ]
    output, unwritable = _encode(chunk, rows, scores)
    rejects = sorted(rejects + unwritable, key=lambda reject: reject.line)
    lines = "".join(json.dumps(asdict(reject), ensure_ascii=False) + "\n" for reject in rejects)
    return _Scored(output, lines.encode(), len(rows) - len(unwritable), len(rejects))


def _problem(values: dict[str, Any]) -> str | None:
    """Return why a row can't be scored, or None if it can."""
    column = _setup.text_column
    if column not in values:
        return f"the record has no column {shown(column)}"
    if values[column] is None:
        return f"the column {shown(column)} is null"
    if not isinstance(values[column], str):
        return f"the column {shown(column)} has a value of type {type(values[column]).__name__}"
    for name in _setup.added:
        if name in values:
            return f"the record already has a column {shown(name)}"
    return None


def _encode(
    chunk: Chunk, rows: list[Row], scores: list[dict[str, Any]]
) -> tuple[bytes, list[Unreadable]]:
    """Return the rows' bytes, and the rows that the output's format can't represent."""
    writer = _setup.writer
    if isinstance(chunk, Batch) and isinstance(writer, ParquetWriter):
        return writer.extend(chunk.arrow, [row.line - chunk.line for row in rows], scores), []
    scored = [row.values | added for row, added in zip(rows, scores, strict=True)]
    try:
        return writer.encode(scored), []
    except ValueError:  # from some row: encode each row alone to find which
        good, unwritable = [], []
        for row, values in zip(rows, scored, strict=True):
            try:
                writer.encode([values])
                good.append(values)
            except ValueError as error:
                unwritable.append(_rejected(row, str(error)))
        return writer.encode(good), unwritable


def _rejected(row: Row, reason: str) -> Unreadable:
    return Unreadable(row.line, reason, json.dumps(row.values, ensure_ascii=False, default=str))
