"""The table of a home artifact: commands never seen, and what it takes for a command that is none.

``python -m benchmarks.home ARTIFACT [LANGUAGE]`` prints it in Markdown. Commands and out-of-scope
texts are those of the data set's test split; further out-of-scope texts are those of the public
data sets, where they are at hand, in English. An artifact must not have learnt from any of them.
"""

import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

import neuralbits
from neuralbits.classifier import Classifier
from neuralbits.model_training.data import DataError, home_assistant, load_file, public
from neuralbits.text import key

SNIPS_AT_NO_HOME = ("BookRestaurant", "RateBook", "SearchCreativeWork", "SearchScreeningEvent")


def table(classifier: Classifier, language: str) -> list[tuple[str, ...]]:
    """Return the rows: what was measured, on how many texts, and the shares."""
    splits = home_assistant.load(language)
    rows: list[tuple[str, ...]] = []
    for name, colloquial in (("templates never seen", False), ("paraphrases never seen", True)):
        pairs = [p for p in splits.test if (key(p[0]) in splits.colloquial) == colloquial]
        if not pairs:
            continue
        predictions = classifier.classify_batch([text for text, _ in pairs])
        right = [p for p, (_, intent) in zip(predictions, pairs, strict=True) if p.intent == intent]
        both = sum(p.in_scope for p in right)
        rows.append(
            (
                name,
                f"{len(pairs):,}",
                f"{100 * len(right) / len(pairs):.1f} right, {100 * both / len(right):.1f} of "
                f"these in scope, {100 * both / len(pairs):.1f} both",
            )
        )
    for kind, texts in _outside(splits, language):
        accepted = sum(p.in_scope for p in classifier.classify_batch(texts))
        share = f"{100 * accepted / len(texts):.1f} accepted"
        rows.append((f"out of scope: {kind}", f"{len(texts):,}", share))
    return rows


def _outside(splits: home_assistant.Splits, language: str) -> Iterable[tuple[str, Sequence[str]]]:
    by_kind = sorted(splits.out_of_scope["test"], key=itemgetter(1))
    for kind, pairs in groupby(by_kind, key=itemgetter(1)):
        yield kind, [text for text, _ in pairs]
    if language != "en":
        return
    for name, file, intents in (
        ("clinc150", "oos_test.csv", None),
        ("banking77", "test.csv", None),
        ("snips", "test.csv", SNIPS_AT_NO_HOME),
    ):
        try:
            loaded = load_file(public.folder(public.PUBLIC[name]) / file)
        except DataError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        examples = loaded.examples + loaded.out_of_scope
        yield (
            f"{name}, {file}",
            [
                t
                for t, i in zip(examples.texts, examples.intents, strict=True)
                if not intents or i in intents
            ],
        )


def main(artifact: str, language: str = "en") -> None:
    """Print the table."""
    print("| test texts | number | % |\n|---|---|---|")
    for row in table(neuralbits.load(artifact), language):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
