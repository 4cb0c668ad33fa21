"""Answers of task 5: wrong ones, and right ones written otherwise: (name, piece, replacement)."""

ALONG = "along = projected[i] @ gradients[j]"
UPDATE = "projected[i] -= along / length * gradients[j]"
LENGTH = "length = gradients[j] @ gradients[j]"
ORDER = "for j in rng.permutation(others):"
ROW = "rows.append(np.concatenate([parameter.grad.ravel() for parameter in shared]))"
TOTAL = "total = project(np.stack(rows), rng).sum(axis=0)"
BODY = """\
    losses, rows = [], []
    for task, (x, target) in zip(tasks, batches, strict=True):
        network = Sequential(encoder, task.head)
        network.zero_gradients()
        loss, dy = task.loss(network.forward(x, training=True), target)
        network.backward(dy)
        losses.append(loss)
        rows.append(np.concatenate([parameter.grad.ravel() for parameter in shared]))
"""
FORGET = "        network.zero_gradients()\n"
PIECE = "parameter.grad = total[start:stop].reshape(parameter.value.shape)"
STEP = "            optimizer.step()\n"
DRAWN = "drawn = [next(batch) for batch in batches]"
MAKE = "optimizer = tasks[0].optimizer(parameters, settings.learning_rate)"
STEPS = "for _ in range(length):"
GRADIENTS = "losses = projected_gradients(encoder, tasks, drawn, training.rng)"

WRONG = {
    "project": [
        ("nothing projected", UPDATE, "pass"),
        ("agreement removed too", "if along < 0:", "if along != 0:"),
        ("only agreement removed", "if along < 0:", "if along > 0:"),
        ("against the projections", ALONG + "\n            if along < 0:\n                " + LENGTH,
         "other = projected[j].copy()\n            along = projected[i] @ other\n"
         "            if along < 0:\n                length = other @ other"),
        ("not divided by the length", UPDATE, "projected[i] -= along * gradients[j]"),
        ("divided by the length once", UPDATE,
         "projected[i] -= along / np.sqrt(length) * gradients[j]"),
        ("divided by its own length", LENGTH, "length = gradients[i] @ gradients[i]"),
        ("added instead of taken away", UPDATE, UPDATE.replace("-=", "+=")),
        ("own direction taken away", UPDATE, "projected[i] -= along / length * gradients[i]"),
        ("product with the original row", ALONG, "along = gradients[i] @ gradients[j]"),
        ("always in order", ORDER, "for j in others:"),
        ("chance of its own", ORDER, "for j in np.random.default_rng().permutation(others):"),
        ("the same order for ever", ORDER, "for j in np.random.default_rng(0).permutation(others):"),
        ("changed in place", "projected = gradients.copy()", "projected = gradients"),
        ("float64", "projected = gradients.copy()", "projected = gradients.astype(float)"),
        ("itself among the others", "if j != i]", "]; gradients = -gradients"),
        ("only the first conflict", UPDATE, UPDATE + "\n                break"),
        ("the sum", "    return projected\n", "    return projected.sum(axis=0)\n"),
        ("not returned", "    return projected\n", "    projected\n"),
    ],
    "projected_gradients": [
        ("plain sum", TOTAL, "total = np.stack(rows).sum(axis=0)"),
        ("mean", TOTAL, TOTAL.replace("sum(axis=0)", "mean(axis=0)")),
        ("last task alone", TOTAL, "total = project(np.stack(rows), rng)[-1]"),
        ("nothing forgotten", FORGET, ""),
        ("only the encoder forgets", FORGET, "        encoder.zero_gradients()\n"),
        ("heads forget in the end", "    total = ", "    for task in tasks:\n"
         "        task.head.zero_gradients()\n    total = "),
        ("at inference", "training=True), target)\n        network.backward",
         "training=False), target)\n        network.backward"),
        ("two forward passes", "        network.backward(dy)\n",
         "        network.forward(x, training=True)\n        network.backward(dy)\n"),
        ("pieces in reverse", PIECE,
         "parameter.grad = total[::-1][start:stop].reshape(parameter.value.shape)"),
        ("every piece from the start", "        start = stop\n", ""),
        ("sum not given back", PIECE, "pass"),
        ("flat pieces", PIECE, "parameter.grad = total[start:stop]"),
        ("a step of its own", "    return losses\n",
         "    for p in shared:\n        p.value -= 0.1 * p.grad\n    return losses\n"),
        ("losses added up", "    return losses\n", "    return sum(losses)\n"),
        ("losses forgotten", "losses.append(loss)", "pass"),
        ("the other's batch", "zip(tasks, batches, strict=True):\n        network",
         "zip(tasks, batches[::-1], strict=True):\n        network"),
        ("heads projected too", ROW, ROW + "\n        for p in task.head.parameters():\n"
         "            p.grad = p.grad * 0.5"),
        ("first parameter left out", "shared = encoder.trainable_parameters()",
         "shared = encoder.trainable_parameters()[1:]"),
    ],
    "tune_projected": [
        ("still frozen", "encoder.freeze(False)", "encoder.freeze()"),
        ("frozen as it came", "encoder.freeze(False)", "pass"),
        ("heads alone", "Sequential(encoder, *[task.head for task in tasks])\n    parameters",
         "Sequential(*[task.head for task in tasks])\n    parameters"),
        ("encoder alone", "Sequential(encoder, *[task.head for task in tasks])\n    parameters",
         "encoder\n    parameters"),
        ("shortest task", "length = max(", "length = min("),
        ("all batches added up", "length = max(", "length = sum("),
        ("settings.steps ignored", "settings.length(task.train) for task in tasks)",
         "-(-len(task.train) // settings.batch) for task in tasks)"),
        ("one step an epoch", STEPS, "for _ in range(1):"),
        ("a step for each task", STEP, STEP + STEP),
        ("no step", STEP, ""),
        ("Adam of our own", MAKE, "from ums.optimizers import Adam; "
         "optimizer = Adam(parameters, settings.learning_rate)"),
        ("rate of our own", MAKE, "optimizer = tasks[0].optimizer(parameters, 0.01)"),
        ("an optimizer for each task", MAKE, MAKE + "; tasks[1].optimizer(tasks[1].head.parameters(), 0.1)"),
        ("plain joint gradients", GRADIENTS, "from ums.finetuning.joint import add_gradients; "
         "losses, _ = add_gradients(encoder, tasks, drawn, [1.0] * len(tasks))"),
        ("the same batch for ever", DRAWN, "drawn = first"),
        ("batches of the first task", DRAWN, "drawn = [next(batches[0]) for _ in tasks]"),
        ("chance of its own", GRADIENTS, GRADIENTS.replace("training.rng", "np.random.default_rng()")),
        ("projections from a seed of their own", GRADIENTS,
         GRADIENTS.replace("training.rng", "np.random.default_rng(0)")),
        ("a copy of the encoder", "encoder.freeze(False)", "encoder = copy_network(encoder).freeze(False)"),
        ("tasks not checked", "    check_tasks(tasks, training, encoder)\n", ""),
        ("losses of the wrong task", "seen += enumerate(losses)", "seen += enumerate(losses[::-1])"),
        ("networks alone", 'return train_together("projected tuning", encoder, tasks, epoch, training)',
         'return [r.network for r in train_together("", encoder, tasks, epoch, training).values()]'),
        ("not returned", "return train_together(", "train_together("),
    ],
}  # fmt: skip

# The same batch needs one that was drawn before the loop.
_FIRST = "first = [next(batch) for batch in batches]\n            drawn = first"
WRONG["tune_projected"] = [
    (name, "    def steps():\n        seen = []\n        for _ in range(length):\n            " + DRAWN,
     "    first = [next(batch) for batch in batches]\n\n    def steps():\n        seen = []\n"
     "        for _ in range(length):\n            drawn = first")
    if name == "the same batch for ever" else (name, piece, replacement)
    for name, piece, replacement in WRONG["tune_projected"]
]  # fmt: skip

RIGHT = {
    "project": [
        ("a matrix of products", LENGTH, "length = (gradients @ gradients.T)[j, j]"),
        ("shuffled list", ORDER, "rng.shuffle(others)\n        for j in others:"),
        ("rows in a list", "    return projected\n", "    return np.stack(list(projected))\n"),
        ("order of all tasks, itself left out", ORDER,
         "for j in [k for k in rng.permutation(len(gradients)) if k != i]:"),
        ("out of place", UPDATE, "projected[i] = projected[i] - (along / length) * gradients[j]"),
        ("by minimum", "if along < 0:", "along = min(along, 0)\n            if along:"),
        ("normalised first", UPDATE,
         "unit = gradients[j] / np.sqrt(length)\n                "
         "projected[i] -= (projected[i] @ unit) * unit"),
        ("sum of products", ALONG, "along = (projected[i] * gradients[j]).sum()"),
        ("norm squared", LENGTH, "length = np.linalg.norm(gradients[j]) ** 2"),
        ("at right angles counted in", "if along < 0:", "if along <= 0 and gradients[j].any():"),
    ],
    "projected_gradients": [
        ("through the library's add_gradients", BODY + "    " + TOTAL,
         "    from ums.finetuning.joint import add_gradients\n"
         "    losses, rows = add_gradients(encoder, tasks, batches, [1.0] * len(tasks))\n"
         "    total = project(rows, rng).sum(axis=0)"),
        ("losses as an array", "    return losses\n", "    return np.array(losses)\n"),
        ("losses as floats", "losses.append(loss)", "losses.append(float(loss))"),
        ("losses in a tuple", "    return losses\n", "    return tuple(losses)\n"),
        ("without input gradient", "network.backward(dy)", "network.backward(dy, input_gradient=False)"),
        ("cut by np.split", PIECE,
         "parameter.grad = np.split(total, [start, stop])[1].reshape(parameter.value.shape)"),
        ("hstack", ROW, "rows.append(np.hstack([p.grad.flatten() for p in shared]))"),
        ("summed by hand", TOTAL, "total = sum(row for row in project(np.array(rows), rng))"),
        ("every parameter of an encoder that learns", "shared = encoder.trainable_parameters()",
         "shared = list(encoder.named_parameters().values())"),
        ("forgotten twice", "    losses, rows = [], []\n",
         "    losses, rows = [], []\n    for task in tasks:\n        task.head.zero_gradients()\n"),
    ],
    "tune_projected": [
        ("a generator", "        return seen\n", "        yield from seen\n"),
        ("tuples in a list", "seen += enumerate(losses)",
         "seen += [(i, losses[i]) for i in range(len(tasks))]"),
        ("lengths in a list", "length = max(settings.length(task.train) for task in tasks)",
         "lengths = [settings.length(task.train) for task in tasks]\n    length = sorted(lengths)[-1]"),
        ("library's common_optimizer", MAKE,
         "from ums.finetuning.joint import common_optimizer\n    "
         "optimizer = common_optimizer(tasks)(parameters, settings.learning_rate)"),
        ("batches as a tuple", "batches = [EndlessBatches(task.train, training) for task in tasks]",
         "batches = tuple(EndlessBatches(task.train, training) for task in tasks)"),
        ("parameters added up", "    parameters = everything.trainable_parameters()\n",
         "    parameters = encoder.trainable_parameters()\n    for task in tasks:\n"
         "        parameters = parameters + task.head.trainable_parameters()\n"),
        ("map", DRAWN, "drawn = list(map(next, batches))"),
        ("while", STEPS, "while len(seen) < length * len(tasks):"),
        ("state in a list of its own", "[optimizer], batches)", "[optimizer], list(batches))"),
        ("losses as floats in arrays", "seen += enumerate(losses)",
         "seen += [(i, np.asarray(loss)) for i, loss in enumerate(losses)]"),
    ],
}  # fmt: skip
