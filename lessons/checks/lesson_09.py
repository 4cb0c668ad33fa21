"""Checks of lesson 9: who moved, whose turn it is, what a turn moves, how joint gradients add up."""

from itertools import groupby

import numpy as np

from lessons.checking import CheckFailed, as_array, check, require
from ums.data import Examples
from ums.finetuning import Task
from ums.finetuning.joint import add_gradients
from ums.layers import BatchNorm, Conv2D, ReLU, Sequential, UpsampleConv2D
from ums.networks import classification_head
from ums.ops import bce_dice, categorical_cross_entropy
from ums.optimizers import Adam
from ums.training import train_step

NAMES, WEIGHTS = ("lungs", "pneumonia"), (0.5, 3.0)


@check
def moved(moved):
    """one changed byte is found, also beside a NaN, and what stayed is left out."""
    before = {name: np.arange(1.0, 5.0, dtype=np.float32) for name in "abc"}
    after = {name: array.copy() for name, array in before.items()}
    answer = _moved_names(moved, before, after)
    require(answer == set(), f"copies of the same arrays: yours says that {sorted(answer)} moved")
    after["a"][2] = np.nextafter(after["a"][2], np.float32(9))
    after["b"] = after["b"][::-1].copy()
    answer = _moved_names(moved, before, after)
    require("c" not in answer, "c stayed as it was, and is in your set")
    require("a" in answer, "a changed in the last binary digit of one number: that counts as moved")
    require("b" in answer, "the numbers of b changed places, which no sum of them shows")
    for name, old, new, hint in _hard_cases():
        answer = _moved_names(moved, {name: old, "c": before["c"]}, {name: new, "c": after["c"]})
        right = {name} if old.tobytes() != new.tobytes() else set()
        require(answer == right, f"{name} {hint}; yours returns {sorted(answer) or 'no name'}")


def _moved_names(moved, before, after):
    """The answer, a set of names; the dictionaries and arrays that went in must be as they were."""
    kept = [{name: a.copy() for name, a in arrays.items()} for arrays in (before, after)]
    answer = moved(before, after)
    require(
        isinstance(answer, set | frozenset),
        f"it should return a set of names, got {type(answer).__name__}",
    )
    for arrays, copies in zip((before, after), kept, strict=True):
        same = list(arrays) == list(copies)
        require(
            same and all(arrays[name].tobytes() == copies[name].tobytes() for name in copies),
            "the dictionaries that were given have changed: whoever watches must not touch",
        )
    return answer


def _hard_cases():
    """Name, array before and after, and what is special in it."""
    beside = np.array([np.nan, 1.0, 2.0])
    other = np.array([np.nan, 1.0, 2.5])
    many, later = np.zeros(5000, np.float32), np.zeros(5000, np.float32)
    later[2500] = 1e-30
    fine = np.array([0.1, 1e6])
    return [
        ("d", beside, beside.copy(),
         "holds a NaN and stayed as it was. A NaN is not equal to itself; its bytes are"),
        ("e", beside, other, "holds a NaN, which stayed, and another number moved"),
        ("g", many, later, "has 5000 numbers, of which one in the middle moved by 1e-30"),
        ("h", fine, np.nextafter(fine, 9e9), "holds float64 that moved by one binary digit"),
        ("i", np.float16([1, 2]), np.float16([1, 2.002]), "holds float16, one of which moved"),
        ("j", np.zeros(2), np.array([0.0, -0.0]), "became -0.0, which equals 0.0 and has other bytes"),
        ("l", np.array(1.5), np.array(2.5), "is an array without axes, and moved"),
    ]  # fmt: skip


@check
def turns(turns):
    """each batch once, every task once in each round, turns of almost equal length."""
    hand = _order(turns, [2, 4])
    require(
        hand == [0, 1, 1, 0, 1, 1],
        f"2 and 4 batches: two rounds, in each one batch of task 0 and then two of task 1; yours is {hand}",
    )
    for batches in ([3], [1, 1], [2, 5], [5, 2], [7, 38], [3, 4, 8]):
        order = _order(turns, batches)
        counts = [order.count(i) for i in range(len(batches))]
        require(
            counts == batches,
            f"{batches} batches: the tasks should come that often in an epoch, in yours they come {counts} "
            "times. What happens where B_i / R is no whole number?",
        )
        if len(batches) > 1:
            _check_rounds(batches, order)


def _order(turns, batches):
    given = list(batches)
    order = turns(given)
    require(order is not None, "it returns None: where is the order?")
    order = list(order)
    require(
        all(np.ndim(i) == 0 for i in order), "the order should be a list of numbers, not of lists"
    )
    require(given == batches, f"the list {batches} has become {given}: leave it as it is")
    return [int(i) for i in order]


def _check_rounds(batches, order):
    runs = [(i, len(list(run))) for i, run in groupby(order)]
    require(
        [i for i, _ in runs] == list(range(len(batches))) * min(batches),
        f"{batches} batches: the tasks should follow each other in {min(batches)} rounds; the turns of yours "
        f"are of the tasks {[i for i, _ in runs]}",
    )
    for i, B in enumerate(batches):
        lengths = [length for j, length in runs if j == i]
        require(
            max(lengths) - min(lengths) <= 1,
            f"{batches} batches: the turns of task {i} should differ by one at most, yours are {lengths}",
        )
        due = [(r + 1) * B // min(batches) for r in range(min(batches))]
        require(
            list(np.cumsum(lengths)) == due,
            f"{batches} batches: after each round task {i} should have had {due} batches in all",
        )


# -------------------------------------------------------------------------- two tiny tasks


def _tiny():
    """An encoder and two tasks of a few dozen parameters, and endless batches for each."""
    rng = np.random.default_rng(0)
    encoder = Sequential(Conv2D(1, 3, rng, stride=2), BatchNorm(3), ReLU())
    images = rng.integers(0, 256, (12, 8, 8), dtype=np.uint8)
    masks, labels = (images > 128).astype(np.uint8), np.arange(12) % 2
    parts = [Examples(images, targets, np.arange(12)) for targets in (masks, labels)]
    heads = UpsampleConv2D(3, 1, rng), classification_head(3, 2, rng, hidden=4, dropout=0.0)
    losses = bce_dice, categorical_cross_entropy
    tasks = [
        Task(name, head, loss, part, part)
        for name, head, loss, part in zip(NAMES, heads, losses, parts, strict=True)
    ]
    return encoder, tasks


def _ready():
    """Encoder, tasks, networks, optimizers and batches, as the notebook hands them on."""
    encoder, tasks = _tiny()
    networks = [Sequential(encoder, task.head) for task in tasks]
    optimizers = [Adam(network.trainable_parameters(), 0.01) for network in networks]
    return encoder, tasks, networks, optimizers, [_batches(task, i) for i, task in enumerate(tasks)]


def _batches(task, i):
    """Endless pairs x, target; the two tasks' are different."""
    rng = np.random.default_rng(i)
    while True:
        yield task.train.batch(rng.permutation(12)[:6])


def _bytes(encoder, tasks):
    weights = {name: p.value for name, p in encoder.named_parameters().items()}
    rows = {"the encoder": weights, "the encoder's statistics": encoder.statistics()}
    rows |= {f"the head of the {task.name} task": task.head.state_dict() for task in tasks}
    return {row: b"".join(a.tobytes() for a in arrays.values()) for row, arrays in rows.items()}


def _moved(before, after):
    return {row for row in before if before[row] != after[row]}


@check
def alternate(alternate):
    """a turn moves the encoder and its own head and no other byte, by its own optimizer."""
    encoder, tasks, *others = _ready()
    for turn, i in enumerate((0, 1, 1, 0)):
        before = _bytes(encoder, tasks)
        _check_losses(alternate(tasks, *others, [i]), 1)
        _check_turn(i, turn, _moved(before, _bytes(encoder, tasks)))
    _check_same_as_steps(alternate, [0, 1, 1, 0, 1, 1])


def _check_losses(losses, n):
    """One number for each of n, in a list, a tuple or an array."""
    several = isinstance(losses, list | tuple) or getattr(losses, "ndim", 0) == 1
    got = f"one with {len(losses)}" if several else type(losses).__name__
    asked = f"a list with {n} loss{'es' * (n > 1)}"
    require(several and len(losses) == n, f"{asked} should be returned, got {got}")
    single = all(getattr(loss, "ndim", not isinstance(loss, float)) == 0 for loss in losses)
    require(single, f"every loss should be one number, got a {type(losses[0]).__name__}")


def _check_turn(i, turn, changed):
    own, other = (f"the head of the {name} task" for name in (NAMES[i], NAMES[1 - i]))
    where = f"turn {turn + 1}, of the {NAMES[i]} task"
    require(
        other not in changed,
        f"{where}: {other} moved, which has to rest. Whose network and optimizer are at work?",
    )
    for part in (own, "the encoder"):
        require(part in changed, f"{where}: {part} should move, and not a byte of it did")
    require(
        "the encoder's statistics" in changed,
        f"{where}: the running statistics of the encoder's batch norm should follow the batch, and stayed",
    )


def _check_same_as_steps(alternate, order):
    _, tasks, networks, optimizers, batches = _ready()
    expected = []
    for i in order:
        x, target = next(batches[i])
        expected.append(float(train_step(networks[i], tasks[i].loss, optimizers[i], x, target)))
    steps = [list(optimizer.steps) for optimizer in optimizers]
    _, tasks, networks, optimizers, batches = _ready()
    given = list(order)
    losses = alternate(tasks, networks, optimizers, batches, given)
    require(given == order, f"the list {order} has become {given}: the next epoch still needs it")
    _check_losses(losses, len(order))
    for i, optimizer in enumerate(optimizers):
        require(
            list(optimizer.steps) == steps[i],
            f"in the order {order} the optimizer of the {NAMES[i]} task should make {order.count(i)} "
            f"steps, yours made {max(optimizer.steps)}",
        )
    for turn, (loss, right) in enumerate(zip(losses, expected, strict=True)):
        require(
            abs(float(loss) - right) < 1e-4 * (1 + abs(right)),
            f"in the order {order} the loss of turn {turn + 1}, of the {NAMES[order[turn]]} task, should be "
            f"{right:.5f}, yours is {float(loss):.5f}. Which batch, which loss, and in which order?",
        )


# ------------------------------------------------------------------------ the joint gradient


@check
def joint_gradients(joint_gradients):
    """the encoder gets the weighted sum, each head its own share, old gradients are forgotten."""
    encoder, tasks = _tiny()
    batches = [next(_batches(task, i)) for i, task in enumerate(tasks)]
    twins = _tiny()
    right, summands = add_gradients(*twins, batches, np.array(WEIGHTS, np.float32))
    for parameter in _all(encoder, tasks):
        parameter.grad = np.ones_like(parameter.value)  # left from a step before
    before = _bytes(encoder, tasks)
    given = list(batches), list(WEIGHTS)
    losses = joint_gradients(encoder, tasks, *given)
    require(given[1] == list(WEIGHTS), "the list of the weights has changed: leave it as it is")
    require(len(given[0]) == 2, "the list of the batches has changed: leave it as it is")
    changed = {row for row in _moved(before, _bytes(encoder, tasks)) if "statistics" not in row}
    require(
        not changed,
        f"{' and '.join(sorted(changed))} moved: nothing should move here, only gradients be left",
    )
    _check_losses(losses, 2)
    _check_statistics(encoder, twins[0])
    _check_shared(encoder, twins[0], summands)
    _check_heads(tasks, twins[1])
    for name, loss, value in zip(NAMES, losses, right, strict=True):
        require(
            abs(float(loss) - float(value)) < 1e-5,
            f"the loss of the {name} task should be {float(value):.5f}, without its weight; yours is "
            f"{float(loss):.5f}",
        )


def _all(encoder, tasks):
    return [*encoder.parameters(), *(p for task in tasks for p in task.head.parameters())]


def _check_statistics(encoder, twin):
    pairs = zip(encoder.statistics().values(), twin.statistics().values(), strict=True)
    require(
        all(np.allclose(a, b, atol=1e-6) for a, b in pairs),
        "the encoder's running statistics should have seen one batch of each task, in order: is every "
        "forward pass one of training, and is there only one for each task?",
    )


def _check_shared(encoder, twin, summands):
    for parameter in encoder.parameters():
        require(parameter.grad is not None, "a parameter of the encoder is left without a gradient")
    got = np.concatenate(
        [
            as_array(p.grad, "a gradient", p.value.shape, p.value.dtype).ravel()
            for p in encoder.parameters()
        ]
    )
    right = np.concatenate([p.grad.ravel() for p in twin.parameters()])
    if np.allclose(got, right, rtol=1e-3, atol=1e-5):
        return
    for i, name in enumerate(NAMES):
        require(
            not np.allclose(got, summands[i], rtol=1e-3, atol=1e-5),
            f"the encoder holds the gradient of the {name} task alone. What became of the other's?",
        )
    require(
        not np.allclose(got - 1, right, rtol=1e-3, atol=1e-4),
        "the encoder's gradients hold something left from before this step: when are they forgotten?",
    )
    ratio = float(got @ right / (right @ right))
    raise CheckFailed(
        "the encoder's gradient is not the weighted sum of the two: along the right one it is "
        f"{ratio:.3g} times as long. Where do the weights, here {WEIGHTS[0]} and {WEIGHTS[1]}, come in?"
    )


def _check_heads(tasks, twins):
    for task, twin in zip(tasks, twins, strict=True):
        for p, q in zip(task.head.parameters(), twin.head.parameters(), strict=True):
            require(
                p.grad is not None, f"the head of the {task.name} task is left without a gradient"
            )
            as_array(p.grad, "a gradient of a head", p.value.shape, p.value.dtype)
            require(
                np.allclose(p.grad, q.grad, rtol=1e-3, atol=1e-5),
                f"the encoder's gradient is right, that of the head of the {task.name} task is not: it is "
                "w_i times the task's own, with nothing left from a step before",
            )
