"""Checks of task 5: the projection by hand, a step's gradients, and who moves how often in tuning."""

import itertools

import numpy as np

from lessons.checking import CheckFailed, as_array, check, require
from lessons.checks import conflict_tasks as made
from ums.finetuning import Tuned
from ums.layers import Sequential
from ums.training import FitSettings, Training


@check
def project(project):
    """conflicts are removed as worked out by hand, agreement is left alone, in a random order."""
    _check_example(project)
    for rows, expected, hint in (
        ([[2, 0], [1, 1]], [[2, 0], [1, 1]], "they agree, so nothing is to be changed"),
        ([[0, 0], [-1, 1]], [[0, 0], [-1, 1]], "a gradient of zeros is in conflict with nothing"),
        ([[4, 0, 1]], [[4, 0, 1]], "a single task has nobody to be in conflict with"),
        ([[3, 0], [-4, 0]], [[0, 0], [0, 0]], "opposite gradients leave nothing of each other"),
    ):  # fmt: skip
        got = _projected(project, np.array(rows, float), np.random.default_rng(0))
        require(
            np.allclose(got, expected, atol=1e-9),
            f"gradients {rows} should become {expected}, yours are {np.round(got, 4).tolist()}: {hint}",
        )
    got = _projected(project, np.array([[2, 0], [-1, 1]], np.float32), np.random.default_rng(0))
    require(
        got.dtype == np.float32, f"float32 gradients should stay float32, yours are {got.dtype}"
    )
    _check_three(project)


def _check_example(project):
    """The text's example; where the first row alone is right, it says what to look for."""
    rows, expected = [[2, 0], [-1, 1]], [[1, 1], [0, 1]]
    got = _projected(project, np.array(rows, float), np.random.default_rng(0))
    hint = "when is the formula used, and what stands below its line?"
    if np.allclose(got[0], expected[0]):
        hint = "is the second projected against the original of the first?"
    require(
        np.allclose(got, expected, atol=1e-9),
        f"the text's example: gradients {rows} should become {expected}, yours are "
        f"{np.round(got, 4).tolist()}: {hint}",
    )


def _projected(project, gradients, rng):
    kept = gradients.copy()
    got = as_array(project(gradients, rng), "what project returns", gradients.shape)
    require((gradients == kept).all(), "the array that was given has been changed: copy it first")
    return got


def _check_three(project):
    """Three tasks in conflict: each row is that of one of two orders, and chance decides which."""
    three = np.random.default_rng(4).normal(size=(3, 2))
    three -= three.mean(axis=0) * 1.4  # each against at least one other
    allowed = [_both_orders(three, i) for i in range(3)]
    seen = set()
    for seed in range(40):
        got = _projected(project, three.copy(), np.random.default_rng(seed))
        for i in range(3):
            which = [k for k in range(2) if np.allclose(got[i], allowed[i][k], atol=1e-9)]
            require(
                which,
                f"three tasks with the gradients {three.round(3).tolist()}: row {i} should be "
                f"{allowed[i][0].round(4)} or {allowed[i][1].round(4)}, depending on the order of the "
                f"others, yours is {got[i].round(4)}",
            )
            seen.add((i, which[0]))
    apart = {i for i in range(3) if not np.allclose(*allowed[i])}
    require(
        all((i, k) in seen for i in apart for k in range(2)),
        "with three tasks the others are visited in the same order for 40 different seeds: it should be "
        "drawn anew from rng for each task",
    )
    again = [_projected(project, three.copy(), np.random.default_rng(7)) for _ in range(8)]
    require(
        all(np.array_equal(a, again[0]) for a in again),
        "equal generators give different projections: all chance should come from rng",
    )


def _both_orders(gradients, i):
    """Row i after the other two tasks in either order, by projecting onto a basis instead."""
    rows = []
    for order in itertools.permutations([j for j in range(3) if j != i]):
        row = gradients[i]
        for j in order:
            unit = gradients[j] / np.linalg.norm(gradients[j])
            row = row - min(0.0, float(row @ unit)) * unit
        rows.append(row)
    return rows


# ------------------------------------------------------------------------- the gradients of a step


@check
def projected_gradients(projected_gradients):
    """the encoder gets the projected sum, each head its own gradient, and no parameter moves."""
    for conflict in (True, False):
        encoder, tasks = made.tiny((12, 12), conflict)
        batches = [task.train.batch(np.arange(4 * i, 4 * i + 6)) for i, task in enumerate(tasks)]
        expected = made.own_gradients(encoder, tasks, batches)
        everything = Sequential(encoder, *[task.head for task in tasks])
        for parameter in everything.parameters():
            parameter.grad = np.ones_like(parameter.value)  # left from a step before
        before = made.arrays(everything)
        rng = np.random.default_rng(0)
        losses = projected_gradients(encoder, tasks, list(batches), rng)
        _check_still(everything, before, encoder, batches)
        _check_losses(losses, expected[0])
        _check_shared(encoder, expected[1])
        _check_heads(tasks, expected[2])
    _check_single(projected_gradients)


def _check_still(everything, before, encoder, batches):
    names = everything.named_parameters()
    moved = [name for name in names if not np.array_equal(names[name].value, before[name])]
    require(
        not moved, f"{', '.join(moved)} moved: only gradients are to be left, the step comes later"
    )
    twin, _ = made.tiny((12, 12))
    for x, _ in batches:
        twin.forward(x, training=True)
    pairs = zip(encoder.statistics().values(), twin.statistics().values(), strict=True)
    require(
        all(np.allclose(a, b, atol=1e-6) for a, b in pairs),
        "the encoder's running statistics should have seen one batch of each task, in order: is every "
        "forward pass one of training, and is there only one for each task?",
    )


def _check_losses(losses, expected):
    require(
        losses is not None and np.shape(losses) == (len(expected),),
        f"the list of {len(expected)} losses should be returned, got {type(losses).__name__} of shape "
        f"{np.shape(losses)}",
    )
    require(
        np.allclose([float(v) for v in losses], expected, atol=1e-5),
        f"the losses should be {np.round(expected, 5).tolist()}, yours are "
        f"{[round(float(v), 5) for v in losses]}",
    )


def _check_shared(encoder, rows):
    for parameter in encoder.parameters():
        require(parameter.grad is not None, "a parameter of the encoder is left without a gradient")
        as_array(parameter.grad, "a gradient of the encoder", parameter.value.shape, np.float32)
    got = np.concatenate([p.grad.ravel() for p in encoder.parameters()])
    right = made.two_projected(rows)
    if np.allclose(got, right, rtol=1e-3, atol=1e-5):
        return
    cosine = rows[0] @ rows[1] / np.linalg.norm(rows[0]) / np.linalg.norm(rows[1])
    case = f"two tasks whose gradients have the cosine {cosine:.2f}"
    for wrong, hint in (
        (rows.sum(axis=0), "it is the plain sum: where does `project` come in?"),
        (right / 2, "it is the mean: a sum is asked for"),
        (rows[1], "it is the second task's gradient alone"),
        (right + 1, "something from an earlier step is left in it"),
    ):
        if np.allclose(got, wrong, rtol=1e-3, atol=1e-5):
            raise CheckFailed(f"{case}: the encoder's gradient is not the projected sum; {hint}")
    raise CheckFailed(
        f"{case}: the encoder's gradient has the length {np.linalg.norm(got):.4g}, and should have "
        f"{np.linalg.norm(right):.4g}. Is each row one task's gradient alone, and does every parameter "
        "get back the piece of the sum that belongs to it?"
    )


def _check_heads(tasks, expected):
    for task, gradients in zip(tasks, expected, strict=True):
        for parameter, right in zip(task.head.parameters(), gradients, strict=True):
            require(
                parameter.grad is not None
                and np.allclose(parameter.grad, right, rtol=1e-3, atol=1e-5),
                f"the gradient of the {task.name} head is not that of its own loss alone: heads are not "
                "projected, none is left out, and nothing stays from before or comes from another task",
            )


def _check_single(projected_gradients):
    encoder, tasks = made.tiny((8,))
    batches = [tasks[0].train.batch(np.arange(6))]
    _, rows, _ = made.own_gradients(encoder, tasks, batches)
    projected_gradients(encoder, tasks, batches, np.random.default_rng(0))
    got = np.concatenate([p.grad.ravel() for p in encoder.parameters()])
    require(
        np.allclose(got, rows[0], rtol=1e-3, atol=1e-5),
        "with a single task the encoder should get this task's gradient as it is",
    )


# ------------------------------------------------------------------------------- the strategy


@check
def tune_projected(tune_projected):
    """everything learns by one optimizer with an equal budget, and the same seed gives the same bytes."""
    encoder, tasks = made.tiny((12, 8))
    before = made.arrays(encoder), [made.arrays(task.head) for task in tasks]
    encoder.freeze()
    tuned = _run(tune_projected, encoder, tasks, FitSettings(epochs=2, batch=4, learning_rate=0.1))
    _check_returned(tuned, encoder, tasks, 2)
    _check_budget(encoder, tasks, 6, "tasks with 3 and 2 batches, two epochs")
    _check_moved(encoder, tasks, before)
    encoder, tasks = made.tiny((12, 8))
    given = FitSettings(epochs=1, batch=4, learning_rate=0.1, steps=5)
    _run(tune_projected, encoder, tasks, given)
    _check_budget(encoder, tasks, 5, "settings with steps=5, one epoch")
    _check_same_as_descent(tune_projected)
    _check_chance(tune_projected)
    _check_refused(tune_projected)


def _run(tune_projected, encoder, tasks, settings, seed=0):
    made.Spy.made, made.Counting.asked = [], {}
    training = Training(settings, np.random.default_rng(seed), progress=False)
    try:
        return tune_projected(encoder, tasks, training)
    except ValueError as error:
        if encoder.trainable_parameters():
            raise
        raise CheckFailed(
            f"it stopped with ValueError: {error}. The encoder came frozen, and has no parameter that "
            "learns: it is to learn all the same"
        ) from error


def _check_returned(tuned, encoder, tasks, epochs):
    require(
        isinstance(tuned, dict) and list(tuned) == [task.name for task in tasks],
        "it should return what train_together returns, {task name: Tuned} in the order of the tasks; got "
        + (f"{list(tuned)}" if isinstance(tuned, dict) else type(tuned).__name__),
    )
    for task in tasks:
        result = tuned[task.name]
        require(isinstance(result, Tuned), f"{task.name}: a Tuned is expected, got {result!r}")
        require(
            list(result.network.layers) == [encoder, task.head],
            f"{task.name}: the network should consist of the encoder that was given and the task's head, "
            "not of copies: all tasks share one encoder",
        )
        n = len(result.history.validation)
        require(n == epochs, f"{task.name}: {epochs} epochs were asked for, {n} are in the history")


def _check_budget(encoder, tasks, steps, case):
    counts = {}
    for optimizer in made.Spy.made:
        for parameter, n in zip(optimizer.parameters, optimizer.steps, strict=True):
            counts[id(parameter)] = counts.get(id(parameter), 0) + n
    require(
        len(made.Spy.made) == 1,
        f"one optimizer, made by tasks[0].optimizer, should move everything; {len(made.Spy.made)} were made",
    )
    parts = [("the encoder", encoder), *((f"the {t.name} head", t.head) for t in tasks)]
    for part, network in parts:
        numbers = {counts.get(id(p), 0) for p in network.parameters()}
        require(
            numbers == {steps},
            f"{case}: {part} should make {steps} steps, yours makes {sorted(numbers)}. "
            "How long is an epoch, and how often does a step move?",
        )
    for task in tasks:
        asked, wanted = made.Counting.asked.get(id(task.train), []), steps * 4
        require(
            len(asked) == wanted and set(asked) == set(range(len(task.train))),
            f"{case}, batches of 4: the {task.name} task should see {wanted} examples, every one of its "
            f"{len(task.train)} among them; yours saw {len(asked)}, {len(set(asked))} different ones",
        )


def _check_moved(encoder, tasks, before):
    parts = [("the encoder", encoder, before[0])]
    parts += [(f"the {t.name} head", t.head, b) for t, b in zip(tasks, before[1], strict=True)]
    for part, network, old in parts:
        still = [name for name, a in network.state_dict().items() if np.array_equal(a, old[name])]
        require(not still, f"{', '.join(still)} of {part} did not move, and should have")


def _check_same_as_descent(tune_projected):
    """Batches of all examples: whatever their order, plain descent must give the same weights."""
    encoder, tasks = made.tiny((8, 8))
    settings = FitSettings(epochs=3, batch=8, learning_rate=0.2, patience=3)
    right, train, losses = made.three_steps(8, 0.2)
    tuned = _run(tune_projected, encoder, tasks, settings)
    for i, task in enumerate(tasks):
        got = tuned[task.name].history.validation
        require(
            np.allclose(got, losses[:, i], rtol=1e-3),
            f"three steps on all 8 examples, rate 0.2: the {task.name} task's validation losses should be "
            f"{np.round(losses[:, i], 4).tolist()}, yours are {np.round(got, 4).tolist()}. "
            "Does each step take a batch of every task, move once, and by the projected gradients?",
        )
        require(
            np.allclose(tuned[task.name].history.train, train[:, i], rtol=1e-3),
            f"the {task.name} task's training losses are not its own: in which order are the pairs "
            "(number of the task, loss)?",
        )
    mine = made.arrays(Sequential(encoder, *[task.head for task in tasks]))
    off = [name for name in right if not np.allclose(mine[name], right[name], rtol=1e-3, atol=1e-5)]
    require(
        not off, f"after three steps {', '.join(off)} differ from descent by projected gradients"
    )


def _check_chance(tune_projected):
    settings = FitSettings(epochs=6, batch=4, learning_rate=0.1)
    runs = []
    for seed in (1, 1, 2):
        encoder, tasks = made.tiny((12, 8, 12, 12))
        _run(tune_projected, encoder, tasks, settings, seed)
        state = Sequential(encoder, *[task.head for task in tasks]).state_dict()
        runs.append(b"".join(a.tobytes() for a in state.values()))
    require(
        runs[0] == runs[1],
        "four tasks, tuned twice with generators of the same seed, come out differently: all chance "
        "should come from training.rng",
    )
    require(
        runs[0] != runs[2], "another seed changes nothing: does the chance come from training.rng?"
    )
    settings = FitSettings(epochs=4, batch=8, learning_rate=0.2, patience=4)
    runs = []  # each batch holds all examples: only the order of projections is left to chance
    for seed in range(6):
        encoder, tasks = made.tiny((8, 8, 8, 8))
        _run(tune_projected, encoder, tasks, settings, seed)
        runs.append(np.concatenate([p.value.ravel() for p in encoder.parameters()]))
    require(
        max(abs(run - runs[0]).max() for run in runs) > 1e-4,
        "four tasks with all their examples in every batch: six seeds give the same encoder. Is training.rng "
        "handed on to projected_gradients?",
    )


def _check_refused(tune_projected):
    encoder, tasks = made.tiny((8, 8))
    tasks[1].name = tasks[0].name
    try:
        _run(tune_projected, encoder, tasks, FitSettings(epochs=1, batch=4))
    except ValueError:
        return
    raise CheckFailed(
        "two tasks of the same name should be refused with a ValueError: check_tasks does"
    )
