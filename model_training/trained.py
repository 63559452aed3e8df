"""The result of a training: a classifier, and what is known about it."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import neuralbits
from neuralbits import artifact
from neuralbits.artifact import Artifact
from neuralbits.files import atomic_write, stamped
from neuralbits.network import margin

from .data import Finding, TrainingData, load_columns, text_column
from .evaluation import calibration
from .evaluation.metrics import (
    Evaluation,
    Outputs,
    evaluate_classifier,
    evaluate_outputs,
    microseconds_per_text,
    outputs_of,
)
from .evaluation.model_card import model_card
from .evaluation.report import Measured, TrainingReport, write_report
from .loop.history import EpochRecord
from .loop.joint import JointTraining
from .process import repeatable

_TIMED_WITH_ENCODER = 50  # texts


class Trained:
    """A trained classifier, and what is known about it; `neuralbits.fit` returns one.

    Methods take texts in any iterable that `neuralbits.fit` takes: N strings, none of them missing.

    Attributes:
        classifier: the `neuralbits.Classifier`, which needs neither torch nor this object.
        artifact: the file's content, from which the classifier was made.
        evaluation: the classifier's figures by split: ``"validation"``, and ``"test"`` if the data
            have one.
        summary: the figures of the artifact and of the trainer network, as the report has them.

    Example:
        >>> import neuralbits
        >>> texts = ["turn on the lamp", "lights on", "play some jazz", "play a song"] * 8
        >>> intents = ["on", "on", "play", "play"] * 8
        >>> model = neuralbits.fit(texts, intents, trainer="none", settings={"epochs": 3})
        >>> model.predict_proba(["lamp on", "a song"]).shape
        (2, 2)
    """

    def __init__(self, calibrated: Artifact, training: JointTraining, data: TrainingData) -> None:
        """Measure a network that was calibrated."""
        self._training = training
        self._data = data
        # Figures of the trainer network are the report's alone, which may never be asked for.
        classifier = neuralbits.loads(artifact.encode(calibrated)[0])
        outputs = {
            split: (
                outputs_of(classifier, examples.texts),
                outputs_of(classifier, outside.texts) if outside else None,
            )
            for split, (examples, outside) in data.measured_splits.items()
        }
        self.evaluation = _evaluations(data, outputs, calibrated.threshold)
        metrics = {
            split: {
                "accuracy": round(evaluation.accuracy, 4),
                "ece": round(evaluation.expected_calibration_error, 4),
            }
            for split, evaluation in self.evaluation.items()
        }
        more = {"epochs": training.epochs_done, "metrics": metrics}
        complete = replace(calibrated, provenance=calibrated.provenance | more)
        content, digest = artifact.encode(complete)
        self.artifact = replace(complete, digest=digest, size=len(content))
        self.classifier = neuralbits.loads(content)

    def __repr__(self) -> str:
        accuracies = ", ".join(
            f"{evaluation.accuracy:.1%} of {split} right"
            for split, evaluation in self.evaluation.items()
        )
        return f"<{type(self).__name__}: {accuracies}; {self.classifier!r}>"

    @property
    def labels(self) -> tuple[str, ...]:
        """The C intents, in the order of `predict_proba`."""
        return self.classifier.labels

    @property
    def history(self) -> tuple[EpochRecord, ...]:
        """The losses and accuracies of each epoch."""
        return tuple(self._training.history)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found in the data, as `neuralbits train` lists it before training."""
        return self._data.report.findings

    @property
    def finished(self) -> bool:
        """Whether every epoch has run; false if the training was stopped."""
        return self._training.finished

    def predict(self, texts: Iterable[Any]) -> npt.NDArray[np.str_]:
        """Return the likeliest intent of each text, also of one that is out of scope: shape (N,).

        Raises:
            DataError: a text isn't a string.
        """
        intents: npt.NDArray[np.str_] = np.array(self.labels)[self._scores(texts).argmax(axis=1)]
        return intents

    def predict_proba(self, texts: Iterable[Any]) -> npt.NDArray[np.float64]:
        """Return the calibrated probability of each intent: shape (N, C), each row with the sum 1.

        Raises:
            DataError: a text isn't a string.
        """
        given = text_column(texts)
        if not given:
            return np.empty((0, len(self.labels)))
        return self.classifier.probabilities(given)

    def decision_function(self, texts: Iterable[Any]) -> npt.NDArray[np.float64]:
        """Return the margin of each text's greatest score over its others: shape (N,).

        A text is in scope if its margin is at least ``artifact.threshold``.

        Raises:
            DataError: a text isn't a string.
        """
        return margin(self._scores(texts))

    def in_scope(self, texts: Iterable[Any]) -> npt.NDArray[np.bool_]:
        """Return whether each text is in scope: shape (N,). A text without words isn't.

        Raises:
            DataError: a text isn't a string.
        """
        predictions = self.classifier.classify_batch(text_column(texts))
        return np.array([prediction.in_scope for prediction in predictions], dtype=np.bool_)

    def evaluate(self, texts: Iterable[Any], intents: Iterable[Any]) -> Evaluation:
        """Measure the classifier on N texts and their intents, as `neuralbits evaluate` does.

        Texts with the intent ``oos`` are out-of-scope texts. An intent that the classifier lacks
        counts as an error.

        Raises:
            DataError: texts or intents can't be used.
            EvaluationError: there is no example of an intent that the classifier has.
        """
        file = load_columns(texts, intents)
        examples = file.examples
        return evaluate_classifier(
            self.classifier, examples.texts, examples.intents, file.out_of_scope.texts
        )

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the artifact, one ``.safetensors`` file, which `neuralbits.load` loads.

        Args:
            path: of the file.
            overwrite: replace a file that isn't an artifact.

        Raises:
            ForeignFileError: the file would replace one that isn't an artifact.
            OSError: the file can't be written.
        """
        artifact.write(self.artifact, path, overwrite=overwrite)

    def report(self, path: str | PathLike[str], *, overwrite: bool = False) -> TrainingReport:
        """Write what was measured.

        These are a page (``x.html``), its figures (``x.metrics.json``) and the model card of
        ``x.safetensors`` (``x.md``), which the Hub shows.

        Args:
            path: of the page; the other files go beside it.
            overwrite: replace files that this program didn't write.

        Raises:
            ForeignFileError: a file would replace one that this program didn't write.
            OSError: a file can't be written.
        """
        page = Path(path)
        write_report(self.summary, page, page.with_suffix(".metrics.json"), overwrite=overwrite)
        name = page.with_suffix(".safetensors").name
        card = model_card(self.artifact, self.summary, name, example=self._data.train.texts[0])
        with atomic_write(page.with_suffix(".md"), overwrite=overwrite) as file:
            file.write(stamped(card, ".md"))
        return self.summary

    @cached_property
    def summary(self) -> TrainingReport:
        """Return all that was measured; the trainer network and the times are measured here."""
        training, data = self._training, self._data
        settings = training.settings
        with repeatable(training.device):
            return TrainingReport(
                name=data.name,
                artifact=Measured(
                    name="artifact",
                    bytes=self.artifact.size,
                    microseconds_per_text=microseconds_per_text(
                        self.classifier.classify_batch, data.last_measured.texts
                    ),
                    evaluation=self.evaluation,
                ),
                trainer=self._measured_trainer(),
                history=self.history,
                sensitivities=training.sensitivities() if settings.pruning.sensitivity else (),
                data=data.report,
                settings=asdict(settings),
                provenance=self.artifact.provenance,
            )

    def _measured_trainer(self) -> Measured | None:
        """Measure the trainer network, if there is one, on the splits of the artifact."""
        training, data = self._training, self._data
        if not training.settings.trainer.present:
            return None
        outputs = {
            split: (
                Outputs(*training.trainer_outputs(examples.texts)),
                Outputs(*training.trainer_outputs(outside.texts)) if outside else None,
            )
            for split, (examples, outside) in data.measured_splits.items()
        }
        # By the policy that set the artifact's.
        threshold = calibration.threshold(
            margin(outputs["validation"][0].scores), training.settings.max_false_rejects
        )
        # An encoder takes so long that fewer texts are enough to time it.
        timed = data.last_measured.texts[: _TIMED_WITH_ENCODER if training.encoder else None]
        return Measured(
            name=training.settings.trainer.names,
            bytes=training.trainer_bytes,
            microseconds_per_text=microseconds_per_text(training.trainer_classify, timed),
            evaluation=_evaluations(data, outputs, threshold),
        )

    def _scores(self, texts: Iterable[Any]) -> npt.NDArray[np.float64]:
        """Return the scores of N texts, of which there may be none: shape (N, C)."""
        given = text_column(texts)
        return self.classifier.scores(given) if given else np.empty((0, len(self.labels)))


def _evaluations(
    data: TrainingData,
    outputs: dict[str, tuple[Outputs, Outputs | None]],
    threshold: float,
) -> dict[str, Evaluation]:
    """Measure what a network answered for each split: its examples, and out-of-scope texts."""
    return {
        split: evaluate_outputs(
            inside,
            data.label_indices(data.measured_splits[split][0]),
            data.labels,
            outside,
            threshold,
            unseen=data.unseen[split],
            kinds=data.measured_splits[split][1].intents,
        )
        for split, (inside, outside) in outputs.items()
    }
