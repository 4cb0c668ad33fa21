"""Alternating fine-tuning: whose turn it is, and what a turn moves."""

from dataclasses import replace
from itertools import groupby, pairwise

import pytest
from small_tasks import abnormality, bytes_of, encoder, lungs, watched

from ums.finetuning import tune_alternately
from ums.finetuning.alternating import turns
from ums.optimizers import SGD, Adam
from ums.training import FitSettings, Training

SETTINGS = FitSettings(epochs=2, batch=4, learning_rate=0.01)


def two_tasks(rng):
    """Data sets of different length and image size: 5 and 2 batches of 4."""
    return [abnormality(rng, n=30, side=16), lungs(rng, n=12, side=32)]


def tune(source, tasks, rng, **changes):
    return tune_alternately(source, tasks, Training(SETTINGS, rng, progress=False), **changes)


# ---------------------------------------------------------------------------- whose turn


@pytest.mark.parametrize(
    ("batches", "order"),
    [
        ([3], "000"),
        ([2, 2], "0101"),
        ([2, 4], "011011"),
        ([4, 2], "001001"),
        ([2, 3], "01011"),
        ([2, 5], "0110111"),
        ([3, 1], "0001"),
        ([2, 4, 3], "011201122"),
    ],
)
def test_turns_follow_the_tasks_shares_of_the_data(batches, order):
    assert turns(batches) == [int(i) for i in order]


@pytest.mark.parametrize("batches", [[7, 38], [38, 7], [29, 30], [13, 5, 80], [1, 100]])
def test_every_task_gets_its_batches_in_turns_of_almost_equal_length(batches):
    order = turns(batches)
    assert [order.count(i) for i in range(len(batches))] == batches
    runs = [(i, len(list(run))) for i, run in groupby(order)]
    assert [i for i, _ in runs] == list(range(len(batches))) * min(batches)
    for i in range(len(batches)):
        lengths = [length for j, length in runs if j == i]
        assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(
    ("batches", "mixing", "order"),
    [
        ([4, 4], [1, 3], "01110111"),
        ([4, 4], [2, 2], "00110011"),
        ([6, 1], [1, 1], "01010101"),  # three rounds and a half: four
        ([1, 1], [3, 1], "0001"),  # half a round: one
        ([2, 2, 2], (2, 1, 3), "001222"),
    ],
)
def test_turns_are_as_long_as_the_mixing_says(batches, mixing, order):
    assert turns(batches, mixing) == [int(i) for i in order]


@pytest.mark.parametrize("mixing", [[1], [1, 2, 3], [0, 1], [1, -1], [1, 1.5]])
def test_mixing_that_does_not_fit_is_refused_before_anything_moves(mixing, rng):
    source, tasks = encoder(rng), two_tasks(rng)
    before = bytes_of(source)
    with pytest.raises(ValueError, match=r"mixing must be a positive .* 2 tasks, got"):
        tune(source, tasks, rng, mixing=mixing)
    assert bytes_of(source) == before


@pytest.mark.parametrize(("mixing", "order"), [(None, "0010001"), ((1, 2), "011011")])
def test_batches_are_trained_on_in_that_order_in_every_epoch(mixing, order, rng):
    seen = []
    tasks = [watched(task, lambda *what: seen.append(what)) for task in two_tasks(rng)]
    tune(encoder(rng), tasks, rng, mixing=mixing)
    numbers = {"abnormality": "0", "lungs": "1"}
    trained = "".join(numbers[name] if part == "train" else " " for name, part, _ in seen)
    assert trained.split() == [order] * 2


def test_epoch_shows_every_task_each_of_its_examples_once(rng):
    seen = {"abnormality": [], "lungs": []}

    def look(name, part, chosen):
        if part == "train":
            seen[name].extend(chosen.tolist())

    tune(encoder(rng), [watched(task, look) for task in two_tasks(rng)], rng)
    for name, n in (("abnormality", 20), ("lungs", 8)):
        first, second = seen[name][:n], seen[name][n:]
        assert sorted(first) == sorted(second) == list(range(n)) and first != second


def test_task_goes_on_where_the_epoch_before_left_its_examples(rng):
    seen = []

    def look(name, part, chosen):
        if (name, part) == ("abnormality", "train"):
            seen.extend(chosen.tolist())

    tasks = [watched(task, look) for task in two_tasks(rng)]
    tune(encoder(rng), tasks, rng, mixing=(1, 2))  # two of its five batches in each epoch
    assert len(seen) == len(set(seen)) == 16


# ---------------------------------------------------------------------------- what a turn moves


def test_batch_moves_the_encoder_and_its_own_head_and_no_other_byte(rng):
    source, tasks = encoder(rng), two_tasks(rng)
    heads, seen = {task.name: task.head for task in tasks}, []

    def look(name, part, chosen):
        now = {k: bytes_of(network) for k, network in (heads | {"encoder": source}).items()}
        seen.append((name, part, now))

    tune(source, [watched(task, look) for task in tasks], rng)
    for (name, part, before), (_, _, after) in pairwise(seen):
        moved = {k for k in before if before[k] != after[k]}
        assert moved == ({"encoder", name} if part == "train" else set())
        if part == "train":  # every array, running statistics too
            assert not any(before["encoder"][k] == after["encoder"][k] for k in before["encoder"])


def test_each_task_has_an_optimizer_of_its_own_for_encoder_and_head(rng):
    source, made = encoder(rng), {}

    def noting(task, kind):
        def optimizer(parameters, learning_rate):
            made[task.name] = kind(parameters, learning_rate)
            return made[task.name]

        return replace(task, optimizer=optimizer)

    tasks = [noting(task, kind) for task, kind in zip(two_tasks(rng), (SGD, Adam), strict=True)]
    tune(source, tasks, rng)
    for task in tasks:
        learned = {id(parameter) for parameter in made[task.name].parameters}
        assert learned == {id(p) for p in source.parameters() + task.head.parameters()}
    assert [set(made[name].steps) for name in ("abnormality", "lungs")] == [{10}, {4}]
