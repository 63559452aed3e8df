"""The commands of the offline job: train, sweep and evaluate.

They import torch and scikit-learn when they run, so that `--help` and an error in the arguments
take no time.
"""

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from neuralbits.cli import (
    ArtifactArgument,
    JsonOption,
    OverwriteOption,
    TextColumnOption,
    example,
    load,
    print_facts,
    print_json,
    require,
)
from neuralbits.errors import NeuralbitsError
from neuralbits.sizes import parse_size

commands = typer.Typer()

TrainOption = Annotated[
    Path | None, typer.Option(help="Utterances with their intents: CSV, TSV, JSONL or Parquet.")
]
ValidationOption = Annotated[
    Path | None, typer.Option(help="By default, a part of the training data.")
]
OutOfScopeOption = Annotated[
    list[Path] | None,
    typer.Option(help="Out-of-scope texts, from which it learns to reject; repeatable."),
]
UnlabelledOption = Annotated[
    list[Path] | None, typer.Option(help="Texts without labels, to learn from as well.")
]
TransferOption = Annotated[
    list[Path] | None,
    typer.Option(
        help="Texts of other domains, to learn the encoder's predictions of; or general, a corpus."
    ),
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        help="Without --train: home-assistant (the default), clinc150, banking77 or snips."
    ),
]
LanguageOption = Annotated[
    str | None, typer.Option(help="Of the data set home-assistant; en by default.")
]
LabelColumnOption = Annotated[str, typer.Option(help="The column with the intents.")]


@commands.command(
    epilog=example(
        "neuralbits train --train utterances.csv --output mine.safetensors",
        "neuralbits train --dataset home-assistant --language de --output de.safetensors",
    )
)
def train(
    output: Annotated[Path, typer.Option(help="Where the artifact goes: a .safetensors file.")],
    train: TrainOption = None,
    validation: ValidationOption = None,
    test: Annotated[Path | None, typer.Option(help="Measured once, at the end.")] = None,
    out_of_scope: OutOfScopeOption = None,
    out_of_scope_test: Annotated[
        list[Path] | None,
        typer.Option(help="Out-of-scope texts, measured once, at the end; repeatable."),
    ] = None,
    unlabelled: UnlabelledOption = None,
    transfer: TransferOption = None,
    dataset: DatasetOption = None,
    language: LanguageOption = None,
    text_column: TextColumnOption = "text",
    label_column: LabelColumnOption = "intent",
    max_size: Annotated[str, typer.Option(help="The artifact's greatest size.")] = "64KiB",
    trainer: Annotated[
        str | None,
        typer.Option(
            help="lstm, feedforward, cnn or encoder, or several joined by +; or none.",
            show_default="encoder with --encoder, otherwise lstm",
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="A sentence encoder: a folder or a name that sentence-transformers loads."
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(help="A pretrained first layer to start from, made by pretrain."),
    ] = None,
    graph: Annotated[
        str | None,
        typer.Option(
            help="Texts that mean the same: a CSV of two texts and a weight a line; or nearest."
        ),
    ] = None,
    max_false_rejects: Annotated[
        str, typer.Option(help="The greatest share of in-scope texts to reject.")
    ] = "4%",
    seed: Annotated[int, typer.Option(help="The same seed gives the same artifact.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Another setting, such as epochs=30 or objective.temperature=2."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Continue from a checkpoint.")] = False,
    overwrite: OverwriteOption = False,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="auto uses a GPU if there is one.")
    ] = "auto",
) -> None:
    """Train a classifier and write it as one artifact.

    A projection network is trained together with an LSTM or another trainer, which is not shipped.
    """
    require("torch", "train")
    from .data import DataOptions
    from .outputs import check_outputs
    from .settings import chosen, parse_share

    settings, choose_widths = chosen(
        set_ or [],
        seed=seed,
        trainer=trainer or ("encoder" if encoder else "lstm"),
        max_false_rejects=parse_share(max_false_rejects),
    )
    settings.trainer.check_encoder(encoder, bool(transfer))
    size = parse_size(max_size)
    source = DataOptions(
        train,
        validation,
        test,
        tuple(out_of_scope or ()),
        tuple(out_of_scope_test or ()),
        tuple(unlabelled or ()),
        tuple(transfer or ()),
        dataset,
        language,
        text_column,
        label_column,
    )
    check_outputs(output, overwrite=overwrite)
    loaded = source.load(seed).shortened(settings.max_characters)
    print(loaded.report)
    # Where files lie, what was there and interruptions make no difference to the artifact.
    named = [output, *source.files, *([Path(encoder)] if encoder else [])]
    named += [base] if base else []
    named += [Path(graph)] if graph else []
    files = {str(file): file.name for file in named}
    words = [
        files.get(word, word) for word in sys.argv[1:] if word not in ("--resume", "--overwrite")
    ]
    from . import job  # with torch, which takes seconds to import: errors above come at once
    from .evaluation.report import comparison
    from .process import stopping_on_interrupt
    from .progress import ConsoleProgress

    console = ConsoleProgress(
        Console(stderr=True), "; `--resume` goes on from the last epoch that ended"
    )
    with stopping_on_interrupt() as stop, console as progress:
        report = job.train(
            settings,
            loaded,
            output,
            max_size=size,
            choose_widths=choose_widths,
            command=shlex.join(["neuralbits", *words]),
            resume=resume,
            overwrite=overwrite,
            device=device,
            encoder=encoder,
            base=base,
            graph=graph,
            observer=progress,
            stop=stop,
        )
    head, *rows = comparison(report)
    table = Table(*head)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    print(f"wrote {output}, and beside it the model card, the report and its figures")
    if len(report.history) < settings.epochs:
        raise typer.Exit(130)  # stopped by Ctrl-C: what was to follow shouldn't


@commands.command(
    epilog=example(
        "neuralbits pretrain --texts talk.csv --encoder FOLDER --output base.safetensors"
    )
)
def pretrain(
    texts: Annotated[list[Path], typer.Option(help="Texts of any domain, no labels; repeatable.")],
    encoder: Annotated[
        str,
        typer.Option(
            help="A sentence encoder: a folder or a name that sentence-transformers loads."
        ),
    ],
    output: Annotated[Path, typer.Option(help="Where the base goes: a .safetensors file.")],
    text_column: TextColumnOption = "text",
    seed: Annotated[int, typer.Option(help="The same seed gives the same base.")] = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Pretrain a base for trainings from a sentence encoder.

    A base is a first layer that reproduces the encoder's embeddings.
    `neuralbits train --base` starts from it, with or without the encoder.
    """
    require("torch", "train")
    from .data import load_file
    from .outputs import check_outputs

    check_outputs(output, overwrite=overwrite)
    files = [load_file(file, text_column, None) for file in texts]
    from . import pretraining
    from .process import stopping_on_interrupt
    from .progress import ConsoleProgress

    with stopping_on_interrupt() as stop, ConsoleProgress(Console(stderr=True)) as progress:
        base = pretraining.run(
            pretraining.PretrainingSettings(seed=seed),
            [text for file in files for text in file.out_of_scope.texts],
            encoder,
            output,
            overwrite=overwrite,
            observer=progress,
            stop=stop,
        )
    count = base.provenance["texts"]["count"]
    print(f"wrote {output}: {len(base.weights)} units, from {count:,} texts")


@commands.command(
    epilog=example("neuralbits sweep --train utterances.csv --sizes 16KiB,64KiB --output swept")
)
def sweep(
    output: Annotated[Path, typer.Option(help="The folder for artifacts, table and plot.")],
    train: TrainOption = None,
    validation: ValidationOption = None,
    test: Annotated[
        Path | None, typer.Option(help="Measured once for each artifact, at its end.")
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
    """Measure accuracy against neural bits, bytes and time.

    The same command resumes a sweep that was interrupted.
    """
    require("torch", "train")
    from .data import DataOptions
    from .process import stopping_on_interrupt
    from .sweep import plan as sweep_plan
    from .sweep import run as sweep_job
    from .sweep.results import table

    source = DataOptions(
        train,
        validation,
        test,
        tuple(out_of_scope or ()),
        (),
        tuple(unlabelled or ()),
        (),
        dataset,
        language,
        text_column,
        label_column,
    )
    plan = sweep_plan.plan(bits, sizes, seeds, set_ or [], source.words)
    characters = plan.settings.max_characters
    loaded = {seed: source.load(seed).shortened(characters) for seed in plan.seeds}
    print(loaded[plan.seeds[0]].report)
    with stopping_on_interrupt() as stop:
        results, failed = sweep_job.run(plan, loaded, output, workers=workers, stop=stop)
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


@commands.command(epilog=example("neuralbits evaluate clinc150 test.csv"))
def evaluate(
    artifact: ArtifactArgument,
    file: Annotated[Path, typer.Argument(help="Texts with their right intents.")],
    text_column: TextColumnOption = "text",
    label_column: LabelColumnOption = "intent",
    as_json: JsonOption = False,
) -> None:
    """Measure an artifact on labelled texts.

    Rows with the label oos are out-of-scope texts.
    """
    require("sklearn", "train")
    from . import data
    from .evaluation import metrics

    classifier = load(artifact)
    loaded = data.load_file(file, text_column, label_column)
    examples, out_of_scope = loaded.examples, loaded.out_of_scope
    measured = metrics.evaluate_classifier(
        classifier, examples.texts, examples.intents, out_of_scope.texts
    )
    speed = metrics.microseconds_per_text(classifier.classify_batch, examples.texts)
    for finding in loaded.findings:
        print(finding, file=sys.stderr)
    if as_json:
        print_json(measured.to_json() | {"microseconds_per_text": asdict(speed)}, indent=2)
        return
    print_facts(
        measured.facts()
        | {
            "size": f"{classifier.manifest.size:,} bytes",
            "time per text": f"{speed.single:.0f} µs alone, {speed.batched:.0f} µs in a batch",
        }
    )
