"""The corpus ``--transfer general``: everyday English that licences let anyone learn from.

It holds sentences to a home (home_assistant.py), small talk (chatterbot-corpus, BSD 3-Clause), and
the training texts of the public data sets that are on the machine; nothing is downloaded for it. A
data set that the run's texts come from is left out, and so is every text that the run has already.
"""

import hashlib
from collections.abc import Iterable, Iterator
from random import Random

from neuralbits.text import key

from . import home_assistant, phrasebook, public
from .examples import DataFile, Examples
from .files import load_file

_MAX_HOME = 6000
"""Sentences to a home: they are made of few templates."""

_MEASURED_SHARE = 0.01
"""Of a source's texts that the run has: more than chance makes it the set that is measured."""


def load(own: Iterable[DataFile], seed: int = 0) -> DataFile:
    """Return the corpus for a run that has these files.

    Raises:
        DataError: a public data set isn't the published one.
    """
    known = {key(text) for file in own for text in file.rows.texts}
    texts: dict[str, str] = {}
    for source in _sources(seed):
        by_key = {key(text): text for text in source}
        if len(known & by_key.keys()) <= _MEASURED_SHARE * len(by_key):
            texts = by_key | texts
    kept = tuple(text for plain, text in texts.items() if plain not in known)
    lines = tuple(range(1, len(kept) + 1))
    sha256 = hashlib.sha256("\n".join(kept).encode()).hexdigest()
    unlabelled = Examples(kept, ("",) * len(kept), lines)
    return DataFile("general", sha256, Examples(), unlabelled=unlabelled)


def _sources(seed: int) -> Iterator[list[str]]:
    """Yield the texts of each source."""
    home = [text for text, _ in home_assistant.load("en", seed).train]
    yield Random(seed).sample(home, min(_MAX_HOME, len(home)))
    yield phrasebook.conversations("en")
    for dataset in public.PUBLIC.values():
        if public.place(dataset).is_dir():
            yield list(load_file(public.folder(dataset) / "train.csv").examples.texts)
