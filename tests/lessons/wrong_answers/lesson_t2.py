"""What students hand in for task t2: (name, a piece of the solution, what stands in its place)."""

M = "self.m[i] = self.beta1 * self.m[i] + (1 - self.beta1) * g"
V = "self.v[i] = self.beta2 * self.v[i] + (1 - self.beta2) * g**2"
M_HAT = "m_hat = self.m[i] / (1 - self.beta1 ** self.t[i])"
V_HAT = "v_hat = self.v[i] / (1 - self.beta2 ** self.t[i])"
DIRECTION = "direction = m_hat / (np.sqrt(v_hat) + self.eps)"
DECAY = "            if x.ndim >= 2:\n                direction = direction + self.decay * x\n"
MOVE = "x -= self.learning_rate * direction"
STATE = "self.m = [np.zeros_like(parameter.value) for parameter in self.parameters]"
REST = "            if parameter.grad is None:\n                continue\n"
ORDER = "order = rng.permutation(len(x))"
STEP = """        network.zero_gradients()
        value, dy = loss(network.forward(x[rows], training=True), target[rows])
        network.backward(dy)
        optimizer.step()
"""
TOTAL = "        total += float(value) * len(rows)\n    return total / len(x)"
VALIDATE = (
    "        value, _ = loss(network.forward(x[rows]), target[rows])\n"
    "        total += float(value) * len(x[rows])"
)
COPY = "return {name: array.copy() for name, array in network.state_dict().items()}"
FINITE = "if not np.isfinite(training) or not np.isfinite(validation):"
BACK = """            network.load_state_dict(best)
            raise FloatingPointError(f"epoch {epoch}: losses {training} and {validation}")
"""
BEST = """        if validation < lowest:
            lowest, best = validation, _copy_of_state(network)
            history["best"] = epoch
    network.load_state_dict(best)
"""

WRONG = {
    "adamw_steps": [
        ("m not corrected", M_HAT, "m_hat = self.m[i]"),
        ("v not corrected", V_HAT, "v_hat = self.v[i]"),
        ("counts the last step", M_HAT, "m_hat = self.m[i] / (1 - self.beta1 ** max(self.t[i] - 1, 1))"),
        ("gradient not squared", V, V.replace("g**2", "abs(g)")),
        ("root forgotten", DIRECTION, "direction = m_hat / (v_hat + self.eps)"),
        ("eps under the root", DIRECTION, "direction = m_hat / np.sqrt(v_hat + self.eps)"),
        ("eps fixed", DIRECTION, DIRECTION.replace("self.eps", "1e-8")),
        ("betas exchanged", M, M.replace("beta1", "beta2")),
        ("powers exchanged", V_HAT, V_HAT.replace("beta2", "beta1")),
        ("gains forgotten", M, "self.m[i] = self.beta1 * self.m[i] + g"),
        ("uphill", MOVE, "x += self.learning_rate * direction"),
        ("a new array", MOVE, "parameter.value = x - self.learning_rate * direction"),
        ("decay within the gradient", "x, g = parameter.value, parameter.grad",
         "x, g = parameter.value, parameter.grad + self.decay * parameter.value * "
         "(parameter.value.ndim >= 2)"),
        ("decay everywhere", "if x.ndim >= 2:", "if True:"),
        ("decay of matrices alone", "if x.ndim >= 2:", "if x.ndim == 2:"),
        ("decay without the rate", MOVE,
         MOVE + "\n            x -= (1 - self.learning_rate) * self.decay * x"),
        ("decay forgotten", DECAY, ""),
        ("decay outwards", "direction + self.decay * x", "direction - self.decay * x"),
        ("decay after the step", MOVE, "x -= self.learning_rate * m_hat / (np.sqrt(v_hat) + self.eps)\n"
         "            x -= self.learning_rate * self.decay * x * (x.ndim >= 2)"),
        ("gradient scaled in place", DIRECTION, "g *= 0\n            " + DIRECTION),
        ("maximum of v", V, "self.v[i] = np.maximum(self.v[i], g**2 * (1 - self.beta2))"),
    ],
    "adamw_state": [
        ("one count for all", M_HAT, M_HAT.replace("self.t[i]", "max(self.t)")),
        ("rests are counted", REST,
         "            if parameter.grad is None:\n                self.t[i] += 1\n                "
         "continue\n"),
        ("m fades while it rests", REST,
         "            if parameter.grad is None:\n                self.m[i] = self.beta1 * self.m[i]\n"
         "                continue\n"),
        ("decays while it rests", REST,
         "            if parameter.grad is None:\n                if parameter.value.ndim >= 2:\n"
         "                    parameter.value *= 1 - self.learning_rate * self.decay\n                "
         "continue\n"),
        ("None taken for 0", REST,
         "            if parameter.grad is None:\n                parameter.grad = "
         "np.zeros_like(parameter.value)\n"),
        ("ends at the first rest", "                continue\n            x, g",
         "                break\n            x, g"),
        ("None not expected", REST, ""),
        ("rate of the start", MOVE, "self.first = getattr(self, 'first', self.learning_rate)\n"
         "            x -= self.first * direction"),
        ("gradients forgotten", MOVE, MOVE + "\n            parameter.grad = None"),
        ("state of the class", STATE, "AdamW.memory = getattr(AdamW, 'memory', {})\n"
         "        self.m = [AdamW.memory.setdefault(p.value.shape, np.zeros_like(p.value)) for p in "
         "self.parameters]\n"
         "        for m in self.m: m += 0.01"),
        ("state by values", M,
         "key = parameter.value.shape\n            self.by = getattr(self, 'by', {})\n"
         "            self.m[i] = self.beta1 * self.by.get(key, 0) + (1 - self.beta1) * g\n            "
         "self.by[key] = self.m[i]"),
        ("last parameter only", MOVE, "pass\n        " + MOVE),
        ("state thrown away", REST, REST + "            self.m[i] = 0 * self.m[i]\n"),
    ],
    "epochs": [
        ("not shuffled", ORDER, "order = np.arange(len(x))"),
        ("drawn with replacement", ORDER, "order = rng.integers(0, len(x), len(x))"),
        ("chance of its own", ORDER, "order = np.random.default_rng().permutation(len(x))"),
        ("seeded anew", ORDER, "order = np.random.default_rng(0).permutation(len(x))"),
        ("data shuffled in place", ORDER, "order = np.arange(len(x))\n    rng.shuffle(x)"),
        ("x shuffled without its targets", ORDER,
         ORDER + "\n    target = target[rng.permutation(len(x))]"),
        ("last batch left out", "for start in range(0, len(x), BATCH):\n        rows = order",
         "for start in range(0, len(x) - BATCH + 1, BATCH):\n        rows = order"),
        ("one batch of all", "rows = order[start : start + BATCH]", "rows = order"),
        ("batches overlap", "rows = order[start : start + BATCH]",
         "rows = order[max(start - 1, 0) : start + BATCH]"),
        ("gradients add up", "        network.zero_gradients()\n", ""),
        ("forgotten before the step", "        optimizer.step()\n",
         "        network.zero_gradients()\n        optimizer.step()\n"),
        ("at inference", "network.forward(x[rows], training=True)", "network.forward(x[rows])"),
        ("no step", "        optimizer.step()\n", ""),
        ("step before backward", STEP,
         STEP.replace("        network.backward(dy)\n        optimizer.step()\n",
         "        optimizer.step()\n        network.backward(dy)\n")),
        ("a step for each epoch", "        optimizer.step()\n",
         "        if start == 0:\n            optimizer.step()\n"),
        ("validation examples learned", 'data["training"], rng)', 'data["validation"], rng)'),
        ("gradient divided again", "network.backward(dy)", "network.backward(dy / len(rows))"),
    ],
    "best_epoch": [
        ("no epoch in the message", BACK, BACK.replace("epoch {epoch}: losses {training} and {validation}",
         "diverged")),
        ("validation from the end of a batch", VALIDATE,
         VALIDATE.replace("x[rows]), target[rows])", "x[rows][::-1]), target[rows][::-1])")),
        ("no copy", COPY, "return network.state_dict()"),
        ("a shallow copy", COPY, "return dict(network.state_dict())"),
        ("parameters alone", COPY,
         "return {n: a.copy() if n == 'w' else a for n, a in network.state_dict().items()}"),
        ("the last epoch", BEST, BEST.replace("    network.load_state_dict(best)\n", "")),
        ("the highest loss", BEST, BEST.replace("validation < lowest",
         "validation > lowest or epoch == 0")),
        ("the last of equals", BEST, BEST.replace("<", "<=")),
        ("by the training loss", BEST, BEST.replace("if validation < lowest",
         "if training < lowest").replace(
            "lowest, best = validation", "lowest, best = training")),
        ("counted from 1", 'history["best"] = epoch', 'history["best"] = epoch + 1'),
        ("mean of the batches' means, in training", TOTAL,
         "        total += float(value)\n    return total / -(-len(x) // BATCH)"),
        ("mean of the batches' means, in validation", VALIDATE,
         "        value, _ = loss(network.forward(x[rows]), target[rows])\n        total += "
         "float(value) * len(x) / -(-len(x) // BATCH)"),
        ("sums", TOTAL, "        total += float(value) * len(rows)\n    return total"),
        ("validated in training", "network.forward(x[rows]), target[rows]",
         "network.forward(x[rows], training=True), target[rows]"),
        ("validated on one batch", VALIDATE, VALIDATE + "\n        break"),
        ("validation counted twice", 'history["validation"].append(validation)',
         'history["validation"] += [validation, validation]'),
        ("NaN goes unnoticed", FINITE, "if training == np.inf or validation == np.inf:"),
        ("infinity goes unnoticed", FINITE, "if np.isnan(training) or np.isnan(validation):"),
        ("training loss not looked at", FINITE, "if not np.isfinite(validation):"),
        ("not put back", BACK, BACK.replace("            network.load_state_dict(best)\n", "")),
        ("ends quietly", BACK, "            break\n"),
        ("another exception", BACK, BACK.replace("FloatingPointError", "ValueError")),
        ("tuple of lists", "    return history\n",
         '    return history["training"], history["validation"]\n'),
        ("best not noted", '            history["best"] = epoch\n', ""),
    ],
}  # fmt: skip

MESSAGES = {
    "adamw_steps": {
        "m not corrected": "corrected for their start",
        "a new array": "in place",
        "decay everywhere": "two axes or more",
        "gradient scaled in place": "changed gradient in place",
    },
    "adamw_state": {
        "rests are counted": "counts its own steps only",
        "decays while it rests": "without decay",
        "rate of the start": "a schedule",
        "gradients forgotten": "leave the gradients to the caller",
    },
    "epochs": {
        "gradients add up": "zero_gradients",
        "data shuffled in place": r"changed data\['training'\] in place|those of its examples",
        "last batch left out": "in batches of 16, 16 and 8",
        "x shuffled without its targets": "by the same row numbers",
    },
    "best_epoch": {
        "no copy": "kept as a copy",
        "parameters alone": "running statistics",
        "mean of the batches' means, in validation": "16 and 4",
        "another exception": "fit raised ValueError",
        "validated in training": "at inference",
    },
}

RIGHT = {
    "adamw_steps": [
        ("state moved in place", M,
         "self.m[i] *= self.beta1\n            self.m[i] += (1 - self.beta1) * g"),
        ("towards the gradient", V, "self.v[i] += (1 - self.beta2) * (g * g - self.v[i])"),
        ("decay first", MOVE, "direction = m_hat / (np.sqrt(v_hat) + self.eps)\n"
         "            x *= 1 - self.learning_rate * self.decay * (x.ndim > 1)\n            x -= "
         "self.learning_rate * direction"),
        ("written into the array", MOVE, "parameter.value[...] = x - self.learning_rate * direction"),
        ("corrections drawn together", DIRECTION, "t = self.t[i]\n"
         "            share = np.sqrt(1 - self.beta2**t)\n"
         "            direction = self.m[i] / (1 - self.beta1**t) / (np.sqrt(self.v[i]) / float(share) "
         "+ self.eps)"),
    ],
    "adamw_state": [
        ("state made when it is needed", STATE, "self.m = [0.0 for parameter in self.parameters]"),
        ("decay first", MOVE, "direction = m_hat / (np.sqrt(v_hat) + self.eps)\n"
         "            x *= 1 - self.learning_rate * self.decay * (x.ndim > 1)\n            x -= "
         "self.learning_rate * direction"),
    ],
    "epochs": [
        ("shuffled in place, the order", ORDER, "order = np.arange(len(x))\n    rng.shuffle(order)"),
        ("sorted by random numbers", ORDER, "order = np.argsort(rng.random(len(x)))"),
        ("drawn without replacement", ORDER, "order = rng.choice(len(x), len(x), replace=False)"),
        ("called, not by name", "network.forward(x[rows], training=True)", "network(x[rows], True)"),
        ("gradients forgotten after the step", STEP, STEP.replace("        network.zero_gradients()\n",
         "")
         + "        network.zero_gradients()\n"),
        ("without the input's gradient", "network.backward(dy)",
         "network.backward(dy, input_gradient=False)"),
        ("split", "for start in range(0, len(x), BATCH):\n        rows = order[start : start + BATCH]",
         "for rows in np.split(order, range(BATCH, len(x), BATCH)):"),
    ],
    "best_epoch": [
        ("noted at the end", BEST,
         BEST + '    history["best"] = int(np.argmin(history["validation"]))\n'),
        ("a deep copy", COPY, "import copy\n\n    return copy.deepcopy(network.state_dict())"),
        ("by the list", BEST, BEST.replace("if validation < lowest",
         'if validation < min([np.inf, *history["validation"][:-1]])')),
        ("losses weighed at the end", TOTAL,
         "        total += float(value) * len(rows) / len(x)\n    return total"),
    ],
}  # fmt: skip
