"""Where a student's code stands in the library: what it replaces, and how it is put in and taken out.

An answer has the arguments and results that its lesson gives it. Some of the library's functions have
others (a layer asks for the gradients of its input and of its weights apart), so an answer is wrapped
where it must be. What it returns is converted to the type of its input: the networks compute in float32.
"""

import inspect
import sys
from contextlib import contextmanager

import numpy as np

from ums import layers, ops, training
from ums.data.noise import Noise
from ums.finetuning import alternating, joint
from ums.ops import conv

NAMES = {
    "im2col": "im2col of every convolution",
    "col2im": "col2im of every convolution",
    "conv2d": "conv2d_forward, in every convolution",
    "dense_backward": "dense_backward, in every dense layer",
    "batchnorm_forward": "batchnorm_forward, in every batch norm",
    "batchnorm_backward": "batchnorm_backward, in every batch norm",
    "dropout_forward": "dropout_forward, in every dropout",
    "dropout_backward": "dropout_backward, in every dropout",
    "global_average_pool_backward": "global_average_pool_backward, in classification heads",
    "bce": "bce, in losses of masks",
    "dice": "dice, in losses of masks",
    "bce_dice": "bce_dice, the loss of masks",
    "categorical_cross_entropy": "categorical_cross_entropy, the loss of classes",
    "add_noise": "noise of the source",
    "source_step": "step of the source's training",
    "turns": "turns, of the alternating strategy",
    "AveragingBatchNorm": "BatchNorm, the layer",
    "tune_projected": "tune_jointly, the joint strategy",
}
"""What can be kept, and what of the library it replaces."""

TOGETHER = ("batchnorm", "dropout")
"""Ops whose forward and backward pass share a cache of the student's own."""


def exchanges(answers):
    """Pairs (function of the library, what takes its place) for the answers, {name: function}.

    Raises:
        ValueError: A forward pass is there without its backward pass, or the reverse.
    """
    pairs = []
    for op in TOGETHER:
        own = [answers.get(f"{op}_{way}") for way in ("forward", "backward")]
        if all(own):
            pairs += _op(op, *own)
        elif any(own):
            raise ValueError(f"{op}_forward and {op}_backward share a cache: keep both, or neither")
    for op in ("dense", "global_average_pool"):
        if backward := answers.get(f"{op}_backward"):
            pairs += _gradients(op, backward)
    if not answers.keys().isdisjoint(("im2col", "col2im", "conv2d")):
        pairs += _convolution(answers)
    for name in ("bce", "dice", "bce_dice", "categorical_cross_entropy"):
        if name in answers:
            pairs.append((getattr(ops, name), _loss(answers[name])))
    if "turns" in answers:
        pairs.append((alternating.turns, _turns(answers["turns"], alternating.turns)))
    if "AveragingBatchNorm" in answers:
        pairs.append((layers.BatchNorm, answers["AveragingBatchNorm"]))
    if "tune_projected" in answers:
        pairs.append((joint.tune_jointly, _strategy(answers["tune_projected"])))
    if "add_noise" in answers:
        pairs.append((vars(Noise)["_added"], _noise(answers["add_noise"])))
    if "source_step" in answers:
        pairs.append((training.train_step, _step(answers["source_step"], training.train_step)))
    return pairs


@contextmanager
def exchanged(answers):
    """Put the answers in the places of the library's functions, and these back at the end."""
    pairs = exchanges(answers)
    _replace(pairs)
    try:
        yield
    finally:  # also in modules that were imported meanwhile
        _replace([(new, old) for old, new in pairs])


# ------------------------------------------------------------------------ what is put in


def _op(op, forward, backward):
    def own_forward(x, *arguments):
        y, cache = forward(x, *arguments)
        return _as(y, x.dtype), cache

    return [(getattr(ops, f"{op}_forward"), own_forward), *_gradients(op, backward)]


def _gradients(op, backward):
    """The gradients together, and the two halves that a layer asks for."""

    def together(dy, cache):
        return _as(backward(dy, cache), dy.dtype)

    pairs = [(getattr(ops, f"{op}_backward"), together)]
    if hasattr(ops, f"{op}_grad_input"):
        pairs.append((getattr(ops, f"{op}_grad_input"), lambda dy, cache: together(dy, cache)[0]))
        pairs.append(
            (getattr(ops, f"{op}_grad_weights"), lambda dy, cache: together(dy, cache)[1:])
        )
    return pairs


def _convolution(answers):
    """The formulas of ums.ops.conv, with the student's parts; in the decoder, after upsampling."""
    pairs = [
        (getattr(conv, name), _columns(answers[name]))
        for name in ("im2col", "col2im")
        if name in answers
    ]

    def forward(x, w, b, stride=1, dilation=1, padding="symmetric"):
        if "conv2d" not in answers:
            return conv.conv2d_forward_plain(x, w, b, stride, dilation, padding)
        _only_symmetric(padding)
        y = answers["conv2d"](x, w, b, stride, dilation)
        return _as(y, x.dtype), (x, w, stride, dilation, padding)

    def upsampled_forward(x, w, b):
        large, first = ops.upsample2d_forward(x)
        y, second = forward(large, w, b)
        return y, (first, second)

    def upsampled_backward(dy, cache):
        d_large, dw, db = conv.conv2d_backward_plain(dy, cache[1])
        return ops.upsample2d_backward(d_large, cache[0]), dw, db

    pairs += [
        (ops.conv2d_forward, forward),
        (ops.conv2d_backward, lambda dy, cache: conv.conv2d_backward_plain(dy, cache)),
        (ops.conv2d_grad_input, lambda dy, cache: conv.conv2d_grad_input_plain(dy, cache)),
        (ops.conv2d_grad_weights, lambda dy, cache: conv.conv2d_grad_weights_plain(dy, cache)),
        (ops.upsample_conv2d_forward, upsampled_forward),
    ]
    return pairs + _gradients("upsample_conv2d", upsampled_backward)


def _columns(own):
    def im2col_or_col2im(array, what, stride=1, dilation=1, padding="symmetric"):
        _only_symmetric(padding)
        return _as(own(array, what, stride, dilation), array.dtype)

    return im2col_or_col2im


def _only_symmetric(padding):
    if padding != "symmetric":
        raise ValueError(
            f"the convolution of lesson 3 pads symmetrically, asked for is {padding!r}"
        )


def _loss(own):
    def loss(prediction, target, *arguments):
        return _as(own(prediction, target, *arguments), prediction.dtype)

    return loss


def _turns(own, library):
    def turns(batches, mixing=None):
        return list(own(batches)) if mixing is None else library(batches, mixing)

    return turns


def _strategy(own):
    def tune_jointly(encoder, tasks, training, weights=None, criterion=None):
        return own(encoder, tasks, training)

    return tune_jointly


def _noise(own):
    def added(noise, images, rng):
        images = np.asarray(images, np.float32)
        return _as(own(images, noise.kind, noise.level, rng), np.float32)

    return added


def _step(own, library):
    def train_step(network, loss, optimizer, x, target):
        if loss is not ops.mse:  # not the source's
            return library(network, loss, optimizer, x, target)
        return _as(own(network, optimizer, x, target), x.dtype)

    return train_step


def _as(value, dtype):
    """Arrays and numbers as arrays of ``dtype``; each of a tuple."""
    if isinstance(value, tuple):
        return tuple(_as(one, dtype) for one in value)
    return np.asarray(value, dtype)


# ------------------------------------------------------------------------ in and out


def _replace(pairs):
    """Replace functions wherever a module of ums refers to them: by name, in a table, in a class."""
    modules = [m for name, m in list(sys.modules.items()) if name.partition(".")[0] == "ums"]
    for module in modules:
        for name, value in list(vars(module).items()):
            _replace_in(module, name, value, pairs)
            if isinstance(value, dict) and not name.startswith("__"):
                value.update(
                    {
                        key: new
                        for key, one in value.items()
                        if (new := _instead(one, pairs)) is not one
                    }
                )
            elif inspect.isclass(value) and value.__module__ == module.__name__:
                for attribute, one in list(vars(value).items()):
                    _replace_in(value, attribute, one, pairs)


def _replace_in(owner, name, value, pairs):
    function = value.__func__ if isinstance(value, staticmethod) else value
    new = _instead(function, pairs)
    if new is not function:
        setattr(owner, name, staticmethod(new) if isinstance(value, staticmethod) else new)


def _instead(value, pairs):
    return next((new for old, new in pairs if old is value), value)
