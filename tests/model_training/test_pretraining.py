"""Pretraining: from texts without labels to a base that a training starts from."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from neuralbits import artifact
from neuralbits.artifact import Artifact
from neuralbits.model_training.data import TrainingData
from neuralbits.model_training.loop.joint import JointTraining
from neuralbits.model_training.networks.base import Base
from neuralbits.model_training.networks.sentence_encoder import SentenceEncoder
from neuralbits.model_training.outputs import TrainingError
from neuralbits.model_training.pretraining import PretrainingSettings, pretrain, run
from neuralbits.model_training.settings import Settings
from neuralbits.projection import Projection
from neuralbits.text import tokens
from tests.support.encoders import encoder_folder, needs_encoder
from tests.support.homes import UTTERANCES

PROJECTION = Projection(functions=16, dimensions=64, stride=16)
SETTINGS = PretrainingSettings(
    PROJECTION, units=24, min_units=8, passes=1, min_steps=60, batch_size=16
)
TEXTS = [text for texts in UTTERANCES.values() for text in texts]
TRAINING = Settings(projection=PROJECTION, epochs=2, batch_size=8, min_batches=1).override(
    ["trainer.names=none", "network.widths=12"]
)


class WordCounts:
    """Stands for an encoder where what it knows doesn't matter: embeddings by shared words."""

    name, sha256 = "words", "0"

    def embed(self, texts: list[str], progress: object = None) -> np.ndarray:
        words = {word: i for i, word in enumerate(sorted({w for t in TEXTS for w in tokens(t)}))}
        counts = np.zeros((len(texts), len(words)), dtype=np.float32)
        for row, text in zip(counts, texts, strict=True):
            row[[words[word] for word in tokens(text)]] = 1
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def make(settings: PretrainingSettings = SETTINGS) -> Base:
    torch.set_num_threads(1)
    return pretrain(settings, TEXTS, WordCounts(), torch.device("cpu"))  # type: ignore[arg-type]


def similarity_kept(base: Base) -> float:
    """How far the similarities of the base's units go with those of the embeddings."""
    bits = np.stack([PROJECTION.project(PROJECTION.features(text)) for text in TEXTS])
    from neuralbits.network import read

    units = np.maximum(read(bits, np.float32) @ np.sign(base.weights.astype(np.float32)).T, 0)
    units -= units.mean(axis=0)
    units /= np.linalg.norm(units, axis=1, keepdims=True) + 1e-9
    embeddings = WordCounts().embed(TEXTS)
    above = np.triu_indices(len(TEXTS), 1)
    ours, theirs = (units @ units.T)[above], (embeddings @ embeddings.T)[above]
    return float(np.corrcoef(ours, theirs)[0, 1])


def test_similar_texts_become_similar() -> None:
    untrained = make(replace(SETTINGS, min_steps=11, learning_rate=1e-9))
    assert similarity_kept(make()) > similarity_kept(untrained) + 0.1


def test_the_same_seed_gives_the_same_base() -> None:
    assert make().sha256 == make().sha256 != make(replace(SETTINGS, seed=1)).sha256


def learned(homes: TrainingData, settings: Settings, base: Base | None) -> bytes:
    training = JointTraining(settings, homes, torch.device("cpu"), base=base)
    while not training.finished:
        training.run_epoch(lambda done: None)
    return artifact.encode(Artifact(PROJECTION, training.network(), homes.labels, 1.0, 0.5, {}))[0]


def test_a_training_starts_from_it(homes: TrainingData) -> None:
    still = TRAINING.override(["base_learning_rate=1e-9", "projection_learning_rate=1e-6"])
    base = make()
    training = JointTraining(still, homes, torch.device("cpu"), base=base)
    training.run_epoch(lambda done: None)
    weights = training.projection_network.first.weight.detach().numpy()
    assert np.allclose(weights, base.weights[:12], atol=1e-6)
    assert learned(homes, TRAINING, base) != learned(homes, TRAINING, None)


def test_the_first_layer_learns_at_its_share_of_the_rate(homes: TrainingData) -> None:
    base = make()

    def moved(share: float) -> float:
        settings = replace(TRAINING, base_learning_rate=share)
        training = JointTraining(settings, homes, torch.device("cpu"), base=base)
        training.run_epoch(lambda done: None)
        weights = training.projection_network.first.weight.detach().numpy()
        return float(np.abs(weights - base.weights[:12]).mean())

    assert moved(0.1) < 0.3 * moved(1.0)


@needs_encoder
def test_the_job_writes_it_and_keeps_the_embeddings(tmp_path: Path) -> None:
    output = tmp_path / "base.safetensors"
    base = run(SETTINGS, [*TEXTS, TEXTS[0]], encoder_folder(), output)
    assert Base.read(output).sha256 == base.sha256
    assert base.provenance["texts"]["count"] == len(TEXTS)
    kept = SentenceEncoder(encoder_folder(), tmp_path / "base.safetensors.embeddings")
    steps: list[int] = []
    kept.embed(TEXTS, lambda done, count: steps.append(count))
    assert steps == []


@needs_encoder
def test_stopped_it_writes_none(tmp_path: Path) -> None:
    stop, output = threading.Event(), tmp_path / "base.safetensors"
    stop.set()
    with pytest.raises(TrainingError, match="stopped"):
        run(SETTINGS, TEXTS, encoder_folder(), output, stop=stop)
    assert not output.exists()


def test_of_a_single_text_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="at least 2"):
        run(SETTINGS, ["a", "a"], "any", tmp_path / "base.safetensors")
