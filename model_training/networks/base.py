"""A base: a first layer that knows a language before it knows an intent.

`pretraining.py` makes it and ``--base`` starts a training from it. Its units are ordered: the first
of them alone are the best narrower layer, so that one file serves every width.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from neuralbits import manifest
from neuralbits.errors import NeuralbitsError
from neuralbits.files import atomic_write
from neuralbits.projection import Projection

from .projection_network import HiddenLayer, ProjectionNetwork

_FORMAT = "neuralbits base"


class BaseError(NeuralbitsError):
    """A base that can't be read, or doesn't go with the settings of a training."""


@dataclass(frozen=True)
class Base:
    """A pretrained first layer, real-valued: the training that starts from it quantises it."""

    projection: Projection
    """The projection whose bits it reads."""
    weights: npt.NDArray[np.float16]
    """Shape (units, inputs)."""
    offsets: npt.NDArray[np.float16]
    """Shape (units,)."""
    provenance: dict[str, Any]
    """The encoder and the texts that it was made from."""

    @property
    def sha256(self) -> str:
        """Of the weights."""
        return hashlib.sha256(self.weights.tobytes() + self.offsets.tobytes()).hexdigest()

    def start(self, network: ProjectionNetwork) -> None:
        """Give a network the base's first units; further units stay as they are.

        Raises:
            BaseError: the network has no hidden layer, or other inputs.
        """
        if not network.hidden or network.first.weight.shape[1] != self.weights.shape[1]:
            raise BaseError(
                "a base needs a hidden layer that reads its projection's bits; leave out --base or "
                "the settings of network.widths, low_rank and projection"
            )
        hidden = network.hidden[0]
        assert isinstance(hidden, HiddenLayer)
        count = min(len(self.weights), len(hidden.offset))
        with torch.no_grad():
            hidden.linear.weight[:count] = torch.from_numpy(self.weights[:count].astype(np.float32))
            hidden.offset[:count] = torch.from_numpy(self.offsets[:count].astype(np.float32))

    def write(self, path: Path, *, overwrite: bool = False) -> None:
        """Write the base as a safetensors file.

        Raises:
            ForeignFileError: neuralbits didn't write the file at ``path``.
            OSError: the file can't be written.
        """
        described = {"projection": asdict(self.projection), "provenance": self.provenance}
        content = save(
            {"weights": self.weights, "offsets": self.offsets},
            metadata={_FORMAT: manifest.dump(described)},
        )
        with atomic_write(path, overwrite=overwrite) as file:
            file.write(content)

    @classmethod
    def read(cls, path: Path) -> "Base":
        """Read a base.

        Raises:
            BaseError: there is none, or it is damaged.
        """
        try:
            with safe_open(path, "numpy") as file:
                described = json.loads(file.metadata()[_FORMAT])
                settings = described["projection"]
                lists = {name: tuple(v) for name, v in settings.items() if isinstance(v, list)}
                base = cls(
                    Projection(**settings | lists),
                    file.get_tensor("weights"),
                    file.get_tensor("offsets"),
                    described["provenance"],
                )
        except OSError as error:
            raise BaseError(f"{path} can't be read ({error.strerror or error})") from None
        except (SafetensorError, KeyError, TypeError, ValueError):
            raise BaseError(f"{path} isn't a base, or is damaged; make one by pretrain") from None
        if base.weights.shape != (len(base.offsets), base.projection.inputs):
            raise BaseError(f"{path} has weights that don't go with its projection")
        return base
