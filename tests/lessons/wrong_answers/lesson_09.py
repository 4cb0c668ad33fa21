"""Answers of lesson 9, wrong ones and right ones written otherwise: (name, piece, replacement)."""

BYTES = "before[name].tobytes() != after[name].tobytes()"
STEP = "losses.append(train_step(networks[i], tasks[i].loss, optimizers[i], x, target))"
LENGTH = "((r + 1) * B // rounds - r * B // rounds)"
FORGET = "    for network in networks:\n        network.zero_gradients()\n"

WRONG = {
    "moved": [
        ("nearly equal", BYTES, "not np.allclose(before[name], after[name])"),
        ("sums compared", BYTES, "before[name].sum() != after[name].sum()"),
        ("NaN has moved", BYTES, "(before[name] != after[name]).any()"),
        ("those that stayed", BYTES, "before[name].tobytes() == after[name].tobytes()"),
        ("identity", BYTES, "before[name] is not after[name]"),
        ("compared as text", BYTES, "str(before[name]) != str(after[name])"),
        ("compared as repr", BYTES, "repr(before[name]) != repr(after[name])"),
        ("an array with a NaN never moves", BYTES,
         "not np.isnan(before[name]).any() and " + BYTES),
        ("NaN left out of the comparison", BYTES,
         "np.nansum(before[name]) != np.nansum(after[name])"),
        ("the greatest change, which is NaN", BYTES,
         "abs(before[name] - after[name]).max() > 0"),
        ("all must differ", BYTES, "(before[name] != after[name]).all()"),
        ("first number alone", BYTES, "before[name].flat[0] != after[name].flat[0]"),
        ("equal values, other bytes", BYTES,
         "not np.array_equal(before[name], after[name], equal_nan=True)"),
        ("rounded to float16", BYTES,
         "before[name].astype(np.float16).tobytes() != after[name].astype(np.float16).tobytes()"),
        ("rounded to float32", BYTES,
         "before[name].astype(np.float32).tobytes() != after[name].astype(np.float32).tobytes()"),
        ("names taken out of what was given", "return {name for name in before if " + BYTES + "}",
         "return {name for name in list(before) if before.pop(name).tobytes() != after[name].tobytes()}"),
        ("difference left behind", "    return {name for", "    for name in before:\n"
         "        after[name] = after[name] - before[name]\n    return {name for"),
        ("a dict", "return {name for name in before if " + BYTES + "}",
         "return {name: " + BYTES + " for name in before}"),
        ("a list", "return {name for name in before if " + BYTES + "}",
         "return [name for name in before if " + BYTES + "]"),
        ("whether, not who", "return {name for name in before if " + BYTES + "}",
         "return any(" + BYTES + " for name in before)"),
    ],
    "turns": [
        ("batches counted down", LENGTH, LENGTH + "\n            batches[i] = B"
         "\n    for i in range(len(batches)):\n        batches[i] -= order.count(i)"),
        ("sorted in place", "for r in range(rounds):", "batches.sort()\n    for r in range(rounds):"),
        ("a list of lists", "order += [i] *", "order += [[i]] *"),
        ("a list of turns", "order += [i] *", "order += [[i] * B] *"),
        ("as many rounds as the largest has", "for r in range(rounds):",
         "rounds = max(batches)\n    for r in range(rounds):"),
        ("not integer division", "(r + 1) * B // rounds", "int((r + 1) * B / rounds + 0.5)"),
        ("the rest left out", LENGTH, "(B // rounds)"),
        ("rounded up", LENGTH, "-(-B // rounds)"),
        ("one batch a turn", LENGTH, "1"),
        ("one task after the other", "for r in range(rounds):\n        for i, B in enumerate(batches):",
         "for i, B in enumerate(batches):\n        for r in range(rounds):"),
        ("the rest in the last round", LENGTH,
         "(B // rounds if r + 1 < rounds else B - r * (B // rounds))"),
        ("rounds counted from one", "for r in range(rounds):", "for r in range(1, rounds):"),
        ("rounded in the middle", LENGTH,
         "(((r + 1) * B + rounds // 2) // rounds - (r * B + rounds // 2) // rounds)"),
        ("number and length exchanged", f"order += [i] * {LENGTH}",
         f"order += [{LENGTH}] * i"),
    ],
    "alternate": [
        ("one optimizer for all", STEP, STEP.replace("optimizers[i]", "optimizers[0]")),
        ("one network for all", STEP, STEP.replace("networks[i]", "networks[0]")),
        ("batches of the first task", "x, target = next(batches[i])",
         "x, target = next(batches[0])"),
        ("the other's turn", "for i in order:", "for i in [1 - j for j in order]:"),
        ("everybody in every turn", "for i in order:", "for i in range(len(tasks)):"),
        ("a turn left out", "for i in order:", "for i in order[1:]:"),
        ("sorted by task", "for i in order:", "for i in sorted(order):"),
        ("heads alone", STEP, STEP.replace("networks[i]", "tasks[i].head")),
        ("only looked at", STEP,
         "losses.append(tasks[i].loss(networks[i].forward(x, training=True), target)[0])"),
        ("two steps of a batch", STEP, f"{STEP}\n        {STEP.replace('losses.append', '')}"),
        ("order used up", "for i in order:", "while order:\n        i = order.pop(0)"),
        ("order sorted in place", "for i in order:", "order.sort()\n    for i in order:"),
        ("the sum of the losses", "losses.append(train_step(",
         "losses = [sum(losses)]; losses.append(train_step("),
        ("batch and loss", STEP, STEP.replace("losses.append(", "losses.append((x, ") + ")"),
        ("momentum forgotten", STEP,
         "optimizers[i] = Adam(networks[i].trainable_parameters(), 0.01)\n        " + STEP),
        ("losses forgotten", STEP, STEP.replace("losses.append", "")),
    ],
    "joint_gradients": [
        ("nothing forgotten", FORGET, ""),
        ("weights in float64", "network.backward(w * dy)", "network.backward(np.float64(w) * dy)"),
        ("gradients in float16", "        losses.append(loss)", "        losses.append(loss)\n"
         "        for p in network.parameters():\n            p.grad = p.grad.astype(np.float16)"),
        ("weights normalised in place", "        losses.append(loss)", "        losses.append(loss)\n"
         "    weights[:] = [w / sum(weights) for w in weights]"),
        ("batches used up", "        losses.append(loss)",
         "        losses.append(loss)\n    batches.clear()"),
        ("weight squared", "network.backward(w * dy)", "network.backward(w * w * dy)"),
        ("heads forgotten at the end", "        losses.append(loss)", "        losses.append(loss)\n"
         "    for task in tasks:\n        task.head.zero_gradients()"),
        ("frozen encoder", FORGET, "    encoder.freeze()\n" + FORGET),
        ("forgotten in between", "        loss, dy = ",
         "        network.zero_gradients()\n        loss, dy = "),
        ("weights forgotten", "network.backward(w * dy)", "network.backward(dy)"),
        ("weight in the loss alone", "network.backward(w * dy)\n        losses.append(loss)",
         "network.backward(dy)\n        losses.append(w * loss)"),
        ("weighted loss returned", "losses.append(loss)", "losses.append(w * loss)"),
        ("at inference, not in training", "training=True), target)\n        network.backward",
         "training=False), target)\n        network.backward"),
        ("a step in between", "losses.append(loss)",
         "losses.append(loss); Adam(network.parameters(), 0.01).step()"),
        ("both forward first", "        network.backward(w * dy)\n        losses.append(loss)\n",
         "        losses.append((loss, dy, w))\n"
         "    for network, (_, dy, w) in zip(networks, losses, strict=True):\n"
         "        network.backward(w * dy)\n    losses = [loss for loss, _, _ in losses]\n"),
        ("only the encoder forgets", "        network.zero_gradients()\n",
         "        encoder.zero_gradients()\n"),
        ("the mean", "network.backward(w * dy)", "network.backward(w * dy / len(tasks))"),
    ],
}  # fmt: skip

SET = "return {name for name in before if " + BYTES + "}"
ALL = """for network in networks:
        network.zero_gradients()
    for network, task, (x, target), w in zip(networks, tasks, batches, weights, strict=True):
        loss, dy = task.loss(network.forward(x, training=True), target)
        network.backward(w * dy)
        losses.append(loss)
"""

RIGHT = {
    "moved": [
        ("a loop", SET, "names = set()\n    for name in before:\n        if " + BYTES + ":\n"
         "            names.add(name)\n    return names"),
        ("set of a list", SET, "return set([name for name in before if " + BYTES + "])"),
        ("frozenset", SET, "return frozenset(name for name in before if " + BYTES + ")"),
        ("hashes", BYTES, "hash(before[name].tobytes()) != hash(after[name].tobytes())"),
        ("not equal turned round", BYTES, "not before[name].tobytes() == after[name].tobytes()"),
        ("as unsigned bytes", BYTES,
         "(np.frombuffer(before[name].tobytes(), np.uint8) "
         "!= np.frombuffer(after[name].tobytes(), np.uint8)).any()"),
        ("names of after", SET, "return {name for name in after if " + BYTES + "}"),
        ("all less those that stayed", SET,
         "return set(before) - {n for n in before if before[n].tobytes() == after[n].tobytes()}"),
        ("pairs of items", SET, "return {n for (n, a), b in zip(before.items(), after.values()) "
         "if a.tobytes() != b.tobytes()}"),
        ("hexadecimal", BYTES, "before[name].tobytes().hex() != after[name].tobytes().hex()"),
        ("filter", SET, "return set(filter(lambda name: " + BYTES + ", before))"),
    ],
    "turns": [
        ("a tuple", "    return order", "    return tuple(order)"),
        ("an array", "    return order", "    return np.array(order)"),
        ("a generator", "    return order", "    return iter(order)"),
        ("by counting what was shown", LENGTH, "((r + 1) * B // rounds - order.count(i))"),
        ("extend", f"order += [i] * {LENGTH}",
         "order.extend(i for _ in range(r * B // rounds, (r + 1) * B // rounds))"),
        ("rounds from one", f"for r in range(rounds):\n        for i, B in enumerate(batches):\n"
         f"            order += [i] * {LENGTH}",
         "for r in range(1, rounds + 1):\n        for i in range(len(batches)):\n"
         "            order += [i] * (r * batches[i] // rounds - (r - 1) * batches[i] // rounds)"),
        ("floor of numpy", LENGTH,
         "int(np.floor((r + 1) * B / rounds) - np.floor(r * B / rounds))"),
    ],
    "alternate": [
        ("floats", STEP, STEP.replace("train_step(", "float(train_step(") + ")"),
        ("written out", STEP,
         "networks[i].zero_gradients()\n        value, dy = tasks[i].loss("
         "networks[i].forward(x, training=True), target)\n        networks[i].backward(dy)\n"
         "        optimizers[i].step()\n        losses.append(value)"),
        ("batch unpacked in the call", "x, target = next(batches[i])\n        " + STEP,
         "losses.append(train_step(networks[i], tasks[i].loss, optimizers[i], *next(batches[i])))"),
        ("pieces by name", "x, target = next(batches[i])\n        " + STEP,
         "task, network = tasks[i], networks[i]\n        x, target = next(batches[i])\n"
         "        losses += [train_step(network, task.loss, optimizers[i], x, target)]"),
        ("by position", "for i in order:", "for k in range(len(order)):\n        i = order[k]"),
    ],
    "joint_gradients": [
        ("by position", ALL, """for i in range(len(tasks)):
        networks[i].zero_gradients()
    for i in range(len(tasks)):
        x, target = batches[i]
        loss, dy = tasks[i].loss(networks[i].forward(x, training=True), target)
        networks[i].backward(dy * weights[i])
        losses.append(float(loss))
"""),
        ("set to None", FORGET, "    for network in networks:\n        for p in network.parameters():\n"
         "            p.grad = None\n"),
        ("forgotten by parts", FORGET,
         "    encoder.zero_gradients()\n    for task in tasks:\n        task.head.zero_gradients()\n"),
        ("scaled in place", "network.backward(w * dy)", "dy *= w\n        network.backward(dy)"),
        ("without input gradient", "network.backward(w * dy)",
         "network.backward(w * dy, input_gradient=False)"),
        ("reversed networks forget", "for network in networks:\n        network.zero",
         "for network in reversed(networks):\n        network.zero"),
        ("weights as float32", "network.backward(w * dy)", "network.backward(np.float32(w) * dy)"),
        ("library's own", ALL, """from ums.finetuning.joint import add_gradients
    losses, _ = add_gradients(encoder, tasks, batches, weights)
"""),
    ],
}  # fmt: skip
