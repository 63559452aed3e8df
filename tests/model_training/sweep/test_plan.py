"""What a sweep trains, and how each of its artifacts differs from the others."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbits.errors import NeuralbitsError
from neuralbits.model_training.data import TrainingData
from neuralbits.model_training.settings import Settings
from neuralbits.model_training.sweep.plan import Sweep, SweepError, plan, with_bits
from neuralbits.projection import Projection


def planned(
    bits: str | None = None, sizes: str | None = None, seeds: str = "0", *settings: str
) -> Sweep:
    return plan(bits, sizes, seeds, settings, ["--train", "homes.csv"])


@pytest.mark.parametrize(
    ("bits", "functions", "dimensions", "stride"),
    [
        (8192, 128, 64, 4),
        (256, 4, 64, 4),
        (128, 2, 64, 2),
        (64, 1, 64, 1),
        (720, 12, 60, 4),
        (100, 2, 50, 2),
        (127, 127, 1, 1),
    ],
)
def test_bits_come_from_the_widest_functions_and_the_stride_gives_way(
    bits: int, functions: int, dimensions: int, stride: int
) -> None:
    signs = Projection(code_bits=1, stride=4)
    narrowed = replace(signs, functions=functions, dimensions=dimensions, stride=stride)
    assert with_bits(signs, bits) == narrowed
    assert with_bits(replace(signs, code_bits=2), 2 * bits) == replace(narrowed, code_bits=2)


@given(st.integers(1, 20_000), st.sampled_from([1, 2]), st.sampled_from([1, 2, 4, 8, 16, 32, 64]))
def test_any_number_of_codes_has_a_projection(codes: int, code_bits: int, stride: int) -> None:
    projection = with_bits(Projection(code_bits=code_bits, stride=stride), codes * code_bits)
    assert projection.bits == codes * code_bits
    assert projection.code_bits == code_bits
    assert projection.stride <= stride


def test_the_bits_are_the_papers_question_by_default() -> None:
    sweep = planned()
    assert sweep.swept == "bits"
    assert sweep.values == (256, 512, 1024, 2048, 4096, 8192)


def test_the_values_rise_and_none_is_trained_twice() -> None:
    assert planned("1024,256,1024").values == (256, 1024)
    assert planned(sizes="16KiB,16384,4 kib").values == (4096, 16384)
    assert planned(seeds="2,0,2").seeds == (2, 0)


def test_for_each_number_of_bits_all_else_is_as_in_the_settings(homes: TrainingData) -> None:
    sweep = planned("64,512", None, "3", "epochs=7", "network.widths=32,16", "projection.stride=8")
    by_value = {each.value: each.training for each in sweep.trainings({3: homes}, Path("folder"))}
    settings = Settings(seed=3).override(
        ["epochs=7", "network.widths=32,16", "projection.stride=8"]
    )
    assert {value: training.settings for value, training in by_value.items()} == {
        bits: replace(settings, projection=with_bits(settings.projection, bits))
        for bits in (64, 512)
    }
    assert not any(training.choose_widths for training in by_value.values())


def test_for_each_size_the_budget_chooses_the_widths(homes: TrainingData) -> None:
    trainings = planned(sizes="5000,8KiB").trainings({0: homes}, Path("folder"))
    assert [each.training.max_size for each in trainings] == [5000, 8192]
    assert all(each.training.choose_widths for each in trainings)
    assert {each.training.settings for each in trainings} == {Settings()}


def test_artifacts_are_named_after_what_is_swept_and_the_seed(homes: TrainingData) -> None:
    homes_by_seed = {0: homes, 1: homes}
    by_bits = planned("256", None, "0,1").trainings(homes_by_seed, Path("folder"))
    assert [each.name for each in by_bits] == ["bits-256-seed-0", "bits-256-seed-1"]
    assert by_bits[0].training.output == Path("folder/bits-256-seed-0.safetensors")
    by_size = planned(sizes="5000,8KiB").trainings(homes_by_seed, Path("folder"))
    assert [each.name for each in by_size] == ["size-5000-seed-0", "size-8KiB-seed-0"]


@pytest.mark.parametrize("stride", ["1", "64"])
def test_the_command_sets_what_the_training_has(homes: TrainingData, stride: str) -> None:
    sweep = planned("64,8192", None, "5", f"projection.stride={stride}")
    for each in sweep.trainings({5: homes}, Path("folder")):
        words = shlex.split(each.training.command)
        assert words[:4] == ["neuralbits", "train", "--train", "homes.csv"]
        options = list(zip(words[2::2], words[3::2], strict=True))
        settings = Settings(seed=int(dict(options)["--seed"]))
        set_ = [value for option, value in options if option == "--set"]
        assert settings.override(set_) == each.training.settings


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("256", "4KiB"), "--bits and --sizes exclude each other"),
        (("256,many",), "--bits 256,many: write whole numbers like 1,2,3"),
        (("",), "--bits : write whole numbers"),
        (("0",), "--bits 0: each must be within 1"),
        (("512,127", None, "0", "projection.code_bits=2"), "--bits 127: each code takes 2"),
        ((None, "4KiB,much"), "'much' isn't a size; write one like 64KiB"),
        ((None, None, "-1"), "--seeds -1: each must be within 0"),
        ((None, None, "4294967296"), "each must be within 0 and 2\\*\\*32 - 1"),
        ((None, None, "0", "epoch=3"), "there is no 'epoch'"),
        ((None, None, "0", "seed=3"), "--set seed=3: the sweep chooses that itself"),
        ((None, None, "0", "projection.functions=8"), "the sweep chooses that itself"),
        ((None, "4KiB", "0", "network.widths=8"), "the sweep chooses that itself"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_a_sentence(
    arguments: tuple[str | None, ...], sentence: str
) -> None:
    with pytest.raises(NeuralbitsError, match=sentence):
        planned(*arguments)


def test_with_bits_the_hidden_widths_may_be_set() -> None:
    assert planned("256", None, "0", "network.widths=8").settings.network.widths == (8,)
    with pytest.raises(SweepError):
        planned(None, "4KiB", "0", "network.widths=8")
