"""Weights of the same architecture in PyTorch and Keras, matched layer by layer in their order.

They compute the same and store it differently (C channels in, O out): ums and Keras have kernels
(K, K, C, O) and dense weights (C, O), PyTorch (O, C, K, K) and (O, C). Only layers with weights are
matched; whether activations, pooling and upsampling agree shows in the outputs for one image.
"""

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

import numpy as np

from ums.backend import Array, to_numpy
from ums.layer import Layer, copy_arrays
from ums.layers import BatchNorm, Conv2D

TORCH = {"w": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}
MOVING = {"running_mean": "moving_mean", "running_var": "moving_variance"}
KERAS = {"w": "kernel", "b": "bias", **MOVING}
LEFT_OUT = ("b", "gamma", "beta")  # 0, 1 and 0 where the other framework's layer has none


def load_torch(network: Layer, state_dict: Mapping[str, Any]) -> None:
    """Copy the weights and running statistics of a PyTorch module into a network, in place.

    Args:
        network: A network of the same architecture.
        state_dict: ``module.state_dict()``, whose order is that of the layers. A safetensors file is
            sorted by name: load it into the module first.

    Raises:
        ValueError: The layers or their shapes differ, said in ums's layout, or the arrays are sorted
            by name; nothing is changed then.
    """
    arrays = _from_torch(state_dict)
    _copy(arrays, _places(network, arrays, TORCH))


def to_torch_state(network: Layer, state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """A network's weights and running statistics for the ``load_state_dict`` of a PyTorch module.

    ``state_dict`` is the module's, for its names, dtypes and devices; it is not changed.

    Raises:
        ValueError: As in :func:`load_torch`, or the network has a bias that the module lacks.
    """
    state = dict(state_dict)
    for key, value in _places(network, _from_torch(state_dict), TORCH).items():
        array = to_numpy(value)
        if key in state:
            turned = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
            state[key] = state[key].new_tensor(turned)
        elif (array != _left_out(key)).any():
            raise ValueError(f"the module has no {key}, and the network's is not {_left_out(key)}")
    return state


def load_keras(network: Layer, model: Any) -> None:
    """Copy the weights and running statistics of a Keras 3 model into a network, in place.

    The network takes over the model's "same" padding, and the ``epsilon`` and ``momentum`` of its batch
    norms. They are no weights: where saved weights are loaded, the layers must be made with them.

    Args:
        network: A network of the same architecture.
        model: A model of layers one after the other; models in it are opened.

    Raises:
        ValueError: The layers, their shapes, strides or dilations differ, or a convolution does not
            pad; nothing is changed then.
    """
    theirs = [layer for layer in _leaves(model) if layer.weights]
    arrays = {
        f"{layer.name} ({i}).{variable.name}": np.asarray(variable)
        for i, layer in enumerate(theirs)
        for variable in layer.weights
    }
    places = _places(network, arrays, KERAS)
    pairs = list(zip(_with_weights(network), theirs, strict=True))
    for own, other in pairs:
        _check_steps(own, other)
    _copy(arrays, places)
    for own, other in pairs:
        if isinstance(own, Conv2D):
            own.padding = "same"
        elif isinstance(own, BatchNorm):
            own.eps, own.momentum = other.epsilon, other.momentum


def _check_steps(own: Layer, other: Any) -> None:
    if hasattr(other, "strides"):  # a convolution
        steps = [(getattr(own, name, 1),) * 2 for name in ("stride", "dilation")]
        found = [tuple(other.strides), tuple(other.dilation_rate)]
        pads = other.padding == "same" or set(other.kernel_size) == {1}
        if found != steps or not pads:
            there = (
                f"{other.name} strides {found[0]}, dilation {found[1]}, padding {other.padding!r}"
            )
            raise ValueError(f"{own!r} has strides {steps[0]}, dilation {steps[1]}, but {there}")


def _leaves(model: Any) -> list:
    return [leaf for layer in getattr(model, "layers", ()) for leaf in _leaves(layer)] or [model]


def _with_weights(network: Layer) -> list[Layer]:
    return [layer for layer in network.leaves() if layer.state_dict()]


def _from_torch(state_dict: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Arrays in ums's layout, in float64, which holds every other dtype."""
    tensors = {k: v for k, v in state_dict.items() if not k.endswith("num_batches_tracked")}
    if [*tensors] == sorted(tensors) and any(key.endswith("bias") for key in tensors):
        raise ValueError("the arrays are sorted by name, not in the order of the layers")
    arrays = {key: tensor.detach().cpu().double().numpy() for key, tensor in tensors.items()}
    return {k: a.transpose(2, 3, 1, 0) if a.ndim == 4 else a.T for k, a in arrays.items()}


def _places(network: Layer, arrays: Mapping[str, Array], names: dict[str, str]) -> dict[str, Array]:
    """The network's own arrays by the other framework's keys, also of those it was made without."""
    groups: dict[str, list[str]] = {}
    for key in arrays:
        kind = key.rpartition(".")[2]
        groups.setdefault(key.removesuffix(kind), []).append(kind)
    places = {}
    for i, (layer, prefix) in enumerate(zip_longest(_with_weights(network), groups)):
        if layer is None or prefix is None:
            raise ValueError(f"layer {i} of those with weights is {layer} here, {prefix} there")
        own = {names.get(name, name): value for name, value in layer.state_dict().items()}
        needed = {names.get(name, name) for name in layer.state_dict() if name not in LEFT_OUT}
        if not needed <= set(groups[prefix]) <= own.keys():
            raise ValueError(f"{layer} (layer {i}) has {[*own]}, but {prefix} {groups[prefix]}")
        for kind, value in own.items():
            key = prefix + kind
            if key in arrays and arrays[key].shape != value.shape:
                raise ValueError(
                    f"{layer} (layer {i}) has {value.shape}, but {key} {arrays[key].shape}"
                )
            places[key] = value
    return places


def _copy(arrays: Mapping[str, Array], places: dict[str, Array]) -> None:
    blank = {key: np.full(value.shape, _left_out(key)) for key, value in places.items()}
    copy_arrays({**blank, **arrays}, places)


def _left_out(key: str) -> float:
    return 1.0 if key.endswith(("weight", "gamma")) else 0.0
