"""The `neuralbits` command: the runtime's commands, and those that other packages add.

A package adds its commands, a ``typer.Typer``, by an entry point of the group
``neuralbits.commands``. So the runtime imports neither the service nor the training job.
"""

import contextlib
import functools
import importlib.util
import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

import neuralbits
from neuralbits import Classifier, blas, loading
from neuralbits import export as exporting
from neuralbits.errors import MissingExtraError, ending_in_a_sentence
from neuralbits.tables import Format

cli = typer.Typer(
    help="Intent classification small enough for any device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its tables cut long names of options
)


def example(*lines: str) -> str:
    """Return the end of a help text: example commands, without line wrapping."""
    title = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(["\b", title, *("  " + line for line in lines)])


ArtifactArgument = Annotated[
    str,
    typer.Argument(
        metavar="ARTIFACT",
        help="A .safetensors file, the name of a shipped artifact (see: neuralbits models), or "
        "hf://owner/name@revision.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that neuralbits didn't write.")
]
TextColumnOption = Annotated[str, typer.Option(help="The column with the texts.")]

SHOWN_NGRAMS = 10
"""How many n-grams of an explanation the text output lists; JSON lists all."""


def main() -> None:
    """Run the command."""
    with _process():
        command_line()()


@functools.cache
def command_line() -> typer.Typer:
    """Return the command line with the commands of all installed packages."""
    for entry in entry_points(group="neuralbits.commands"):
        try:
            cli.add_typer(entry.load())
        except ModuleNotFoundError as error:
            # The container image deletes the training package but keeps its entry point.
            if not (error.name and entry.module.startswith(error.name)):
                raise
    return cli


@contextlib.contextmanager
def _process() -> Iterator[None]:
    """Set process-wide state, which the library never changes.

    Matrix products use one thread. Standard output and standard error escape characters that they
    can't encode. Errors end the process with one line: see `ending_in_a_sentence`.

    Raises:
        SystemExit: status 1 after an error, or if standard output is full or closed.
    """
    blas.one_thread()
    streams = [s for s in (sys.stdout, sys.stderr) if isinstance(s, io.TextIOWrapper)]
    errors = [stream.errors for stream in streams]
    for stream in streams:
        stream.reconfigure(errors="backslashreplace")
    try:
        with ending_in_a_sentence("neuralbits"):
            try:
                yield
            finally:
                _flush_output()
    finally:
        for stream, before in zip(streams, errors, strict=True):
            with contextlib.suppress(OSError):  # reconfigure flushes, and the stream may be closed
                stream.reconfigure(errors=before)


def _flush_output() -> None:
    """Flush standard output.

    Raises:
        OSError: the output can't be written.
        SystemExit: status 1 if the reader closed the pipe.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError as error:
        # The interpreter flushes again when it exits, and would report the error a second time.
        with Path(os.devnull).open("w") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        raise OSError(error.errno, error.strerror, "standard output") from None


def require(package: str, extra: str) -> None:
    """Check that an extra is installed by looking for one of its packages.

    Raises:
        MissingExtraError: the package isn't installed.
    """
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(f"this command needs {package}: pip install 'neuralbits[{extra}]'")


def load(artifact: str) -> Classifier:
    """Load an artifact, and print a note on standard error if it uses the slower backend.

    Raises:
        ArtifactError: as `neuralbits.load`.
    """
    classifier = neuralbits.load(artifact)
    if classifier.backend == "reference":
        folder = Path(neuralbits.__file__).parent
        reason = (
            f"{folder} has no compiled kernel"
            if neuralbits.backend() == "reference"
            else "the compiled kernel can't run this artifact"
        )
        print(f"neuralbits: note: {reason}; using the slower NumPy backend", file=sys.stderr)
    return classifier


def print_json(value: object, indent: int | None = None) -> None:
    """Print JSON, in ASCII unless standard output is UTF-8."""
    is_utf_8 = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    print(json.dumps(value, ensure_ascii=not is_utf_8, indent=indent))


def print_facts(facts: dict[str, str]) -> None:
    """Print names and values in two columns."""
    width = max(map(len, facts))
    for name, fact in facts.items():
        print(f"{name.rjust(width)}  {fact}")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"neuralbits {neuralbits.__version__} ({neuralbits.backend()})")
        raise typer.Exit


@cli.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Print the version and the backend, and exit.",
        ),
    ] = False,
) -> None:
    """Intent classification small enough for any device."""


@cli.command(epilog=example('neuralbits classify home-assistant-en "turn of teh lamp"'))
def classify(
    artifact: ArtifactArgument,
    texts: Annotated[list[str], typer.Argument(help="The texts to classify.", metavar="TEXT...")],
    top_k: Annotated[int, typer.Option(min=1, help="The number of intents to list.")] = 3,
    explain: Annotated[
        bool, typer.Option("--explain", help="List the n-grams for and against the intent.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Classify texts, and print the likeliest intents of each."""
    classifier = load(artifact)
    for text, prediction in zip(texts, classifier.classify_batch(texts, top_k), strict=True):
        explanation = classifier.explain(text) if explain else None
        if as_json:
            answer = {"text": text, **asdict(prediction)}
            if explanation:
                answer["explanation"] = asdict(explanation)
            print_json(answer)
            continue
        print(text if prediction.in_scope else f"{text}  (out of scope)")
        for each in prediction.intents:
            print(f"  {100 * each.confidence:6.2f} %  {each.intent}")
        if explanation:
            for ngram in explanation.ngrams[:SHOWN_NGRAMS]:
                print(f"  {ngram.influence:+8.2f}  {ngram.family:12}  {ngram.ngram!r}")


@cli.command(epilog=example("neuralbits score home-assistant-en log.csv log-intents.csv"))
def score(
    artifact: ArtifactArgument,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT", help="A CSV, TSV, JSONL or Parquet file; - is standard input."
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(help="The file for the table with predictions; - is standard output."),
    ],
    text_column: TextColumnOption = "text",
    prefix: Annotated[str, typer.Option(help="A prefix for the names of the new columns.")] = "",
    input_format: Annotated[
        Format | None,
        typer.Option("--format", help="The format of the input; by default, its file name's."),
    ] = None,
    output_format: Annotated[
        Format | None, typer.Option(help="The format of standard output; by default, the input's.")
    ] = None,
    max_rejects: Annotated[
        int, typer.Option(min=0, help="Exit with status 1 if more records can't be scored.")
    ] = 0,
    safe_csv: Annotated[
        bool, typer.Option("--safe-csv", help="In CSV, put ' before cells that are formulas.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="The number of processes; by default, all cores.")
    ] = None,
    restart: Annotated[
        bool, typer.Option(help="Discard an interrupted job instead of resuming it.")
    ] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Classify a table of any size.

    Rerun the same command to resume an interrupted job.
    """
    from neuralbits import scoring

    path = loading.locate(artifact)
    load(artifact)
    with scoring.progress_bar() as progress:
        summary = scoring.score(
            path,
            sys.stdin.buffer if str(source) == "-" else source,
            sys.stdout.buffer if str(output) == "-" else output,
            text_column=text_column,
            prefix=prefix,
            input_format=input_format,
            output_format=output_format,
            safe_csv=safe_csv,
            workers=workers,
            restart=restart,
            overwrite=overwrite,
            progress=progress,
        )
    print(f"scored {summary.rows:,} rows in {summary.seconds:.1f} s: {output}", file=sys.stderr)
    if summary.joined_lines:
        print(
            f"{summary.joined_lines:,} lines of the input continue a quoted record",
            file=sys.stderr,
        )
    if summary.rejected:
        where = f"; lines and reasons: {summary.rejects}" if summary.rejects else ""
        print(f"could not score {summary.rejected:,} records{where}", file=sys.stderr)
    if summary.rejected > max_rejects:
        raise typer.Exit(1)


@cli.command(
    epilog=example(
        "neuralbits export home-assistant-en --format c --output firmware",
        "neuralbits export home-assistant-en --format wasm --output public",
        "neuralbits export home-assistant-en --format arduino --output home_assistant_en",
    )
)
def export(
    artifact: ArtifactArgument,
    form: Annotated[
        exporting.Format,
        typer.Option(
            "--format",
            help="c for a C99 compiler, wasm for browsers and Node, or the kind of a library.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="The folder for the files.")],
    overwrite: OverwriteOption = False,
) -> None:
    """Write an artifact as C, as WebAssembly or as a library of these."""
    for path in exporting.export(loading.locate(artifact), form, output, overwrite=overwrite):
        print(f"wrote {path}")


@cli.command(epilog=example("neuralbits inspect home-assistant-en"))
def inspect(artifact: ArtifactArgument, as_json: JsonOption = False) -> None:
    """Print an artifact's intents, layers, size and provenance."""
    require("numpy", "reference")
    from neuralbits.artifact import read

    path = loading.locate(artifact)
    contents = read(path)
    backend = neuralbits.load(path).backend
    layers: list[dict[str, Any]] = [
        {
            "inputs": layer.inputs,
            "units": layer.units,
            "precision": layer.precision,
            "zeros": round(float((layer.weights == 0).mean()), 4),
        }
        for layer in contents.network.layers
    ]
    if as_json:
        facts = {
            "size": contents.size,
            "backend": backend,
            "digest": contents.digest,
            "labels": contents.labels,
            "projection": asdict(contents.projection),
            "layers": layers,
            "temperature": contents.temperature,
            "threshold": contents.threshold,
            "provenance": contents.provenance,
        }
        print_json(facts, indent=2)
        return
    projection, labels = contents.projection, contents.labels
    print_facts(
        {
            "size": f"{contents.size:,} bytes",
            "backend": backend,
            "digest": contents.digest,
            "intents": f"{len(labels)}: {json.dumps(labels, ensure_ascii=False)[1:-1]}",
            "projection": f"{projection.functions} functions"
            + (f" ({len(projection.removed)} pruned)" if projection.removed else "")
            + f" of {projection.dimensions} dimensions, {projection.code_bits} bits each"
            + (", in blocks" if projection.blocks else "")
            + f"; group size {projection.stride}",
            "n-grams": ", ".join(projection.families),
            **{
                f"layer {index}": (
                    "{inputs} → {units}, {precision}, {zeros:.0%} zeros".format(**layer)
                )
                for index, layer in enumerate(layers)
            },
            "temperature": f"{contents.temperature:.4f}",
            "threshold": f"{contents.threshold:.4f}",
            "provenance": json.dumps(contents.provenance, indent=2, ensure_ascii=False),
        }
    )


@cli.command(epilog=example("neuralbits models"))
def models(as_json: JsonOption = False) -> None:
    """List the shipped artifacts that every command accepts by name."""
    for name, path in loading.shipped().items():
        manifest = neuralbits.load(path).manifest
        if as_json:
            facts = {"name": name, "path": str(path), "size": manifest.size}
            print_json({**facts, "labels": manifest.labels})
        else:
            print(f"{name:24}  {len(manifest.labels):4} intents  {manifest.size:7,} bytes")


@cli.command(epilog=example("neuralbits push mine.safetensors hf://acme/lamp"))
def push(
    artifact: ArtifactArgument,
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="hf://owner/name, or with @branch.")
    ],
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository private.")
    ] = False,
) -> None:
    """Upload an artifact and its model card to the Hugging Face Hub.

    Log in before by `hf auth login`. It prints the address of this very version.
    """
    from neuralbits import hub

    print(hub.push(loading.locate(artifact), address, private=private))
