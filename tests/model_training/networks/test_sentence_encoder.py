"""The sentence encoder: what it embeds is kept, and what can't be loaded is named."""

import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from neuralbits.errors import MissingExtraError
from neuralbits.model_training.networks.sentence_encoder import SentenceEncoder
from neuralbits.model_training.networks.settings import EncoderError
from tests.support.encoders import encoder_folder, needs_encoder

TEXTS = ["turn on the lamp", "switch the light on", "what is the capital of France"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with the texts' embeddings."""
    cache = tmp_path_factory.mktemp("encoder") / "home.safetensors.embeddings"
    SentenceEncoder(encoder_folder(), cache).embed(TEXTS)
    return cache


@needs_encoder
def test_texts_of_like_meaning_have_near_embeddings(kept: Path) -> None:
    embeddings = SentenceEncoder(encoder_folder(), kept).embed(TEXTS)
    assert embeddings.shape == (3, 384)
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-2)
    assert embeddings[0] @ embeddings[1] > 0.6 > 0.3 > embeddings[0] @ embeddings[2]


@needs_encoder
def test_a_kept_embedding_is_not_computed_again(kept: Path) -> None:
    encoder, steps = SentenceEncoder(encoder_folder(), kept), []
    again = encoder.embed(TEXTS[::-1], lambda done, count: steps.append((done, count)))
    assert steps == []
    assert np.array_equal(again, encoder.embed(TEXTS)[::-1])
    encoder.embed([*TEXTS, "one more"], lambda done, count: steps.append((done, count)))
    assert steps == [(0, 1)]


@needs_encoder
def test_its_vocabulary_is_whole_words(kept: Path) -> None:
    words = SentenceEncoder(encoder_folder(), kept).vocabulary
    assert len(words) > 20_000
    assert len(set(words)) == len(words)
    assert {"lamp", "weather", "passport"} <= set(words)
    assert all(word.isalpha() and len(word) > 2 for word in words)


@needs_encoder
def test_what_is_embedded_before_a_stop_is_kept(tmp_path: Path) -> None:
    def stop(done: int, count: int) -> None:
        if done:
            raise InterruptedError

    texts, cache = [f"lamp number {i}" for i in range(100)], tmp_path / "embeddings"
    with pytest.raises(InterruptedError):
        SentenceEncoder(encoder_folder(), cache).embed(texts, stop)
    counts: list[int] = []
    SentenceEncoder(encoder_folder(), cache).embed(texts, lambda done, count: counts.append(count))
    assert counts == [36]


@needs_encoder
def test_embeddings_of_another_encoder_are_not_used(kept: Path, tmp_path: Path) -> None:
    cache = tmp_path / "other.embeddings"
    with safe_open(kept, "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, cache, {"neuralbits embeddings": "of another"})
    counts: list[int] = []
    encoder = SentenceEncoder(encoder_folder(), cache)
    encoder.embed(TEXTS, lambda done, count: counts.append(count))
    assert counts == [3]


@needs_encoder
def test_another_kind_of_file_is_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "home.safetensors.embeddings"
    file.write_text("my notes")
    with pytest.raises(EncoderError, match="isn't a file of embeddings"):
        SentenceEncoder(encoder_folder(), file)
    assert file.read_text() == "my notes"


@needs_encoder
def test_a_folder_without_an_encoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="no sentence encoder loads from"):
        SentenceEncoder(str(tmp_path))


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'neuralbits\[encoder\]'"):
        SentenceEncoder("any")
