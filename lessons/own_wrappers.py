"""A student's functions with the arguments and results that the library asks for.

What they return is converted to the type of their input: the networks compute in float32.
"""

import time
from weakref import WeakKeyDictionary

import numpy as np

from ums import ops
from ums.data import Examples
from ums.finetuning import Tuned
from ums.finetuning.tasks import check_task
from ums.layers import Parameter
from ums.networks import parameter_count
from ums.ops import conv
from ums.training import History


def batchnorm_pairs(forward, backward):
    """A forward and a backward pass that share a cache of the student's own."""

    def own_forward(x, *arguments):
        y, cache = forward(x, *arguments)
        return _as(y, x.dtype), cache

    def refused(*arguments):
        raise ValueError("the batchnorm_forward of the lessons runs in one process only")

    pairs = [(ops.batchnorm_forward, own_forward), (ops.batchnorm_forward_part, refused)]
    return [*pairs, *gradient_pairs("batchnorm", backward)]


def gradient_pairs(op, backward):
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


def convolution_pairs(answers):
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
    return pairs + gradient_pairs("upsample_conv2d", upsampled_backward)


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


def as_loss(own, library):
    def loss(prediction, target, *arguments):
        return _as(own(prediction, target, *arguments), prediction.dtype)

    return loss


def as_turns(own, library):
    def turns(batches, mixing=None):
        return list(own(batches)) if mixing is None else library(batches, mixing)

    return turns


def as_joint_strategy(own, library):
    def tune_jointly(encoder, tasks, training, weights=None, criterion=None):
        return own(encoder, tasks, training)

    return tune_jointly


def as_noise(own, library):
    def added(noise, images, rng):
        images = np.asarray(images, np.float32)
        return _as(own(images, noise.kind, noise.level, rng), np.float32)

    return added


def as_train_step(own, library):
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


def as_adam(own, library):
    """A step of Adam by an optimizer of the student's, one for each array that is moved."""
    made = WeakKeyDictionary()

    def _move(self, x, g, t, *state):
        mine = made.setdefault(self, {})
        if id(x) not in mine:
            parameter = Parameter(x)
            mine[id(x)] = parameter, own([parameter], self.learning_rate)
        parameter, optimizer = mine[id(x)]
        parameter.value, parameter.grad = x, g
        optimizer.learning_rate = self.learning_rate
        optimizer.step()
        if parameter.value is not x:
            x[...] = parameter.value

    return _move


def as_train_task(own, library):
    """The training of one task by a loop of the student's, for as many steps; on the CPU.

    The source's training stays the library's: its noise is new in every batch.
    """

    def train_task(task, training):
        if not isinstance(task.train, Examples):
            return library(task, training)
        check_task(task, training)
        start, settings, n = time.perf_counter(), training.settings, len(task.train)
        parts = {"training": task.train, "validation": task.validation}
        data = {name: part.batch(np.arange(len(part))) for name, part in parts.items()}
        epochs = max(1, round(settings.epochs * settings.length(task.train) * settings.batch / n))
        optimizer = task.optimizer(task.head.trainable_parameters(), settings.learning_rate)
        found = own(task.head, task.loss, optimizer, data, training.rng, epochs)
        seconds = time.perf_counter() - start
        rates, times = [settings.learning_rate] * epochs, [seconds / epochs] * epochs
        train, validation = ([float(v) for v in found[part]] for part in parts)
        history = History(train, validation, rates, times)
        return Tuned(task.head, history, seconds, parameter_count(task.head))

    return train_task
