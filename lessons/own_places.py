"""Where a student's code stands in the library: what it replaces, and how it is put in and taken out.

An answer has the arguments and results that its lesson gives it. Some of the library's functions have
others (a layer asks for the gradients of its input and of its weights apart), so an answer is wrapped
where it must be. What it returns is converted to the type of its input: the networks compute in float32.
"""

import inspect
import sys
from contextlib import contextmanager

from lessons.own_wrappers import (
    as_adam,
    as_joint_strategy,
    as_loss,
    as_noise,
    as_train_step,
    as_train_task,
    as_turns,
    batchnorm_pairs,
    convolution_pairs,
    gradient_pairs,
)
from ums import layers, ops, optimizers, training
from ums.data.noise import Noise
from ums.finetuning import alternating, joint, loop

NAMES = {
    "im2col": "im2col of every convolution",
    "col2im": "col2im of every convolution",
    "conv2d": "conv2d_forward, in every convolution",
    "dense_backward": "dense_backward, in every dense layer",
    "batchnorm_forward": "batchnorm_forward, in every batch norm",
    "batchnorm_backward": "batchnorm_backward, in every batch norm",
    "global_average_pool_backward": "global_average_pool_backward, in classification heads",
    "bce": "bce, in losses of masks",
    "dice": "dice, in losses of masks",
    "bce_dice": "bce_dice, the loss of masks",
    "focal": "bce_dice, the loss of masks",
    "tversky": "bce_dice, the loss of masks",
    "categorical_cross_entropy": "categorical_cross_entropy, the loss of classes",
    "add_noise": "noise of the source",
    "source_step": "step of the source's training",
    "turns": "turns, of the alternating strategy",
    "AdamW": "Adam, the optimizer of the tasks",
    "fit": "train_task, the training of one task",
    "AveragingBatchNorm": "BatchNorm, the layer",
    "tune_projected": "tune_jointly, the joint strategy",
}
"""What can be kept, and what of the library it replaces."""

RIVALS = {
    "loss of masks": ("bce_dice", "focal", "tversky"),
    "batch norm": ("batchnorm_forward", "AveragingBatchNorm"),
}
"""Answers of which only one can run."""

PLACES = {
    "bce": (lambda: ops.bce, as_loss),
    "dice": (lambda: ops.dice, as_loss),
    "bce_dice": (lambda: ops.bce_dice, as_loss),
    "focal": (lambda: ops.bce_dice, as_loss),
    "tversky": (lambda: ops.bce_dice, as_loss),
    "categorical_cross_entropy": (lambda: ops.categorical_cross_entropy, as_loss),
    "add_noise": (lambda: vars(Noise)["_added"], as_noise),
    "source_step": (lambda: training.train_step, as_train_step),
    "turns": (lambda: alternating.turns, as_turns),
    "AdamW": (lambda: vars(optimizers.Adam)["_move"], as_adam),
    "fit": (lambda: loop.train_task, as_train_task),
    "AveragingBatchNorm": (lambda: layers.BatchNorm, lambda own, library: own),
    "tune_projected": (lambda: joint.tune_jointly, as_joint_strategy),
}
"""For answers that replace one function each: that function, and how the answer is wrapped."""


def exchanges(answers):
    """Pairs (function of the library, what takes its place) for the answers, {name: function}.

    Raises:
        ValueError: A forward pass is there without its backward pass, or the reverse; or two answers have
            one place.
    """
    pairs = []
    batch_norm = ("batchnorm_forward", "batchnorm_backward")
    own = [answers.get(name) for name in batch_norm]
    if all(own):
        pairs += batchnorm_pairs(*own)
    elif any(own):
        raise ValueError(f"{' and '.join(batch_norm)} share a cache: keep both, or neither")
    for op in ("dense", "global_average_pool"):
        if backward := answers.get(f"{op}_backward"):
            pairs += gradient_pairs(op, backward)
    if not answers.keys().isdisjoint(("im2col", "col2im", "conv2d")):
        pairs += convolution_pairs(answers)
    for place, rivals in RIVALS.items():
        if len(found := [name for name in rivals if name in answers]) > 1:
            raise ValueError(
                f"{' and '.join(found)} have one place, the {place}: name what is to run, "
                f"own_code({found[-1]!r}) or study --only {found[-1]}"
            )
    for name in answers.keys() & PLACES.keys():
        place, wrapped = PLACES[name]
        pairs.append((place(), wrapped(answers[name], place())))
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
