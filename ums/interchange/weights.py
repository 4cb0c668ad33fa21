"""Weights of the same architecture in PyTorch and Keras, matched layer by layer in their order.

They compute the same and store it differently (C channels in, O out): ums and Keras have kernels
(K, K, C, O) and dense weights (C, O), PyTorch (O, C, K, K) and (O, C). Only layers with weights are
matched; whether activations, pooling and upsampling agree shows in the outputs for one image.
"""

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

import numpy as np

from ums.backend import Array, array_module, to_numpy
from ums.layer import Layer
from ums.layers import BatchNorm, Conv2D

TORCH = {"w": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}
KERAS = dict(w="kernel", b="bias", running_mean="moving_mean", running_var="moving_variance")
LEFT_OUT = {"b": 0.0, "gamma": 1.0, "beta": 0.0}  # where the other layer was made without it


def load_torch(network: Layer, state_dict: Mapping[str, Any]) -> None:
    """Copy the weights and running statistics of a PyTorch module into a network, in place.

    Args:
        network: A network of the same architecture.
        state_dict: ``module.state_dict()``, whose order is that of the layers. A safetensors file is
            sorted by name: load it into the module first.

    Raises:
        ValueError: The layers or their shapes (in ums's layout) differ, or the arrays are sorted by
            name; nothing is changed then.
    """
    for _, _, value, found in _matched(network, _from_torch(state_dict), TORCH):
        value[...] = array_module(value).asarray(found)


def to_torch_state(network: Layer, state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """A network's weights and running statistics, for the ``load_state_dict`` of a PyTorch module.

    ``state_dict`` is the module's, for its names, dtypes and devices; it is not changed.

    Raises:
        ValueError: As in :func:`load_torch`, or the network has a bias that the module lacks.
    """
    state = dict(state_dict)
    for _, key, value, found in _matched(network, _from_torch(state_dict), TORCH):
        array = to_numpy(value)
        if key in state:
            turned = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
            state[key] = state[key].new_tensor(turned)
        elif (array != found).any():
            raise ValueError(f"the module has no {key}, and the network's is not {found}")
    return state


def load_keras(network: Layer, model: Any) -> None:
    """Copy the weights and running statistics of a Keras 3 model into a network, in place.

    The network takes over "same" padding, and the ``epsilon`` and ``momentum`` of batch norms. They are
    no weights: a network that saved weights are loaded into must be made with them.

    Args:
        network: A network of the same architecture.
        model: A model of layers one after the other; models in it are opened.

    Raises:
        ValueError: The layers, their shapes, strides or dilations differ, or a convolution does not
            pad; nothing is changed then.
    """
    matched, pairs, _ = _matched_keras(network, model)
    for _, _, value, found in matched:
        value[...] = array_module(value).asarray(found)
    for own, other in pairs.items():
        if isinstance(own, Conv2D):
            own.padding = "same"
        elif isinstance(own, BatchNorm):
            own.eps, own.momentum = other.epsilon, other.momentum


def to_keras(network: Layer, model: Any) -> None:
    """Copy a network's weights and running statistics into a Keras 3 model, in place.

    Raises:
        ValueError: As in :func:`load_keras`; or a strided convolution of the network does not pad as
            Keras does, with ``padding="same"``, a batch norm has another ``epsilon``, or the network has
            an array that the model lacks; nothing is changed then.
    """
    matched, pairs, variables = _matched_keras(network, model)
    for own, other in pairs.items():
        if getattr(own, "stride", 1) > 1 and getattr(own, "padding", "") != "same":
            raise ValueError(f"{own} pads as Keras does not: it should have padding='same'")
        if isinstance(own, BatchNorm) and own.eps != other.epsilon:
            raise ValueError(f"{other.name} has epsilon {other.epsilon}: not {own}")
    for _, key, value, found in matched:
        if key not in variables and (to_numpy(value) != found).any():
            raise ValueError(f"the model has no {key}, and the network's is not {found}")
    for _, key, value, _ in matched:
        if key in variables:
            variables[key].assign(to_numpy(value))


def _matched_keras(network: Layer, model: Any) -> tuple[list, dict[Layer, Any], dict[str, Any]]:
    """As :func:`_matched`; each layer with that of Keras; and the model's variables by key."""
    theirs = [layer for layer in _leaves(model) if layer.weights]
    variables = {
        f"{layer.name} ({i}).{variable.name}": variable
        for i, layer in enumerate(theirs)
        for variable in layer.weights
    }
    matched = _matched(network, {k: np.asarray(v) for k, v in variables.items()}, KERAS)
    pairs = dict(zip(dict.fromkeys(layer for layer, *_ in matched), theirs, strict=True))
    for own, other in pairs.items():
        if hasattr(other, "strides"):  # a convolution
            moves = {getattr(own, "stride", 1)}, {getattr(own, "dilation", 1)}
            pads = other.padding == "same" or max(other.kernel_size) == 1
            if not pads or (set(other.strides), set(other.dilation_rate)) != moves:
                there = f"strides {other.strides}, dilation {other.dilation_rate}"
                raise ValueError(f"{other.name} has {there}, padding {other.padding!r}: not {own}")
    return matched, pairs, variables


def _leaves(model: Any) -> list:
    return [leaf for layer in getattr(model, "layers", ()) for leaf in _leaves(layer)] or [model]


def _from_torch(state_dict: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Arrays in ums's layout, in float64, which holds every other dtype."""
    tensors = {k: v for k, v in state_dict.items() if not k.endswith("num_batches_tracked")}
    if [*tensors] == sorted(tensors) and any(key.endswith("bias") for key in tensors):
        raise ValueError("the arrays are sorted by name, not in the order of the layers")
    arrays = {key: tensor.detach().cpu().double().numpy() for key, tensor in tensors.items()}
    return {k: a.transpose(2, 3, 1, 0) if a.ndim == 4 else a.T for k, a in arrays.items()}


def _matched(
    network: Layer, arrays: Mapping[str, Array], names: Mapping[str, str]
) -> list[tuple[Layer, str, Array, Array | float]]:
    """Of each array of the network: its layer, its key in ``arrays``, itself, and what is there."""
    matched = []
    layers = [layer for layer in network.leaves() if layer.state_dict()]
    prefixes = dict.fromkeys(key.rpartition(".")[0] for key in arrays)
    for i, (layer, prefix) in enumerate(zip_longest(layers, prefixes)):
        if layer is None or prefix is None:
            raise ValueError(f"layer {i} with weights is {layer} here and {prefix} there")
        for name, value in layer.state_dict().items():
            key = f"{prefix}.{names.get(name, name)}".lstrip(".")
            found = arrays.get(key, LEFT_OUT.get(name))
            if np.shape(found) not in ((), value.shape) or found is None:
                there = "missing" if found is None else found.shape
                raise ValueError(
                    f"{name} of {layer} (layer {i}) is {value.shape}, {key} is {there}"
                )
            matched.append((layer, key, value, found))
    surplus = arrays.keys() - {key for _, key, _, _ in matched}
    if surplus:
        raise ValueError(f"the network has no place for {', '.join(sorted(surplus))}")
    return matched
