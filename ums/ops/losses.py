r"""Losses, each one function: ``value, gradient = loss(prediction, target)``.

``value`` is a scalar array (still on its device: reading it makes a GPU wait) and ``gradient`` has
the shape of ``prediction``. Losses of probabilities take logits z and apply the sigmoid or softmax
themselves, so that z = +-1000 stays finite. Prediction y and target t are (N, ...), of one shape
and not empty (else a ValueError) and of one dtype, float32 or float64 (else a TypeError); labels
are integers (N,). Equations as in section 3.2.3 of the UMS-Rep paper.

Targets outside 0..1, and labels outside 0..K-1, would be learned from without complaint: the loss
falls for ever. They are a ValueError on the CPU. On a GPU, which an error would make wait in every
step, they make the value not a number. "Not a number" in a target means "not known" to
:func:`known_mse` and :func:`known_bce` alone.

``@fused`` fills in xp, the array module (NumPy or CuPy); on NumPy it changes nothing else.
"""

from collections.abc import Callable
from types import ModuleType

import numpy as np

from ums.backend import Array, array_module, fused
from ums.ops.activations import sigmoid, sigmoid_forward, softmax_forward
from ums.ops.arguments import check_floats


def mse(prediction: Array, target: Array) -> tuple[Array, Array]:
    """Mean squared error over all elements; dL/dy = 2 (y - t) / size."""
    _check_pair(prediction, target)
    squares, gradient = _mse(prediction, target, 2 / prediction.size)
    return squares.mean(), gradient


@fused
def _mse(xp: ModuleType, y: Array, target: Array, scale: float) -> tuple[Array, Array]:
    difference = y - target
    return difference * difference, difference * scale


def bce(logits: Array, target: Array) -> tuple[Array, Array]:
    """Binary cross-entropy, equation (2): -mean[t log y + (1 - t) log(1 - y)], y = sigmoid(z).

    Computed as ``max(z, 0) - z t + log(1 + exp(-|z|))``, which is the same and never overflows;
    dL/dz = (y - t) / size.
    """
    _check_probabilities(logits, target)
    values, gradient = _bce(logits, target, logits.size)
    return _if_probabilities(target, values.mean()), gradient


@fused
def _bce(xp: ModuleType, z: Array, target: Array, size: int) -> tuple[Array, Array]:
    y = sigmoid(xp, z)
    values = xp.maximum(z, 0) - z * target + xp.log1p(xp.exp(-xp.abs(z)))
    return values, (y - target) / size


def dice(logits: Array, target: Array, eps: float = 1.0) -> tuple[Array, Array]:
    """Dice loss, equation (3): 1 - (2 sum(t y) + eps) / (sum t + sum y + eps), y = sigmoid(z).

    The paper sums over a mini-batch; here each image has its own Dice loss, as it has its own
    score, and the result is the mean over the N images. ``eps`` (in pixels) decides what an empty
    mask scores: with S predicted pixels the loss is S / (S + eps), so an empty prediction has
    loss 0, as it scores 1 in :mod:`ums.metrics.segmentation`.

    With I = 2 sum(t y) + eps and U = sum t + sum y + eps, one image's loss has the gradient
    dL/dy = (I - 2 t U) / U^2, and their mean dL/dz = dL/dy y (1 - y) / N.
    """
    _check_probabilities(logits, target)
    if logits.ndim == 0:
        raise ValueError("logits must be (N, ...), of one image or more, got shape ()")
    N = len(logits)
    axes = tuple(range(1, logits.ndim))
    y, _ = sigmoid_forward(logits)
    # float64, since float32 sums drift where the memory is not in the order of the axes
    both, t_sum, y_sum = (
        a.sum(axis=axes, keepdims=True, dtype=np.float64) for a in (target * y, target, y)
    )
    I, U = 2 * both + eps, t_sum + y_sum + eps
    value = _if_probabilities(target, (1 - I / U).mean().astype(y.dtype))
    I, U = I.astype(y.dtype), U.astype(y.dtype)
    return value, _dice_gradient(y, target, I, U, N)


@fused
def _dice_gradient(xp: ModuleType, y: Array, target: Array, I: Array, U: Array, N: int) -> Array:
    dy = (I - 2 * target * U) / (U * U)
    return dy * y * (1 - y) / N


def bce_dice(
    logits: Array, target: Array, weight: float = 0.5, eps: float = 1.0
) -> tuple[Array, Array]:
    """Equation (1): weight BCE + (1 - weight) Dice; the paper's weight is unknown, 1/2 is ours."""
    bce_value, d_bce = bce(logits, target)
    dice_value, d_dice = dice(logits, target, eps)
    value = weight * bce_value + (1 - weight) * dice_value
    return value, weight * d_bce + (1 - weight) * d_dice


def known_mse(prediction: Array, target: Array) -> tuple[Array, Array]:
    """:func:`mse` over the known elements of the target; without any, it and its gradient are 0."""
    return _of_known(mse, prediction, target, 0)


def known_bce(logits: Array, target: Array) -> tuple[Array, Array]:
    """:func:`bce` over the known elements, for several labels of 0 and 1: logits (N, K)."""
    return _of_known(bce, logits, target, -1000)  # of logit -1000 and target 0 the loss is 0


def _of_known(loss: Callable, y: Array, target: Array, right: float) -> tuple[Array, Array]:
    """``loss``, with predictions that are right wherever the target is not a number."""
    _check_pair(y, target)
    xp = array_module(target)
    known = target == target  # "not a number" is not even equal to itself
    value, gradient = loss(xp.where(known, y, right), xp.where(known, target, 0))
    scale = (target.size / xp.maximum(known.sum(), 1)).astype(y.dtype)
    return value * scale, gradient * scale


def softmax_dice(
    logits: Array, classes: Array, weight: float = 0.5, eps: float = 1.0
) -> tuple[Array, Array]:
    """Equation (1) for masks of K classes: weight CE + (1 - weight) Dice, with y = softmax(z).

    CE is :func:`categorical_cross_entropy` over all pixels; Dice, as in :func:`dice`, is the mean over
    images and classes, the background included, and dL/dz_k = y_k (dL/dy_k - sum_j y_j dL/dy_j).
    Logits are (N, H, W, K), classes 0..K-1 integers or whole floats (N, H, W) or (N, H, W, 1).
    """
    shape = logits.shape[:-1]
    if logits.ndim < 3 or classes.shape not in (shape, (*shape, 1)):
        found = f"{logits.shape} and {classes.shape}"
        raise ValueError(f"logits must be (N, H, W, K) and masks (N, H, W), got {found}")
    N, K = len(logits), logits.shape[-1]
    whole = classes.reshape(-1).astype(np.int64)
    ce, d_ce = categorical_cross_entropy(logits.reshape(-1, K), whole)
    y = softmax_forward(logits)[0].reshape(N, -1, K)
    t = (whole[:, None] == array_module(y).arange(K)).reshape(y.shape).astype(y.dtype)
    both, t_sum, y_sum = (a.sum(axis=1, keepdims=True, dtype=np.float64) for a in (t * y, t, y))
    I, U = 2 * both + eps, t_sum + y_sum + eps  # (N, 1, K)
    value = weight * ce + (1 - weight) * (1 - I / U).mean().astype(y.dtype)
    dy = ((I - 2 * t * U) / (U * U * (N * K))).astype(y.dtype)
    dz = y * (dy - (y * dy).sum(axis=2, keepdims=True))
    return value, (weight * d_ce.reshape(dz.shape) + (1 - weight) * dz).reshape(logits.shape)


def categorical_cross_entropy(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Mean of -log softmax(z)[label] for logits (N, K) and integer labels (N,); chance is log K.

    dL/dz = (softmax(z) - onehot(label)) / N.

    Raises:
        ValueError: The shapes do not fit, or on the CPU a label is not in 0..K-1.
        TypeError: The labels are not integers, or the logits not float32 or float64.
    """
    check_floats(logits=logits)
    if not hasattr(labels, "dtype"):
        raise TypeError(f"labels must be an array of integers, got {type(labels).__name__}")
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or logits.size == 0:
        raise ValueError(
            f"logits must be (N, K) and labels (N,), got {logits.shape} and {labels.shape}"
        )
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, got {labels.dtype}")
    xp = array_module(logits)
    N, K = logits.shape
    if xp is np and not 0 <= labels.min() <= labels.max() < K:
        found = f"{labels.min()} to {labels.max()}"
        raise ValueError(f"labels must be classes in 0..{K - 1}, got {found}")
    onehot = xp.arange(K)[None, :] == labels[:, None]  # (N, K)
    shifted = logits - logits.max(axis=1, keepdims=True)
    e = xp.exp(shifted)
    total = e.sum(axis=1, keepdims=True)
    y = e / total
    picked = xp.where(onehot.any(axis=1), (shifted * onehot).sum(axis=1), float("nan"))
    return (xp.log(total[:, 0]) - picked).mean(), (y - onehot) / N


def _check_pair(y: Array, target: Array) -> None:
    for name, array in (("prediction", y), ("target", target)):
        if not hasattr(array, "dtype"):
            raise TypeError(f"{name} must be an array, got {type(array).__name__}")
    if y.shape != target.shape:
        raise ValueError(f"prediction and target must agree, got {y.shape} and {target.shape}")
    if y.size == 0:
        raise ValueError(f"prediction and target are empty, of shape {y.shape}")
    check_floats(prediction=y, target=target)


def _check_probabilities(y: Array, target: Array) -> None:
    """As :func:`_check_pair`, and on the CPU that targets are in 0..1."""
    _check_pair(y, target)
    if array_module(target) is not np:
        return
    low, high = target.min(), target.max()
    if not (0 <= low and high <= 1):  # nor is "not a number" in 0..1
        raise ValueError(f"targets must be in 0..1, as masks of 0 and 1 are, got {low} to {high}")


def _if_probabilities(target: Array, value: Array) -> Array:
    """The value, or on a GPU "not a number" if a target is not in 0..1."""
    xp = array_module(target)
    if xp is np:  # checked before
        return value
    return xp.where(((target >= 0) & (target <= 1)).all(), value, float("nan"))
