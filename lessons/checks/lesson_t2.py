"""Checks of task t2: an optimizer with its state, the epochs of a training, and the best of them."""

import re

import numpy as np

from lessons.checking import CheckFailed, check, require
from lessons.checks import adamw
from lessons.checks.probes import Probe, examples, paired, scripted, train


@check
def adamw_steps(AdamW):
    """the steps worked out by hand, ten steps against the formulas, any rate and any type."""
    adamw.check_first_steps(AdamW)
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(3, 2)), rng.normal(size=(10, 3, 2))
    gradients[4] *= 100
    for settings in (
        {}, {"beta1": 0.5, "beta2": 0.9}, {"eps": 0.1}, {"decay": 0.2}, {"learning_rate": 0.3},
    ):  # fmt: skip
        adamw.compare_steps(AdamW, start, gradients, settings)
    adamw.check_decay(AdamW)
    adamw.check_types(AdamW)


@check
def adamw_state(AdamW):
    """each parameter has its own state and count, resting ones are left alone, rates may change."""
    adamw.check_own_state(AdamW)
    adamw.check_resting(AdamW)
    adamw.check_rate(AdamW)
    adamw.check_apart(AdamW)


# ----------------------------------------------------------------------------- the training


@check
def epochs(fit):
    """every epoch shows every example once, in a new order, and each batch makes one whole step."""
    network = Probe()
    train(fit, network, paired, examples(40, 20), 3)
    _check_batches(network.diary)
    _check_sequence(network.diary)
    orders = [_order(fit, seed) for seed in (0, 0, 1)]
    require(
        orders[0] == orders[1],
        "the same generator gives two orders: where does other chance come in?",
    )
    require(orders[0] != orders[2], "another generator gives the same order: is it drawn from rng?")
    require(
        len(_order(fit, 0, epochs=1)) == 40, "epochs=1 should be one pass through the 40 examples"
    )


def _order(fit, seed, epochs=2):
    network = Probe()
    train(fit, network, paired, examples(40, 4), epochs, seed)
    shown = [rows for what, rows in network.diary if what == "training"]
    require(
        len(shown) > 0, "no forward pass in training was made: network.forward(x, training=True)"
    )
    return np.concatenate(shown).tolist()


def _check_batches(diary):
    batches = [rows for what, rows in diary if what == "training"]
    sizes = [len(rows) for rows in batches]
    require(
        sizes == [16, 16, 8] * 3,
        f"40 examples in 3 epochs go forward in training in batches of 16, 16 and 8, three times; yours "
        f"were {sizes}",
    )
    shown = [np.concatenate(batches[3 * e : 3 * e + 3]) for e in range(3)]
    for e, rows in enumerate(shown):
        require(
            sorted(rows.tolist()) == list(range(40)),
            f"epoch {e}, counted from 0, should show each of the 40 training examples once; it showed "
            f"{len(set(rows.tolist()))} different ones",
        )
        require(
            rows.tolist() != sorted(rows.tolist()), f"epoch {e}, counted from 0, is not shuffled"
        )
    require(
        shown[0].tolist() != shown[1].tolist() and shown[1].tolist() != shown[2].tolist(),
        "every epoch has the same order: draw a new one for each",
    )


def _check_sequence(diary):
    """forward, backward, step, and each step with the gradient of its own batch."""
    kinds = [what for what, _ in diary if what != "inference"]
    require(
        kinds == ["training", "backward", "step"] * 9,
        "each of the 9 batches should go forward in training, backward, and make one step, in this order; "
        f"yours begins {', '.join(kinds[:7])}",
    )
    steps = [gradient for what, gradient in diary if what == "step"]
    require(
        steps == [16, 16, 8] * 3,
        "a step should be made with the gradient of its own batch alone: gradients add up until the "
        "network is told to forget them (zero_gradients)",
    )
    backward = [dy for what, dy in diary if what == "backward"]
    forward = [rows for what, rows in diary if what == "training"]
    require(
        all(np.allclose(dy[:, 0], 2 * rows) for dy, rows in zip(backward, forward, strict=True)),
        "backward should be given the gradient that the loss returned for this batch",
    )


@check
def best_epoch(fit):
    """losses are means over examples, the best epoch is kept whole, and what diverges is put back."""
    _check_inference(fit)
    for losses, best in (((5, 3, 4, 2, 6), 3), ((2, 3, 4), 0), ((4, 1, 1, 2), 1), ((3, 2, 1), 2)):
        network = Probe()
        history = train(fit, network, scripted(network, losses), examples(40, 20), len(losses))
        _check_history(history, losses, best)
        _check_kept(network, best, f"validation losses {losses}")
    for bad in (np.nan, np.inf):
        _check_diverged(
            fit, (3, 2, bad), 1, f"a validation loss of {bad} in epoch 2, counted from 0"
        )
        _check_diverged(fit, (bad, 2), None, f"a validation loss of {bad} in the first epoch")
    _check_training_diverged(fit)


def _check_history(history, losses, best):
    require(
        isinstance(history, dict) and {"training", "validation", "best"} <= history.keys(),
        "fit should return a dictionary with 'training', 'validation' and 'best', got "
        + (f"one with {list(history)}" if isinstance(history, dict) else type(history).__name__),
    )
    found = [float(value) for value in history["validation"]]
    require(
        np.allclose(found, losses) if len(found) == len(losses) else False,
        f"20 validation examples whose mean loss is {losses} in these epochs: yours {np.round(found, 4)}. "
        "Their batches have 16 and 4 examples: does each example count the same?",
    )
    # Two batches of 16 with the loss e, one of 8 with e + 5: on average e + 1.
    expected = [e + 1.0 for e in range(len(losses))]
    found = [float(value) for value in history["training"]]
    require(
        np.allclose(found, expected) if len(found) == len(expected) else False,
        f"40 training examples whose mean loss is {expected} in these epochs: yours {np.round(found, 4)}. "
        "Their batches have 16, 16 and 8 examples: does each example count the same?",
    )
    require(
        history["best"] == best,
        f"validation losses {losses}: the best epoch, counted from 0, is {best} (the first, where there are "
        f"equals), yours {history['best']}",
    )


def _check_kept(network, best, where):
    steps, seen = float(network.w.value[0, 0]), float(network.seen[0])
    wanted = 0 if best is None else 3 * (best + 1)
    whose = "from before the training" if best is None else f"of epoch {best}, after {wanted} steps"
    require(
        steps == wanted,
        f"{where}: the network should be left with the weights {whose}; it has those of step {steps:g}. What "
        "the optimizer changes in place must be kept as a copy.",
    )
    require(
        seen == wanted,
        f"{where}: the weights are those {whose}, but the running statistics are not: they belong together",
    )


def _check_inference(fit):
    network = Probe()
    train(fit, network, scripted(network, (1, 1)), examples(40, 20), 2)
    shown = [rows for what, rows in network.diary if what == "inference"]
    rows = np.concatenate(shown) if shown else np.empty(0)
    require(
        sorted(rows.tolist()) == sorted(list(range(100, 120)) * 2),
        "in each epoch each validation example should go through the network once, at inference; in 2 epochs "
        f"of 20 examples yours shows {len(rows)}",
    )
    require(
        [len(of_batch) for of_batch in shown] == [16, 4] * 2
        and rows.tolist() == list(range(100, 120)) * 2,
        "validation examples should go through the network in their order, in batches of 16 and 4; yours are "
        f"{[len(of_batch) for of_batch in shown]}",
    )
    kinds = [what for what, _ in network.diary]
    first = kinds.index("inference")
    require(
        kinds[:first].count("step") == 3, "the validation of an epoch comes after all its steps"
    )


def _check_diverged(fit, losses, best, where):
    network = Probe()
    epoch = int(np.flatnonzero(~np.isfinite(losses))[0])
    _refused(fit, network, scripted(network, losses), examples(40, 20), len(losses), where, epoch)
    _check_kept(network, best, f"{where}, FloatingPointError raised")


def _check_training_diverged(fit):
    network = Probe()
    finite = scripted(network, (3, 2, 1))

    def loss(prediction, target):
        value, gradient = finite(prediction, target)
        broken = prediction[0, 0] < 100 and network.w.value[0, 0] == 4
        return (np.nan if broken else value), gradient

    where = "a training loss of nan in the second batch of epoch 1, counted from 0"
    _refused(fit, network, loss, examples(40, 20), 3, where, 1)
    _check_kept(network, 0, f"{where}, FloatingPointError raised")


def _refused(fit, network, loss, data, epochs, where, epoch):
    try:
        train(fit, network, loss, data, epochs)
    except FloatingPointError as error:
        named = {int(digits) for digits in re.findall(r"\b\d+\b", str(error))}
        require(
            named & {epoch, epoch + 1},
            f"{where}: the message of the error should name the epoch, yours is {str(error)!r}",
        )
        return
    except (ValueError, ArithmeticError, RuntimeError) as error:
        found = f"fit raised {type(error).__name__}"
    else:
        found = "it did not"
    raise CheckFailed(f"{where}: fit should raise FloatingPointError, and {found}")
