"""fastText (Joulin et al. 2016, arXiv:1607.01759), quantised (Joulin et al. 2016, 1612.03651).

Called ``train LEARN MODEL SEED`` or ``answer MODEL``.
"""

import json
import re
import sys
import tempfile
from pathlib import Path

import fasttext

from benchmarks.answering import Answers, answer

TRAINING = {"lr": 0.5, "epoch": 50, "wordNgrams": 2, "minn": 2, "maxn": 5, "dim": 50}
QUANTISATION = {"cutoff": 20_000, "retrain": True, "qnorm": True}
LABEL = "__label__"

Classified = tuple[list[list[str]], list[list[float]]]
"""For each text its likeliest label and the probability."""


def prepare(text: str) -> str:
    """Fold case and separate punctuation, as fastText's tutorial recommends."""
    return " ".join(re.sub(r"([^\w\s])", r" \1 ", text.lower()).split())


def train(learn: Path, model_path: Path, seed: int) -> None:
    """Train on the split ``train``; one thread, as only that makes a seed repeatable."""
    examples = json.loads(learn.read_text())["train"]
    rows = zip(examples["texts"], examples["intents"], strict=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.writelines(f"{LABEL}{intent} {prepare(text)}\n" for text, intent in rows)
        file.flush()
        model = fasttext.train_supervised(
            input=file.name, seed=seed, thread=1, verbose=0, **TRAINING
        )
        model.quantize(input=file.name, thread=1, verbose=0, **QUANTISATION)
    model.save_model(str(model_path))


class Baseline:
    """A quantised model; the highest probability is its score."""

    def __init__(self, path: Path) -> None:
        self._model = fasttext.load_model(str(path))

    def classify(self, texts: list[str]) -> Classified:
        """Classify texts."""
        classified: Classified = self._model.predict([prepare(text) for text in texts])
        return classified

    def answers(self, classified: Classified) -> Answers:
        """Return labels and probabilities; rounding makes some a little more than 1."""
        labels, probabilities = classified
        highest = [min(float(each[0]), 1.0) for each in probabilities]
        return Answers([each[0].removeprefix(LABEL) for each in labels], highest, highest)


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        answer(lambda: Baseline(Path(sys.argv[2])), ["fasttext-community", "numpy"])
