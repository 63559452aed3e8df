"""Check before a training that its files can be written; without torch, which loads slowly."""

import os
from pathlib import Path

from neuralbits.errors import NeuralbitsError
from neuralbits.files import refuse_foreign


class TrainingError(NeuralbitsError):
    """Why there is no artifact, and what to do."""


def check_outputs(output: Path, *, overwrite: bool = False) -> None:
    """Check before any work that the outputs can be written.

    Raises:
        TrainingError: the name, the folder or its permissions don't allow it.
        ForeignFileError: an output would replace a file that this program didn't write.
    """
    if output.suffix != ".safetensors":
        raise TrainingError(f"the output {output} must be named like artifact.safetensors")
    if not output.parent.is_dir():
        raise TrainingError(f"there is no folder {output.parent}; make it, or name another output")
    if not os.access(output.parent, os.W_OK | os.X_OK):
        raise TrainingError(f"{output.parent} can't be written to; name another output")
    beside = [output.with_suffix(ending) for ending in (".md", ".html", ".metrics.json")]
    refuse_foreign([output, *beside], overwrite=overwrite)
    checkpoint = output.with_name(f"{output.name}.checkpoint")
    if checkpoint.is_dir():
        raise TrainingError(f"{checkpoint} is a folder: name another output")
