"""The checkpoint: what a run that was stopped or killed resumes from."""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch

import neuralbits
from neuralbits.errors import NeuralbitsError
from neuralbits.files import atomic_write

from ..data import TrainingData
from ..settings import Settings
from .joint import JointTraining


class CheckpointError(NeuralbitsError):
    """A checkpoint that is damaged, or that belongs to another run."""


class Checkpoint:
    """The file ``<output>.checkpoint``, written after every epoch and deleted at the end.

    Args:
        output: where the artifact goes.
        settings: of the run, with the widths that it trains.
        data: what it trains on.
        origins: the SHA-256 of the sentence encoder, the base and the graph, where there is one.
    """

    def __init__(
        self,
        output: Path,
        settings: Settings,
        data: TrainingData,
        origins: Mapping[str, str | None] = MappingProxyType({}),
    ) -> None:
        self.path = self.path_beside(output)
        splits = (data.train, data.validation, data.out_of_scope_train)
        learned_from = repr((data.labels, splits, data.unlabelled, data.transfer))
        # What a run must share with the one that left the checkpoint, in types that are safe
        # to unpickle.
        self._run = {
            "neuralbits": neuralbits.__version__,
            "settings": repr(settings),
            "data": hashlib.sha256(learned_from.encode()).hexdigest(),
            **origins,
        }

    @staticmethod
    def path_beside(output: Path) -> Path:
        """Return the path of the checkpoint of an artifact."""
        return output.with_name(f"{output.name}.checkpoint")

    def check(self, resume: bool) -> None:
        """Refuse to overwrite another run's progress unknowingly.

        Raises:
            CheckpointError: there is a checkpoint, but the run isn't to resume.
        """
        if self.path.exists() and not resume:
            raise CheckpointError(
                f"{self.path} holds an unfinished run; go on with --resume, or delete the file"
            )

    def restore(self, training: JointTraining) -> None:
        """Take over the checkpoint's state, if there is one.

        Raises:
            CheckpointError: it is of another run, or damaged.
        """
        if not self.path.exists():
            return
        try:
            with zipfile.ZipFile(self.path) as file:
                if altered := file.testzip():  # torch itself doesn't look at the checksums
                    raise ValueError(f"{altered} was altered")
            # To the CPU, where the generators' states belong; networks take theirs from there.
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            run = state["run"]
        except Exception as error:
            raise CheckpointError(
                f"{self.path} can't be read ({error}); delete it to start from the beginning"
            ) from None
        if run != self._run:
            raise CheckpointError(
                f"{self.path} is of a run with other settings or other data; "
                "repeat that run's command to go on with it, or delete the file"
            )
        training.restore(state["training"])

    def save(self, training: JointTraining) -> None:
        """Replace the checkpoint.

        Raises:
            OSError: it can't be written; the earlier one is as it was.
        """
        with atomic_write(self.path, overwrite=True) as file:
            torch.save({"run": self._run, "training": training.state()}, file)
