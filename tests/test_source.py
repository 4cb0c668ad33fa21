"""The source: noisy inputs with clean targets, and an autoencoder that learns to denoise."""

import copy

import numpy as np
import pytest

from ums.backend import Device
from ums.data import Examples, corrupt, denormalise, normalise
from ums.networks import denoising_autoencoder
from ums.source import DenoisingExamples, train_denoising
from ums.training import FitSettings, Training, predict

CPU = Device(np, "CPU")


def discs(rng, n=4, side=16):
    """A bright disc on a black ground, in another place in each image."""
    y, x = np.mgrid[:side, :side]
    centre = rng.uniform(0.35 * side, 0.65 * side, (2, n, 1, 1))
    inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < (side / 4) ** 2
    return np.where(inside, 200, 0).astype(np.uint8)


# ---------------------------------------------------------------------------- examples


def test_inputs_and_targets_are_normalised_by_the_noisy_image(rng):
    images = discs(rng, 40)
    examples = DenoisingExamples(images, np.arange(40), rng)
    noisy = corrupt(images, copy.deepcopy(rng))
    x, target = examples.batch(np.arange(40))
    np.testing.assert_array_equal(x, normalise(noisy))
    np.testing.assert_array_equal(target, normalise(images, like=noisy))


def test_noise_on_a_dark_image_is_no_image_in_0_to_1(rng):
    images = np.zeros((9, 16, 16), np.uint8)
    images[0], images[1:, 0, 0] = 100, 1
    examples = DenoisingExamples(images, np.arange(9), rng)
    for _ in range(9):  # Poisson noise may turn 1 into 6.375
        assert np.isfinite(examples.batch(np.arange(1, 9))[0]).all()


def test_batches_are_single_precision_with_one_channel(rng):
    x, target = DenoisingExamples(discs(rng), np.arange(4), rng).batch(np.array([2, 0, 1]))
    assert x.shape == target.shape == (3, 16, 16, 1)
    assert x.dtype == target.dtype == np.float32


@pytest.mark.parametrize("fixed", [True, False])
def test_targets_are_the_rows_that_were_chosen(fixed, rng):
    images = np.where(discs(rng, 10) > 0, 100 + 15 * np.arange(10)[:, None, None], 40)
    images = images.astype(np.uint8)
    examples = DenoisingExamples(images, np.array([9, 5, 2, 7]), rng, fixed)
    x, target = examples.batch(np.array([2, 0, 3]))
    for noisy, clean, row in zip(x, target, (2, 9, 7), strict=True):
        assert np.corrcoef(clean.ravel(), images[row].ravel())[0, 1] > 0.999
        assert 0.4 < np.corrcoef(noisy.ravel(), images[row].ravel())[0, 1] < 0.999


def test_fixed_noise_is_the_same_every_time_and_in_any_company(rng):
    examples = DenoisingExamples(discs(rng), np.arange(4), rng, fixed=True)
    together, _ = examples.batch(np.arange(4))
    again, _ = examples.batch(np.arange(4))
    alone = [examples.batch(np.array([i]))[0][0] for i in (2, 0, 3, 1)]
    assert np.array_equal(together, again)
    assert np.array_equal(np.stack(alone), together[[2, 0, 3, 1]])


def test_noise_that_is_not_fixed_never_comes_again(rng):
    examples = DenoisingExamples(discs(rng), np.arange(4), rng)
    batches = [examples.batch(np.arange(4))[0] for _ in range(5)]
    assert len({image.tobytes() for batch in batches for image in batch}) == 20


@pytest.mark.parametrize("fixed", [True, False])
def test_noise_repeats_with_the_seed(fixed):
    images = discs(np.random.default_rng(0))
    one, same, other = (
        DenoisingExamples(images, np.arange(4), np.random.default_rng(seed), fixed)
        .batch(np.arange(4))[0]
        for seed in (1, 1, 2)
    )  # fmt: skip
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_no_image_to_learn_from_is_an_error(rng):
    with pytest.raises(ValueError, match="one or more, got"):
        DenoisingExamples(discs(rng), np.arange(0), rng)


# ---------------------------------------------------------------------------- learning


def learned(images, seed=0, width=0.1, **changes):
    rng, rows = np.random.default_rng(seed), np.arange(len(images))
    network = denoising_autoencoder(rng, width=width)
    chosen = FitSettings(**{"epochs": 2, "batch": 4, "learning_rate": 0.01, **changes})
    return trained(network, images, rows, rows, chosen, rng)


def trained(network, images, train, validation, chosen, rng):
    train = DenoisingExamples(images, train, rng)
    validation = DenoisingExamples(images, validation, rng, fixed=True)
    return train_denoising(network, train, validation, Training(chosen, rng, progress=False))


def psnr(clean, image):
    return 10 * np.log10(255**2 / np.mean((clean.astype(np.float64) - image) ** 2))


def test_four_images_are_learned_by_heart_and_denoised(rng):
    images = discs(rng)
    changes = {"epochs": 300, "patience": 300, "plateau_patience": 300, "learning_rate": 0.01}
    tuned = learned(images, width=0.3, **changes)
    for losses in (tuned.history.train, tuned.history.validation):
        assert losses[0] > 10 * min(losses)
    noisy = np.clip(images + rng.normal(0, 50, images.shape), 0, 255)  # NumPy's noise, not ours
    y = predict(tuned.network, Examples(noisy, None, np.arange(4)), CPU)
    # 2 to 11 dB better, whatever way sums are rounded; returning the input would be 0.
    assert psnr(images, denormalise(y, noisy)) > psnr(images, noisy) + 1


def test_source_repeats_with_its_seed_to_the_byte(rng):
    images = discs(rng)
    one, same, other = (learned(images, seed).network.state_dict() for seed in (1, 1, 2))
    assert all(one[name].tobytes() == same[name].tobytes() for name in one)
    assert any(one[name].tobytes() != other[name].tobytes() for name in one)


def learned_from(images, train, validation):
    rng = np.random.default_rng(1)
    network, chosen = denoising_autoencoder(rng, width=0.1), FitSettings(epochs=2, batch=4)
    return trained(network, images, train, validation, chosen, rng)


@pytest.mark.parametrize(
    ("spoilt", "changed"),
    [([0, 1], {"train", "validation"}), ([6, 7], {"validation"}), ([9], set())],
)
def test_training_rows_teach_and_validation_rows_judge(spoilt, changed, rng):
    images = discs(rng, 10)
    rows = np.arange(6), np.arange(6, 9)
    before = learned_from(images, *rows).history
    images[spoilt] = 255 - images[spoilt]
    after = learned_from(images, *rows).history
    found = {
        part for part in ("train", "validation") if getattr(before, part) != getattr(after, part)
    }
    assert found == changed


def test_history_and_cost_come_with_the_source(rng):
    tuned = learned(discs(rng))
    assert len(tuned.history.train) == len(tuned.history.validation) == 2
    assert tuned.trainable == sum(p.value.size for p in tuned.network.parameters())


def source_of(network, images, rng):
    return trained(network, images, np.arange(4), np.arange(4), FitSettings(epochs=1, batch=4), rng)


@pytest.mark.parametrize(
    ("shape", "outputs", "message"),
    [
        ((40, 40), 1, r"\(40, 40, 1\) come out as \(48, 48, 1\): .* must be multiples of 16$"),
        ((32, 32), 3, r"\(32, 32, 1\) come out as \(32, 32, 3\)$"),
        ((32, 32, 3), 1, r"\(32, 32, 3\) come out as \(32, 32, 1\)$"),
    ],
)
def test_source_whose_output_is_not_of_the_images_shape_is_refused(shape, outputs, message, rng):
    images = rng.integers(0, 256, (4, *shape), dtype=np.uint8)
    network = denoising_autoencoder(rng, 3 if len(shape) == 3 else 1, outputs, width=0.05)
    with pytest.raises(ValueError, match=f"source: denoising: images of {message}"):
        source_of(network, images, rng)


def test_source_of_three_channels_is_trained(rng):
    images = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    network = denoising_autoencoder(rng, 3, 3, width=0.05)
    assert np.isfinite(source_of(network, images, rng).history.validation).all()
