"""Joint training: one seed, one network; stopped and restored, still the same one."""

import io
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from neuralbits import artifact
from neuralbits.artifact import Artifact
from neuralbits.model_training.compression import group_lasso
from neuralbits.model_training.data import Examples, TrainingData
from neuralbits.model_training.loop.joint import JointTraining, Stopped
from neuralbits.model_training.networks.settings import SpecialistError
from neuralbits.model_training.settings import Settings, SettingsError
from neuralbits.model_training.views.corpus import Dropping, NgramCorpus
from neuralbits.model_training.views.graph import Graph
from neuralbits.network import Network, probabilities
from neuralbits.projection import Projection

SETTINGS = Settings(epochs=4, batch_size=8, min_batches=1).override(
    [
        "projection.stride=16",
        "projection.functions=16",
        "network.widths=16",
        "trainer.names=feedforward",
        "trainer.buckets=512",
        "trainer.embedding=16",
        "trainer.hidden=16",
    ]
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    # As in the job: the order of additions, and so their rounding, depends on the threads.
    torch.set_num_threads(1)


def begin(homes: TrainingData, settings: Settings = SETTINGS) -> JointTraining:
    return JointTraining(settings, homes, torch.device("cpu"))


def run(training: JointTraining, epochs: int | None = None) -> JointTraining:
    for _ in range(training.settings.epochs if epochs is None else epochs):
        training.run_epoch(lambda done: None)
    return training


def content(
    network: Network, homes: TrainingData, projection: Projection = SETTINGS.projection
) -> bytes:
    """Return the artifact's bytes: equal if, and only if, all that was learned is."""
    return artifact.encode(Artifact(projection, network, homes.labels, 1.0, 0.5, {}))[0]


def learned(training: JointTraining, homes: TrainingData) -> bytes:
    return content(training.network(), homes)


@pytest.mark.parametrize("trainer", ["none", "feedforward"])
def test_equal_weights_change_nothing_and_others_do(trainer: str, homes: TrainingData) -> None:
    settings = replace(SETTINGS, epochs=1, trainer=replace(SETTINGS.trainer, names=trainer))
    ones = np.ones(len(homes.train), dtype=np.float32)
    others = ones.copy()
    others[::2], others[1::2] = 1.9, 0.1
    losses = [
        run(begin(replace(homes, weights=weights), settings)).history[0]
        for weights in (None, ones, others)
    ]
    assert losses[1].projection_loss == pytest.approx(losses[0].projection_loss)
    assert losses[2].projection_loss != pytest.approx(losses[0].projection_loss)
    if trainer != "none":
        assert losses[2].trainer_loss != pytest.approx(losses[0].trainer_loss)


def test_both_networks_learn(homes: TrainingData) -> None:
    history = run(begin(homes, replace(SETTINGS, epochs=60, trainer_learning_rate=0.01))).history
    assert [record.epoch for record in history] == list(range(1, 61))
    first, last = history[0], history[-1]
    assert last.trainer_loss < 0.5 * first.trainer_loss
    assert last.projection_loss < 0.4 * first.projection_loss
    assert last.projection_accuracy >= 0.5


def test_the_loss_is_the_weighed_sum_of_the_three(homes: TrainingData) -> None:
    settings = SETTINGS.override(
        ["objective.distillation_weight=0.5", "objective.trainer_weight=2"]
    )
    (record,) = run(begin(homes, settings), epochs=1).history
    assert record.loss == pytest.approx(
        2 * record.trainer_loss + 0.5 * record.distillation_loss + record.projection_loss
    )


def test_from_one_seed_the_same_network_to_the_last_bit(homes: TrainingData) -> None:
    once, again = (run(begin(homes)) for _ in range(2))
    assert learned(once, homes) == learned(again, homes)
    assert [replace(record, seconds=0) for record in once.history] == [
        replace(record, seconds=0) for record in again.history
    ]


def test_from_another_seed_another_network(homes: TrainingData) -> None:
    assert learned(run(begin(homes)), homes) != learned(
        run(begin(homes, replace(SETTINGS, seed=1))), homes
    )


ALONE = SETTINGS.override(["trainer.names=none"])


def test_without_a_trainer_the_projection_network_learns_from_the_labels_alone(
    homes: TrainingData,
) -> None:
    training = run(begin(homes, ALONE))
    assert training.teacher is None
    for record in training.history:
        assert (record.trainer_loss, record.distillation_loss, record.trainer_accuracy) == (
            None,
        ) * 3
        assert record.loss == record.projection_loss
    assert training.history[-1].projection_loss < training.history[0].projection_loss


@pytest.mark.parametrize("ended", [0, 1, 3])
def test_without_a_trainer_too_it_goes_on_as_if_nothing_had_happened(
    homes: TrainingData, ended: int
) -> None:
    restored = begin(homes, ALONE)
    restored.restore(run(begin(homes, ALONE), epochs=ended).state())
    run(restored, epochs=ALONE.epochs - ended)
    assert learned(restored, homes) == learned(run(begin(homes, ALONE)), homes)


def test_specialists_without_a_trainer_are_refused() -> None:
    with pytest.raises(SettingsError, match="choose such a trainer, or leave it at 0"):
        ALONE.override(["specialists.groups=2"])


@pytest.mark.parametrize("ended", [0, 1, 3])
def test_restored_after_some_epochs_it_goes_on_as_if_nothing_had_happened(
    homes: TrainingData, ended: int
) -> None:
    uninterrupted = run(begin(homes))
    checkpoint = io.BytesIO()
    torch.save(run(begin(homes), epochs=ended).state(), checkpoint)
    checkpoint.seek(0)

    torch.rand(3)  # whatever else drew numbers meanwhile
    restored = begin(homes)
    restored.restore(torch.load(checkpoint, weights_only=True))
    assert len(restored.history) == ended
    run(restored, epochs=SETTINGS.epochs - ended)
    assert learned(restored, homes) == learned(uninterrupted, homes)
    assert restored.teacher
    assert uninterrupted.teacher
    expected = uninterrupted.teacher.network.state_dict()
    for name, value in restored.teacher.network.state_dict().items():
        assert torch.equal(value, expected[name]), name


FACTORISED = SETTINGS.override(
    [
        "network.widths=4",
        "network.activation=linear",
        "low_rank.after=2",
        "low_rank.held=1",
        "low_rank.metric=mahalanobis",
    ]
)


@pytest.mark.parametrize("ended", [1, 2, 3])
def test_restored_before_and_after_the_factorisation_it_goes_on_likewise(
    homes: TrainingData, ended: int
) -> None:
    uninterrupted = run(begin(homes, FACTORISED))
    restored = begin(homes, FACTORISED)
    restored.restore(run(begin(homes, FACTORISED), epochs=ended).state())
    run(restored, epochs=FACTORISED.epochs - ended)
    assert learned(restored, homes) == learned(uninterrupted, homes)


def test_after_the_factorisation_what_follows_learns_first_and_then_all(
    homes: TrainingData,
) -> None:
    training = run(begin(homes, FACTORISED), epochs=2)
    assert training.projection_network.output.weight.shape == (
        len(homes.labels),
        SETTINGS.projection.sums,
    )
    assert training.latest is None  # it isn't what the artifact is to hold
    weights = []
    for _ in range(2):
        training.run_epoch(lambda done: None)
        network = training.projection_network
        weights.append((network.first.weight.clone(), network.output.weight.clone()))
    (first, output), (first_later, output_later) = weights
    assert not torch.equal(output, output_later)
    assert not torch.equal(first, first_later)
    settings = replace(FACTORISED, low_rank=replace(FACTORISED.low_rank, held=2))
    training = run(begin(homes, settings), epochs=3)
    held = training.projection_network.first.weight.clone()
    run(training, epochs=1)
    assert torch.equal(held, training.projection_network.first.weight)
    assert [layer.units for layer in training.network().layers] == [4, len(homes.labels)]


PRUNED = SETTINGS.override(
    [
        "network.first_precision=ternary",
        "pruning.first_share=0.9",
        "pruning.share=0.5",
        "epochs=5",
        "batch_size=2",  # more batches in an epoch than lie between two prunings
    ]
)


@pytest.mark.parametrize("ended", [1, 2, 4])
def test_restored_while_it_is_pruned_it_goes_on_as_if_nothing_had_happened(
    homes: TrainingData, ended: int
) -> None:
    restored = begin(homes, PRUNED)
    restored.restore(run(begin(homes, PRUNED), epochs=ended).state())
    run(restored, epochs=PRUNED.epochs - ended)
    uninterrupted = run(begin(homes, PRUNED))
    assert learned(restored, homes) == learned(uninterrupted, homes)
    assert [replace(record, seconds=0) for record in restored.history] == [
        replace(record, seconds=0) for record in uninterrupted.history
    ]


@pytest.mark.parametrize("epochs", [1, 3, 5])
def test_the_network_kept_is_pruned_as_far_as_was_set_also_if_it_is_stopped_before(
    homes: TrainingData, epochs: int
) -> None:
    first, output = run(begin(homes, PRUNED), epochs).network().layers
    assert np.mean(first.weights == 0) >= 0.899
    assert np.mean(output.weights == 0) >= 0.5


LASSO = SETTINGS.override(["pruning.group_lasso=0.1", "epochs=5"])


@pytest.fixture
def _many_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of so little data every function is worth much the same: ask for more than is sensible.
    monkeypatch.setattr(group_lasso, "REMOVED_BELOW", 1.0)


@pytest.mark.usefixtures("_many_removed")
def test_functions_are_removed_from_the_network_and_from_the_projection(
    homes: TrainingData,
) -> None:
    whole = LASSO.projection
    training = run(begin(homes, LASSO), epochs=3)
    assert training.projection == whole
    assert training.network().layers[0].inputs == whole.inputs

    run(training, epochs=1)
    removed, network = training.projection.removed, training.network()
    assert 0 < len(removed) < whole.functions
    assert training.projection == replace(whole, removed=removed)
    assert network.layers[0].inputs == training.projection.inputs < whole.inputs
    run(training, epochs=1)
    assert training.projection.removed == removed

    # What is measured while training is what the artifact computes.
    texts, project = homes.validation.texts, training.projection.project
    scores = network.scores(np.stack([project(whole.features(text)) for text in texts]))
    assert scores.tolist() == training.validation_scores(network).tolist()


@pytest.mark.usefixtures("_many_removed")
@pytest.mark.parametrize("ended", [3, 4])
def test_restored_while_functions_are_removed_it_goes_on_as_if_nothing_had_happened(
    homes: TrainingData, ended: int
) -> None:
    uninterrupted = run(begin(homes, LASSO))
    restored = begin(homes, LASSO)
    restored.restore(run(begin(homes, LASSO), epochs=ended).state())
    run(restored, epochs=LASSO.epochs - ended)
    assert restored.projection == uninterrupted.projection != LASSO.projection
    projection = uninterrupted.projection
    networks = [training.network() for training in (restored, uninterrupted)]
    assert content(networks[0], homes, projection) == content(networks[1], homes, projection)


def test_a_look_at_the_sensitivities_changes_nothing(homes: TrainingData) -> None:
    unlooked = learned(run(begin(homes, PRUNED)), homes)
    training = run(begin(homes, PRUNED), epochs=4)
    assert {each.layer for each in training.sensitivities()} == {0, 1}
    assert learned(run(training, epochs=1), homes) == unlooked


SPECIALISED = SETTINGS.override(
    ["specialists.groups=2", "specialists.after=2", "specialists.width=8"]
)


@pytest.mark.parametrize("ended", [2, 3])
def test_restored_before_and_after_specialists_were_found_it_goes_on_likewise(
    homes: TrainingData, ended: int
) -> None:
    uninterrupted = run(begin(homes, SPECIALISED))
    checkpoint = io.BytesIO()
    torch.save(run(begin(homes, SPECIALISED), epochs=ended).state(), checkpoint)
    checkpoint.seek(0)
    restored = begin(homes, SPECIALISED)
    restored.restore(torch.load(checkpoint, weights_only=True))
    run(restored, epochs=SPECIALISED.epochs - ended)
    assert learned(restored, homes) == learned(uninterrupted, homes)


def test_specialists_change_what_the_projection_network_learns_but_not_the_trainer(
    homes: TrainingData,
) -> None:
    settings = SPECIALISED.override(["trainer.dropout=0", "trainer.embedding_dropout=0"])
    settings = settings.override(["trainer.token_dropout=0"])  # nor are other numbers drawn then
    alone = replace(settings, specialists=SETTINGS.specialists)
    with_them, without = run(begin(homes, settings)), run(begin(homes, alone))
    assert [record.trainer_loss for record in with_them.history] == [
        record.trainer_loss for record in without.history
    ]
    distillation = [
        [record.distillation_loss for record in training.history]
        for training in (with_them, without)
    ]
    assert distillation[0][:2] == distillation[1][:2]
    assert distillation[0][2] != distillation[1][2]


def test_more_specialists_than_intents_are_refused_at_once(homes: TrainingData) -> None:
    with pytest.raises(SpecialistError, match="groups is 6, but there are 6 intents"):
        begin(homes, SETTINGS.override(["specialists.groups=6"]))


def test_the_network_kept_is_that_of_the_last_epoch_though_an_earlier_one_was_better(
    homes: TrainingData,
) -> None:
    # With a rate far too high, an epoch that is worse than an earlier one soon comes.
    training = run(
        begin(homes, replace(SETTINGS, epochs=50, projection_learning_rate=3.0)), epochs=1
    )
    accuracies = [training.history[0].projection_accuracy]
    while accuracies[-1] == max(accuracies):
        accuracies.append(training.run_epoch(lambda done: None).projection_accuracy)
    scores = training.validation_scores(training.network())
    right = scores.argmax(axis=1) == homes.label_indices(homes.validation)
    assert np.mean(right) == accuracies[-1]


def test_the_epochs_progress_rises_to_1(homes: TrainingData) -> None:
    shares: list[float] = []
    begin(homes).run_epoch(shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_asked_to_stop_it_ends_within_the_epoch_and_keeps_the_last_whole_epoch(
    homes: TrainingData,
) -> None:
    stop = threading.Event()
    training = JointTraining(SETTINGS, homes, torch.device("cpu"), stop.is_set)
    run(training, epochs=2)
    before = learned(training, homes)
    with pytest.raises(Stopped):
        training.run_epoch(lambda done: stop.set())
    assert len(training.history) == 2
    assert not training.finished
    assert learned(training, homes) == before


def test_before_the_first_epoch_there_is_no_network_to_keep(homes: TrainingData) -> None:
    training = begin(homes)
    with pytest.raises(ValueError, match="no epoch has ended yet"):
        training.network()


def test_it_is_finished_after_the_last_epoch(homes: TrainingData) -> None:
    training = run(begin(homes), epochs=3)
    assert not training.finished
    assert run(training, epochs=1).finished


@pytest.mark.parametrize("names", ["lstm", "cnn", "lstm+feedforward"])
def test_any_trainer_takes_part(homes: TrainingData, names: str) -> None:
    settings = replace(SETTINGS, epochs=1, trainer=replace(SETTINGS.trainer, names=names))
    (record,) = run(begin(homes, settings)).history
    assert np.isfinite(record.loss)


def test_a_projection_in_blocks_learns_too(homes: TrainingData) -> None:
    settings = replace(SETTINGS, epochs=30).override(
        ["projection.code_bits=1", "projection.dimensions=4", "projection.blocks=true"]
    )
    first, *_, last = run(
        begin(homes, replace(settings, projection=replace(settings.projection, functions=64)))
    ).history
    assert last.projection_loss < 0.5 * first.projection_loss


@pytest.mark.parametrize("batch_size", range(2, 24))
def test_any_size_of_a_batch_will_do(homes: TrainingData, batch_size: int) -> None:
    odd = homes.train.select(range(len(homes.train) - 1))
    settings = replace(SETTINGS, epochs=1, batch_size=batch_size)
    for train in (homes.train, odd):
        run(begin(replace(homes, train=train), settings))


@pytest.mark.parametrize("epochs", [1, 2, 5, 10])
def test_any_number_of_epochs_will_do(homes: TrainingData, epochs: int) -> None:
    # With all texts in one batch, as many steps as epochs; and twice as many, for two views.
    run(begin(homes, replace(SETTINGS, epochs=epochs, batch_size=64)))


OUTSIDE = ("who won the match", "how old are you", "tell me a joke about cats", "what is love")


def surest_outside(homes: TrainingData, settings: Settings) -> float:
    """Train; return how far the surest intent of out-of-scope texts is from an even chance."""
    network = run(begin(homes, settings)).projection_network.fold()
    projection = settings.projection
    bits = np.stack([projection.project(projection.features(text)) for text in OUTSIDE])
    sure = probabilities(network.scores(bits) * (network.scale)).max(axis=1)
    return float(sure.mean()) - 1 / len(homes.labels)


def test_from_out_of_scope_texts_it_learns_not_to_be_sure(homes: TrainingData) -> None:
    outside = Examples(OUTSIDE, ("oos",) * 4, (1, 2, 3, 4))
    warned = replace(homes, out_of_scope_train=outside)
    settings = replace(SETTINGS, epochs=60)
    heedless = settings.override(["objective.outlier_weight=0"])
    heedful = settings.override(["objective.outlier_weight=8"])
    assert surest_outside(warned, heedful) < 0.7 * surest_outside(warned, heedless)


def test_stopped_and_restored_it_goes_on_with_the_same_out_of_scope_texts(
    homes: TrainingData,
) -> None:
    warned = replace(homes, out_of_scope_train=Examples(OUTSIDE, ("oos",) * 4, (1, 2, 3, 4)))
    whole = run(begin(warned))
    state = run(begin(warned), 2).state()
    resumed = begin(warned)
    resumed.restore(state)
    assert learned(run(resumed, 2), warned) == learned(whole, warned)


SAID = ("put the light on", "brighter please", "some jazz", "is it warm", "lights out", "louder")


def agreement(homes: TrainingData, settings: Settings) -> float:
    """Train; return how often a part of an unlabelled text gets the intent that the whole gets."""
    training = run(begin(homes, settings))
    network = training.projection_network.fold()
    ngrams, every = NgramCorpus(training.projection, SAID), np.arange(len(SAID))
    dropping = Dropping(0.3, 0.4, np.random.default_rng(0))
    whole = network.scores(ngrams.project(every)).argmax(axis=1)
    parts = [network.scores(ngrams.project(every, dropping)).argmax(axis=1) for _ in range(50)]
    return float(np.mean(parts == whole))


def test_a_part_of_an_unlabelled_text_is_to_get_the_intent_that_the_whole_gets(
    homes: TrainingData,
) -> None:
    logged = replace(homes, unlabelled=SAID)
    settings = replace(SETTINGS, epochs=40)
    heedless = settings.override(["objective.unlabelled_weight=0"])
    heedful = settings.override(["objective.unlabelled_weight=2"])
    assert 1 - agreement(logged, heedful) < 0.7 * (1 - agreement(logged, heedless))


def test_stopped_and_restored_it_goes_on_with_the_same_unlabelled_texts(
    homes: TrainingData,
) -> None:
    logged = replace(homes, unlabelled=SAID)
    whole = run(begin(logged))
    state = run(begin(logged), 2).state()
    resumed = begin(logged)
    resumed.restore(state)
    assert learned(run(resumed, 2), logged) == learned(whole, logged)
    assert learned(whole, logged) != learned(run(begin(homes)), homes)


def test_texts_that_an_edge_joins_get_near_predictions(homes: TrainingData) -> None:
    said = ("brighter please", "lights out")
    data = replace(homes, unlabelled=said)
    lamp = data.train.intents.index("turn_on")
    graph = Graph(np.array([[lamp, len(data.train)]]), np.array([1.0]))

    def distance(weight: float) -> float:
        settings = replace(SETTINGS, epochs=30).override(
            ["trainer.names=none", f"objective.graph_weight={weight}"]
        )
        training = run(JointTraining(settings, data, torch.device("cpu"), graph=graph))
        network = training.network()
        ngrams = NgramCorpus(training.projection, [data.train.texts[lamp], said[0]])
        first, second = probabilities(network.scores(ngrams.project(np.arange(2))) * network.scale)
        return float(np.square(first - second).sum())

    assert distance(3.0) < 0.5 * distance(0.0)
