"""The `neuralbits` command: what the runtime offers, and where packages mount theirs.

A package mounts its commands, a ``typer.Typer``, by an entry point of the group
``neuralbits.commands``. So the runtime imports neither the service nor the training job.
"""

import functools
import importlib.util
import json
import sys
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

import neuralbits
from neuralbits import blas
from neuralbits import export as exporting
from neuralbits.errors import NeuralbitsError, ending_in_a_sentence
from neuralbits.tables import Format

cli = typer.Typer(
    help="Intent detection small enough for any device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

ArtifactArgument = Annotated[Path, typer.Argument(help="The artifact, a .safetensors file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TextColumnOption = Annotated[str, typer.Option(help="The column that holds the texts.")]

SHOWN_NGRAMS = 10
"""The strongest ones of a text, unless it is JSON that is asked for."""


def main() -> None:
    """Run the command."""
    blas.one_thread()
    with ending_in_a_sentence("neuralbits"):
        command_line()()


@functools.cache
def command_line() -> typer.Typer:
    """Return the command with the commands of all installed packages."""
    for entry in entry_points(group="neuralbits.commands"):
        try:
            cli.add_typer(entry.load())
        except ModuleNotFoundError as error:
            # An image without training: the package is left out, its entry point is not.
            if not (error.name and entry.module.startswith(error.name)):
                raise
    return cli


def require(package: str, extra: str) -> None:
    """Check that an extra is installed, by one of its packages.

    Raises:
        NeuralbitsError: it isn't.
    """
    if importlib.util.find_spec(package) is None:
        raise NeuralbitsError(
            f"this needs {package}; install it by: pip install 'neuralbits[{extra}]'"
        )


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"neuralbits {neuralbits.__version__}")
        raise typer.Exit


@cli.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Intent detection small enough for any device."""


@cli.command()
def classify(
    artifact: ArtifactArgument,
    texts: Annotated[list[str], typer.Argument(help="The texts.", metavar="TEXT...")],
    top_k: Annotated[int, typer.Option(min=1, help="How many intents to name.")] = 3,
    explain: Annotated[
        bool, typer.Option("--explain", help="Name the n-grams that spoke for it, and against it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Classify texts."""
    classifier = neuralbits.load(artifact)
    for text, prediction in zip(texts, classifier.classify_batch(texts, top_k), strict=True):
        explanation = classifier.explain(text) if explain else None
        if as_json:
            answer = {"text": text, **asdict(prediction)}
            if explanation:
                answer["explanation"] = asdict(explanation)
            print(json.dumps(answer, ensure_ascii=False))
            continue
        print(text if prediction.in_scope else f"{text}  (out of scope)")
        for each in prediction.intents:
            print(f"  {100 * each.confidence:6.2f} %  {each.intent}")
        if explanation:
            for ngram in explanation.ngrams[:SHOWN_NGRAMS]:
                print(f"  {ngram.influence:+8.2f}  {ngram.family:12}  {ngram.ngram!r}")


@cli.command()
def score(
    artifact: ArtifactArgument,
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A table; - is standard input.")],
    output: Annotated[Path, typer.Argument(help="The same table with the predictions.")],
    text_column: TextColumnOption = "text",
    prefix: Annotated[str, typer.Option(help="Put before the names of the new columns.")] = "",
    input_format: Annotated[
        Format | None, typer.Option("--format", help="Of the input, if its name doesn't tell.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="By default, all cores.")] = None,
    restart: Annotated[bool, typer.Option(help="Forget an interrupted job.")] = False,
) -> None:
    """Score a file of any size; the same command resumes a job that was interrupted."""
    from neuralbits import scoring

    with scoring.progress_bar() as progress:
        summary = scoring.score(
            artifact,
            sys.stdin.buffer if str(source) == "-" else source,
            output,
            text_column=text_column,
            prefix=prefix,
            input_format=input_format,
            workers=workers,
            restart=restart,
            progress=progress,
        )
    print(f"scored {summary.rows:,} rows in {summary.seconds:.1f} s: {output}", file=sys.stderr)
    if summary.rejects:
        print(
            f"could not score {summary.rejected:,} records; lines and reasons: {summary.rejects}",
            file=sys.stderr,
        )


@cli.command()
def export(
    artifact: ArtifactArgument,
    form: Annotated[
        exporting.Format,
        typer.Option("--format", help="c for a C99 compiler, wasm for browsers and Node."),
    ],
    output: Annotated[Path, typer.Option(help="The folder for the files.")],
) -> None:
    """Write an artifact as C or as WebAssembly, with all that it needs to run."""
    for path in exporting.export(artifact, form, output):
        print(f"wrote {path}")


@cli.command()
def inspect(artifact: ArtifactArgument, as_json: JsonOption = False) -> None:
    """Show what an artifact holds, and where it comes from."""
    from neuralbits.artifact import read

    held = read(artifact)
    layers: list[dict[str, Any]] = [
        {
            "inputs": layer.inputs,
            "units": layer.units,
            "precision": layer.precision,
            "zeros": round(float((layer.weights == 0).mean()), 4),
        }
        for layer in held.network.layers
    ]
    if as_json:
        facts = {
            "size": held.size,
            "digest": held.digest,
            "labels": held.labels,
            "projection": asdict(held.projection),
            "layers": layers,
            "temperature": held.temperature,
            "threshold": held.threshold,
            "provenance": held.provenance,
        }
        print(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    projection = held.projection
    print_facts(
        {
            "size": f"{held.size:,} bytes",
            "digest": held.digest,
            "intents": f"{len(held.labels)}: {json.dumps(held.labels, ensure_ascii=False)[1:-1]}",
            "projection": f"{projection.functions} functions"
            + (f" ({len(projection.removed)} of them removed)" if projection.removed else "")
            + f" of {projection.dimensions} dimensions, {projection.code_bits} bits each"
            + (", in blocks" if projection.blocks else "")
            + f"; an n-gram takes part in one of {projection.stride}",
            "n-grams": ", ".join(projection.families),
            **{
                f"layer {index}": (
                    "{inputs} → {units}, {precision}, {zeros:.0%} zeros".format(**layer)
                )
                for index, layer in enumerate(layers)
            },
            "temperature": f"{held.temperature:.4f}",
            "threshold": f"{held.threshold:.4f}",
            "provenance": json.dumps(held.provenance, indent=2, ensure_ascii=False),
        }
    )


def print_facts(facts: dict[str, str]) -> None:
    """Print names and values in two columns."""
    width = max(map(len, facts))
    for name, fact in facts.items():
        print(f"{name.rjust(width)}  {fact}")
