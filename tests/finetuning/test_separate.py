"""The baseline: a network of its own for every task, on denoised images."""

from dataclasses import replace

import numpy as np
import pytest

from ums.backend import Device
from ums.data import Examples, Normalisation, normalise
from ums.finetuning import Task, train_separately
from ums.finetuning.separate import denoise, denoise_exactly, denoise_examples
from ums.layers import Dense, GlobalAveragePool, Layer, Sequential
from ums.networks import denoising_autoencoder, separate_classifier
from ums.ops import bce_dice, categorical_cross_entropy
from ums.training import FitSettings, Training

CPU = Device(np, "CPU")
EVERY = Normalisation(-1)


class Brighter(Layer):
    """Stands in for a denoiser: adds so many deviations of the foreground, easily followed by hand."""

    def __init__(self, deviations):
        super().__init__()
        self.deviations = deviations

    def forward(self, x, training=False, keep=True):
        return x + np.float32(self.deviations / 4)


class Recorder(Layer):
    """Passes everything on and remembers what it was given."""

    def __init__(self):
        super().__init__()
        self.seen = {True: [], False: []}

    def forward(self, x, training=False, keep=True):
        if len(x) > 1:  # one alone is to see its size
            self.seen[training].extend(x.copy())
        return x

    def backward(self, dy, input_gradient=True):
        return dy


def brighter_by_hand(images, deviations):
    """In the foreground's deviations; its mean and deviation are of the pixels above 8 grey levels."""
    result = []
    for image in images.astype(float):
        shown = image[image > 8]
        black = min(shown.mean() - 4 * shown.std(), 0)
        result.append(np.where(image > 8, image, black) + deviations * max(shown.std(), 1))
    return np.clip(np.rint(result), 0, 255).astype(np.uint8)


def numbered(n, side=16):
    """Image k is grey with level 10 k + 10, so that its number can be told from its pixels."""
    return (10 + 10 * np.arange(n, dtype=np.uint8))[:, None, None] * np.ones((side, side), np.uint8)


def bytes_of(network):
    return {name: value.tobytes() for name, value in network.state_dict().items()}


def train(denoiser, tasks, rng, **changes):
    chosen = FitSettings(**{"epochs": 2, "batch": 4, "learning_rate": 0.01, **changes})
    return train_separately(tasks, Training(chosen, rng, progress=False), denoiser)


def abnormality(rng, n=12, head=None, name="abnormality"):
    images = rng.integers(0, 256, (n, 16, 16), dtype=np.uint8)
    labels, rows = rng.integers(2, size=n), rng.permutation(n)
    parts = (Examples(images, labels, part) for part in np.split(rows, [2 * n // 3]))
    head = head or separate_classifier(rng, width=0.05)
    return Task(name, head, categorical_cross_entropy, *parts)


def lungs(rng, n=9, side=32):
    images = rng.integers(0, 256, (n, side, side), dtype=np.uint8)
    parts = (Examples(images, images % 2, part) for part in np.split(np.arange(n), [2 * n // 3]))
    return Task("lungs", denoising_autoencoder(rng, width=0.05), bce_dice, *parts)


# ---------------------------------------------------------------------------- denoising


@pytest.mark.parametrize("levels", [0, 0.5, -0.5, 5, -5])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_denoised_images_are_rounded_and_clipped_to_eight_bits(levels, dtype, rng):
    images = rng.integers(0, 256, (7, 16, 16), dtype=np.uint8)
    found = denoise(Brighter(levels), images.astype(dtype), CPU)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, brighter_by_hand(images, levels))


def test_halves_are_rounded_and_not_cut_off():
    images = np.full((1, 16, 16), 100, np.uint8)
    assert (denoise(Brighter(0.75), images, CPU) == 101).all()


@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_denoising_does_not_depend_on_the_batch(size, rng):
    images = rng.integers(0, 256, (7, 16, 16), dtype=np.uint8)
    found = denoise(Brighter(-0.3), images, CPU, size=size)
    np.testing.assert_array_equal(found, brighter_by_hand(images, -0.3))


def test_restored_images_are_neither_rounded_nor_taken_off_their_grey_levels(rng):
    images = rng.uniform(9, 255, (3, 16, 16)).astype(np.float32)
    np.testing.assert_allclose(denoise_exactly(Brighter(0), images, CPU), images, atol=1e-4)


def test_targets_stay_with_their_images():
    rows = np.array([7, 2, 5, 0])
    found = denoise_examples(Brighter(3), Examples(numbered(9), np.arange(9), rows), CPU)
    for i in range(4):
        _, target = found.batch(np.array([i]))
        assert target[0] == rows[i] and (found.inputs[found.rows[i]] == 10 * rows[i] + 13).all()


def test_masks_stay_with_their_images():
    images, rows = numbered(6), np.array([4, 1, 3])
    masks = np.repeat(np.array([0, 1, 0, 1, 0, 0], bool), 16 * 16).reshape(6, 16, 16)
    found = denoise_examples(Brighter(3), Examples(images, masks, rows), CPU)
    _, t = found.batch(np.array([2, 0, 1]))
    assert t.shape == (3, 16, 16, 1) and t.mean(axis=(1, 2, 3)).tolist() == [1, 0, 1]


def test_images_without_targets_have_none_afterwards():
    examples = Examples(numbered(3), None, np.arange(3))
    assert denoise_examples(Brighter(3), examples, CPU).targets is None


def test_examples_without_a_normalisation_cannot_be_denoised():
    examples = Examples(numbered(3), None, np.arange(3), prepare=np.asarray)
    with pytest.raises(TypeError, match="prepared by a Normalisation, got Examples"):
        denoise_examples(Brighter(3), examples, CPU)


# ---------------------------------------------------------------------------- training


def test_denoiser_does_not_move(rng):
    denoiser = denoising_autoencoder(rng, width=0.05)
    before = bytes_of(denoiser)
    train(denoiser, [abnormality(rng), lungs(rng)], rng)
    assert bytes_of(denoiser) == before
    assert all(parameter.grad is None for parameter in denoiser.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_network_sees_every_denoised_image_and_nothing_else(training, rng):
    recorder = Recorder()
    head = Sequential(recorder, GlobalAveragePool(), Dense(1, 2, rng))
    task = abnormality(rng, head=head)
    train(Brighter(2), [task], rng, epochs=1)  # many pixels are clipped, so it shows
    part = task.train if training else task.validation
    expected = normalise(brighter_by_hand(part.inputs[part.rows], 2))
    seen = recorder.seen[training]
    assert len(seen) == len(part)
    assert {x.tobytes() for x in seen} == {x.tobytes() for x in expected}


def test_images_are_denoised_by_the_examples_own_normalisation(rng):
    recorder, own = Recorder(), Normalisation(background=70)
    task = abnormality(rng, head=Sequential(recorder, GlobalAveragePool(), Dense(1, 2, rng)))
    task.train, task.validation = (replace(e, prepare=own) for e in (task.train, task.validation))
    train(Brighter(2), [task], rng, epochs=1)
    images = task.train.inputs[task.train.rows]
    expected = own(denoise(Brighter(2), images, CPU, own))
    assert {x.tobytes() for x in recorder.seen[True]} == {x.tobytes() for x in expected}


def test_examples_of_the_task_keep_their_own_images(rng):
    task = abnormality(rng)
    before = task.train.inputs.copy()
    train(Brighter(2), [task], rng)
    assert np.array_equal(task.train.inputs, before)


def test_tasks_of_one_name_are_refused_before_any_is_trained(rng):
    tasks = [abnormality(rng), abnormality(rng)]
    before = bytes_of(tasks[0].head)
    with pytest.raises(ValueError, match="two tasks are called 'abnormality'"):
        train(None, tasks, rng)
    assert bytes_of(tasks[0].head) == before


def test_every_layer_of_the_whole_network_learns(rng):
    task = lungs(rng)
    before = bytes_of(task.head)
    tuned = train(Brighter(0), [task], rng)["lungs"]
    after = bytes_of(tuned.network)
    assert tuned.network is task.head and all(after[name] != before[name] for name in before)
    assert tuned.trainable == sum(p.value.size for p in task.head.parameters())


def test_tasks_may_have_data_sets_of_different_length_and_size(rng):
    tasks = [abnormality(rng, n=20), lungs(rng, n=9, side=48)]
    tuned = train(Brighter(5), tasks, rng)
    assert list(tuned) == ["abnormality", "lungs"]
    assert all(np.isfinite(result.history.validation).all() for result in tuned.values())


def test_training_repeats_with_its_seed_to_the_byte():
    results = []
    for seed in (1, 1, 2):
        rng = np.random.default_rng(seed)
        task = abnormality(rng)
        results.append(bytes_of(train(Brighter(5), [task], rng)["abnormality"].network))
    assert results[0] == results[1] != results[2]


def test_image_of_three_channels_is_denoised_in_each_of_them(rng):
    images = rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(denoise(Brighter(0), images, CPU, EVERY), images)
    brighter = denoise_exactly(Brighter(1), images, CPU, EVERY)
    deviations = images.std(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(brighter, np.clip(images + deviations, 0, 255), atol=1e-3)


def test_baseline_of_three_channels_learns_on_denoised_images(rng):
    images, masks = rng.integers(0, 256, (2, 8, 16, 16, 3), dtype=np.uint8)
    masks = masks[..., 0] % 2
    train, validation = (Examples(images, masks, rows) for rows in np.split(np.arange(8), [6]))
    model = denoising_autoencoder(rng, 3, 1, width=0.05)
    task = Task("lungs", model, bce_dice, train, validation)
    how = Training(FitSettings(epochs=1, batch=4), rng, CPU, progress=False)
    tuned = train_separately([task], how, denoising_autoencoder(rng, 3, 3, width=0.05))
    assert np.isfinite(tuned["lungs"].history.validation).all()
