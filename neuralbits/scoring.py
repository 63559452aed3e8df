"""Batch scoring: a table of any size in, the same table with three more columns out.

The input is cut into chunks, which worker processes score and encode; their bytes are appended to
``OUTPUT.partial`` in the order of the input. ``OUTPUT.journal`` records how many of those bytes
are known to be on the disk and which part of the input made them: the same command resumes a job
that was killed.
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
_CHUNKS_PER_WORKER = 3  # in flight, so that no worker waits for the reading and writing
_CHECKPOINT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job has got."""

    rows: int
    """Rows scored, by this run and by those it resumes."""
    rejected: int
    """Records that could not be read or scored."""
    fraction: float | None
    """The part of the input that is done, from 0 to 1; None where its size isn't known."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a finished job has done."""

    rows: int
    """Rows scored, by this run and by those it resumes."""
    rejected: int
    """Records that could not be read or scored."""
    seconds: float
    """How long this run took."""
    resumed_from: int
    """How many records earlier runs of the job had done."""
    rejects: Path | None
    """Where the rejected records are, with line numbers and reasons; None if there are none, or
    if they went to standard error."""
    joined_lines: int = 0
    """How many lines of CSV or TSV continue the record of the line before, within quotes."""


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

    Rows keep their order and their other columns, and get the columns ``intent``, ``confidence``
    and ``in_scope``, each name preceded by ``prefix``. What can't be read or scored goes to
    ``DESTINATION.rejects.jsonl``. Nothing is at the destination until all of it is.

    Args:
        artifact_path: The artifact to score with.
        source: The table, or a binary stream of one, such as ``sys.stdin.buffer``.
        destination: Where the scored table goes; its ending names the format. To a binary stream
            such as ``sys.stdout.buffer`` the rows go as they are scored, rejects go to standard
            error, and there is nothing to resume.
        text_column: The column to classify.
        prefix: What the names of the new columns begin with.
        input_format: The format of the source, if its name doesn't end in it.
        output_format: The format of a stream; by default, the source's.
        safe_csv: In CSV and TSV, put ``'`` before cells that a spreadsheet would take for formulas.
        workers: How many processes; by default, one for each core.
        restart: Discard an interrupted job instead of resuming it.
        overwrite: Replace a file at the destination, and rejects beside it.
        progress: Is called with the progress after every chunk.

    Raises:
        ArtifactError: the artifact can't be used.
        TableError: the source can't be read as a table.
        ForeignFileError: there is a file at the destination or beside it that no job wrote.
        ScoringError: the job can't start or resume. What is done remains, to be resumed.

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
    """Show a job's progress on standard error: give what this yields to `score`."""
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
        if not bar.tasks:  # not before, so that a job that can't begin shows no bar
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
    """Score what remains of the table, chunk by chunk, in order."""
    if output.done.position is None:
        output.append(None, setup.writer.header)
    elif not table.skip_to(output.done.position):
        raise ScoringError(
            "the input doesn't begin with what was read before: give the same input, or pass "
            "--restart to discard what is done"
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
    """Yield the chunks' scores in the chunks' order, a bounded number of them being in flight."""
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
    # Ctrl-C reaches the whole process group, but only this process is to act on it: the workers
    # inherit the signal blocked.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    for _ in range(workers):
        pool.submit(os.getpid)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


# What is settled before the work begins.


def _identity(source: Path | BinaryIO) -> Any:
    """Return what tells this input from another; a pipe is told by its content, when resumed."""
    if not isinstance(source, Path) or not source.is_file():
        return "a pipe"
    status = source.stat()
    with source.open("rb") as file:
        head = hashlib.sha256(file.read(1 << 16)).hexdigest()
    return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns, "head": head}


def _check_columns(table: Table, text_column: str, added: tuple[str, ...]) -> str:
    """Return the column of the texts.

    Raises:
        ScoringError: it holds no text, or one of the new columns is there already.
        TableError: there is no such column.
    """
    column = find_column(table, text_column, "--text-column")
    if not table.holds_text(column):
        raise ScoringError(
            f"{table.name}: the column {shown(column)} holds no text: name another by --text-column"
        )
    for name in added:
        if name in table.columns:
            raise ScoringError(
                f"{table.name} has a column {shown(name)} already: name the new ones otherwise, as "
                "by --prefix predicted_"
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
            preamble = preamble[: preamble.startswith("\ufeff")]  # a line ``sep=`` isn't true now
    columns = [*table.columns, *added]
    return CsvWriter(columns, delimiter, header=[*header, *added], preamble=preamble, safe=safe_csv)


def cores() -> int:
    """Count the cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # outside Linux
        return os.cpu_count() or 1


# What runs in the workers.


class _Setup(NamedTuple):
    artifact_path: str
    digest: str
    writer: TableWriter
    text_column: str
    added: tuple[str, ...]


class _Scored(NamedTuple):
    """A chunk's share of the two files, and what it counts."""

    output: bytes
    rejects: bytes
    rows: int
    rejected: int


_setup: _Setup


def _start_worker(setup: _Setup) -> None:
    global _setup  # sent once, and not with every chunk
    _setup = setup
    blas.one_thread()
    # Without this, a worker would wait for work for ever once its parent has been killed.
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
        raise ScoringError(f"the artifact {path} was replaced while the job began: rerun it")
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
        dict(zip(_setup.added, (made.intent, made.confidence, made.in_scope), strict=True))
        for made in predictions
    ]
    output, unwritable = _encode(chunk, rows, scores)
    rejects = sorted(rejects + unwritable, key=lambda reject: reject.line)
    side = "".join(json.dumps(asdict(reject), ensure_ascii=False) + "\n" for reject in rejects)
    return _Scored(output, side.encode(), len(rows) - len(unwritable), len(rejects))


def _problem(values: dict[str, Any]) -> str | None:
    """Say why a row can't be scored, if it can't."""
    column = _setup.text_column
    if column not in values:
        return f"the record has no column {shown(column)}"
    if values[column] is None:
        return f"the column {shown(column)} is null"
    if not isinstance(values[column], str):
        return f"the column {shown(column)} holds a value of type {type(values[column]).__name__}"
    for name in _setup.added:
        if name in values:
            return f"the record has a column {shown(name)} already"
    return None


def _encode(
    chunk: Chunk, rows: list[Row], scores: list[dict[str, Any]]
) -> tuple[bytes, list[Unreadable]]:
    """Return the rows' bytes, and those of them that the output's format can't hold."""
    writer = _setup.writer
    if isinstance(chunk, Batch) and isinstance(writer, ParquetWriter):
        return writer.extend(chunk.arrow, [row.line - chunk.line for row in rows], scores), []
    scored = [row.values | added for row, added in zip(rows, scores, strict=True)]
    try:
        return writer.encode(scored), []
    except ValueError:  # of some row: leave out whichever can't be encoded alone
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
