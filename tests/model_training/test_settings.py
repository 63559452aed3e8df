"""Settings: overridden by name, and refused in one sentence where no run can be made with them."""

from dataclasses import replace
from typing import Any

import pytest

from neuralbits.model_training.settings import Settings, SettingsError, parse_share


def test_without_an_assignment_all_stays_as_it_was() -> None:
    assert Settings(seed=3).override([]) == Settings(seed=3)


def test_a_setting_is_overridden_by_its_name_and_all_others_stay() -> None:
    assert Settings().override(["epochs=30"]) == Settings(epochs=30)
    assert Settings().override(["ngram_dropout=0.25", "seed=7"]) == Settings(
        ngram_dropout=0.25, seed=7
    )


@pytest.mark.parametrize(
    ("assignment", "group", "value"),
    [
        ("objective.temperature=2", "objective", {"temperature": 2.0}),
        ("objective.scale_by_temperature=False", "objective", {"scale_by_temperature": False}),
        ("network.widths=64,32", "network", {"widths": (64, 32)}),
        ("network.widths=", "network", {"widths": ()}),
        ("network.first_precision=int4", "network", {"first_precision": "int4"}),
        ("trainer.names=lstm+cnn", "trainer", {"names": "lstm+cnn"}),
        ("projection.stride=8", "projection", {"stride": 8}),
        (
            "projection.families=words,characters",
            "projection",
            {"families": ("words", "characters")},
        ),
    ],
)
def test_a_nested_setting_is_overridden_by_its_path(
    assignment: str, group: str, value: dict[str, Any]
) -> None:
    expected = replace(Settings(), **{group: replace(getattr(Settings(), group), **value)})
    overridden = Settings().override([assignment])
    assert overridden == expected
    assert repr(overridden) == repr(expected)  # 2 is not 2.0 in a report


def test_assignments_are_made_at_once_so_that_their_order_makes_no_difference() -> None:
    assignments = [
        "projection.functions=72",
        "projection.stride=1",
        "pruning.first_share=0.9",
        "network.first_precision=ternary",
    ]
    assert Settings().override(assignments) == Settings().override(assignments[::-1])


def test_what_assignments_give_together_is_refused_by_all_their_names() -> None:
    with pytest.raises(
        SettingsError,
        match=r"--set projection\.stride=8 --set projection\.functions=9: .*functions is 9",
    ):
        Settings().override(["projection.stride=8", "projection.functions=9"])


@pytest.mark.parametrize("pruning", ["share=0.5", "group_lasso=0.1"])
def test_what_is_pruned_is_not_factorised(pruning: str) -> None:
    with pytest.raises(SettingsError, match=r"pruning and low_rank\.after exclude each other"):
        Settings().override([f"pruning.{pruning}", "low_rank.after=1"])


def test_of_two_assignments_to_a_setting_the_later_counts() -> None:
    assert Settings().override(["epochs=2", "epochs=3"]).epochs == 3


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("epochs", "'epochs' sets nothing; write it like epochs=30"),
        ("epoch=3", "--set epoch=3: there is no 'epoch'; choose of projection, network, .*epochs"),
        ("objective.heat=2", "--set objective.heat=2: there is no 'heat'; choose of .*temperature"),
        ("epochs.first=2", "--set epochs.first=2: there is no 'first'"),
        ("network=3", "--set network=3: name one of the settings in network"),
        ("epochs=many", "--set epochs=many: .*'many'"),
        ("epochs=2.5", "--set epochs=2.5: .*'2.5'"),
        ("objective.scale_by_temperature=2", "--set objective.scale_by_temperature=2: .*'2'"),
        ("network.widths=64,wide", "--set network.widths=64,wide: .*'wide'"),
        ("epochs=0", "--set epochs=0: epochs is 0; it must be at least 1"),
        ("batch_size=1", "batch_size is 1; it must be at least 2"),
        ("ngram_dropout=1", r"ngram_dropout is 1\.0, not within 0 and 1"),
        ("max_false_rejects=-1", r"max_false_rejects is -1\.0, not within 0 and 1"),
        ("ngram_dropout=nan", "ngram_dropout is nan, not within 0 and 1"),
        ("trainer_learning_rate=0", r"trainer_learning_rate is 0\.0; it must be above 0"),
        ("projection_learning_rate=nan", "projection_learning_rate is nan; it must be above 0"),
        ("trainer.names=gru", "there is no trainer 'gru'; choose of lstm, feedforward, cnn"),
        ("trainer.names=lstm+none", "there is no trainer 'none'; choose of lstm, .* or none"),
        ("projection.stride=3", "stride is 3, not a power of two"),
        ("projection.families=letters", "families is .*'letters'"),
        (
            "pruning.first_share=0.9",
            "pruning.first_share is 0.9, but a binary weight can't be 0; "
            "take network.first_precision=ternary",
        ),
        ("pruning.share=1", r"share is 1\.0, not within 0 and 1"),
    ],
)
def test_what_is_no_setting_is_refused_in_one_sentence(assignment: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence) as refused:
        Settings().override([assignment])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"views": 0},
        {"batch_size": 1},
        {"ngram_dropout": 1.0},
        {"trainer_learning_rate": 0.0},
    ],
)
def test_settings_that_no_run_can_be_made_with_do_not_exist(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)


@pytest.mark.parametrize(
    "assignment",
    [
        "seed=-1",
        "trainer_learning_rate=inf",
        "network.widths=0",
        "network.first_precision=int3",
        "network.precision=int3",
        "network.activation=tanh",
        "objective.temperature=0",
        "objective.projection_weight=nan",
        "trainer.buckets=0",
        "trainer.hidden=0",
        "trainer.dropout=2",
    ],
)
def test_a_value_that_no_network_can_have_is_refused_by_its_name(assignment: str) -> None:
    name = assignment.partition("=")[0].rpartition(".")[2]
    with pytest.raises(SettingsError, match=f"--set {assignment}: .*{name}"):
        Settings().override([assignment])


@pytest.mark.parametrize(
    ("text", "share"), [("4%", 0.04), ("4 %", 0.04), (" 2.5% ", 0.025), ("0.04", 0.04), ("0", 0.0)]
)
def test_a_share_is_a_percentage_or_a_fraction(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "%", "four", "100%", "1", "-1%", "4%%", "4% of all", "nan"])
def test_what_is_no_share_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingsError, match=r"no share below 1; write it like 4% or 0\.04"):
        parse_share(text)
