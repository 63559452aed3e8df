"""The command ``python -m benchmarks``; run it from the root of a checkout."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import plan, results, tables
from benchmarks.measure import measure
from benchmarks.published import publish
from benchmarks.results import Results, Run
from benchmarks.targets import LARGE, SMALL
from benchmarks.trainings import ROOT, interruptible, run_all
from neuralbits.errors import NeuralbitsError, ending_in_a_sentence
from neuralbits.files import locked
from neuralbits.model_training import data
from neuralbits.model_training.budget import parse_size
from neuralbits.model_training.data.public import PUBLIC
from neuralbits.model_training.settings import Settings

DATASETS, SEEDS, SIZES = ",".join(PUBLIC), "0,1,2", f"{LARGE},{SMALL}"


def bench(
    datasets: Annotated[
        str, typer.Option(help="Named data sets that have a test split.")
    ] = DATASETS,
    seeds: Annotated[str, typer.Option(help="One or more.")] = SEEDS,
    sizes: Annotated[str, typer.Option(help="The budgets of neuralbits.")] = SIZES,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of `neuralbits train`, such as epochs=2."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at a time.")] = 2,
    folder: Annotated[
        Path, typer.Option(help="Where models and results.json go; may contain an earlier run's.")
    ] = ROOT / "runs" / "bench",
    baselines: Annotated[
        Path, typer.Option(help="The Python of the baselines' environment.")
    ] = ROOT / ".venv-bench" / "bin" / "python",
) -> None:
    """Train and measure neuralbits and its baselines; the same command resumes after Ctrl-C."""
    console = Console(stderr=True)
    settings = set_ or []
    max_false_rejects = Settings().override(settings).max_false_rejects
    names, budgets = datasets.split(","), sizes.split(",")
    if unknown := [name for name in names if name not in PUBLIC]:
        raise NeuralbitsError(
            f"--datasets {datasets}: {unknown[0]!r} is none of {', '.join(PUBLIC)}"
        )
    for budget in budgets:
        parse_size(budget)
    try:
        numbers = [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise NeuralbitsError(f"--seeds {seeds}: write whole numbers, such as 0,1,2") from None
    trial = (datasets, seeds, sizes, settings) != (DATASETS, SEEDS, SIZES, [])

    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with interruptible(), locked(folder) as lock:
        loaded = {
            (name, seed): data.from_name(name, seed=seed) for name in names for seed in numbers
        }
        planned = {
            (name, seed): plan.systems(
                loaded[name, seed], seed, budgets, settings, folder, baselines.absolute()
            )
            for name, seed in loaded
        }
        everyone = [each for systems in planned.values() for each in systems]
        everyone.sort(
            key=lambda each: each.is_neuralbits
        )  # the quick ones, and their errors, first
        run_all([each.training for each in everyone], jobs, lock, console)
        runs = [
            Run(name, seed, system, figures, versions)
            for (name, seed), systems in planned.items()
            for system, (figures, versions) in measure(
                systems, loaded[name, seed], max_false_rejects, console
            ).items()
        ]
        reports = {name: loaded[name, numbers[0]].report for name in names}
        found = Results(
            runs,
            {name: {"intents": each.intents, **each.examples} for name, each in reports.items()},
            settings,
            results.conditions(),
        )
        page = tables.markdown(found, trial=trial)
        page_path = (folder if trial else ROOT / "benchmarks") / "RESULTS.md"
        publish(found.to_json(), folder / "results.json", page, page_path)
    print(page)
    console.print(f"wrote {folder / 'results.json'} and {page_path}", highlight=False)


def main() -> None:
    """Run the command."""
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    command.command()(bench)
    with ending_in_a_sentence("benchmarks"):
        command()


if __name__ == "__main__":
    main()
