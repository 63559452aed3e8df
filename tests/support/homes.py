"""A small artifact made without torch: real utterances of a home, classified by their centroids.

An intent's row of one-bit weights is the majority vote of its utterances' bits, so the network is
a nearest-centroid classifier: right often enough to test on, and made in milliseconds.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from neuralbits.artifact import Artifact
from neuralbits.network import Layer, Network, read
from neuralbits.projection import Projection

UTTERANCES = {
    "turn_on": [
        "turn on the lamp",
        "turn on the kitchen light",
        "switch the lights on",
        "lights on please",
        "could you turn the fan on",
        "switch on the heater in the bedroom",
    ],
    "turn_off": [
        "turn off the lamp",
        "turn off the kitchen light",
        "switch the lights off",
        "lights off please",
        "could you turn the fan off",
        "switch off the heater in the bedroom",
    ],
    "set_temperature": [
        "set the temperature to 20 degrees",
        "make it 18 degrees in the bedroom",
        "set the thermostat to 21",
        "change the temperature to 19 degrees",
    ],
    "play_music": [
        "play some music",
        "play jazz in the kitchen",
        "put on a song by nina simone",
        "i want to listen to the radio",
    ],
    "weather": [
        "what's the weather like",
        "will it rain tomorrow",
        "how warm is it outside today",
        "do i need an umbrella this afternoon",
    ],
    "timer": [
        "set a timer for ten minutes",
        "start a 5 minute timer",
        "remind me in half an hour",
        "how long is left on my timer",
    ],
}


def make_artifact(projection: Projection | None = None, threshold: float = 0.3) -> Artifact:
    """Make the artifact; the threshold is low because centroids have small margins."""
    projection = projection or Projection(functions=16, dimensions=64, stride=4)

    def sides_of(texts: list[str]) -> npt.NDArray[np.float64]:
        bits = [projection.project(projection.features(text)) for text in texts]
        return read(np.stack(bits), np.float64)

    sides = {intent: sides_of(texts) for intent, texts in UTTERANCES.items()}
    first = Layer(
        weights=np.array([np.where(side.sum(axis=0) > 0, 1.0, -1.0) for side in sides.values()]),
        precision="binary",
        bias=np.zeros(len(sides), dtype=np.int32),
        multiplier=np.full(len(sides), 127, dtype=np.int16),
        shift=10,
    )
    output = Layer(
        weights=127 * np.eye(len(sides)),
        precision="int8",
        bias=np.zeros(len(sides), dtype=np.int32),
    )
    return Artifact(
        projection=projection,
        network=Network([first, output], scale=0.001),
        labels=tuple(sides),
        temperature=1.0,
        threshold=threshold,
        provenance={"data": {"name": "tests/homes.py"}, "seed": None},
    )


def make_float_artifact() -> Artifact:
    """Make an artifact with float weights in its output layer, which the kernel can't run."""
    model = make_artifact()
    first, output = model.network.layers
    output = replace(output, precision="float", bias=output.bias.astype(np.float32))
    return replace(model, network=replace(model.network, layers=[first, output]))
