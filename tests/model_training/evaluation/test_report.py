import json
import math
import re
import subprocess
import sys
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from neuralbits.errors import ForeignFileError
from neuralbits.model_training.compression.sensitivity import Sensitivity
from neuralbits.model_training.data import DataReport, Finding
from neuralbits.model_training.evaluation.metrics import Evaluation, Microseconds, evaluate
from neuralbits.model_training.evaluation.metrics import out_of_scope as measure_rejection
from neuralbits.model_training.evaluation.report import (
    Measured,
    TrainingReport,
    comparison,
    html,
    kibibytes,
    metrics,
    percent,
    write_report,
)
from neuralbits.model_training.loop.history import EpochRecord
from tests.support.paths import ROOT

NASTY = '<script>alert("1")</script> & {braces} $x^2$'


def make_evaluation(classes: int = 7, seed: int = 0, out_of_scope: bool = True) -> Evaluation:
    """An evaluation of plausible probabilities; the last intent has a name like an attack."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), 20)
    scores = random.normal(0, 2, (len(labels), classes))
    scores[np.arange(len(labels)), labels] += 5
    inside, outside = np.exp(scores), random.normal(0, 1, (50, classes))
    return evaluate(
        inside / inside.sum(axis=1, keepdims=True),
        labels,
        (*(f"intent_{i}" for i in range(classes - 1)), NASTY),
        measure_rejection(scores.max(axis=1), outside.max(axis=1), threshold=3.0)
        if out_of_scope
        else None,
    )


def make_report(classes: int = 7) -> TrainingReport:
    splits = {"validation": make_evaluation(classes, 1), "test": make_evaluation(classes, 2)}
    return TrainingReport(
        name=f"home {NASTY}",
        artifact=Measured("projection network", 42_188, Microseconds(71.5, 18.25), splits),
        trainer=Measured("lstm", 14_211_344, Microseconds(2311.0, 412.0), splits),
        history=[
            EpochRecord(1, 20.5, 3.1, 2.0, 1.0, 1.0, 0.5, 0.5),
            EpochRecord(2, 20.5, 2.1, 1.5, 1.0, 0.5, 0.75, 0.875),
            EpochRecord(3, 20.5, 1.6, 1.0, 1.0, 0.5, 0.80, 0.625),
        ],
        data=DataReport(
            "home",
            classes,
            {"train": 700, "test": 140},
            (Finding("train.csv", "repeated texts", 30, tuple(range(1001, 1031)), NASTY),),
        ),
        settings={"seed": 0, "lambdas": [1.0, 0.1, 1.0], "projection": {"functions": 64}},
        provenance={"data": {"name": NASTY, "licence": None, "sha256": {"train": "ab" * 32}}},
    )


class Page(HTMLParser):
    """The tags of a page, its text, and whether every tag is closed in turn."""

    VOID = ("meta", "link", "br", "path", "use")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def text() -> str:
    return html(make_report())


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_page_loads_nothing(page: Page) -> None:
    assert not {"script", "link", "img", "iframe", "object", "image"} & {t for t, _ in page.tags}
    for _, attributes in page.tags:
        for name in {"src", "href", "xlink:href", "srcset"} & attributes.keys():
            assert str(attributes[name]).startswith("#")
    policy = next(a for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_the_style_and_the_figures_name_no_address(text: str) -> None:
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in re.sub(r"url\(#\w+\)", "", text)


def test_names_from_outside_are_shown_as_they_are_and_never_obeyed(text: str, page: Page) -> None:
    assert "<script" not in text
    assert page.text.count(NASTY) >= 6  # title, heading, tables of confusions, intents, findings…


def test_what_pruning_costs_is_shown_where_it_was_measured(page: Page) -> None:
    assert "Sensitivity to pruning" not in page.text
    measured = [Sensitivity(0, 0.9, 0.8125)]
    pruned = Page(html(replace(make_report(), sensitivities=measured)))
    assert pruned.open == []
    for said in ("Sensitivity to pruning", "Pruned share", "90.00 %", "81.25 %"):
        assert said in pruned.text
    content = metrics(replace(make_report(), sensitivities=measured))
    assert content["sensitivities"] == [{"layer": 0, "pruned_share": 0.9, "accuracy": 0.8125}]


def test_all_tags_are_closed_and_all_names_of_elements_differ(page: Page) -> None:
    assert page.open == []
    ids = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    assert len(ids) == len(set(ids)) == 9
    links = [a["href"] for tag, a in page.tags if tag == "a"]
    assert links == [f"#{anchor}" for anchor in ids]


def test_every_figure_has_an_alternative_text_and_every_heading_cell_a_scope(page: Page) -> None:
    figures = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(figures) == 4
    assert all(a["role"] == "img" and a["aria-label"] for a in figures)
    assert all(a["scope"] in ("row", "col") for tag, a in page.tags if tag == "th")


def test_figures_take_their_colours_from_the_page(text: str) -> None:
    for figure in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        assert not re.search(r"#[0-9a-f]{6}\b", figure)


def test_the_same_report_gives_the_same_page_in_any_process(text: str) -> None:
    again = subprocess.run(
        [
            sys.executable,
            "-c",
            "from tests.model_training.evaluation.test_report import *; print(html(make_report()))",
        ],
        capture_output=True,
        check=True,
        encoding="utf-8",
        cwd=ROOT,
        env={"PYTHONHASHSEED": "1", "PYTHONIOENCODING": "utf-8"},
    ).stdout
    assert again == text + "\n"


def test_the_page_tells_the_last_epoch_and_the_measured_figures(page: Page) -> None:
    last = make_report().history[-1]
    told = (
        f"After epoch {last.epoch} the projection network has {percent(last.projection_accuracy)}"
    )
    assert told in page.text
    assert percent(make_evaluation(7, 2).accuracy) in page.text
    assert "41.2 KiB" in page.text


def test_findings_are_listed_with_their_first_lines(page: Page) -> None:
    assert str(make_report().data) in page.text
    assert "1020 and 10 more, in the metrics file" in page.text


def test_with_many_intents_the_worst_stand_open_and_the_others_are_folded() -> None:
    page = Page(html(make_report(150)))
    assert "The other 120 intents" in page.text
    assert all(f"intent_{i}" in page.text for i in range(149))


def test_the_worst_intent_comes_first(text: str) -> None:
    section = text[text.index('<section id="accuracy-per-intent">') :]
    shares = [float(s) for s in re.findall(r'class="bar" style="--share:([\d.]+)"', section)]
    assert shares == sorted(shares)
    assert len(shares) == 7


def test_without_out_of_scope_texts_the_page_says_that_none_were_measured() -> None:
    report = make_report()
    network = replace(report.artifact, evaluation={"test": make_evaluation(out_of_scope=False)})
    page = Page(html(replace(report, artifact=network, trainer=network)))
    assert "Not measured: no out-of-scope texts were given." in page.text


def test_out_of_scope_texts_are_told_of_the_split_that_has_them() -> None:
    report = make_report()
    splits = {"validation": make_evaluation(), "test": make_evaluation(out_of_scope=False)}
    network = replace(report.artifact, evaluation=splits)
    page = Page(html(replace(report, artifact=network, trainer=network)))
    assert "of the validation split's 140 examples (false-reject rate)" in page.text


def test_a_run_without_a_mistake_an_epoch_or_a_finding_has_a_page() -> None:
    perfect = evaluate(np.eye(2), [0, 1], ("a", "b"))
    report = make_report()
    network = replace(report.artifact, evaluation={"test": perfect})
    data = replace(report.data, findings=())
    page = Page(html(replace(report, artifact=network, trainer=network, history=[], data=data)))
    assert "There is no mistake on the test split." in page.text
    assert "No epoch was trained." in page.text


def test_an_intent_without_an_example_is_named_apart() -> None:
    report = make_report()
    network = replace(
        report.artifact, evaluation={"test": evaluate(np.eye(3)[:2], [0, 1], ("a", "b", "<c>"))}
    )
    page = Page(html(replace(report, artifact=network, trainer=network)))
    assert "Without an example: <c>." in page.text


def test_the_comparison_has_a_row_for_each_measure_and_split() -> None:
    report = make_report()
    better = replace(report.trainer, evaluation={"test": evaluate(np.eye(2), [0, 1], ("a", "b"))})
    worse = replace(report.artifact, evaluation={"test": evaluate(np.eye(2), [0, 0], ("a", "b"))})
    head, *compared = comparison(replace(report, artifact=worse, trainer=better))
    assert head == ("", "artifact", "trainer (lstm)", "artifact against trainer")
    rows = {row[0]: row[1:] for row in compared}
    assert rows["Accuracy, test"] == ("50.00 %", "100.00 %", "\N{MINUS SIGN}50.00 points")
    assert rows["Size"] == ("41.2 KiB", "13.6 MiB", "337\N{MULTIPLICATION SIGN} smaller")
    assert rows["Time per text, one a call"][2] == "32.3\N{MULTIPLICATION SIGN} faster"
    assert [*rows][:3] == ["Accuracy, test", "Macro F1, test", "Expected calibration error, test"]


def test_the_comparison_tells_what_both_networks_reject_on_the_splits_that_have_such_texts() -> (
    None
):
    report = make_report()

    def network(outside: float) -> dict[str, Evaluation]:
        inside = [[0.9, 0.1], [0.6, 0.4]]
        rejection = evaluate(
            inside,
            [0, 0],
            ("a", "b"),
            measure_rejection([0.9, 0.6], [outside, 0.6], threshold=0.7),
        )
        return {"validation": evaluate(inside, [0, 0], ("a", "b")), "test": rejection}

    artifact = replace(report.artifact, evaluation=network(0.6))
    trainer = replace(report.trainer, evaluation=network(0.8))
    rows = {
        row[0]: row[1:] for row in comparison(replace(report, artifact=artifact, trainer=trainer))
    }
    assert rows["OOS recall, test"] == ("100.00 %", "50.00 %", "+50.00 points")
    assert rows["False-reject rate, test"] == ("50.00 %", "50.00 %", "+0.00 points")
    assert "OOS recall, validation" not in rows


def test_without_a_trainer_no_table_no_curve_and_no_sentence_names_one() -> None:
    report = make_report()
    history = [
        replace(record, trainer_loss=None, distillation_loss=None, trainer_accuracy=None)
        for record in report.history
    ]
    alone = replace(report, trainer=None, history=history, settings={})
    assert comparison(alone)[0] == ("", "artifact")
    assert all(len(row) == 2 for row in comparison(alone))
    text = html(alone).partition("</style>")[2].replace("var(--trainer)", "")  # a colour
    assert "Projection loss" in text
    assert "trainer" not in text.lower()
    assert metrics(alone)["trainer"] is None
    assert metrics(alone)["history"][0]["trainer_accuracy"] is None


def test_sizes_are_in_kibibytes_below_one_mebibyte() -> None:
    assert kibibytes(65_536) == "64.0 KiB"
    assert kibibytes(1 << 20) == "1.0 MiB"


def test_the_metrics_file_holds_the_report_field_by_field(tmp_path: Path) -> None:
    report = make_report()
    write_report(report, tmp_path / "report.html", tmp_path / "metrics.json")
    content = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert content["schema"] == 1
    assert content["artifact"]["bytes"] == 42_188
    assert content["artifact"]["microseconds_per_text"] == {"single": 71.5, "batched": 18.25}
    test = report.artifact.evaluation["test"]
    assert content["artifact"]["evaluation"]["test"]["accuracy"] == test.accuracy
    assert content["trainer"]["name"] == "lstm"
    assert content["history"][0] == asdict(report.history[0])
    assert content["data"]["findings"][0]["lines"] == list(range(1001, 1031))
    assert content["settings"] == report.settings
    assert content["provenance"] == report.provenance
    assert content.pop("stamp").startswith("Written by neuralbits")
    assert content == metrics(report)


def test_a_figure_that_is_not_finite_is_null_in_the_metrics_and_a_gap_in_the_curve() -> None:
    report = make_report()
    history = [*report.history, replace(report.history[0], loss=math.nan, trainer_loss=math.inf)]
    broken = replace(report, history=history)
    assert metrics(broken)["history"][3]["loss"] is None
    assert metrics(broken)["history"][3]["trainer_loss"] is None
    assert Page(html(broken)).open == []


def test_a_report_replaces_an_earlier_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    paths = tmp_path / "report.html", tmp_path / "metrics.json"
    write_report(replace(make_report(), name="earlier"), *paths)
    write_report(make_report(), *paths)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.json", "report.html"]
    assert paths[0].read_text(encoding="utf-8").startswith(html(make_report()))


@pytest.mark.parametrize("name", ["report.html", "metrics.json"])
def test_a_report_replaces_no_file_of_the_user(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    paths = tmp_path / "report.html", tmp_path / "metrics.json"
    with pytest.raises(ForeignFileError, match=name):
        write_report(make_report(), *paths)
    assert (tmp_path / name).read_text() == "mine"
    write_report(make_report(), *paths, overwrite=True)
    assert (tmp_path / name).read_text() != "mine"


def test_a_name_with_a_lone_surrogate_can_be_written(tmp_path: Path) -> None:
    report = replace(make_report(), name="broken \ud800 name")
    write_report(report, tmp_path / "report.html", tmp_path / "metrics.json")
    assert "broken \\ud800 name" in (tmp_path / "report.html").read_text(encoding="utf-8")
