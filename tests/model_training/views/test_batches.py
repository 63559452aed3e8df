"""Training texts in, an epoch's batches out, each with its views."""

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from threading import active_count

import numpy as np
import numpy.typing as npt
import pytest

from neuralbits.model_training.data import Examples, TrainingData
from neuralbits.model_training.settings import Settings
from neuralbits.model_training.views.batches import Batch, Batches
from neuralbits.model_training.views.graph import Graph
from neuralbits.projection import Projection

SETTINGS = Settings(
    projection=Projection(functions=4, dimensions=16, stride=2),
    batch_size=8,
    token_dropout=0.0,
    unlabelled_token_dropout=0.0,
    ngram_dropout=0.0,
    typo_rate=0.0,
    min_batches=1,
)
OUTSIDE = Examples(("who won the match", "tell me a joke"), ("oos", "oos"), (1, 2))


def make(data: TrainingData, settings: Settings = SETTINGS, seed: int = 0) -> Batches:
    return Batches(settings, data, np.random.default_rng(seed))


def project(texts: tuple[str, ...]) -> npt.NDArray[np.uint8]:
    projection = SETTINGS.projection
    return np.stack([projection.project(projection.features(text)) for text in texts])


def test_each_epoch_has_every_text_once_in_another_order(homes: TrainingData) -> None:
    batches = make(homes)
    epochs = [np.concatenate([batch.texts for batch in batches.epoch()]) for _ in range(2)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(len(homes.train)))
    assert epochs[0].tolist() != epochs[1].tolist()


def test_an_epoch_has_as_many_batches_as_it_says_and_ends_when_all_is_done(
    homes: TrainingData,
) -> None:
    batches = make(homes)
    done = [batch.done for batch in batches.epoch()]
    assert len(done) == len(batches)
    assert done == sorted(done)
    assert done[-1] == 1


@pytest.mark.parametrize("least", [1, 5, 20])
def test_little_data_is_gone_through_as_often_as_an_epoch_takes(
    homes: TrainingData, least: int
) -> None:
    batches = make(homes, replace(SETTINGS, min_batches=least))
    texts = np.concatenate([batch.texts for batch in batches.epoch()])
    times = np.bincount(texts)
    assert len(batches) >= least
    assert len(batches) - least < len(batches) / times[0]  # no more often than that
    assert set(times) == {times[0]}


@pytest.mark.parametrize("batch_size", [2, 3, 7, 1000])
def test_no_batch_has_a_single_text_nor_more_than_one_too_many(
    homes: TrainingData, batch_size: int
) -> None:
    odd = replace(homes, train=homes.train.select(range(len(homes.train) - 1)))
    for data in (homes, odd):
        sizes = [len(b.texts) for b in make(data, replace(SETTINGS, batch_size=batch_size)).epoch()]
        assert 2 <= min(sizes) <= max(sizes) <= batch_size + 1


def test_unaltered_each_view_has_the_bits_of_the_texts(homes: TrainingData) -> None:
    bits = project(homes.train.texts)
    for batch in make(homes, replace(SETTINGS, views=3)).epoch():
        assert len(batch.views) == 3
        for view in batch.views:
            assert np.array_equal(view, bits[batch.texts])


def test_more_batches_than_are_projected_at_once_keep_their_views(
    homes: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuralbits.model_training.views.batches._PROJECTED_AHEAD", 16)
    bits = project(homes.train.texts)
    for batch in make(homes).epoch():
        assert all(np.array_equal(view, bits[batch.texts]) for view in batch.views)


def altered(homes: TrainingData, settings: Settings) -> list[float]:
    """Return for each of 30 views of the training texts the share that isn't as it was."""
    bits = project(homes.train.texts)
    batches = make(homes, replace(settings, views=30, batch_size=1000))
    (batch,) = batches.epoch()
    return [float((view != bits[batch.texts]).any(axis=(1, 2)).mean()) for view in batch.views]


def test_in_the_share_of_slips_a_text_is_misspelt_anew_in_each_view(homes: TrainingData) -> None:
    shares = altered(homes, replace(SETTINGS, typo_rate=0.5))
    # A typo can hit a space, and change no token.
    assert 0.35 < np.mean(shares) < 0.55
    assert len(set(shares)) > 1


@pytest.mark.parametrize("setting", ["token_dropout", "ngram_dropout"])
def test_what_is_dropped_alters_most_views(homes: TrainingData, setting: str) -> None:
    assert np.mean(altered(homes, SETTINGS.override([f"{setting}=0.9"]))) > 0.5


@pytest.mark.parametrize(
    ("count", "batch_size", "among"),
    [(1, 8, 1), (1, 64, 2), (200, 8, 2)],  # one to 32 at least, one to 4 at most
)
def test_out_of_scope_texts_follow_those_of_the_batch_as_often_as_the_data_has_them(
    homes: TrainingData, count: int, batch_size: int, among: int
) -> None:
    outside = {each.tobytes() for each in project(OUTSIDE.texts)}
    texts = (OUTSIDE + OUTSIDE).select([i % 2 for i in range(count)])
    train = homes.train.select([i % len(homes.train) for i in range(64)])
    warned = replace(homes, train=train, out_of_scope_train=texts)
    for batch in make(warned, replace(SETTINGS, batch_size=batch_size)).epoch():
        for view in batch.views:
            rest = view[len(batch.texts) :]
            assert len(rest) == among
            assert {each.tobytes() for each in rest} <= outside


def test_each_kind_of_out_of_scope_text_is_drawn_as_often_as_another(homes: TrainingData) -> None:
    texts = ("who won the match", *(f"joke number {n}" for n in range(50)))
    kinds = ("sports", *["jokes"] * 50)
    data = replace(homes, out_of_scope_train=Examples(texts, kinds, tuple(range(51))))
    (sports,) = project(texts[:1])
    drawn = [
        np.array_equal(each, sports)
        for batch in make(data, replace(SETTINGS, min_batches=64)).epoch()
        for view in batch.views
        for each in view[len(batch.texts) :]
    ]
    assert 0.3 < np.mean(drawn) < 0.7


def test_as_many_unlabelled_texts_as_there_are_in_the_batch_follow_them(
    homes: TrainingData,
) -> None:
    texts = ("put the light on", "make it brighter", "some jazz")
    told = {each.tobytes() for each in project(texts)}
    data = replace(homes, unlabelled=texts, out_of_scope_train=OUTSIDE)
    bits = project(homes.train.texts)
    seen = set()
    for batch in make(data).epoch():
        count = len(batch.texts)
        assert len(batch.whole) == count
        for view in batch.views:
            assert np.array_equal(view[:count], bits[batch.texts])
            assert np.array_equal(view[count : 2 * count], batch.whole)  # unaltered here
            assert np.array_equal(batch.whole, project(texts)[batch.unlabelled])
            assert len(view) == 2 * count + 1
        seen |= {each.tobytes() for each in batch.whole}
    assert seen == told


def test_unlabelled_texts_are_altered_in_the_views_alone(homes: TrainingData) -> None:
    text = "put the light on in the kitchen"
    settings = replace(SETTINGS, token_dropout=0.5, ngram_dropout=0.5, typo_rate=0.9)
    (plain,) = project((text,))
    altered = 0
    for batch in make(replace(homes, unlabelled=(text,)), settings).epoch():
        assert all(np.array_equal(each, plain) for each in batch.whole)
        for view in batch.views:
            altered += sum(not np.array_equal(e, plain) for e in view[len(batch.texts) :])
    assert altered > len(homes.train) / 2


def test_without_unlabelled_texts_there_are_none_in_a_batch(homes: TrainingData) -> None:
    for batch in make(homes).epoch():
        assert len(batch.whole) == len(batch.unlabelled) == len(batch.transfer) == 0
        assert {len(view) for view in batch.views} == {len(batch.texts)}


@pytest.mark.parametrize("share", [0.5, 2])
def test_texts_of_other_domains_follow_by_their_share(homes: TrainingData, share: float) -> None:
    foreign, outside = ("where is my parcel", "cancel my order", "what is my balance"), OUTSIDE
    data = replace(homes, unlabelled=("some jazz",), transfer=foreign, out_of_scope_train=outside)
    bits = project(foreign)
    for batch in make(data, replace(SETTINGS, transfer_share=share)).epoch():
        count = len(batch.texts)
        assert len(batch.transfer) == math.ceil(share * count)
        for view in batch.views:
            assert np.array_equal(view[2 * count : -1], bits[batch.transfer])  # unaltered here


def as_lists(batches: Iterator[Batch]) -> list[object]:
    return [(batch.texts.tolist(), [view.tolist() for view in batch.views]) for batch in batches]


def test_the_generator_decides_everything(homes: TrainingData) -> None:
    settings = replace(SETTINGS, token_dropout=0.5, ngram_dropout=0.5, typo_rate=0.5)
    first, again, another = (as_lists(make(homes, settings, seed).epoch()) for seed in (1, 1, 2))
    assert first == again
    assert first != another


def test_closed_before_its_end_an_epoch_leaves_no_thread(homes: TrainingData) -> None:
    before = active_count()
    with closing(make(homes).epoch()) as epoch:
        next(epoch)
    assert active_count() == before


def test_the_ends_of_edges_follow_the_texts_of_other_domains(homes: TrainingData) -> None:
    said, foreign = ("some jazz", "lights out"), ("where is my parcel",)
    data = replace(homes, unlabelled=said, transfer=foreign, out_of_scope_train=OUTSIDE)
    nodes = (*homes.train.texts, *said, *foreign)
    count = len(homes.train)
    graph = Graph(np.array([[1, count + 1], [count, count + 2]]), np.array([0.5, 0.5]))
    bits, seen = project(nodes), set()
    for batch in Batches(SETTINGS, data, np.random.default_rng(0), graph).epoch():
        size = len(batch.texts)
        for view in batch.views:
            assert len(view) == 2 * size + len(batch.transfer) + 2 * size + 1
            joined = view[2 * size + len(batch.transfer) : -1]
            for first, second in zip(joined[:size], joined[size:], strict=True):
                pair = next(
                    (a, b)
                    for a, b in graph.ends.tolist()
                    if np.array_equal(bits[a], first) and np.array_equal(bits[b], second)
                )
                seen.add(pair)
    assert seen == {(1, count + 1), (count, count + 2)}
