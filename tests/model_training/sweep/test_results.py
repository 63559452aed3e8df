"""What a sweep has measured: summaries over the seeds, and the table."""

from collections.abc import Mapping
from dataclasses import replace

from neuralbits.model_training.evaluation.metrics import Microseconds
from neuralbits.model_training.sweep.results import Results, Run, Spread, Swept, table


def make_run(
    value: int, seed: int = 0, accuracy: float = 0.9, size: int | None = None, **splits: float
) -> Run:
    """Make a run whose trainer is always a point better on every split."""
    accuracies: Mapping[str, float] = splits or {"validation": accuracy, "test": accuracy - 0.1}
    return Run(
        artifact=f"{value}-seed-{seed}.safetensors",
        digest="sha256:0",
        value=value,
        seed=seed,
        bits=value if size is None else 1024,
        units=(64, 16),
        bytes=10 * value if size is None else size,
        microseconds_per_text=Microseconds(single=100 + seed, batched=10 + seed),
        accuracy=accuracies,
        trainer_accuracy={split: each + 0.01 for split, each in accuracies.items()},
        provenance={},
    )


def make_results(*runs: Run, swept: Swept = "bits") -> Results:
    return Results("homes", swept, "lstm", runs)


def test_the_runs_of_a_value_make_a_point_over_the_seeds() -> None:
    few, many = make_results(
        make_run(256, 0, 0.8), make_run(256, 1, 0.7), make_run(256, 5, 0.9), make_run(512, 0, 0.95)
    ).points
    assert (few.value, few.seeds, few.units) == (256, (0, 1, 5), (64, 16))
    assert (round(few.accuracy["validation"].mean, 9), *few.accuracy) == (0.8, "validation", "test")
    assert few.accuracy["validation"].lowest == 0.7
    assert few.accuracy["validation"].highest == 0.9
    assert few.single == Spread(102, 100, 105)
    assert few.bytes == Spread(2560, 2560, 2560)
    assert many.trainer_accuracy["validation"] == Spread(0.96, 0.96, 0.96)


def test_it_is_judged_by_the_test_split_if_there_is_one() -> None:
    assert make_results(make_run(256)).split == "test"
    assert make_results(make_run(256, validation=0.9)).split == "validation"


def test_the_trainer_is_summarised_over_all_runs() -> None:
    results = make_results(make_run(256, accuracy=0.5), make_run(512, accuracy=0.75))
    trainer = results.trainer_accuracy
    assert trainer is not None
    assert [round(each, 9) for each in (trainer.mean, trainer.lowest, trainer.highest)] == [
        0.535,
        0.41,
        0.66,
    ]


def test_the_table_has_a_row_for_each_point() -> None:
    titles, *rows = table(make_results(make_run(256, accuracy=0.8), make_run(1024, accuracy=0.9)))
    assert [" ".join(title.split()) for title in titles] == [
        *("bits", "units", "bytes", "µs alone", "µs batched"),
        *("validation", "test", "trainer, test"),
    ]
    assert rows == [
        ("256", "64, 16", "2,560", "100.0", "10.0", "80.00%", "70.00%", "71.00%"),
        ("1,024", "64, 16", "10,240", "100.0", "10.0", "90.00%", "80.00%", "81.00%"),
    ]


def test_the_table_shows_what_the_seeds_differ_by() -> None:
    _, row = table(make_results(make_run(256, 0, 0.8), make_run(256, 2, 0.9)))
    assert row[2:] == (
        *("2,560", "101.0", "11.0"),
        *("85.00%\n80.0–90.0", "75.00%\n70.0–80.0", "76.00%\n71.0–81.0"),
    )


def test_the_table_of_a_sweep_of_sizes_begins_with_them() -> None:
    runs = [make_run(value, size=value - 9) for value in (5000, 8192)]
    titles, *rows = table(make_results(*runs, swept="size"))
    assert titles[0].split() == ["at", "most"]
    assert [row[0] for row in rows] == ["5000 B", "8 KiB"]
    assert [row[3] for row in rows] == ["4,991", "8,183"]


def test_without_a_trainer_the_table_has_no_column_for_one() -> None:
    results = make_results(replace(make_run(256, accuracy=0.8), trainer_accuracy={}))
    assert results.trainer_accuracy is None
    titles, row = table(results)
    assert titles[-1] == "test"
    assert row == ("256", "64, 16", "2,560", "100.0", "10.0", "80.00%", "70.00%")
