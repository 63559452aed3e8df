"""The `neuralbits` command."""

import importlib.util
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

import neuralbits
from neuralbits import blas
from neuralbits import export as exporting
from neuralbits.errors import NeuralbitsError, ending_in_a_sentence
from neuralbits.tables import Format

if TYPE_CHECKING:
    from neuralbits.model_training.data import TrainingData

cli = typer.Typer(
    help="Intent detection small enough for any device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

ArtifactArgument = Annotated[Path, typer.Argument(help="The artifact, a .safetensors file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TrainOption = Annotated[
    Path | None, typer.Option(help="Utterances with their intents: CSV, TSV, JSONL or Parquet.")
]
ValidationOption = Annotated[
    Path | None, typer.Option(help="By default, a part of the training data.")
]
OutOfScopeOption = Annotated[
    Path | None, typer.Option(help="Texts of no intent, to learn their rejection from.")
]
UnlabelledOption = Annotated[
    Path | None, typer.Option(help="Texts whose intents nobody has told, to learn from as well.")
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        help="Without --train: home-assistant (the default), clinc150, banking77 or snips."
    ),
]
LanguageOption = Annotated[
    str | None, typer.Option(help="Of the home-assistant data set; en by default.")
]
TextColumnOption = Annotated[str, typer.Option(help="The column that holds the texts.")]
LabelColumnOption = Annotated[str, typer.Option(help="The column that holds the intents.")]

WIDTHS = (
    "projection.functions=",
    "projection.dimensions=",
    "projection.removed=",
    "network.widths=",
)
"""What --max-size chooses, unless one of them is set."""

SHOWN_NGRAMS = 10
"""The strongest ones of a text, unless it is JSON that is asked for."""


def main() -> None:
    """Run the command."""
    blas.one_thread()
    with ending_in_a_sentence("neuralbits"):
        cli()


def _require(package: str, extra: str) -> None:
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
def train(
    output: Annotated[Path, typer.Option(help="Where the artifact goes: a .safetensors file.")],
    train: TrainOption = None,
    validation: ValidationOption = None,
    test: Annotated[Path | None, typer.Option(help="Is measured once, at the end.")] = None,
    out_of_scope: OutOfScopeOption = None,
    unlabelled: UnlabelledOption = None,
    dataset: DatasetOption = None,
    language: LanguageOption = None,
    text_column: TextColumnOption = "text",
    label_column: LabelColumnOption = "intent",
    max_size: Annotated[str, typer.Option(help="The most bytes the artifact may have.")] = "64KiB",
    trainer: Annotated[
        str, typer.Option(help="lstm, feedforward or cnn, or several joined by +.")
    ] = "lstm",
    max_false_rejects: Annotated[
        str, typer.Option(help="The most in-scope texts to take for out-of-scope ones.")
    ] = "4%",
    seed: Annotated[int, typer.Option(help="The same seed gives the same artifact.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Another setting, such as epochs=30 or objective.temperature=2."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint, if any.")] = False,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="auto takes a GPU, if there is one.")
    ] = "auto",
) -> None:
    """Train a projection network in the company of a trainer; write the artifact."""
    _require("torch", "train")
    from neuralbits.model_training import budget, job
    from neuralbits.model_training.evaluation.report import comparison
    from neuralbits.model_training.networks.trainers import TrainerSettings
    from neuralbits.model_training.settings import Settings, SettingsError, parse_share

    try:
        chosen = Settings(
            seed=seed,
            trainer=TrainerSettings(names=trainer),
            max_false_rejects=parse_share(max_false_rejects),
        )
    except ValueError as error:
        raise SettingsError(str(error)) from None
    chosen = chosen.override(set_ or [])
    size = budget.parse_size(max_size)
    loaded = _training_data(
        train,
        validation,
        test,
        out_of_scope,
        unlabelled,
        dataset,
        language,
        text_column,
        label_column,
        seed,
    )
    print(loaded.report)
    # Where files lie and whether the run was interrupted make no difference to the artifact.
    files = {
        str(file): file.name
        for file in (output, train, validation, test, out_of_scope, unlabelled)
        if file
    }
    words = [files.get(word, word) for word in sys.argv[1:] if word != "--resume"]
    report = job.train(
        chosen,
        loaded,
        output,
        max_size=size,
        choose_widths=not any(each.startswith(WIDTHS) for each in set_ or []),
        command=shlex.join(["neuralbits", *words]),
        resume=resume,
        device=device,
        console=Console(stderr=True),
    )
    table = Table("", "artifact", "trainer", "artifact against trainer")
    for row in comparison(report):
        table.add_row(*row)
    Console().print(table)
    print(f"wrote {output}, and beside it the model card, the report and its figures")
    if len(report.history) < chosen.epochs:
        raise typer.Exit(130)  # stopped by Ctrl-C: what was to follow shouldn't


@cli.command()
def sweep(
    output: Annotated[Path, typer.Option(help="The folder for artifacts, table and plot.")],
    train: TrainOption = None,
    validation: ValidationOption = None,
    test: Annotated[
        Path | None, typer.Option(help="Is measured once for each artifact, at its end.")
    ] = None,
    out_of_scope: OutOfScopeOption = None,
    unlabelled: UnlabelledOption = None,
    dataset: DatasetOption = None,
    language: LanguageOption = None,
    text_column: TextColumnOption = "text",
    label_column: LabelColumnOption = "intent",
    bits: Annotated[
        str | None,
        typer.Option(help="Numbers of neural bits; by default 256,512,1024,2048,4096,8192."),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(help="Instead of bits, budgets such as 4KiB,8KiB,16KiB,32KiB,64KiB."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="One or more, such as 0,1,2.")] = "0",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of every training, such as epochs=30."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Trainings at a time; by default, one a core.")
    ] = None,
) -> None:
    """Measure accuracy against bits, bytes and time; the same command resumes a sweep."""
    _require("torch", "train")
    from neuralbits.model_training.sweep import plan as sweep_plan
    from neuralbits.model_training.sweep import run as sweep_job
    from neuralbits.model_training.sweep.results import table

    source = {
        "--train": train and train.name,  # as in train: where files lie makes no difference
        "--validation": validation and validation.name,
        "--test": test and test.name,
        "--out-of-scope": out_of_scope and out_of_scope.name,
        "--unlabelled": unlabelled and unlabelled.name,
        "--dataset": dataset,
        "--language": language,
        "--text-column": None if text_column == "text" else text_column,
        "--label-column": None if label_column == "intent" else label_column,
    }
    words = [word for option, value in source.items() if value for word in (option, value)]
    plan = sweep_plan.plan(bits, sizes, seeds, set_ or [], words)
    loaded = {
        seed: _training_data(
            train,
            validation,
            test,
            out_of_scope,
            unlabelled,
            dataset,
            language,
            text_column,
            label_column,
            seed,
        )
        for seed in plan.seeds
    }
    print(loaded[plan.seeds[0]].report)
    results, failed = sweep_job.run(plan, loaded, output, workers=workers)
    if results:
        titles, *rows = table(results)
        shown = Table(*titles, box=None, pad_edge=False)
        for row in rows:
            shown.add_row(*row)
        Console().print(shown)
        print(f"wrote {output / 'sweep.json'} and {output / 'sweep.svg'}")
    if failed:
        raise NeuralbitsError(
            f"{len(failed)} of the trainings failed ({', '.join(failed)}); the same command tries "
            "them again"
        )


def _training_data(
    train: Path | None,
    validation: Path | None,
    test: Path | None,
    out_of_scope: Path | None,
    unlabelled: Path | None,
    dataset: str | None,
    language: str | None,
    text_column: str,
    label_column: str,
    seed: int,
) -> "TrainingData":
    """Load the files given, or else a data set.

    Raises:
        NeuralbitsError: the options contradict each other, or the data can't be had or used.
    """
    from neuralbits.model_training import data

    if train is not None:
        if dataset or language:
            raise NeuralbitsError("--train and a data set exclude each other; leave one out")
        return data.from_files(
            train,
            validation,
            test,
            out_of_scope,
            unlabelled,
            text_column=text_column,
            label_column=label_column,
            seed=seed,
        )
    idle = {
        "--validation": validation,
        "--test": test,
        "--out-of-scope": out_of_scope,
        "--unlabelled": unlabelled,
    }
    if given := [option for option, value in idle.items() if value is not None]:
        raise NeuralbitsError(f"{given[0]} goes with --train; a data set has its own splits")
    if language is not None and dataset not in (None, "home-assistant"):
        raise NeuralbitsError(f"--language goes with home-assistant, not with {dataset}")
    return data.from_name(dataset or "home-assistant", language or "en", seed)


@cli.command()
def evaluate(
    artifact: ArtifactArgument,
    file: Annotated[Path, typer.Argument(help="Utterances with their right intents.")],
    text_column: TextColumnOption = "text",
    label_column: LabelColumnOption = "intent",
    as_json: JsonOption = False,
) -> None:
    """Measure an artifact on a file; rows labelled oos are out-of-scope texts."""
    _require("sklearn", "train")
    from neuralbits.model_training import data
    from neuralbits.model_training.evaluation import metrics

    classifier = neuralbits.load(artifact)
    loaded = data.load_file(file, text_column, label_column)
    examples, out_of_scope = loaded.examples, loaded.out_of_scope
    measured = metrics.evaluate_classifier(
        classifier, examples.texts, examples.intents, out_of_scope.texts
    )
    speed = metrics.microseconds_per_text(classifier.classify_batch, examples.texts)
    for finding in loaded.findings:
        print(finding, file=sys.stderr)
    if as_json:
        print(json.dumps(measured.to_json() | {"microseconds_per_text": asdict(speed)}, indent=2))
        return
    facts = {
        "examples": f"{measured.examples:,}",
        "accuracy": f"{measured.accuracy:.2%}",
        "macro F1": f"{measured.macro_f1:.2%}",
        "expected calibration error": f"{measured.expected_calibration_error:.2%}",
        "size": f"{classifier.manifest.size:,} bytes",
        "time per text": f"{speed.single:.0f} µs alone, {speed.batched:.0f} µs in a batch",
    }
    if (rejection := measured.out_of_scope) is not None:
        facts |= {
            "out-of-scope texts": f"{rejection.texts:,}",
            "OOS recall": f"{rejection.oos_recall:.2%}",
            "false-reject rate": f"{rejection.false_reject_rate:.2%}",
            "AUROC": f"{rejection.auroc:.4f}",
            "false accepts at 95% true accepts": f"{rejection.fpr_at_95_tpr:.2%}",
        }
    _print_facts(facts)


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
def serve(
    artifact: Annotated[
        Path | None, typer.Argument(help="By default, the shipped home-assistant artifact.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="By default, 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="By default, 8000; 0 takes a free one.")] = None,
    watch: Annotated[
        bool | None,
        typer.Option(help="Serve the artifact anew when its file changes.", show_default=False),
    ] = None,
) -> None:
    """Serve an artifact over HTTP."""
    _require("uvicorn", "serve")
    from neuralbits.app import command

    command.serve(artifact, host, port, watch)


@cli.command()
def key() -> None:
    """Make a key for the service, and the hash that lets it in."""
    from neuralbits.app import api_keys

    made, hashed = api_keys.make()
    print(f"{made}  for whoever is to be let in; it can't be shown again")
    print(f"NEURALBITS_API_KEYS={hashed}  for the service; several, with commas between them")


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
    _print_facts(
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


def _print_facts(facts: dict[str, str]) -> None:
    width = max(map(len, facts))
    for name, fact in facts.items():
        print(f"{name.rjust(width)}  {fact}")
