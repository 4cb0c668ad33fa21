"""Tasks whose heads, images and targets do not fit are refused before training, by name."""

from dataclasses import replace

import numpy as np
import pytest
from small_tasks import CHANNELS, CPU, abnormality, bytes_of, encoder, lungs

from ums.data import Examples
from ums.finetuning import (
    train_separately,
    train_task,
    tune_alternately,
    tune_independently,
    tune_jointly,
)
from ums.finetuning.tasks import check_task
from ums.layers import Conv2D, Sequential
from ums.networks import classification_head
from ums.ops import bce, bce_dice, known_bce, known_mse, mse, softmax_dice
from ums.training import FitSettings, Training


def training(rng):
    return Training(FitSettings(epochs=1, batch=4), rng, CPU, progress=False)


def relabelled(task, part, targets):
    """The task with other targets of one part, for all of its images."""
    examples = getattr(task, part)
    return replace(task, **{part: replace(examples, targets=targets)})


STRATEGIES = {
    "independent": lambda source, task, how: tune_independently(source, [task], how),
    "alternating": lambda source, task, how: tune_alternately(source, [task], how),
    "joint": lambda source, task, how: tune_jointly(source, [task], how),
    "separate": lambda source, task, how: train_separately([whole(source, task)], how),
    "a task alone": lambda source, task, how: train_task(whole(source, task), how),
}


def whole(source, task):
    return replace(task, head=Sequential(source, task.head))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_refuses_a_third_class_in_validation_before_it_trains(strategy, rng):
    source, labels = encoder(rng), np.zeros(12, int)
    task = abnormality(rng)
    labels[task.validation.rows[1]] = 2
    task, before = relabelled(task, "validation", labels), bytes_of(source)
    with pytest.raises(ValueError, match=r"^abnormality: validation labels .* 0..1, got 2"):
        STRATEGIES[strategy](source, task, training(rng))
    assert bytes_of(source) == before


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_refuses_masks_of_0_and_255(strategy, rng):
    task = lungs(rng)
    task = relabelled(task, "train", task.train.targets * 255)
    with pytest.raises(ValueError, match=r"^lungs: training masks must be 0 and 1, got .* 255"):
        STRATEGIES[strategy](encoder(rng), task, training(rng))


def test_head_of_another_size_than_the_masks_is_refused_with_both(rng):
    task, small = lungs(rng, side=36), lungs(rng)  # 36 -> 3 -> 48
    message = (
        r"lungs: training masks .*\(36, 36, 1\).*\(48, 48, 1\).* 36 and 36, .* multiples of 16"
    )
    with pytest.raises(ValueError, match=message):
        check_task(whole(encoder(rng), task), training(rng))
    check_task(whole(encoder(rng), small), training(rng))


@pytest.mark.parametrize(
    ("classes", "message"), [(1, r"\(classes,\) outputs, got \(1,\)"), (2, "0..1, got 2")]
)
def test_head_of_fewer_classes_than_labels_is_refused(classes, message, rng):
    source, three = encoder(rng), np.arange(12) % 3
    task = replace(abnormality(rng), head=classification_head(CHANNELS, classes, rng, hidden=8))
    task = relabelled(relabelled(task, "train", three), "validation", three)
    with pytest.raises(ValueError, match=f"^abnormality: training labels .*{message}"):
        check_task(whole(source, task), training(rng))


def test_a_class_may_be_absent_and_masks_boolean(rng):
    source, task = encoder(rng), lungs(rng)
    check_task(whole(source, abnormality(rng)), training(rng))
    one_class = relabelled(abnormality(rng), "train", np.zeros(12, int))
    check_task(whole(source, one_class), training(rng))
    booleans = relabelled(task, "train", task.train.targets > 0)
    check_task(whole(source, booleans), training(rng))


def test_segmentation_with_a_classifier_and_the_reverse_are_refused(rng):
    source, masks, labels = encoder(rng), lungs(rng), abnormality(rng)
    with pytest.raises(ValueError, match=r"lungs: training masks need .* got \(2,\)"):
        check_task(whole(source, replace(masks, head=labels.head)), training(rng))
    with pytest.raises(ValueError, match=r"abnormality: training labels need .*\(32, 32, 1\)"):
        check_task(whole(source, replace(labels, head=masks.head)), training(rng))


def of_classes(rng, masks, channels, loss):
    task = lungs(rng)
    head = Sequential(*task.head.layers[:-1], Conv2D(2, channels, rng, kernel=1))
    task = replace(task, head=head, loss=loss)
    return relabelled(relabelled(task, "train", masks), "validation", masks)


def test_masks_of_three_classes_need_three_channels_and_their_loss(rng):
    masks, source = np.arange(12 * 32 * 32).reshape(12, 32, 32).astype(np.uint8) % 3, encoder(rng)
    check_task(whole(source, of_classes(rng, masks, 3, softmax_dice)), training(rng))
    with pytest.raises(ValueError, match=r"training masks must be 0 and 1, got values up to 2"):
        check_task(whole(source, of_classes(rng, masks, 1, bce_dice)), training(rng))
    with pytest.raises(ValueError, match=r"masks must be classes in 0..2, got values up to 5"):
        check_task(whole(source, of_classes(rng, masks + 3, 3, softmax_dice)), training(rng))
    with pytest.raises(ValueError, match=r"the loss: .* \(1, 32, 32, 3\) and \(1, 32, 32, 1\)"):
        check_task(whole(source, of_classes(rng, masks, 3, bce_dice)), training(rng))


def of_numbers(rng, targets, outputs, loss):
    head = classification_head(CHANNELS, outputs, rng, hidden=8)
    task = replace(abnormality(rng), head=head, loss=loss)
    return relabelled(relabelled(task, "train", targets), "validation", targets)


SOME = np.where(np.arange(36).reshape(12, 3) % 5 == 1, np.nan, np.arange(36).reshape(12, 3) % 2)


@pytest.mark.parametrize(
    ("targets", "outputs", "loss", "message"),
    [
        (SOME[:, 0], 1, known_mse, "must be known in part"),
        (np.arange(12.0), 1, mse, None),
        (SOME, 3, known_mse, None),
        (SOME, 3, known_bce, None),
        (SOME == 1, 3, bce, None),
        (np.arange(12.0), 2, mse, r"numbers \(8,\) need a head with \(1,\) outputs, got \(2,\)"),
        (SOME, 2, known_bce, r"numbers \(8, 3\) need a head with \(3,\) outputs, got \(2,\)"),
        (np.arange(12), 1, known_mse, r"\(classes,\) outputs, got \(1,\); numbers are floats"),
        (SOME + 1, 3, known_bce, "training numbers must be 0, 1 or NaN, got 2 to 2"),
        (SOME, 3, mse, "not all known: use the loss known_mse"),
        (SOME, 3, bce, "not all known: use the loss known_bce"),
    ],
)
def test_numbers_and_several_labels_need_a_head_and_a_loss_that_take_them(
    targets, outputs, loss, message, rng
):
    def check():
        check_task(whole(encoder(rng), of_numbers(rng, targets, outputs, loss)), training(rng))

    if message is None:
        return check()
    with pytest.raises(ValueError, match=message):
        check()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_tunes_to_numbers_of_which_some_are_not_known(strategy, rng):
    task = of_numbers(rng, SOME, 3, known_mse)
    tuned = STRATEGIES[strategy](encoder(rng), task, training(rng))
    found = tuned if strategy == "a task alone" else tuned[task.name]
    assert np.isfinite(found.history.validation).all()


def test_examples_without_targets_are_refused_by_name(rng):
    task = relabelled(abnormality(rng), "validation", None)
    with pytest.raises(ValueError, match="abnormality: validation examples have no targets"):
        check_task(whole(encoder(rng), task), training(rng))


class Nothing:
    """A data set of one's own, without an example."""

    def __len__(self):
        return 0


def test_set_without_a_validation_example_is_refused(rng):
    task = abnormality(rng)
    with pytest.raises(ValueError, match="abnormality: there is no validation example"):
        check_task(replace(task, validation=Nothing()), training(rng))


def test_checking_moves_neither_the_generator_nor_the_statistics(rng):
    def draw(images, targets):
        rng.random()
        return images, targets

    network = Sequential(encoder(rng), abnormality(rng).head)
    task = abnormality(rng)
    task = replace(task, head=network, train=replace(task.train, augment=draw))
    state, before = rng.bit_generator.state, bytes_of(network)
    check_task(task, training(rng))
    assert rng.bit_generator.state == state and bytes_of(network) == before


def test_images_in_0_to_1_do_not_become_examples(rng):
    images = rng.random((8, 16, 16)).astype(np.float32)
    with pytest.raises(ValueError, match=r"inputs must be grey levels .* multiply"):
        Examples(images, np.zeros(8, int), np.arange(8))
    Examples(images, np.zeros(8, int), np.arange(8), prepare=np.asarray)
