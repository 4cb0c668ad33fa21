"""ums: unified modality-specific representations for medical images, written from scratch.

Read it in this order: ``ums.ops`` (the mathematics), ``ums.layer``, ``ums.layers`` (state),
``ums.networks``, ``ums.data``, ``ums.training``, ``ums.finetuning`` (first ``tasks`` and ``loop``),
``ums.source``, ``ums.experiments``.

The names a course imports are here: ``from ums import Conv2D, check_gradients``. Importing ums
needs NumPy and threadpoolctl alone; what needs more is loaded when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ums import ops
from ums.backend import Device, choose_device
from ums.gradcheck import GradientError, check_gradients, check_layer, check_loss
from ums.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    GlobalAveragePool,
    Layer,
    Parameter,
    ReLU,
    Sequential,
    Upsample2D,
    UpsampleConv2D,
)
from ums.optimizers import SGD, Adam, ReduceOnPlateau, RMSprop

if TYPE_CHECKING:
    from ums.data import Examples, load_prepared, normalise
    from ums.finetuning import (
        ByHand,
        Equal,
        GradNorm,
        Task,
        Tuned,
        Uncertainty,
        train_separately,
        tune_alternately,
        tune_independently,
        tune_jointly,
    )
    from ums.models import Model, load_model, save_model
    from ums.predictions import Prediction, predict_image
    from ums.training import FitSettings, History, Training, predict, train_step
else:  # hidden from type checkers, which would take any misspelt name for one that is loaded here

    def __getattr__(name: str) -> object:
        if name in __all__:  # and not loaded above: one of the names that need more than NumPy
            for module in map(import_module, (f"ums.{one}" for one in LATER)):
                if hasattr(module, name):
                    return getattr(module, name)
        raise AttributeError(f"module 'ums' has no attribute {name!r}")


LATER = ("data", "training", "finetuning", "models", "predictions")
"""Modules that need more than NumPy."""

__version__ = "0.1.0"

__all__ = [
    "SGD", "Adam", "BatchNorm", "ByHand", "Conv2D", "Dense", "Device", "Dropout", "Equal",
    "Examples", "FitSettings", "GlobalAveragePool", "GradNorm", "GradientError", "History", "Layer",
    "Model", "Parameter", "Prediction", "RMSprop", "ReLU", "ReduceOnPlateau", "Sequential", "Task",
    "Training", "Tuned", "Uncertainty", "Upsample2D", "UpsampleConv2D", "check_gradients",
    "check_layer", "check_loss", "choose_device", "load_model", "load_prepared", "normalise", "ops",
    "predict", "predict_image", "save_model", "train_separately", "train_step", "tune_alternately",
    "tune_independently", "tune_jointly",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
