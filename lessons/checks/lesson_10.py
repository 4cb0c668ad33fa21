"""Checks of lesson 10: the minimum of a weighted sum, and learned weights where the best are known."""

import numpy as np

from lessons.checking import as_array, check, require


def _readings():
    """(3, 12) of three devices with means and deviations far apart."""
    rng = np.random.default_rng(0)
    return np.array([[3.0], [5.0], [4.0]]) + np.array([[0.3], [1.5], [0.8]]) * rng.normal(
        size=(3, 12)
    )


def _losses(theta, y):
    return ((theta - y) ** 2).mean(axis=1)


@check
def joint_minimum(joint_minimum):
    """no theta near it has a lower weighted loss, for any weights and number of devices."""
    y, w = np.array([[0.0, 2.0], [4.0, 6.0]]), np.array([3.0, 1.0])
    answer = _theta(joint_minimum, y, w)
    require(
        abs(answer - 2) < 1e-9,
        f"devices with the means 1 and 5 and the weights 3 and 1: theta should be 2, yours is {answer:.4g}. "
        "What is the derivative of each loss, and what pulls how hard?",
    )
    y = _readings()
    for w in (np.ones(3), np.array([0.2, 5.0, 1.0]), np.array([40.0, 0.01, 3.0])):
        theta = _theta(joint_minimum, y, w)
        slope = (w * 2 * (theta - y).mean(axis=1)).sum()
        require(
            abs(slope) < 1e-8 * w.sum(),
            f"three devices with the weights {w}: at your theta, {theta:.4f}, the weighted loss still has "
            f"the slope {slope:.3g}",
        )


def _theta(joint_minimum, y, w):
    given = y.copy(), w.copy()
    answer = joint_minimum(*given)
    one = getattr(answer, "ndim", not isinstance(answer, float | int)) == 0
    require(one, f"it should be one number, got {answer!r}")
    for name, array, kept in zip("yw", given, (y, w), strict=True):
        require((array == kept).all(), f"{name} has been changed: the caller still needs it")
    return float(answer)


@check
def uncertainty_gradient(uncertainty_gradient):
    """it agrees with central differences, and is 0 where it should be."""
    s, losses = np.array([0.3, -1.2, 2.0]), np.array([0.5, 2.0, 9.0])
    kept = s.copy(), losses.copy()
    answer = as_array(uncertainty_gradient(s, losses), "the gradient", (3,), float)
    require((s == kept[0]).all(), "s was changed: return the gradient only")
    require((losses == kept[1]).all(), "the losses were changed: the caller still needs them")
    at_zero = as_array(uncertainty_gradient(np.zeros(1), np.array([3.0])), "the gradient", (1,))[0]
    require(
        at_zero < 0,
        "at s = 0 with a loss of 3, a larger s makes L smaller: the gradient is negative, yours is "
        f"{at_zero:.4g}",
    )
    require(
        abs(at_zero + 2) < 1e-9,
        f"at s = 0 with a loss of 3 the two terms have the slopes -3 and 1; yours is {at_zero:.4g} in all",
    )
    for i in range(3):
        step = np.eye(3)[i] * 1e-5
        slope = (_total(s + step, losses) - _total(s - step, losses)) / 2e-5
        require(
            abs(answer[i] - slope) < 1e-6,
            f"s = {s[i]}, loss {losses[i]}: by central differences the slope is {slope:.5f}, yours is "
            f"{answer[i]:.5f}. What is the derivative of the exponential function of -s?",
        )


def _total(s, losses):
    return (np.exp(-s) * losses + s).sum()


@check
def learn_weights(learn_weights):
    """steady losses lead to w = 1 / L, and theta and weights end at the optimum of both."""
    steady = 7.0 + np.array(
        [[2.0, -2.0] * 6, [0.5, -0.5] * 6]
    )  # both means are 7: losses 4 and 1/4
    kept = steady.copy()
    _, weights = _answer(learn_weights(steady, 2, 0.1), 2, 2)
    require((steady == kept).all(), "the readings y have been changed: the caller still needs them")
    require(
        np.allclose(weights[0], 1),
        f"the first step uses the weights that belong to s = 0, which are 1; yours are {weights[0]}",
    )
    right = np.exp([-0.3, 0.075])
    require(
        np.allclose(weights[1], right, rtol=1e-6),
        f"losses of 4 and 1/4, rate 0.1: the second step's weights should be {right.round(4)}, yours are "
        f"{weights[1].round(4)}. Which way, and how far, does s move?",
    )
    theta, weights = _answer(learn_weights(steady, 400, 0.1), 400, 2)
    require(
        np.allclose(weights[-1], [0.25, 4], rtol=1e-3),
        "two steady losses, 4 and 1/4: the weights should end at 1/4 and 4, yours end at "
        f"{weights[-1].round(4)}",
    )
    require(abs(theta - 7) < 1e-9, f"both devices have the mean 7, your theta is {theta:.4f}")
    y = _readings()
    theta, weights = _answer(learn_weights(y, 600, 0.1), 600, 3)
    _check_third_step(weights, y)
    best, known = _optimum(y)
    require(
        abs(theta - best) < 1e-4,
        f"three devices: theta should end at {best:.4f}, yours is {theta:.4f} (equal weights would give "
        f"{y.mean():.4f}). Is it found again with every step's weights?",
    )
    require(
        np.allclose(weights[-1], known, rtol=1e-3),
        f"three devices: the weights should end at {known.round(3)}, yours end at {weights[-1].round(3)}. At "
        "which theta are the losses taken?",
    )


def _check_third_step(weights, y):
    """The third step's weights show at which theta the second step's losses were taken."""
    s = np.zeros(3)
    for _ in range(2):
        w = np.exp(-s)
        theta = (w * y.mean(axis=1)).sum() / w.sum()
        s = s - 0.1 * (1 - w * ((y - theta) ** 2).mean(axis=1))
    require(
        np.allclose(weights[2], np.exp(-s), rtol=1e-9),
        f"three devices: the third step's weights should be {np.exp(-s).round(4)}, yours are "
        f"{weights[2].round(4)}. Are the losses those at the step's own theta?",
    )


def _answer(answer, steps, K):
    pair = isinstance(answer, tuple | list) and len(answer) == 2
    require(pair, f"theta and the weights should be returned, got {type(answer).__name__}")
    theta, weights = answer
    require(np.ndim(theta) == 0, f"theta should be one number, got the shape {np.shape(theta)}")
    return theta, as_array(weights, "weights", (steps, K), float)


def _optimum(y):
    """Theta and w that fit each other, by going back and forth between them: no gradient."""
    w = np.ones(len(y))
    for _ in range(500):
        theta = np.average(y.mean(axis=1), weights=w)
        w = 1 / _losses(theta, y)
    return theta, w


@check
def gradnorm_gradient(gradnorm_gradient):
    """lengths too long are shortened, lagging tasks get more, and steady lengths end up alike."""

    def of(w, G, losses, first, alpha):
        arrays = [np.array(a, float) for a in (w, G, losses, first)]
        kept = [array.copy() for array in arrays]
        answer = as_array(gradnorm_gradient(*arrays, alpha), "the gradient", (len(w),), float)
        for name, array, old in zip(("w", "G", "losses", "first"), arrays, kept, strict=True):
            require((array == old).all(), f"{name} has been changed: the caller still needs it")
        return answer

    alike = of([1, 1], [2, 2], [3, 5], [3, 5], 1.5)
    require(
        np.allclose(alike, 0),
        f"equal lengths, and no task has come farther than the other: the gradient is 0, yours is {alike}",
    )
    got = of([1, 1], [3, 1], [1, 1], [1, 1], 0)
    require(
        got[0] > 0 > got[1],
        "lengths 3 and 1, alpha 0: descending the gradient should make the first weight smaller and the "
        f"second larger; yours is {got}",
    )
    got = of([4, 0.5], [3, 1], [1, 1], [1, 1], 0)
    require(
        np.allclose(got, [0.75, -2]),
        "lengths 3 and 1 with the weights 4 and 0.5: how much does a length grow if its weight grows by "
        f"1? The gradient should be 0.75 and -2, yours is {got}",
    )
    _check_lagging(of)
    w = np.ones(2)
    for _ in range(4000):
        w = np.maximum(w - 1e-3 * of(w, w * [4, 1], [1, 1], [1, 1], 0), 1e-3)
        w *= 2 / w.sum()
    require(
        np.allclose(w, [0.4, 1.6], atol=0.02),
        "gradients of steady lengths, 4 and 1 at weight 1: the weights should end near 0.4 and 1.6, which "
        f"makes both alike; they end at {w.round(3)}",
    )


def _check_lagging(of):
    got = of([1, 1], [1, 1], [8, 1], [10, 4], 1)  # 0.8 and 0.25 are left
    require(
        got[0] < 0 < got[1],
        "equal lengths, alpha 1: the task with 0.8 of its first loss left lags behind that with 0.25, and "
        f"should get more weight. Yours is {got}",
    )
    for G, alpha, signs in (((2, 1), 0.5, (1, -1)), ((2, 1), 3, (-1, 1)), ((2, 0.05), 3, (-1, -1))):
        got = of([1, 1], G, [8, 1], [10, 4], alpha)
        right = np.array(signs) * G
        require(
            np.allclose(got, right),
            f"lengths {G}, losses 8 and 1 of first 10 and 4, alpha {alpha}: the gradient should be {right}, "
            f"yours is {got}. Compute r and G* by hand for this case.",
        )
