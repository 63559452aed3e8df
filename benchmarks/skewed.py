"""Skewed data: many intents merged into one, against rare intents that a word tells apart.

``python -m benchmarks.skewed [SEED...]`` makes the sets from the public data sets and from the home
data, trains `neuralbits train --trainer none` and LinearSVC on each, and prints their test accuracy
in Markdown. The ratio is that of the merged intent to a rare one; noise is the share of training
labels that are replaced by one drawn at random.
"""

import csv
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

import neuralbits
from benchmarks.trainings import ENVIRONMENT
from neuralbits.model_training.data import home_assistant, load_file, public

Pairs = list[tuple[str, str]]  # text, intent

MERGED = "merged"
RARE = {
    "clinc150": (
        "mpg pto_balance credit_limit interest_rate oil_change_when spelling vaccines insurance "
        "tire_pressure meal_suggestion routing international_visa roll_dice flip_coin "
        "exchange_rate timezone"
    ),
    "banking77": (
        "age_limit atm_support country_support apple_pay_or_google_pay exchange_rate "
        "passcode_forgotten edit_personal_details terminate_account lost_or_stolen_phone "
        "visa_or_mastercard getting_spare_card receiving_money"
    ),
    "snips": "RateBook GetWeather SearchScreeningEvent",
    "home-assistant": (
        "HassTurnOff HassDecreaseTimer HassPauseTimer HassUnpauseTimer HassMediaPrevious "
        "HassMediaUnpause HassMediaPlayerMute HassListRemoveItem HassCancelAllTimers"
    ),
}


@dataclass(frozen=True)
class Skewed:
    """One set."""

    source: str
    ratio: int
    noise: float = 0.0

    @property
    def name(self) -> str:
        """How the table names it."""
        return f"{self.source}, {self.ratio}:1" + (f", {self.noise:.0%} noise" * bool(self.noise))

    def make(self, seed: int) -> tuple[Pairs, Pairs]:
        """Return the training and the test texts."""
        random = Random(seed)
        train, test = _load(self.source)
        rare = RARE[self.source].split()
        few = max(2, sum(intent not in rare for _, intent in train) // self.ratio)
        kept = [(text, MERGED) for text, intent in train if intent not in rare]
        for intent in rare:
            examples = [pair for pair in train if pair[1] == intent]
            random.shuffle(examples)
            kept += examples[:few]
        random.shuffle(kept)
        intents = [intent for _, intent in kept]
        noisy = [
            (text, random.choice(intents) if random.random() < self.noise else intent)
            for text, intent in kept
        ]
        return noisy, [(text, intent if intent in rare else MERGED) for text, intent in test]


SETS = (
    Skewed("clinc150", 100),
    Skewed("clinc150", 300),
    Skewed("banking77", 60),
    Skewed("banking77", 100, noise=0.05),
    Skewed("snips", 10),
    Skewed("snips", 300),
    Skewed("home-assistant", 30, noise=0.03),
    Skewed("home-assistant", 100),
)


def _load(source: str) -> tuple[Pairs, Pairs]:
    if source == "home-assistant":
        splits = home_assistant.load("en")
        return splits.train, splits.test
    folder = public.folder(public.PUBLIC[source])
    train, test = (load_file(folder / f"{split}.csv").examples for split in ("train", "test"))
    return (
        list(zip(train.texts, train.intents, strict=True)),
        list(zip(test.texts, test.intents, strict=True)),
    )


def svc_accuracy(train: Pairs, test: Pairs, seed: int) -> float:
    """Train the baseline (baselines/linear_svc.py) and measure it."""
    pipeline = make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        ),
        LinearSVC(random_state=seed),
    )
    pipeline.fit(*_columns(train))
    texts, intents = _columns(test)
    return float(np.mean(pipeline.predict(texts) == np.array(intents)))


def neuralbits_accuracy(train: Pairs, test: Pairs, seed: int) -> float:
    """Train by the command line and measure the artifact."""
    with tempfile.TemporaryDirectory() as folder:
        data, artifact = Path(folder) / "train.csv", Path(folder) / "skewed.safetensors"
        with data.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "intent"), *train])
        command = ("train", "--train", data, "--trainer", "none", "--seed", seed)
        subprocess.run(
            [sys.executable, "-m", "neuralbits", *map(str, command), "--output", artifact],
            check=True,
            capture_output=True,
            env=ENVIRONMENT,
        )
        classifier = neuralbits.load(artifact)
    texts, intents = _columns(test)
    predictions = classifier.classify_batch(texts)
    return float(np.mean([p.intent == i for p, i in zip(predictions, intents, strict=True)]))


def _columns(pairs: Pairs) -> tuple[list[str], list[str]]:
    return [text for text, _ in pairs], [intent for _, intent in pairs]


def main(seeds: Iterable[int]) -> None:
    """Print the table."""
    seeds = tuple(seeds)
    systems: tuple[Callable[[Pairs, Pairs, int], float], ...] = (neuralbits_accuracy, svc_accuracy)
    print("| set | neuralbits, 64 KiB | LinearSVC |\n|---|---|---|", flush=True)
    for skewed in SETS:
        row = [skewed.name]
        for system in systems:
            accuracies = [100 * system(*skewed.make(seed), seed) for seed in seeds]
            spread = f" ± {np.std(accuracies, ddof=1):.2f}" if len(seeds) > 1 else ""
            row.append(f"{np.mean(accuracies):.2f}{spread}")
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main(map(int, sys.argv[1:] or ("0",)))
