"""neuralbits as a system: the runtime alone."""

import sys
from pathlib import Path

import neuralbits
from benchmarks.answering import Answers, answer
from neuralbits import Prediction, blas


class Worker:
    """An artifact, used through the Python API."""

    def __init__(self, path: Path) -> None:
        self._classifier = neuralbits.load(path)

    def classify(self, texts: list[str]) -> tuple[list[str], list[Prediction]]:
        """Classify texts."""
        return texts, self._classifier.classify_batch(texts)

    def answers(self, classified: tuple[list[str], list[Prediction]]) -> Answers:
        """Return the predictions, and the scores that decide what is in scope."""
        from neuralbits.network import margin

        texts, predictions = classified
        return Answers(
            intents=[prediction.intent for prediction in predictions],
            scores=margin(self._classifier.scores(texts)).tolist(),
            confidences=[prediction.confidence for prediction in predictions],
            in_scope=[prediction.in_scope for prediction in predictions],
        )


if __name__ == "__main__":
    blas.one_thread()
    answer(lambda: Worker(Path(sys.argv[1])), ["neuralbits"])
