"""Every op and loss with small random inputs, and bugs a student makes, planted in their gradients.

A bug is a snippet of the op's source and what a slip of the pen would make of it. :func:`mutant`
runs the changed source as a module of its own; a gradient check worth its name rejects it. All bugs
sit in a backward pass: a forward pass that is wrong and whose gradient follows is another function,
differentiated correctly, and no gradient check can see it.
"""

import importlib
import inspect
from collections.abc import Callable
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import numpy as np

from ums import ops
from ums.backend import array_module
from ums.gradcheck import check_gradients, check_loss
from ums.ops import conv, upsample
from ums.ops.fast import winograd

# ------------------------------------------------------------------------------ ops and losses


FUNCTIONS = SimpleNamespace(**(vars(winograd) | vars(conv) | vars(upsample) | vars(ops)))
"""Every function of the ops in one place, the plain forms too."""


class Op(NamedTuple):
    """An op: its module in ``ums.ops``, the shapes of its inputs, and its two functions."""

    module: str
    shapes: dict[str, tuple[int, ...]]
    functions: Callable[[ModuleType], tuple[Callable, Callable]]

    def inputs(self, rng, dtype=np.float64) -> dict[str, np.ndarray]:
        """Random values for every input, parameters too."""
        return {k: rng.normal(size=shape).astype(dtype) for k, shape in self.shapes.items()}


class Loss(NamedTuple):
    """A loss: the shape of its prediction, and a function that draws targets."""

    shape: tuple[int, ...]
    target: Callable[[np.random.Generator], np.ndarray]
    function: Callable[[ModuleType], Callable]

    def inputs(self, rng, dtype=np.float64) -> tuple[np.ndarray, np.ndarray]:
        target = self.target(rng)
        keep = target.dtype.kind == "i"
        return rng.normal(size=self.shape).astype(dtype), target if keep else target.astype(dtype)


def _named(name):
    return lambda module: (getattr(module, f"{name}_forward"), getattr(module, f"{name}_backward"))


def _in_tiles(name, **settings):
    def functions(module):
        parts = (getattr(module, f"{name}_grad_{of}") for of in ("input", "weights"))
        grad_input, grad_weights = parts

        def backward(dy, cache):
            return grad_input(dy, cache), *grad_weights(dy, cache)

        return partial(getattr(module, f"{name}_forward"), **settings), backward

    return functions


def _conv2d_plain(stride, dilation):
    def functions(m):
        forward = partial(m.conv2d_forward_plain, stride=stride, dilation=dilation)
        return forward, m.conv2d_backward_plain

    return functions


def _winograd(m):
    def forward(x, w, b):
        return m.convolve(x, w, b), (x, w)

    def backward(dy, cache):
        x, w = cache
        turned = w[::-1, ::-1].swapaxes(2, 3)
        return m.convolve(dy, turned, None), *m.grad_weights(x, dy)

    return forward, backward


def _upsample_conv2d_plain(m):
    return m.upsample_conv2d_forward_plain, m.upsample_conv2d_backward_plain


def _batchnorm(training):
    def functions(module):
        def forward(x, gamma, beta):
            xp, C = array_module(x), x.shape[-1]
            mean = xp.asarray(np.linspace(-0.5, 0.5, C), dtype=x.dtype)
            var = xp.asarray(np.linspace(0.5, 2.0, C), dtype=x.dtype)
            return module.batchnorm_forward(x, gamma, beta, mean, var, training)

        return forward, module.batchnorm_backward

    return functions


def _dropout(module):
    def forward(x):
        return module.dropout_forward(x, 0.4, np.random.default_rng(7), True)

    return forward, module.dropout_backward


def _masks(shape):
    return lambda rng: (rng.random(shape) < 0.4).astype(float)


def _some(draw):
    """Targets of which the second row, and one in the first, are not known."""

    def target(rng):
        drawn = draw(rng)
        drawn[0, 2] = drawn[1] = np.nan
        return drawn

    return target


CONV = {"x": (3, 7, 6, 3), "w": (3, 3, 3, 3), "b": (3,)}
NORM = {"x": (2, 3, 5, 4), "gamma": (4,), "beta": (4,)}

OPS = {
    "conv2d": Op("fast.conv", CONV, _in_tiles("conv2d")),
    "conv2d, dilated": Op("fast.conv", CONV, _in_tiles("conv2d", dilation=2)),
    "conv2d, strided": Op("fast.conv", CONV, _in_tiles("conv2d", stride=2, dilation=2)),
    "conv2d, same": Op(
        "fast.conv", CONV | {"x": (3, 6, 8, 3)}, _in_tiles("conv2d", stride=2, padding="same")
    ),
    "conv2d, plain": Op("conv", CONV, _conv2d_plain(2, 2)),
    "conv2d, winograd": Op("fast.winograd", CONV | {"x": (3, 8, 4, 3)}, _winograd),
    "upsample2d": Op("upsample", {"x": (2, 3, 5, 3)}, _named("upsample2d")),
    "upsample_conv2d": Op("fast.upsample", CONV, _in_tiles("upsample_conv2d")),
    "upsample_conv2d, plain": Op("upsample", CONV, _upsample_conv2d_plain),
    "batchnorm, training": Op("fast.norm", NORM, _batchnorm(True)),
    "batchnorm, inference": Op("fast.norm", NORM, _batchnorm(False)),
    "global_average_pool": Op("pooling", {"x": (3, 5, 4, 2)}, _named("global_average_pool")),
    "dense": Op("dense", {"x": (5, 4), "w": (4, 4), "b": (4,)}, _named("dense")),
    "dropout": Op("dropout", {"x": (4, 3, 5, 2)}, _dropout),
    "relu": Op("fast.activations", {"x": (3, 5, 4, 2)}, _named("relu")),
    "sigmoid": Op("activations", {"x": (3, 5, 4, 2)}, _named("sigmoid")),
    "softmax": Op("activations", {"x": (5, 4)}, _named("softmax")),
}

IMAGE = (3, 5, 4, 2)

LOSSES = {
    "mse": Loss(IMAGE, lambda rng: rng.normal(size=IMAGE), lambda m: m.mse),
    "bce": Loss(IMAGE, _masks(IMAGE), lambda m: m.bce),
    "dice": Loss(IMAGE, _masks(IMAGE), lambda m: m.dice),
    "bce_dice": Loss(IMAGE, _masks(IMAGE), lambda m: partial(m.bce_dice, weight=0.3, eps=0.5)),
    "categorical_cross_entropy": Loss(
        (6, 4), lambda rng: rng.integers(0, 4, 6), lambda m: m.categorical_cross_entropy
    ),
    "known_mse": Loss((5, 4), _some(lambda rng: rng.normal(size=(5, 4))), lambda m: m.known_mse),
    "known_bce": Loss((5, 4), _some(_masks((5, 4))), lambda m: m.known_bce),
    "softmax_dice": Loss(
        (3, 4, 5, 3),
        lambda rng: rng.integers(0, 3, (3, 4, 5)),
        lambda m: partial(m.softmax_dice, weight=0.3, eps=0.5),
    ),
}


def check_op(name: str, module: ModuleType | SimpleNamespace, seed: int = 0) -> dict[str, float]:
    """The gradient check of an op or loss, with the functions of ``module``."""
    rng = np.random.default_rng(seed)
    if name in OPS:
        forward, backward = OPS[name].functions(module)
        return check_gradients(forward, backward, OPS[name].inputs(rng), rng=rng)
    prediction, target = LOSSES[name].inputs(rng)
    loss = LOSSES[name].function(module)
    return {"prediction": check_loss(loss, prediction, target, rng=rng)}


def module_of(name: str) -> str:
    """The module that holds an op or loss."""
    return f"ums.ops.{OPS[name].module if name in OPS else 'losses'}"


def mutant(module: str, snippet: str, replacement: str) -> ModuleType:
    """The module with one snippet of its source replaced. It must be there exactly once."""
    source = inspect.getsource(importlib.import_module(module))
    if source.count(snippet) != 1:
        found = source.count(snippet)
        raise LookupError(f"{module} holds this snippet {found} times instead of once: {snippet!r}")
    changed = ModuleType(f"{module}_with_a_bug")
    exec(compile(source.replace(snippet, replacement), changed.__name__, "exec"), changed.__dict__)
    return changed


# ------------------------------------------------------------------- bugs: (name, source, slip)

TURNED = "xp.ascontiguousarray(w[::-1, ::-1].swapaxes(2, 3))"
CONV_BIAS = "channel_sums(out)"
LAST_TILE = "work_list[start:stop]", "work_list[start:stop][-1:]"
CONV_COLUMNS = "_columns(x[images], slice(top, bottom), w.shape[0], stride, dilation, padding)"
CONV_SPREAD = "_add_windows(places, dA, stride, dilation)"
CONV_PLACES = "x_pad[:, p - above + top * stride :, p - left :]"
ADD_WINDOW = "v : v + together] += dA"
ADD_PLACE = "dx_pad[:, rows, columns] += dA"
WINOGRAD_BIAS = "column_sums(out.reshape(-1, O))"
CUT_TILE = "dx[images] = x_pad[:, p : p + H, p : p + W]"
UPSAMPLED = "dy.reshape(N, H, 2, W, 2, C).sum(axis=(2, 4))"
UPSAMPLE_ADD = "x_pad[:, top + s : bottom + s, t : t + W + 1] += dA"
INFERENCE = "if not training:\n        return _affine"
NORM_WEIGHTS = "return dgamma * rstd, dbeta"
RELU = "dy_flat[top:bottom], y_flat[top:bottom] > 0"
DENSE_BIAS = "column_sums(dy)"
SOFTMAX = "y * (dy - (dy * y).sum(axis=-1, keepdims=True))"
DICE = "dy * y * (1 - y) / N"
BCE_DICE = "weight * d_bce + (1 - weight) * d_dice"

BUGS = {
    "conv2d": [
        ("kernel not turned", TURNED, "xp.ascontiguousarray(w.swapaxes(2, 3))"),
        ("kernel turned upside down only", TURNED, "xp.ascontiguousarray(w[::-1].swapaxes(2, 3))"),
        ("channel axes not exchanged", TURNED, "xp.ascontiguousarray(w[::-1, ::-1])"),
        ("mean instead of sum for the bias", CONV_BIAS, CONV_BIAS + " / len(A)"),
        ("gradients of the last tile only", *LAST_TILE),
    ],
    "conv2d, dilated": [
        ("dilation forgotten for dx", "(dy, turned, None, 1, dilation)",
         "(dy, turned, None, 1, 1)"),
        ("dilation forgotten for dw", CONV_COLUMNS, CONV_COLUMNS.replace("dilation", "1")),
        ("kernel not turned", TURNED, "xp.ascontiguousarray(w.swapaxes(2, 3))"),
    ],
    "conv2d, strided": [
        ("stride forgotten", CONV_SPREAD, CONV_SPREAD.replace("dA, stride", "dA, 1")),
        ("stride forgotten between tiles", CONV_PLACES, CONV_PLACES.replace("top * stride", "top")),
        ("dilation forgotten for dx", CONV_SPREAD, CONV_SPREAD.replace("dilation", "1")),
        ("dilation forgotten for dw", CONV_COLUMNS, CONV_COLUMNS.replace("dilation", "1")),
        ("overlaps overwritten", ADD_WINDOW, ADD_WINDOW.replace("+=", "=")),
        ("padding not cut off", CUT_TILE, "dx[images] = x_pad[:, :H, :W]"),
        ("reshaped instead of transposed", "w.reshape(-1, O).T", "w.reshape(O, -1)"),
    ],
    "conv2d, same": [
        ("rows begin where symmetric ones do", CONV_PLACES, CONV_PLACES.replace("p - above + ", "")),
        ("columns begin where symmetric ones do", CONV_PLACES, CONV_PLACES.replace("p - left", "")),
        ("padding forgotten for dw", CONV_COLUMNS, CONV_COLUMNS.replace("padding", "'symmetric'")),
    ],
    "conv2d, plain": [
        ("reshaped instead of transposed", "w.reshape(K * K * C, O).T", "w.reshape(O, K * K * C)"),
        ("dw left transposed", "(A.T @ dy).reshape", "(dy.T @ A).reshape"),
        ("mean instead of sum for the bias", "w.shape), dy.sum(axis=0)", "w.shape), dy.mean(axis=0)"),
        ("overlaps overwritten", ADD_PLACE, ADD_PLACE.replace("+=", "=")),
        ("padding not cut off", "return dx_pad[:, top : top + H, left : left + W]",
         "return dx_pad[:, :H, :W]"),
        ("stride forgotten", "C), x.shape, stride, dilation", "C), x.shape, 1, dilation"),
    ],
    "conv2d, winograd": [
        ("output's transformation not transposed", "xp.asarray(AT2, x.dtype).T, out",
         "xp.asarray(BT2, x.dtype)[:, :16], out"),
        ("kernel's transformation forgotten", "xp.asarray(G2, dU.dtype).T @ dU",
         "xp.asarray(abs(G2), dU.dtype).T @ dU"),
        ("mean instead of sum for the bias", WINOGRAD_BIAS, WINOGRAD_BIAS + " / len(out)"),
    ],
    "upsample2d": [
        ("mean instead of sum", UPSAMPLED, UPSAMPLED.replace("sum", "mean")),
        ("one of four pixels", UPSAMPLED, "dy[:, ::2, ::2]"),
        ("wrong axes", UPSAMPLED, "dy.reshape(N, 2, H, 2, W, C).sum(axis=(1, 3))"),
    ],
    "upsample_conv2d": [
        ("overlaps overwritten", UPSAMPLE_ADD, UPSAMPLE_ADD.replace("+=", "=")),
        ("padding cut off at one end", "x_pad[:, 1:-1, 1:-1]", "x_pad[:, :-2, :-2]"),
        ("rows and columns of dw exchanged", "    return dw\n", "    return dw.swapaxes(0, 1)\n"),
        ("phases exchanged when unfolding", "w1[...] = v00 + v11", "w1[...] = v01 + v10"),
        ("bias from one phase only", "db.reshape(4, O).sum(axis=0)", "db.reshape(4, O)[0]"),
        ("gradients of the last tile only", *LAST_TILE),
    ],
    "upsample_conv2d, plain": [
        ("upsampling forgotten", "return upsample2d_backward(d_large, up_cache), dw, db",
         "return d_large[:, ::2, ::2], dw, db"),
        ("mean instead of sum", UPSAMPLED, UPSAMPLED.replace("sum", "mean")),
        ("bias gradient forgotten", "up_cache), dw, db", "up_cache), dw, 0 * db"),
    ],
    "batchnorm, training": [
        ("mean taken as constant", "-a * dbeta / M - b * mean", "-b * mean"),
        ("variance taken as constant", "b = -a * rstd * dgamma / M", "b = 0 * a"),
        ("sign of the variance's term", "b = -a * rstd * dgamma / M", "b = a * rstd * dgamma / M"),
        ("x not centred", "-a * dbeta / M - b * mean", "-a * dbeta / M"),
        ("formula of inference in training", INFERENCE, INFERENCE.replace("not training", "True")),
        ("gamma forgotten", "    a = gamma * rstd", "    a = rstd"),
        ("division by the deviation forgotten", "    a = gamma * rstd", "    a = gamma"),
        ("all zeros", "    a = gamma * rstd", "    a = 0 * gamma"),
        ("sum instead of mean", "gamma, *sums, M)", "gamma, *sums, 1)"),
        ("dgamma without xhat", NORM_WEIGHTS, "return dbeta, dbeta"),
        ("dgamma not divided by the deviation", NORM_WEIGHTS, "return dgamma, dbeta"),
        ("dbeta averaged", NORM_WEIGHTS, "return dgamma * rstd, dbeta / W"),
    ],
    "batchnorm, inference": [
        ("formula of training at inference", INFERENCE, INFERENCE.replace("not training", "False")),
        ("gamma forgotten", "(dy, gamma * rstd)", "(dy, rstd)"),
        ("multiplied by the deviation", "(dy, gamma * rstd)", "(dy, gamma / rstd)"),
    ],
    "global_average_pool": [
        ("not divided", "(dy / (H * W))", "dy"),
        ("divided by the height only", "(dy / (H * W))", "(dy / H)"),
        ("divided by the batch too", "(dy / (H * W))", "(dy / (N * H * W))"),
    ],
    "dense": [
        ("weights not transposed", "(dy, w.T)", "(dy, w)"),
        ("dw left transposed", "transposed_product(x, dy)", "transposed_product(dy, x)"),
        ("mean instead of sum for the bias", DENSE_BIAS, "dy.mean(axis=0)"),
        ("wrong axis for the bias", DENSE_BIAS, "dy[:4].sum(axis=1)"),
    ],
    "dropout": [
        ("mask forgotten", "else dy * scale", "else dy"),
        ("scale forgotten", "else dy * scale", "else dy * (scale > 0)"),
        ("mask turned round", "else dy * scale", "else dy * (scale == 0)"),
    ],
    "relu": [
        ("mask of dy instead of y", RELU, "dy_flat[top:bottom], dy_flat[top:bottom] > 0"),
        ("mask forgotten", RELU, "dy_flat[top:bottom], 1"),
        ("y instead of its mask", RELU, "dy_flat[top:bottom], y_flat[top:bottom]"),
    ],
    "sigmoid": [
        ("factor y forgotten", "dy * y * (1 - y)", "dy * (1 - y)"),
        ("factor 1 - y forgotten", "dy * y * (1 - y)", "dy * y"),
        ("derivative of tanh", "dy * y * (1 - y)", "dy * (1 - y * y)"),
    ],
    "softmax": [
        ("diagonal of the Jacobian only", SOFTMAX, "dy * y * (1 - y)"),
        ("sum over the batch", SOFTMAX, SOFTMAX.replace("axis=-1", "axis=0")),
        ("sum without y", SOFTMAX, SOFTMAX.replace("(dy * y).sum", "dy.sum")),
        ("factor y forgotten", SOFTMAX, SOFTMAX.removeprefix("y * ")),
    ],
    "mse": [
        ("factor 2 forgotten", "2 / prediction.size", "1 / prediction.size"),
        ("mean forgotten", "2 / prediction.size", "2"),
        ("mean over the batch only", "2 / prediction.size", "2 / len(prediction)"),
        ("wrong sign", "2 / prediction.size", "-2 / prediction.size"),
    ],
    "bce": [
        ("mean forgotten", "(y - target) / size", "y - target"),
        ("mean over the batch only", "target, logits.size", "target, len(logits)"),
        ("wrong sign", "(y - target) / size", "(target - y) / size"),
        ("sigmoid's derivative twice", "(y - target) / size", "(y - target) * y * (1 - y) / size"),
    ],
    "dice": [
        ("product rule's second term forgotten", "(I - 2 * target * U) / (U * U)",
         "-2 * target / U"),
        ("denominator not squared", "/ (U * U)", "/ U"),
        ("sigmoid forgotten", DICE, "dy / N"),
        ("mean forgotten", DICE, "dy * y * (1 - y)"),
        ("factor 2 forgotten", "I - 2 * target * U", "I - target * U"),
    ],
    "bce_dice": [
        ("weights forgotten", BCE_DICE, "d_bce + d_dice"),
        ("weights exchanged", BCE_DICE, "(1 - weight) * d_bce + weight * d_dice"),
        ("one weight for both", BCE_DICE, "weight * (d_bce + d_dice)"),
        ("cross-entropy alone", BCE_DICE, "weight * d_bce"),
    ],
    "categorical_cross_entropy": [
        ("mean forgotten", "(y - onehot) / N", "y - onehot"),
        ("mean over classes too", "(y - onehot) / N", "(y - onehot) / (N * K)"),
        ("wrong sign", "(y - onehot) / N", "(onehot * 1 - y) / N"),
        ("labels forgotten", "(y - onehot) / N", "y / N"),
    ],
    "known_mse": [
        ("mean over all elements", "gradient * scale", "gradient"),
        ("scaled the wrong way", "gradient * scale", "gradient / scale"),
        ("factor 2 forgotten", "2 / prediction.size", "1 / prediction.size"),
    ],
    "known_bce": [
        ("mean over all elements", "gradient * scale", "gradient"),
        ("unknown pulled", "gradient * scale", "gradient * scale + (1 - known)"),
        ("mean forgotten", "(y - target) / size", "y - target"),
    ],
    "softmax_dice": [
        ("softmax forgotten", "y * (dy - (y * dy).sum(axis=2, keepdims=True))", "y * dy"),
        ("mean over images only", "(U * U * (N * K))", "(U * U * N)"),
        ("cross-entropy alone", " + (1 - weight) * dz", " + 0 * dz"),
        ("classes exchanged", "(I - 2 * t * U)", "(I - 2 * (1 - t) * U)"),
    ],
}  # fmt: skip

# ------------------------------------------------------------------------------ optimizers


def hand_steps(name: str, x: float, gradients: list[float]) -> list[float]:
    """Where ``x`` is after each gradient, by the optimizer's formulas on plain Python numbers."""
    rate, a, b, eps = 0.1, 0.8, 0.9, 1e-3
    m = v = 0.0
    positions = []
    for t, g in enumerate(gradients, start=1):
        if name == "SGD":
            m = a * m + g
            x -= rate * m
        elif name == "RMSprop":
            v = a * v + (1 - a) * g**2
            x -= rate * g / (v**0.5 + eps)
        else:
            m = a * m + (1 - a) * g
            v = b * v + (1 - b) * g**2
            x -= rate * (m / (1 - a**t)) / ((v / (1 - b**t)) ** 0.5 + eps)
        positions.append(x)
    return positions


OPTIMIZERS = {
    "SGD": {"learning_rate": 0.1, "momentum": 0.8},
    "RMSprop": {"learning_rate": 0.1, "rho": 0.8, "eps": 1e-3},
    "Adam": {"learning_rate": 0.1, "beta1": 0.8, "beta2": 0.9, "eps": 1e-3},
}

OPTIMIZER_BUGS = {
    "SGD": [
        ("velocity forgotten", "x -= rate * v", "x -= rate * g"),
        ("momentum forgotten", "v *= momentum", "v *= 0"),
        ("climbs", "x -= rate * v", "x += rate * v"),
    ],
    "RMSprop": [
        ("root forgotten", "xp.sqrt(s) + eps", "s + eps"),
        ("eps under the root", "xp.sqrt(s) + eps", "xp.sqrt(s + eps)"),
        ("gradient not squared", "gain * g * g", "gain * g"),
    ],
    "Adam": [
        ("m not corrected", "m / correction1", "m"),
        ("v not corrected", "sqrt(v / correction2)", "sqrt(v)"),
        ("correction of the first step for ever", "1 - self.beta1**t", "1 - self.beta1"),
        ("steps not counted", "self.steps[i] += 1", "self.steps[i] = 1"),
    ],
}  # fmt: skip


def check_optimizer(name: str, module: ModuleType) -> None:
    """Four steps of one number, compared with :func:`hand_steps`; AssertionError if they differ."""
    gradients = [0.5, -2.0, 0.25, 1.0]
    parameter = module.Parameter(np.array([3.0]))
    optimizer = getattr(module, name)([parameter], **OPTIMIZERS[name])
    for gradient, expected in zip(gradients, hand_steps(name, 3.0, gradients), strict=True):
        parameter.grad = np.array([gradient])
        optimizer.step()
        np.testing.assert_allclose(parameter.value, [expected], rtol=1e-12)
