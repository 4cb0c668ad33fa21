"""Examples: normalisation, pairs of inputs and targets, batches."""

import numpy as np
import pytest

from ums.backend import choose_device
from ums.data import Examples, Normalisation, denormalise, epoch_batches, normalise
from ums.data.augment import Augmentation
from ums.data.examples import device_batch, in_order
from ums.data.normalisation import BACKGROUND


def pictures(rng, *shape):
    return rng.integers(0, 256, shape, dtype=np.uint8)


# ---------------------------------------------------------------------------- normalisation


def foreground(rng, *shape):
    """Random images without a pixel of the background."""
    return rng.integers(BACKGROUND + 1, 256, shape, dtype=np.uint8)


def test_normalised_image_worked_by_hand():
    images = np.array([[[0, 150], [50, 100]]], np.uint8)  # foreground: mean 100, variance 5000 / 3
    expected = np.array([[0, 50], [-50, 0]]) / (4 * np.sqrt(5000 / 3))
    expected[0, 0] = -1
    np.testing.assert_allclose(normalise(images)[0, ..., 0], expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 8, 6), (3, 8, 6, 1), (3, 8, 6, 3)])
def test_every_normalised_foreground_has_mean_zero_and_deviation_a_quarter(shape, rng):
    x = normalise(foreground(rng, *shape))
    assert x.dtype == np.float32 and x.shape == (3, 8, 6, shape[3] if len(shape) == 4 else 1)
    np.testing.assert_allclose(x.mean(axis=(1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(x.std(axis=(1, 2, 3)), 0.25, rtol=1e-4)


def test_brighter_or_flatter_exposure_is_the_same_input(rng):
    images = foreground(rng, 2, 8, 8).astype(np.float32)
    np.testing.assert_allclose(normalise(images / 2 + 50), normalise(images), atol=1e-5)


def test_black_border_moves_nothing_on_the_foreground(rng):
    images = foreground(rng, 2, 8, 8)
    bordered = np.pad(images, ((0, 0), (3, 3), (2, 2)))
    x = normalise(bordered)[..., 0]
    np.testing.assert_allclose(x[:, 3:-3, 2:-2], normalise(images)[..., 0], atol=1e-5)
    assert (x[:, :3] <= -1).all() and (x[:, :, -2:] <= -1).all()


def test_statistics_can_be_those_of_another_image(rng):
    clean, noisy = foreground(rng, 4, 8, 6), foreground(rng, 4, 8, 6)
    mean, deviation = (f(noisy, axis=(1, 2), keepdims=True) for f in (np.mean, np.std))
    x = normalise(clean, like=noisy)[..., 0]
    np.testing.assert_allclose(x, (clean - mean) / (4 * deviation), atol=1e-5)
    with pytest.raises(ValueError, match=r"\(4, 8, 6\), got \(4, 8, 5\)"):
        normalise(clean, like=noisy[..., :5])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_denormalise_inverts_normalise_but_for_the_border(dtype, rng):
    images = pictures(rng, 5, 8, 6).astype(dtype)
    restored = denormalise(normalise(images), images)
    assert restored.shape == images.shape and restored.dtype == np.float32
    np.testing.assert_array_equal(
        denormalise(normalise(images[..., None]), images[..., None])[..., 0], restored
    )
    np.testing.assert_allclose(restored, np.where(images > BACKGROUND, images, 0), atol=1e-3)


def test_all_black_image_gives_finite_input():
    assert np.isfinite(normalise(np.zeros((1, 4, 4), np.uint8))).all()


def test_denormalised_image_stays_between_black_and_white():
    images = np.array([[[50, 150]]] * 2, np.uint8)  # mean 100, deviation 50
    y = np.full((2, 1, 2, 1), [[[[-1.0]]], [[[1.0]]]], np.float32)  # 200 below and above
    assert denormalise(y, images).reshape(2, 2).tolist() == [[0, 0], [255, 255]]


@pytest.mark.parametrize("shape", [(8,), (8, 6), (1, 2, 8, 6, 3)])
def test_images_of_another_rank_are_named(shape):
    with pytest.raises(ValueError, match=r"must be \(N, H, W\) or .*, got \(" + f"{shape[0]},"):
        normalise(np.zeros(shape))


# ---------------------------------------------------------------------------- examples


def test_dark_float_frame_does_not_stop_a_training():
    images = np.full((2, 4, 4), 100, np.float32)
    images[1] = np.eye(4)
    examples = Examples(images, None, np.arange(2))
    assert (examples.batch(np.array([1]))[0] == -1).all()
    with pytest.raises(ValueError, match=r"inputs must be grey levels in .*, got 0 to 1"):
        Examples(images[1:], None, np.arange(1))


def test_batch_holds_the_rows_that_were_chosen(rng):
    images, masks = pictures(rng, 9, 4, 4), pictures(rng, 9, 4, 4) % 2
    x, t = Examples(images, masks, np.array([8, 3, 5])).batch(np.array([2, 0]))
    np.testing.assert_array_equal(x, normalise(images[[5, 8]]))
    assert t.dtype == np.float32
    np.testing.assert_array_equal(t, masks[[5, 8]][..., None])


def test_labels_stay_integers_and_no_targets_stay_none(rng):
    images, labels = pictures(rng, 6, 4, 4), np.arange(6)
    _, t = Examples(images, labels, np.array([4, 1, 2])).batch(np.array([0, 2]))
    assert t.tolist() == [4, 2] and t.dtype.kind == "i"
    assert Examples(images, None, np.arange(6)).batch(np.arange(2))[1] is None


def test_features_are_passed_on_as_they_are(rng):
    features = rng.normal(size=(5, 2, 2, 7)).astype(np.float32)
    examples = Examples(features, None, np.array([4, 0]), prepare=np.asarray)
    np.testing.assert_array_equal(examples.batch(np.arange(2))[0], features[[4, 0]])


def brighter(images, targets):
    """Stands in for an augmentation."""
    return images + 100, 1 - targets


def test_augmentation_is_of_the_chosen_rows_before_they_are_normalised(rng):
    images, masks = pictures(rng, 9, 4, 4) // 2, pictures(rng, 9, 4, 4) % 2
    examples = Examples(images, masks, np.array([8, 3, 5]), augment=brighter)
    x, t = examples.batch(np.array([2, 0]))
    np.testing.assert_array_equal(x, normalise(images[[5, 8]] + 100))
    np.testing.assert_array_equal(t, 1.0 - masks[[5, 8]][..., None])
    labels = np.arange(9) % 2
    x, t = Examples(images, labels, np.arange(9), augment=brighter).batch(np.array([4, 1]))
    np.testing.assert_array_equal(x, normalise(images[[4, 1]] + 100))
    assert t.tolist() == [1, 0]


def test_augmentation_leaves_the_images_as_they_are(rng):
    def blacken(images, targets):
        images[:], targets[:] = 0, 0
        return images, targets

    images, masks = pictures(rng, 4, 4, 4), pictures(rng, 4, 4, 4) % 2
    before = images.copy(), masks.copy()
    Examples(images, masks, np.arange(4), augment=blacken).batch(np.arange(4))
    np.testing.assert_array_equal((images, masks), before)


def test_other_inputs_are_augmented_likewise(rng):
    images = pictures(rng, 6, 4, 4) // 2
    examples = Examples(images, np.arange(6) % 2, np.array([4, 1]), augment=brighter)
    others = images[[4, 1]] // 2
    x, t = examples.with_inputs(others, normalise).batch(np.array([1]))
    np.testing.assert_array_equal(x, normalise(others[[1]] + 100))
    assert t.tolist() == [0]


def test_length_is_the_number_of_rows(rng):
    assert len(Examples(pictures(rng, 9, 4, 4), None, np.array([8, 3]))) == 2


def test_memory_mapped_images_are_read_batch_by_batch(tmp_path, rng):
    images = pictures(rng, 6, 4, 4)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    examples = Examples(mapped, None, np.array([5, 2]))
    assert examples.inputs is mapped
    np.testing.assert_array_equal(examples.batch(np.array([1]))[0], normalise(images[[2]]))


def test_targets_of_another_number_are_refused_with_both_shapes(rng):
    with pytest.raises(ValueError, match=r"\(6, 4, 4\) and \(5,\)"):
        Examples(pictures(rng, 6, 4, 4), np.arange(5), np.arange(5))


def test_empty_set_is_refused(rng):
    with pytest.raises(ValueError, match=r"rows must be .* one or more"):
        Examples(pictures(rng, 6, 4, 4), None, np.arange(0))


# ---------------------------------------------------------------------------- batches


@pytest.mark.parametrize(("n", "size"), [(1, 1), (7, 7), (7, 3), (16, 4), (33, 16), (100, 7)])
def test_epoch_covers_everything_once_in_batches_of_almost_one_size(n, size, rng):
    batches = list(epoch_batches(n, size, rng))
    sizes = [len(batch) for batch in batches]
    assert sorted(np.concatenate(batches)) == list(range(n))
    assert len(sizes) == -(-n // size) and max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1


def test_same_seed_gives_the_same_order_and_the_next_epoch_another():
    first, again = (np.random.default_rng(3) for _ in range(2))
    one, two = (np.concatenate(list(epoch_batches(40, 8, first))) for _ in range(2))
    assert not np.array_equal(one, two)
    assert not np.array_equal(one, np.arange(40))
    for expected in (one, two):
        np.testing.assert_array_equal(np.concatenate(list(epoch_batches(40, 8, again))), expected)


@pytest.mark.parametrize(("n", "size"), [(5, 6), (0, 4), (5, 0), (5, -1)])
def test_fewer_examples_than_a_batch_are_refused_with_both_numbers(n, size, rng):
    with pytest.raises(ValueError, match=f"^{n} training examples cannot fill a batch of {size}$"):
        list(epoch_batches(n, size, rng))


def test_in_order_counts_up_and_ends_with_what_is_left():
    assert [batch.tolist() for batch in in_order(5, 2)] == [[0, 1], [2, 3], [4]]
    assert [batch.tolist() for batch in in_order(2, 5)] == [[0, 1]]


# ---------------------------------------------------------------------------- shown


@pytest.mark.parametrize(
    ("targets", "kind"),
    [(None, "no targets"), (np.zeros(9, int), "labels"), (np.zeros((9, 4, 6), bool), "masks")],
)
def test_examples_are_shown_by_their_numbers_and_without_arrays(targets, kind):
    examples = Examples(np.zeros((9, 4, 6), np.uint8), targets, np.arange(5))
    assert repr(examples) == f"Examples(5 of 9, 4x6, {kind})"


def test_examples_without_targets_cannot_be_learned_from():
    examples = Examples(np.zeros((9, 4, 6), np.uint8), None, np.arange(5))
    with pytest.raises(ValueError, match=r"no targets to learn from: Examples\(5 of 9"):
        device_batch(examples, np.arange(2), choose_device("cpu"))


# ---------------------------------------------------------------------------- normalisation


@pytest.mark.parametrize("level", [-2, 255])
def test_background_outside_the_grey_levels_is_refused(level):
    with pytest.raises(ValueError, match=f"grey level below 255, or -1, got {level}"):
        Normalisation(level)


def test_normalisation_and_the_functions_agree(rng):
    images = rng.integers(0, 256, (3, 8, 8), dtype=np.uint8)
    own = Normalisation(70)
    x = own(images)
    assert (x == normalise(images, background=70)).all() and (x != normalise(images)).any()
    assert (own.invert(x, images) == denormalise(x, images, background=70)).all()


# ---------------------------------------------------------------------------- what is no example


def scaled(rng):
    return rng.random((3, 8, 8)).astype(np.float32)


@pytest.mark.parametrize(
    "use",
    [
        normalise,
        lambda x: Normalisation(-1)(x),
        lambda x: normalise(255 * x, like=x),
        lambda x: denormalise(np.zeros((3, 8, 8, 1)), x),
        lambda x: denormalise(np.zeros((3, 8, 8, 1)), x[..., None]),
        lambda x: Examples(x, None, np.arange(3)),
    ],
)
def test_images_in_0_to_1_are_refused_and_times_255_they_are_the_8_bit_ones(use, rng):
    x = scaled(rng)
    with pytest.raises(ValueError, match=r"got .*: multiply images in 0..1 by 255"):
        use(x)
    eight = pictures(rng, 3, 8, 8)
    np.testing.assert_allclose(normalise(eight / 255 * 255), normalise(eight), atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (2, 16, 8, 1), (2, 8, 8), (1, 8, 8, 1)])
def test_outputs_of_another_size_do_not_become_images(shape, rng):
    with pytest.raises(ValueError, match=r"outputs must be \(2, 8, 8, 1\), got"):
        denormalise(np.zeros(shape, np.float32), pictures(rng, 2, 8, 8))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (np.array([0, 1, -1, 0, 0, 0]), "labels must be classes from 0, got -1"),
        (np.array(["a"] * 6), "labels must be integers"),
        (np.array([0.0, 1, 0, 0, 0, np.inf]), "numbers must be finite or NaN, got inf"),
        (np.array([0.0, 1, 0, 0, 0, np.nan]), "numbers must be known in part, .* in example 5"),
        (np.array([[1, 2]] * 5 + [[np.nan] * 2]), "known in part, got only NaN in example 5"),
        (np.zeros((6, 4, 5), np.uint8), r"masks must be \(6, 4, 4\), as their images"),
        (np.zeros((6, 4, 4, 1), np.uint8), r"masks must be .* got \(6, 4, 4, 1\)"),
        (np.zeros((6, 4, 4)), "masks must be .* float64"),
    ],
)
def test_targets_of_another_form_are_refused_when_the_set_is_made(targets, message, rng):
    with pytest.raises(ValueError, match=message):
        Examples(pictures(rng, 6, 4, 4), targets, np.arange(6))


def test_labels_outside_the_rows_are_not_looked_at(rng):
    labels = np.array([0, 1, -1, 1])  # one image is not labelled
    assert len(Examples(pictures(rng, 4, 4, 4), labels, np.array([3, 0]))) == 2


@pytest.mark.parametrize("rows", [np.array([0, 6]), np.array([-1]), np.ones(6, bool)])
def test_rows_outside_the_set_are_refused(rows, rng):
    with pytest.raises(ValueError, match="rows must be"):
        Examples(pictures(rng, 6, 4, 4), None, rows)


@pytest.mark.parametrize(
    ("targets", "shape"),
    [
        (np.array([1.5, 2, 3, np.nan]), (2, 1)),
        (np.array([[0, 1, 0], [1, 1, 1], [0, 0, 1], [1, 0, 1]]), (2, 3)),
        (np.arange(64).reshape(4, 4, 4).astype(np.uint8), (2, 4, 4, 1)),
    ],
)
def test_numbers_several_labels_and_masks_of_classes_are_float32_in_a_batch(targets, shape, rng):
    examples = Examples(
        pictures(rng, 4, 4, 4), targets, np.array([2, 0, 1]), augment=Augmentation(rng)
    )
    _, t = examples.batch(np.array([1, 0]))
    assert t.shape == shape and t.dtype == np.float32
    if t.ndim == 2:
        np.testing.assert_array_equal(t, targets[[0, 2]].reshape(shape))


def test_boolean_masks_are_those_of_0_and_1(rng):
    images, masks = pictures(rng, 6, 4, 4), pictures(rng, 6, 4, 4) > 128
    of_bool, of_bytes = (
        Examples(images, m, np.arange(6)).batch(np.arange(6))[1]
        for m in (masks, masks.astype(np.uint8))
    )
    assert of_bool.dtype == np.float32
    np.testing.assert_array_equal(of_bool, of_bytes)


@pytest.mark.parametrize("size", [0, -2])
def test_no_examples_at_a_time_are_refused(size):
    with pytest.raises(ValueError, match=f"1 or more at a time, got {size}"):
        list(in_order(5, size))


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        (np.ones((4, 2, 2)), [0, 1, 0, 1], "targets must be an array .*, got list"),
        (np.ones((4, 2, 2)), np.array(3), "targets must be an array .*, got ndarray"),
        (None, None, "inputs must be an array .*, got NoneType"),
        ([[[1.0]]] * 4, None, "inputs must be an array .*, got list"),
    ],
)
def test_what_is_no_array_is_refused_by_name(inputs, targets, message):
    with pytest.raises(ValueError, match=message):
        Examples(inputs, targets, np.arange(4))


def test_statistics_of_an_image_do_not_depend_on_the_order_in_memory():
    images = np.full((512, 512, 4), 100.3, np.float32).transpose(2, 0, 1)
    mean, deviation = Normalisation().statistics(images)
    np.testing.assert_allclose(mean, 100.3, rtol=1e-6)
    assert mean.dtype == deviation.dtype == np.float32 and (deviation == 1).all()
