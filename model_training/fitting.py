"""Training from Python: texts and intents in, a trained classifier out.

Importing this module loads neither torch nor NumPy, so that `neuralbits` can offer `fit`.
"""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuralbits.errors import needing
from neuralbits.sizes import parse_size

if TYPE_CHECKING:
    import os
    import threading

    from .loop.history import Observer
    from .trained import Trained


class DataWarning(UserWarning):
    """What `fit` found in its data; `Trained.findings` has the same as objects."""


def fit(
    texts: Iterable[Any],
    intents: Iterable[Any],
    *,
    max_size: int | str = "64KiB",
    trainer: str | None = None,
    encoder: str | None = None,
    base: "str | os.PathLike[str] | None" = None,
    out_of_scope: Iterable[Any] | None = None,
    unlabelled: Iterable[Any] | None = None,
    transfer: Iterable[Any] | None = None,
    validation: tuple[Iterable[Any], Iterable[Any]] | None = None,
    max_false_rejects: float = 0.04,
    seed: int = 0,
    sample_weight: Iterable[float] | None = None,
    progress: "bool | Observer | None" = None,
    settings: Mapping[str, Any] | None = None,
    stop: "threading.Event | None" = None,
) -> "Trained":
    """Train a classifier, as `neuralbits train` does.

    A projection network is trained together with a trainer network, which is not shipped (Ravi
    2017, arXiv:1708.00630, section 3.2). It may be called from any thread; one training runs at a
    time, and another of the same process waits. The same data, settings and seed give the same
    artifact on machines of the same kind. It needs the extra ``train``.

    Args:
        texts: N strings in any iterable: a list, a generator, a NumPy array, a column of pandas,
            Polars, Arrow or of a Hugging Face ``Dataset``.
        intents: N intents, likewise: strings or whole numbers. Texts with the intent ``oos`` are
            out-of-scope texts.
        max_size: the artifact's greatest size, in bytes or as a text such as ``"64KiB"``; it
            decides the network's widths.
        trainer: ``"lstm"``, ``"cnn"``, ``"feedforward"``, ``"encoder"``, several joined by ``+``,
            or ``"none"`` to learn from the labels alone, several times faster. By default
            ``"encoder"`` if one is given, otherwise ``"lstm"``.
        encoder: a sentence encoder to learn from, a folder or a name that sentence-transformers
            loads; it needs the extra ``encoder``.
        base: the file of a pretrained first layer to start from, made by `neuralbits pretrain`.
        out_of_scope: texts of no intent, which it learns to reject.
        unlabelled: texts of the same kind without intents; they help where few texts have one.
        transfer: texts of other domains, of which it learns the encoder's predictions; or
            ``"general"``, a corpus that the package builds.
        validation: a pair of texts and their intents, which set temperature and threshold; by
            default a tenth of the texts is held out.
        max_false_rejects: the greatest share of in-scope texts to reject, between 0 and 1.
        seed: of all random numbers.
        sample_weight: how much each of the N texts counts in training, 0 or more.
        progress: True shows a bar, in a terminal and in a notebook; or an observer of the run.
        settings: other settings by name, such as ``{"epochs": 30, "objective.temperature": 2}``;
            see model_training/settings.py.
        stop: once set, training ends after the batch under way, and the result has what was
            learnt up to the last whole epoch.

    Returns:
        The classifier, with its figures. What was found in the data (duplicates, contradictory
        intents, intents with few examples …) is in its ``findings``, and in one `DataWarning`.

    Raises:
        NeuralbitsError: a ValueError in one sentence: the data, a setting or the size can't be
            used, or the training was stopped in its first epoch.
        MissingExtraError: a package isn't installed.

    Example:
        >>> import neuralbits
        >>> texts = ["turn on the lamp", "lights on", "play some jazz", "play a song"] * 8
        >>> intents = ["on", "on", "play", "play"] * 8
        >>> model = neuralbits.fit(texts, intents, trainer="none", settings={"epochs": 3})
        >>> model.predict(["put the lights on"]).shape
        (1,)
    """
    with needing("train"):
        from . import data
        from .settings import assignments, chosen
    size = max_size if isinstance(max_size, int) else parse_size(max_size)
    run, choose_widths = chosen(
        assignments(settings or {}),
        seed=seed,
        trainer=trainer or ("encoder" if encoder else "lstm"),
        max_false_rejects=max_false_rejects,
    )
    run.trainer.check_encoder(encoder, transfer is not None)
    loaded = data.from_texts(
        texts,
        intents,
        validation=validation,
        out_of_scope=out_of_scope,
        unlabelled=unlabelled,
        transfer=transfer,
        sample_weight=sample_weight,
        seed=seed,
    ).shortened(run.max_characters)
    if loaded.report.findings:
        found = "\n".join(map(str, loaded.report.findings))
        warnings.warn(found, DataWarning, stacklevel=2)
    with needing("train"):  # with torch, which takes seconds to import: errors above come at once
        from . import job
        from .progress import shown
    with shown(progress) as observer:
        return job.fit(
            run,
            loaded,
            max_size=size,
            choose_widths=choose_widths,
            encoder=encoder,
            base=Path(base) if base is not None else None,
            observer=observer,
            stop=stop,
        )
