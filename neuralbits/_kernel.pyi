from collections.abc import Sequence
from typing import Any

from neuralbits.prediction import IntentConfidence, Prediction

class Model:
    def __new__(
        cls,
        content: bytes,
        labels: tuple[str, ...],
        prediction: type[Prediction],
        intent: type[IntentConfidence],
        /,
    ) -> Model: ...
    def classify(self, texts: Sequence[str], top_k: int, /) -> list[Prediction]: ...
    def scores(self, texts: Sequence[str], /) -> bytes: ...
    def scratch_size(self, longest_text: int, /) -> int: ...
    def explain(
        self, text: str, /
    ) -> tuple[str, str, int, int, list[tuple[str, int, float]]] | None: ...

def project(settings: bytes, features: Any, counts: Any, /) -> bytes: ...
