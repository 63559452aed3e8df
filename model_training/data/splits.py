"""Hold a part of the training examples out for validation."""

from collections import Counter, defaultdict
from random import Random

from neuralbits.text import key

from .examples import DataError, DataFile, Examples

VALIDATION_SHARE = 0.1  # of the texts, where no validation file is given
MIN_VALIDATION = 10  # texts, or as many as there are intents


def carve(train: DataFile, seed: int) -> tuple[Examples, Examples]:
    """Carve a validation split out of the training file, a tenth of it.

    Equal texts stay together. An intent with a single distinct text stays in training whole, and
    each keeps one at least. The split is stratified if it has room for a text of each intent: with
    so few examples that it hasn't, no intent can spare one for certain.
    """
    try:
        from sklearn.model_selection import train_test_split
    except ModuleNotFoundError:
        raise DataError(
            "splitting data needs scikit-learn: pip install 'neuralbits[train]'"
        ) from None
    examples = train.examples
    groups: dict[str, list[int]] = defaultdict(list)
    for i, text in enumerate(examples.texts):
        groups[key(text)].append(i)
    intents = {text: examples.intents[indices[0]] for text, indices in groups.items()}
    sizes = Counter(intents.values())
    texts = [text for text in groups if sizes[intents[text]] > 1]
    if not texts:
        raise DataError(
            f"{train.name} has a single text for each intent, so that no validation examples can "
            "be set aside: add examples, or give a file with --validation"
        )
    stratify = [intents[text] for text in texts]
    least = min(len(set(stratify)), MIN_VALIDATION)
    size = max(least, round(VALIDATION_SHARE * len(texts)))
    if size >= len(set(stratify)):
        _, chosen = train_test_split(texts, test_size=size, stratify=stratify, random_state=seed)
    else:
        firsts = {intents[text]: text for text in reversed(texts)}
        chosen = Random(seed).sample([t for t in texts if t != firsts[intents[t]]], size)
    held_out = {i for text in chosen for i in groups[text]}
    everything = range(len(examples))
    return (
        examples.select(i for i in everything if i not in held_out),
        examples.select(i for i in everything if i in held_out),
    )


def carve_out_of_scope(examples: Examples, seed: int) -> tuple[Examples, Examples]:
    """Set a part of the out-of-scope examples aside to measure with; equal texts stay together."""
    distinct = list(dict.fromkeys(key(text) for text in examples.texts))
    Random(seed).shuffle(distinct)
    held_out = set(distinct[: round(VALIDATION_SHARE * len(distinct))])
    places = range(len(examples))
    return (
        examples.select(i for i in places if key(examples.texts[i]) not in held_out),
        examples.select(i for i in places if key(examples.texts[i]) in held_out),
    )
