"""The plot of a sweep, as a reader of its SVG meets it."""

import re
from xml.etree import ElementTree

import pytest

from neuralbits.model_training.sweep.plot import ARTIFACT, TRAINER, svg
from neuralbits.model_training.sweep.results import Results
from tests.model_training.sweep.test_results import make_results, make_run

SVG = "{http://www.w3.org/2000/svg}"


def texts(results: Results) -> list[str]:
    """Return the texts of the plot, from left to right within each of its panels."""
    return [text.text or "" for text in ElementTree.fromstring(svg(results)).iter(f"{SVG}text")]


def paths(results: Results, colour: str) -> list[str]:
    """Return the lines of a colour, as SVG's path data."""
    found = [
        str(path.get("d"))
        for path in ElementTree.fromstring(svg(results)).iter(f"{SVG}path")
        if f"stroke: {colour}" in str(path.get("style")) and path.get("clip-path")
    ]
    assert found
    return found


def heights(path: str) -> list[float]:
    """Return the heights of a path's points, upwards."""
    return [-float(y) for y in re.findall(r"[ML] \S+ (\S+)", path)]


@pytest.fixture(scope="module")
def by_bits() -> Results:
    values = {256: 0.72, 1024: 0.86, 4096: 0.915, 8192: 0.923}
    return make_results(*(make_run(bits, accuracy=right) for bits, right in values.items()))


def test_bits_bytes_and_microseconds_are_each_an_axis_with_readable_ticks(by_bits: Results) -> None:
    shown = texts(by_bits)
    assert {"neural bits", "size of the artifact", "time per text, one a call"} <= set(shown)
    assert {"256", "512", "1,024", "2,048", "4,096", "8,192"} <= set(shown)
    assert {"4 KiB", "8 KiB", "16 KiB", "32 KiB", "64 KiB"} <= set(shown)
    assert {"100 µs"} <= set(shown)


def test_it_says_on_which_split_of_which_data(by_bits: Results) -> None:
    assert "right on the test split of homes, %" in texts(by_bits)
    unmeasured = make_results(make_run(256, validation=0.5), make_run(512, validation=0.6))
    assert "right on the validation split of homes, %" in texts(unmeasured)


def test_the_datas_name_is_not_taken_for_a_formula() -> None:
    named = Results("a $x^ & b$.csv", "bits", "lstm", [make_run(256)])
    assert "right on the test split of a $x^ & b$.csv, %" in texts(named)


def test_points_are_labelled_where_the_axis_does_not_tell_them(by_bits: Results) -> None:
    assert texts(by_bits).count("1,024 bits") == 2
    runs = [make_run(size, size=size) for size in (4096, 8192)]
    by_size = texts(make_results(*runs, swept="size"))
    assert by_size.count("8 KiB") == 2 + 1  # and a tick


def test_each_panel_shows_every_point_at_its_height(by_bits: Results) -> None:
    lines = [heights(path) for path in paths(by_bits, ARTIFACT)]
    lines = [line for line in lines if len(line) == len(by_bits.points)]
    assert len(lines) == 3
    accuracies = [point.accuracy["test"].mean for point in by_bits.points]
    for line in lines:
        rises = [(y - line[0]) / (line[-1] - line[0]) for y in line]
        spans = [(a - accuracies[0]) / (accuracies[-1] - accuracies[0]) for a in accuracies]
        assert rises == pytest.approx(spans, abs=1e-3)


def test_the_trainers_line_lies_a_point_above_the_mean(by_bits: Results) -> None:
    artifact = next(y for p in paths(by_bits, ARTIFACT) if len(y := heights(p)) == 4)
    level, same = heights(paths(by_bits, TRAINER)[0])
    accuracies = [point.accuracy["test"].mean for point in by_bits.points]
    unit = (artifact[-1] - artifact[0]) / (accuracies[-1] - accuracies[0])
    expected = sum(accuracies) / len(accuracies) + 0.01
    assert level == same
    assert (level - artifact[0]) / unit + accuracies[0] == pytest.approx(expected, abs=1e-3)


def test_the_legend_names_the_trainer_its_accuracy_and_what_was_averaged() -> None:
    one = " ".join(texts(make_results(make_run(256, validation=0.5))))
    assert "trainer (lstm): 51.0 %" in one
    assert "mean" not in one
    seeds = [make_run(256, seed, validation=0.5 + seed / 10) for seed in (0, 1, 2)]
    several = " ".join(texts(make_results(*seeds)))
    assert "trainer (lstm): 61.0 %, mean of its 3 runs (band: lowest to highest)" in several
    assert "artifact, mean of 3 seeds (bars: lowest to highest)" in several


def test_it_can_be_read_on_a_page_of_any_colour(by_bits: Results) -> None:
    background = next(ElementTree.fromstring(svg(by_bits)).iter(f"{SVG}path"))
    assert "fill: #ffffff" in str(background.get("style"))


def test_the_same_results_give_the_same_plot(by_bits: Results) -> None:
    assert svg(by_bits) == svg(by_bits)


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
def test_a_single_point_is_plotted_too(accuracy: float) -> None:
    assert "256" in " ".join(texts(make_results(make_run(256, validation=accuracy))))
