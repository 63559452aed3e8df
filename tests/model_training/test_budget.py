"""The budget: a size in bytes in, the widest projection and network that fit into it out."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
import torch

from neuralbits import artifact
from neuralbits.model_training import budget
from neuralbits.model_training.budget import BudgetError
from neuralbits.model_training.compression.pruning import Pruning, linears
from neuralbits.model_training.networks.projection_network import ProjectionNetwork
from neuralbits.model_training.settings import Settings
from neuralbits.sizes import SizeError

FEW = ("turn_off", "turn_on")
MANY = tuple(f"an intent with a rather long name, number {number}" for number in range(150))
PROVENANCE: dict[str, Any] = {"data": {"name": "a data set"}, "metrics": {"accuracy": 0.1234}}


def size(settings: Settings, labels: tuple[str, ...]) -> int:
    return len(artifact.encode(budget.blank(settings, labels, PROVENANCE))[0])


def fit(
    max_size: int, labels: tuple[str, ...] = MANY, settings: Settings | None = None
) -> Settings:
    return budget.fit(settings or Settings(), labels, PROVENANCE, max_size)


def wider(settings: Settings, *, functions: int = 0, units: int = 0) -> Settings:
    """Return the settings with more functions, or with other units than before."""
    network = replace(settings.network, widths=(units or settings.network.widths[0],))
    functions = functions or settings.projection.functions
    return replace(
        settings, projection=replace(settings.projection, functions=functions), network=network
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64KiB", 65536),
        ("64 kib", 65536),
        (" 16kB ", 16000),
        ("65536", 65536),
        ("65536 B", 65536),
        ("1.5MiB", 1572864),
        ("0.5 MB", 500000),
    ],
)
def test_a_size_is_read_as_people_write_it(text: str, size: int) -> None:
    assert budget.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1", "64k", "1e3", "64 KiB/s", "KiB", "1.2.3"])
def test_what_is_no_size_is_refused_with_an_example_of_one(text: str) -> None:
    with pytest.raises(SizeError, match=r"isn't a size; write one like 64KiB, 16kB or 65536"):
        budget.parse_size(text)


@pytest.mark.parametrize("labels", [FEW, MANY])
@pytest.mark.parametrize("max_size", [16 << 10, 32 << 10, 64 << 10])
def test_the_choice_fits_and_nothing_larger_would(max_size: int, labels: tuple[str, ...]) -> None:
    chosen = fit(max_size, labels)
    functions, units = chosen.projection.functions, chosen.network.widths[0]
    assert size(chosen, labels) <= max_size
    if units < budget.MAX_UNITS:
        assert size(wider(chosen, units=units + 1), labels) > max_size
    if functions < max(budget.FUNCTIONS):
        twice = wider(chosen, functions=2 * functions, units=budget.MIN_UNITS)
        assert size(twice, labels) > max_size


def test_the_size_chosen_is_met_to_the_byte() -> None:
    chosen = fit(16 << 10)
    exact = size(chosen, MANY)
    assert fit(exact) == chosen
    assert fit(exact - 1) == wider(chosen, units=chosen.network.widths[0] - 1)


def test_a_network_of_64_functions_and_512_units_is_the_largest() -> None:
    chosen = fit(1 << 20, FEW)
    assert chosen.projection.functions == 64
    assert chosen.network.widths == (512,)


def test_longer_labels_and_provenance_leave_less_room_for_the_network() -> None:
    short = tuple(f"intent {number}" for number in range(150))
    # Long names of few different words would be compressed to hardly more.
    long = tuple(hashlib.sha256(label.encode()).hexdigest() for label in short)
    with_short_labels = fit(32 << 10, short)
    assert with_short_labels.network.widths > fit(32 << 10, long).network.widths
    provenance = PROVENANCE | {"command": "x" * 2000}
    with_provenance = budget.fit(Settings(), short, provenance, 32 << 10)
    assert with_short_labels.network.widths > with_provenance.network.widths


def test_all_else_in_the_settings_stays() -> None:
    settings = Settings(seed=3, epochs=7).override(
        ["network.widths=1,16", "network.first_precision=ternary", "projection.stride=2"]
    )
    chosen = fit(64 << 10, FEW, settings)
    assert chosen.network.widths[1:] == (16,)
    widths = (chosen.network.widths[0], 16)
    assert chosen == replace(
        settings,
        projection=replace(settings.projection, functions=chosen.projection.functions),
        network=replace(settings.network, widths=widths),
    )


@pytest.mark.parametrize("labels", [FEW, MANY])
def test_a_budget_that_is_too_small_is_refused_with_the_least_that_is_not(
    labels: tuple[str, ...],
) -> None:
    with pytest.raises(BudgetError, match=f"these {len(labels)} intents fits into 100 bytes") as no:
        fit(100, labels)
    least = int(str(no.value).removesuffix(" by --max-size").rpartition(" ")[2])
    assert size(fit(least, labels), labels) == least
    with pytest.raises(BudgetError):
        fit(least - 1, labels)


@pytest.mark.parametrize("stride", [1, 8, 64])
def test_a_stride_is_kept_unless_there_are_fewer_functions(stride: int) -> None:
    settings = Settings().override([f"projection.stride={stride}"])
    for max_size in (3 << 10, 24 << 10):
        chosen = fit(max_size, FEW, settings).projection
        assert chosen.stride == min(stride, chosen.functions)


@pytest.mark.parametrize("precision", ["ternary", "int4", "int8", "float"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.8, 0.9, 0.95])
def test_wherever_its_zeros_are_no_pruned_artifact_is_larger_than_the_blank_one(
    precision: str, share: float
) -> None:
    settings = wider(Settings(), functions=64, units=8).override(
        [
            f"network.first_precision={precision}",
            f"network.precision={precision}",
            f"pruning.first_share={share}",
            f"pruning.share={share}",
        ]
    )
    blank = budget.blank(settings, FEW, PROVENANCE)
    torch.manual_seed(0)
    trained = ProjectionNetwork(settings.projection.sums, len(FEW), settings.network)
    for spread in (0.0, 0.5, 3.0):  # of the units' magnitudes, so that zeros gather in some units
        for linear in linears(trained):
            linear.weight.data *= torch.exp(spread * torch.randn(len(linear.weight), 1))
        Pruning(settings.pruning).prune(trained, done=1.0)
        network = replace(trained.fold(), scale=blank.network.scale)
        size_of = len(artifact.encode(replace(blank, network=network))[0])
        assert size_of <= size(settings, FEW)


def test_pruning_leaves_room_for_more_units() -> None:
    ternary = Settings().override(["network.first_precision=ternary"])
    pruned = ternary.override(["pruning.first_share=0.9"])
    widths = [fit(64 << 10, settings=each).network.widths[0] for each in (pruned, ternary)]
    assert widths[0] > 1.5 * widths[1]


def test_no_trained_artifact_is_larger_than_the_blank_one_that_was_measured() -> None:
    settings = wider(Settings(), functions=64, units=8)
    for length in range(8):  # the file's header is padded to multiples of 8 bytes
        blank = budget.blank(settings, FEW, PROVENANCE | {"command": "x" * length})
        trained = replace(
            blank,
            temperature=0.018315638888734179,
            threshold=0.0012345678901234567,
            network=replace(blank.network, scale=1.2345678901234567e-05),
        )
        assert len(artifact.encode(trained)[0]) <= len(artifact.encode(blank)[0])
