"""A base: written and read again, and where a network can't start from it."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from neuralbits.model_training.networks.base import Base, BaseError
from neuralbits.model_training.networks.projection_network import HiddenLayer, ProjectionNetwork
from neuralbits.model_training.networks.settings import NetworkSettings
from neuralbits.projection import Projection

PROJECTION = Projection(functions=4, dimensions=8, stride=2)


def make(units: int = 6) -> Base:
    weights = np.random.default_rng(0).normal(size=(units, PROJECTION.inputs))
    return Base(
        PROJECTION,
        weights.astype(np.float16),
        np.arange(units, dtype=np.float16),
        {"encoder": {"name": "e", "sha256": "0"}, "texts": {"count": 2, "sha256": "1"}},
    )


def first(network: ProjectionNetwork) -> tuple[np.ndarray, np.ndarray]:
    hidden = network.hidden[0]
    assert isinstance(hidden, HiddenLayer)
    return hidden.linear.weight.detach().numpy(), hidden.offset.detach().numpy()


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    base, path = make(), tmp_path / "base.safetensors"
    base.write(path)
    again = Base.read(path)
    assert (again.projection, again.provenance) == (base.projection, base.provenance)
    assert np.array_equal(again.weights, base.weights)
    assert np.array_equal(again.offsets, base.offsets)
    assert again.sha256 == base.sha256


@pytest.mark.parametrize("units", [3, 6, 9])
def test_a_network_of_any_width_starts_from_its_first_units(units: int) -> None:
    base = make()
    network = ProjectionNetwork(PROJECTION.inputs, 3, NetworkSettings(widths=(units,)))
    before, _ = (each.copy() for each in first(network))
    base.start(network)
    (weights, offsets), count = first(network), min(units, 6)
    assert np.array_equal(weights[:count], base.weights[:count])
    assert np.array_equal(offsets[:count], base.offsets[:count])
    assert np.array_equal(weights[count:], before[count:])


@pytest.mark.parametrize(("inputs", "widths"), [(PROJECTION.inputs, ()), (64, (6,))])
def test_a_network_that_reads_something_else_is_refused(
    inputs: int, widths: tuple[int, ...]
) -> None:
    network = ProjectionNetwork(inputs, 3, NetworkSettings(widths=widths))
    with pytest.raises(BaseError, match="leave out --base"):
        make().start(network)


def test_what_is_no_base_is_named(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"weights": np.zeros(3)}, other)
    (tmp_path / "text").write_text("no")
    make().write(tmp_path / "damaged.safetensors")
    content = (tmp_path / "damaged.safetensors").read_bytes()
    (tmp_path / "damaged.safetensors").write_bytes(content[:-1])
    for name in ("other.safetensors", "text", "damaged.safetensors"):
        with pytest.raises(BaseError, match="isn't a base"):
            Base.read(tmp_path / name)
    with pytest.raises(BaseError, match="can't be read"):
        Base.read(tmp_path / "none.safetensors")
