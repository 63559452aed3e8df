"""Estimators for scikit-learn: a classifier of texts, and texts as neural bits.

They take texts in whatever scikit-learn takes them: a list, an array, a column of a table. The
classifier needs the extra ``train`` to be fitted, and only the runtime to predict.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Literal

import neuralbits
from neuralbits import kernel, manifest
from neuralbits.classifier import Classifier
from neuralbits.errors import NeuralbitsError, needing, shown

with needing("sklearn"):
    import numpy as np
    import numpy.typing as npt
    from scipy import sparse
    from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
    from sklearn.utils import Tags, check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d

    from neuralbits import artifact
    from neuralbits.projection import Projection

_OUT_OF_SCOPE = "oos"


class NeuralbitsClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classifies texts by a projection network; an estimator of scikit-learn.

    Parameters are those of `neuralbits.fit` and are stored unchanged.

    Args:
        max_size: the artifact's greatest size, in bytes or as a text such as ``"64KiB"``.
        trainer: the trainer network, such as ``"lstm"``; ``"none"`` learns from the labels alone,
            several times faster.
        out_of_scope: texts of no class, which `in_scope` learns to tell apart.
        unlabelled: texts of the same kind whose classes aren't known.
        max_false_rejects: the greatest share of in-scope texts that `in_scope` rejects.
        settings: other settings by name, such as ``{"epochs": 30}``.
        random_state: an int for the same result on each call, a generator, or None.
        verbose: whether to show a bar.

    Attributes:
        classes_: shape (C,), the classes, sorted.
        classifier_: the `neuralbits.Classifier`, whose intents are the classes as texts.
        artifact_: what `save` writes.
        n_iter_: the number of epochs.
        findings_: what was found in the data, as `neuralbits train` lists it.

    Example:
        >>> from sklearn.model_selection import cross_val_score
        >>> texts = ["turn on the lamp", "lights on", "play some jazz", "play a song"] * 8
        >>> rooms = ["hall", "hall", "bath", "bath"] * 8
        >>> estimator = NeuralbitsClassifier(trainer="none", settings={"epochs": 3})
        >>> cross_val_score(estimator, texts, rooms, cv=2).shape
        (2,)
    """

    def __init__(
        self,
        *,
        max_size: int | str = "64KiB",
        trainer: str = "lstm",
        out_of_scope: Iterable[str] | None = None,
        unlabelled: Iterable[str] | None = None,
        max_false_rejects: float = 0.04,
        settings: Mapping[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool = False,
    ) -> None:
        self.max_size = max_size
        self.trainer = trainer
        self.out_of_scope = out_of_scope
        self.unlabelled = unlabelled
        self.max_false_rejects = max_false_rejects
        self.settings = settings
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "NeuralbitsClassifier":  # noqa: N803
        """Train on texts and their classes.

        Args:
            X: shape (N,), strings.
            y: shape (N,), the classes: strings, numbers or booleans.
            sample_weight: shape (N,), how much each text counts; one of 0 is as if it weren't
                there.

        Raises:
            ValueError: texts or classes can't be used; see `neuralbits.fit`.
        """
        texts = _texts(X)
        given = column_or_1d(y, warn=True)
        check_classification_targets(given)
        if len(texts) != len(given):
            raise ValueError(f"X has {len(texts)} texts and y has {len(given)} classes")
        weights = None
        if sample_weight is not None:
            weights = np.asarray(sample_weight, dtype=np.float64)
            usable = np.isfinite(weights) & (weights >= 0)
            if weights.shape != (len(texts),) or not usable.all():
                raise ValueError(f"sample_weight must be {len(texts)} numbers, 0 or more")
            kept = weights > 0
            given, weights = given[kept], weights[kept]
            texts = [text for text, is_kept in zip(texts, kept, strict=True) if is_kept]
        self.classes_, places = np.unique(given, return_inverse=True)
        names = _names(self.classes_)
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31)
        trained = neuralbits.fit(
            texts,
            [names[place] for place in places],
            max_size=self.max_size,
            trainer=self.trainer,
            out_of_scope=self.out_of_scope,
            unlabelled=self.unlabelled,
            max_false_rejects=self.max_false_rejects,
            seed=int(seed),
            sample_weight=weights,
            progress=self.verbose,
            settings=self.settings,
        )
        if lost := set(names) - set(trained.labels):
            raise NeuralbitsError(f"the class {shown(min(lost))} has no text with words; add one")
        self.classifier_: Classifier = trained.classifier
        self.artifact_ = trained.artifact
        self.findings_ = trained.findings
        self.n_iter_ = len(trained.history)
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """Return the likeliest class of each text, also of one that is out of scope: shape (N,)."""
        places = self._logits(X).argmax(axis=1)
        classes: npt.NDArray[Any] = self.classes_[places]
        return classes

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return the calibrated probability of each class: shape (N, C), rows with the sum 1."""
        from neuralbits.network import probabilities

        return probabilities(self._logits(X))

    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return the calibrated logit of each class: shape (N, C).

        For two classes, the log-odds of the second one: shape (N,).
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def in_scope(self, X: Any) -> npt.NDArray[np.bool_]:  # noqa: N803
        """Return whether each text is of any class at all: shape (N,)."""
        check_is_fitted(self)
        predictions = self.classifier_.classify_batch(_texts(X))
        return np.array([prediction.in_scope for prediction in predictions], dtype=np.bool_)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the artifact, a ``.safetensors`` file, which `neuralbits.load` loads.

        Raises:
            ForeignFileError: the file would replace one that isn't an artifact.
            OSError: the file can't be written.
        """
        check_is_fitted(self)
        artifact.write(self.artifact_, path, overwrite=overwrite)

    def __sklearn_tags__(self) -> Tags:
        """Say that it takes texts."""
        return _for_texts(super().__sklearn_tags__())

    def _logits(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return the calibrated logits of N texts, in the order of the classes: shape (N, C)."""
        check_is_fitted(self)
        texts, labels = _texts(X), self.classifier_.labels
        scale = self.classifier_.manifest.scale / self.classifier_.manifest.temperature
        logits = self.classifier_.scores(texts) * scale
        return logits[:, [labels.index(name) for name in _names(self.classes_)]]


class NeuralbitsVectorizer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turns texts into neural bits, which need no vocabulary and nothing to be learnt.

    Args:
        functions: T, the number of projection functions, a multiple of 16.
        dimensions: d, the dimensions of each function, from 1 to 64.
        code_bits: b: a sum becomes 1 bit, its sign, or 2, its sign and whether it is large.
        output: ``"sparse"`` for a SciPy matrix of zeros and ones, float32; ``"packed"`` for eight
            bits a byte, uint8.

    Example:
        >>> from sklearn.linear_model import RidgeClassifier
        >>> from sklearn.pipeline import make_pipeline
        >>> texts, intents = ["lights on", "lights off", "play jazz"], ["on", "off", "play"]
        >>> pipeline = make_pipeline(NeuralbitsVectorizer(), RidgeClassifier())
        >>> pipeline.fit(texts, intents).predict(["lights on please"]).tolist()
        ['on']
    """

    def __init__(
        self,
        *,
        functions: int = 64,
        dimensions: int = 64,
        code_bits: int = 2,
        output: Literal["sparse", "packed"] = "sparse",
    ) -> None:
        self.functions = functions
        self.dimensions = dimensions
        self.code_bits = code_bits
        self.output = output

    def fit(self, X: Any, y: Any = None) -> "NeuralbitsVectorizer":  # noqa: N803
        """Check the parameters and the texts; nothing is learnt.

        Raises:
            ValueError: a parameter is out of its range, or X isn't texts.
        """
        self._projection()
        _texts(X)
        return self

    def transform(self, X: Any) -> "sparse.csr_matrix | npt.NDArray[np.uint8]":  # noqa: N803
        """Project N texts: shape (N, b·T·d), or (N, ⌈b·T·d / 8⌉) if packed.

        The first bits of all sums stand before the second ones. A byte has its first bit lowest.

        Raises:
            ValueError: a parameter is out of its range, or X isn't texts.
        """
        projection = self._projection()
        packed = _packed_bits(projection, _texts(X))
        if self.output == "packed":
            return packed
        bits = np.unpackbits(packed, axis=1, count=projection.bits, bitorder="little")
        return sparse.csr_matrix(bits, dtype=np.float32)

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return the names of the columns: ``bit0`` …, or ``byte0`` … if packed."""
        bits = self._projection().bits
        kind, count = ("byte", -(-bits // 8)) if self.output == "packed" else ("bit", bits)
        return np.array([f"{kind}{place}" for place in range(count)], dtype=object)

    def __sklearn_tags__(self) -> Tags:
        """Say that it takes texts, and needs no fit."""
        tags = _for_texts(super().__sklearn_tags__())
        tags.requires_fit = False
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        """Return True: there is nothing to fit."""
        return True

    def _projection(self) -> Projection:
        if self.output not in ("sparse", "packed"):
            raise ValueError(f"output is {self.output!r}; choose of sparse, packed")
        return Projection(self.functions, self.dimensions, self.code_bits)


def _packed_bits(projection: Projection, texts: list[str]) -> npt.NDArray[np.uint8]:
    """Project N texts: shape (N, ⌈b·T·d / 8⌉), eight bits a byte."""
    features = [projection.features(text) for text in texts]
    if not kernel.COMPILED:
        projected = [projection.project(each).reshape(-1) for each in features]
        return np.packbits(np.stack(projected), axis=1, bitorder="little")
    settings = manifest.dump(asdict(projection)).encode()
    counts = np.array([len(each) for each in features], dtype=np.int64)
    words = kernel.project(settings, np.concatenate(features), counts).astype("<u8")
    octets = words.view(np.uint8).reshape(len(texts), projection.code_bits, -1)
    bits = np.unpackbits(octets, axis=2, count=projection.sums, bitorder="little")
    return np.packbits(bits.reshape(len(texts), -1), axis=1, bitorder="little")


def _for_texts(tags: Tags) -> Tags:
    tags.input_tags.string = True
    tags.input_tags.one_d_array = True
    tags.input_tags.two_d_array = False
    return tags


def _texts(X: Any) -> list[str]:  # noqa: N803
    """Return N texts, also those of a table or an array with a single column.

    Raises:
        ValueError: they are none.
    """
    shape = getattr(X, "shape", None)
    if isinstance(X, str) or not isinstance(X, Iterable):
        raise ValueError(f"X is a single {type(X).__name__}; give a list of texts")
    if shape is not None and len(shape) == 2 and shape[1] == 1:
        X = np.asarray(X, dtype=object)[:, 0]  # noqa: N806
    elif shape is not None and len(shape) != 1:
        raise ValueError(f"X has the shape {tuple(shape)}; give texts, in one column")
    texts = list(X)
    if not texts:
        raise ValueError("X has 0 texts; give at least 1")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"X[{place}] is of type {type(text).__name__}; give a string")
    return [str.__str__(text) for text in texts]


def _names(classes: npt.NDArray[Any]) -> list[str]:
    """Return the classes as texts.

    Raises:
        NeuralbitsError: two classes are the same as texts, or one isn't the name of an intent.
    """
    names = [str(each) for each in classes.tolist()]
    if len({name.strip() for name in names}) < len(names) or not all(map(str.strip, names)):
        raise NeuralbitsError("the classes in y must differ when written as texts without blanks")
    if _OUT_OF_SCOPE in names:
        raise NeuralbitsError(
            f"y has the class {_OUT_OF_SCOPE!r}, which marks texts of no class; give those texts "
            "as out_of_scope"
        )
    return [name.strip() for name in names]
