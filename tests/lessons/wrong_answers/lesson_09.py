"""What students get wrong in lesson 9: (name, a piece of the solution, what stands in its place)."""

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
        ("a list", "return {name for name in before if " + BYTES + "}",
         "return [name for name in before if " + BYTES + "]"),
        ("whether, not who", "return {name for name in before if " + BYTES + "}",
         "return any(" + BYTES + " for name in before)"),
    ],
    "turns": [
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
        ("losses forgotten", STEP, STEP.replace("losses.append", "")),
    ],
    "joint_gradients": [
        ("nothing forgotten", FORGET, ""),
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
