"""The networks done by Keras: on TensorFlow as a graph, the same compiled by XLA, or on JAX, compiled.

Which of the two computes is fixed when Keras is imported: ``KERAS_BACKEND=tensorflow`` or ``jax``.
Convolutions are padded Keras's way, ``"same"``, since a layer of zeros in front of each would cost it
time. With stride 2 it pads at the bottom and on the right, ours at the top and on the left: each network
here is the mirror image of ours, with as much work to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import keras
from cases import NETWORKS, Case, network_data
from keras import layers

from ums import networks
from ums.backend import thread_count

ON_JAX = keras.backend.backend() == "jax"
if ON_JAX:  # its threads are as many as the processors it may use
    import jax

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: thread_count()])
else:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(thread_count())
    tf.config.threading.set_inter_op_parallelism_threads(thread_count())


def work(case: Case, contestant: str) -> Callable[[], object]:
    """A function that does the case's work once. ``contestant``: ``"tensorflow"``, ``"xla"``
    or ``"jax"``."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    return on_backend(build(case.name), case, *network_data(case), xla=contestant == "xla")


def synchronise(case: Case) -> None:
    """Nothing is left to wait for: each run has waited."""


def build(name: str) -> keras.Sequential:
    """The networks of :mod:`ums.networks`, from the same channel lists."""
    C, classes = NETWORKS[name].channels, NETWORKS[name].classes
    pool = [layers.GlobalAveragePooling2D()]
    if name == "autoencoder":
        encoder = _chain(networks.CXR_ENCODER, lambda i: {"strides": 2}, norm=True)
        decoder = _chain(networks.CXR_DECODER, lambda i: {"up": True}, norm=True)
        chain = [*encoder, *decoder, layers.Conv2D(1, 1)]
    elif name == "separate classifier":
        body = _chain(networks.SEPARATE_CLASSIFIER, lambda i: {"strides": 2 if i < 4 else 1})
        chain = [*body, *pool, layers.Dense(classes)]
    else:
        chain = _chain(
            networks.ECHO_ENCODER, lambda i: {"strides": 2} if i < 3 else {"dilation_rate": 2}
        )
        if name == "echo source":
            hidden = layers.Dense(256, activation="relu")
            chain += [*pool, hidden, layers.Dropout(0.5), layers.Dense(classes)]
        else:
            chain += _chain(networks.ECHO_DECODER, lambda i: {"up": i >= 2})
            chain += [layers.Conv2D(1, 1)]
    return keras.Sequential([keras.Input((None, None, C)), *chain])


def _chain(channels: tuple[int, ...], options: Callable[[int], dict], norm=False) -> list:
    """Upsampling if asked for, convolution, batch norm if asked for, ReLU, for each of ``channels``."""
    chain = []
    for i, O in enumerate(channels):
        how = options(i)
        chain += [layers.UpSampling2D()] if how.pop("up", False) else []
        chain += [layers.Conv2D(O, 3, padding="same", **how)]
        chain += [layers.BatchNormalization(epsilon=1e-5)] if norm else []
        chain += [layers.ReLU()]
    return chain


def mse(y, t):
    """Mean squared error."""
    return keras.ops.mean(keras.ops.square(y - t))


def bce_dice(z, t):
    """Half binary cross-entropy, half Dice per image."""
    y, axes = keras.ops.sigmoid(z), (1, 2, 3)
    both = keras.ops.sum(t, axes) + keras.ops.sum(y, axes)
    dice = 1 - (2 * keras.ops.sum(t * y, axes) + 1) / (both + 1)
    bce = keras.ops.binary_crossentropy(t, z, from_logits=True)
    return 0.5 * keras.ops.mean(bce) + 0.5 * keras.ops.mean(dice)


def cce(z, t):
    """Categorical cross-entropy of logits."""
    return keras.ops.mean(keras.ops.sparse_categorical_crossentropy(t, z, from_logits=True))


LOSSES = {"mse": mse, "bce_dice": bce_dice, "cce": cce}


def on_backend(network, case: Case, x, target, xla: bool = False) -> Callable[[], object]:
    """A function that does the case once, and returns the outputs, or the loss before a training step."""
    if ON_JAX:
        return _on_jax(network, case, x, target)
    return _on_tensorflow(network, case, x, target, xla)


def _on_tensorflow(network, case: Case, x, target, xla: bool) -> Callable[[], object]:
    x, target = tf.constant(x), tf.constant(target)
    if case.kind == "inference":
        infer = tf.function(lambda x: network(x, training=False), jit_compile=xla)
        return lambda: infer(x).numpy()
    loss, optimizer = LOSSES[NETWORKS[case.name].loss], keras.optimizers.Adam()
    optimizer.build(network.trainable_variables)

    @tf.function(jit_compile=xla)
    def step(x, target):
        with tf.GradientTape() as tape:
            value = loss(network(x, training=True), target)
        gradients = tape.gradient(value, network.trainable_variables)
        optimizer.apply(gradients, network.trainable_variables)
        return value

    return lambda: step(x, target).numpy()


def _on_jax(network, case: Case, x, target) -> Callable[[], object]:
    x, target = jax.numpy.asarray(x), jax.numpy.asarray(target)
    weights = [v.value for v in network.trainable_variables]
    others = [v.value for v in network.non_trainable_variables]
    if case.kind == "inference":
        infer = jax.jit(lambda *given: network.stateless_call(*given, training=False)[0])
        return lambda: infer(weights, others, x).block_until_ready()
    loss, optimizer = LOSSES[NETWORKS[case.name].loss], keras.optimizers.Adam()
    optimizer.build(network.trainable_variables)

    def loss_of(weights, others, x, target):
        y, others = network.stateless_call(weights, others, x, training=True)
        return loss(y, target), others

    def step(weights, others, moments, x, target):
        values = jax.value_and_grad(loss_of, has_aux=True)(weights, others, x, target)
        (value, others), gradients = values
        weights, moments = optimizer.stateless_apply(moments, gradients, weights)
        return value, (weights, others, moments)

    step = jax.jit(step, donate_argnums=(0, 1, 2))
    state = weights, others, [v.value for v in optimizer.variables]

    def run():
        nonlocal state
        value, state = step(*state, x, target)
        return value.block_until_ready()

    return run
