"""Independent fine-tuning: the source stays still, every head learns on its own data."""

from dataclasses import replace

import numpy as np
import pytest
from small_tasks import CHANNELS, CPU, abnormality, bytes_of, encoder, lungs

from ums.data import Examples, normalise
from ums.finetuning import independent, tune_independently
from ums.finetuning.independent import feature_bytes, features, on_features
from ums.optimizers import SGD
from ums.training import FitSettings, Training, predict


def tune(source, tasks, rng, **changes):
    chosen = FitSettings(**{"epochs": 3, "batch": 4, "learning_rate": 0.01, **changes})
    return tune_independently(source, tasks, Training(chosen, rng, progress=False))


@pytest.fixture(params=[1 << 30, 0], ids=["features kept", "features computed again"])
def either_path(request, monkeypatch):
    monkeypatch.setattr(independent, "FEATURE_BYTES", request.param)


# ---------------------------------------------------------------------------- the encoder


@pytest.mark.usefixtures("either_path")
@pytest.mark.parametrize("make", [abnormality, lungs])
def test_frozen_encoder_is_unchanged_to_the_byte(make, rng):
    source, task = encoder(rng), make(rng)
    before = bytes_of(source)
    tune(source, [task], rng)
    assert bytes_of(source) == before and "1.running_mean" in before
    assert source.frozen and all(parameter.grad is None for parameter in source.parameters())


@pytest.mark.usefixtures("either_path")
@pytest.mark.parametrize("make", [abnormality, lungs])
def test_head_moves_in_every_layer(make, rng):
    task = make(rng)
    before = bytes_of(task.head)
    tune(encoder(rng), [task], rng)
    after = bytes_of(task.head)
    assert all(after[name] != before[name] for name in before)


def test_encoder_is_shared_and_never_copied(rng):
    source, tasks = encoder(rng), [abnormality(rng), lungs(rng)]
    tuned = tune(source, tasks, rng)
    assert [result.network.layers for result in tuned.values()] == [(source, t.head) for t in tasks]


# ---------------------------------------------------------------------------- the two paths


@pytest.mark.parametrize("make", [abnormality, lungs])
def test_kept_features_lead_to_the_same_head_as_the_plain_path(make, monkeypatch):
    results = []
    for memory in (1 << 30, 0):
        monkeypatch.setattr(independent, "FEATURE_BYTES", memory)
        rng = np.random.default_rng(1)
        source, task = encoder(rng), make(rng, optimizer=SGD)
        results.append(tune(source, [task], rng, learning_rate=0.1)[task.name])
    kept, plain = results
    np.testing.assert_allclose(kept.history.train, plain.history.train, rtol=1e-5)
    np.testing.assert_allclose(kept.history.validation, plain.history.validation, rtol=1e-5)
    for name, value in kept.network.state_dict().items():
        np.testing.assert_allclose(value, plain.network.state_dict()[name], atol=1e-5, err_msg=name)
    assert kept.trainable == plain.trainable


@pytest.mark.parametrize(("memory", "passes"), [(1 << 30, 1), (0, 3)])
def test_every_image_is_encoded_once_where_features_are_kept(memory, passes, monkeypatch, rng):
    monkeypatch.setattr(independent, "FEATURE_BYTES", memory)
    source = encoder(rng)
    tune(source, [abnormality(rng, n=12)], rng, epochs=3)
    assert source.seen == 12 * passes


@pytest.mark.parametrize(("spare", "passes"), [(0, 1), (-1, 3)])
def test_features_are_kept_if_those_of_both_parts_fit(spare, passes, monkeypatch, rng):
    monkeypatch.setattr(independent, "FEATURE_BYTES", 12 * 2 * 2 * CHANNELS * 4 + spare)
    source = encoder(rng)
    tune(source, [abnormality(rng, n=12, side=32)], rng, epochs=3)
    assert source.seen == 12 * passes


def test_augmented_images_are_encoded_anew_in_every_epoch(rng):
    source, task = encoder(rng), abnormality(rng)
    assert on_features(source, task, CPU) is not None
    changing = replace(task.train, augment=lambda images, targets: (images, targets))
    assert on_features(source, replace(task, train=changing), CPU) is None


def test_features_are_the_encoders_outputs_beside_their_own_targets(rng):
    source = encoder(rng)
    images = rng.integers(0, 256, (9, 16, 16), dtype=np.uint8)
    rows = np.array([7, 2, 5, 0])
    found = features(source, Examples(images, np.arange(9), rows), CPU)
    x, targets = found.batch(np.array([2, 0]))
    assert targets.tolist() == [5, 7] and len(found) == 4
    np.testing.assert_allclose(x, source.forward(normalise(images[[5, 7]])), rtol=1e-5, atol=1e-6)


def test_features_of_images_without_targets_have_none(rng):
    images = rng.integers(0, 256, (3, 16, 16), dtype=np.uint8)
    assert features(encoder(rng), Examples(images, None, np.arange(3)), CPU).targets is None


@pytest.mark.parametrize(("side", "n"), [(16, 3), (32, 5)])
def test_feature_memory_is_counted_for_the_rows_alone(side, n, rng):
    examples = Examples(np.zeros((20, side, side), np.uint8), None, np.arange(n))
    assert feature_bytes(encoder(rng), examples) == n * (side // 16) ** 2 * CHANNELS * 4


# ---------------------------------------------------------------------------- tasks


@pytest.mark.usefixtures("either_path")
def test_tasks_may_have_data_sets_of_different_length_and_size(rng):
    tuned = tune(encoder(rng), [abnormality(rng, n=20, side=16), lungs(rng, n=9, side=48)], rng)
    assert list(tuned) == ["abnormality", "lungs"]
    for result in tuned.values():
        assert len(result.history.train) == 3 and np.isfinite(result.history.validation).all()


def test_tasks_of_one_name_are_refused_before_any_is_trained(rng):
    tasks = [abnormality(rng), abnormality(rng)]
    before = bytes_of(tasks[0].head)
    with pytest.raises(ValueError, match="two tasks are called 'abnormality'"):
        tune(encoder(rng), tasks, rng)
    assert bytes_of(tasks[0].head) == before


def test_a_tasks_own_optimizer_moves_its_head(rng):
    made = []

    def optimizer(parameters, learning_rate):
        made.append((len(parameters), learning_rate))
        return SGD(parameters, learning_rate)

    tune(encoder(rng), [abnormality(rng, optimizer=optimizer)], rng, learning_rate=0.25)
    assert made == [(4, 0.25)]  # two dense layers


@pytest.mark.usefixtures("either_path")
@pytest.mark.parametrize("make", [abnormality, lungs])
def test_tuned_network_is_the_encoder_then_the_head(make, rng):
    source, task = encoder(rng), make(rng)
    network = tune(source, [task], rng)[task.name].network
    expected = task.head.forward(source.forward(task.validation.batch(np.arange(4))[0]))
    found = predict(network, task.validation, CPU)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("either_path")
def test_only_the_heads_parameters_are_counted(rng):
    tuned = tune(encoder(rng), [abnormality(rng)], rng)["abnormality"]
    assert tuned.trainable == (CHANNELS * 8 + 8) + (8 * 2 + 2)
    assert tuned.seconds >= sum(tuned.history.seconds) > 0


@pytest.mark.usefixtures("either_path")
def test_heads_learn_what_they_are_shown(rng):
    task = lungs(rng)
    task.train.inputs[:] = np.where(np.arange(32) < 16, 30, 220)  # the bright half is the lung
    task.train.targets[:] = np.arange(32) >= 16
    tuned = tune(encoder(rng), [task], rng, epochs=40, patience=40, learning_rate=0.02)["lungs"]
    assert min(tuned.history.validation) < 0.3 * tuned.history.validation[0]


def test_fewer_images_than_a_batch_say_so(rng):
    with pytest.raises(ValueError, match="8 training examples cannot fill a batch of 9"):
        tune(encoder(rng), [abnormality(rng, n=12)], rng, batch=9)
