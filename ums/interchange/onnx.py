"""ONNX (https://onnx.ai): a network as a graph that other runtimes execute."""

from pathlib import Path
from typing import Any

import numpy as np

from ums import layers
from ums.backend import to_numpy
from ums.files import write_whole
from ums.layer import Layer
from ums.ops.arguments import zeros_around

TWICE = [np.zeros(0, np.float32), np.array([1, 1, 2, 2], np.float32)]  # no region, the scales
NEAREST = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


def to_onnx(
    network: Layer, shape: tuple[int, ...], path: str | Path, channels_first: bool = False
) -> None:
    """Write a network, as it is at inference, to an ONNX file; needs the extra ``onnx``.

    The graph takes ``input`` to ``output``, both float32 of any number of examples. It holds layers
    alone: images must come in normalised, and what comes out are logits.

    Args:
        network: Any nesting of the layers of :mod:`ums.layers`.
        shape: One input without the batch axis, (H, W, C) or (C,), as ums has it.
        path: The file.
        channels_first: Whether the graph's images are (N, C, H, W) instead of (N, H, W, C).

    Raises:
        ValueError: A layer cannot take its input, or is none of :mod:`ums.layers`.
        OSError: The file cannot be written; names it.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    steps, last = _steps(network, shape, not channels_first)
    nodes, arrays, name = [], [], "input"
    for i, (operator, weights, attributes) in enumerate(steps):
        inputs = [name, *(f"{operator}_{i}_{k}" for k in range(len(weights)))]
        name = f"{operator}_{i}" if i < len(steps) - 1 else "output"
        nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        arrays += map(numpy_helper.from_array, weights, inputs[1:])
    ends = []
    for name, (*sides, C) in (("input", shape), ("output", last)):
        axes = ["N", C, *sides] if channels_first else ["N", *sides, C]
        ends.append([helper.make_tensor_value_info(name, TensorProto.FLOAT, axes)])
    graph = helper.make_graph(nodes, "ums", ends[0], ends[1], arrays)
    opsets = [helper.make_opsetid("", 17)]  # of 2022, as the file's format, for older runtimes
    model = helper.make_model(graph, producer_name="ums", opset_imports=opsets, ir_version=8)
    checker.check_model(model, full_check=True)
    write_whole(Path(path), model.SerializeToString())


def _steps(network: Layer, shape: tuple[int, ...], turn: bool) -> tuple[list, tuple[int, ...]]:
    """Operators with their weights and attributes, and the shape of the output."""
    steps: list = [("Transpose", [], {"perm": (0, 3, 1, 2)})] if turn and len(shape) == 3 else []
    for layer in network.leaves():
        before, shape = shape, layer.output_shape(shape)
        steps += _operators(layer, before)
    turn = turn and len(shape) == 3
    end = ("Transpose", [], {"perm": (0, 2, 3, 1)}) if turn else ("Identity", [], {})
    return [*steps, end], shape


def _operators(layer: Any, shape: tuple[int, ...]) -> list:
    weights = [to_numpy(array).astype(np.float32) for array in layer.state_dict().values()]
    if len(weights) == 2 and weights[0].ndim == 4:
        weights[0] = weights[0].transpose(3, 2, 0, 1)  # (O, C, K, K)
    twice = ("Resize", TWICE, {"mode": "nearest", **NEAREST})
    match type(layer):  # itself: a class derived from it may compute something else
        case layers.Conv2D:
            s, d = layer.stride, layer.dilation
            K = weights[0].shape[2]
            zeros = [zeros_around(side, K, s, d, layer.padding) for side in shape[:2]]
            pads = [side[end] for end in (0, 1) for side in zeros]
            return [("Conv", weights, {"strides": [s, s], "dilations": [d, d], "pads": pads})]
        case layers.UpsampleConv2D:
            return [twice, ("Conv", weights, {"pads": [1, 1, 1, 1]})]
        case layers.Upsample2D:
            return [twice]
        case layers.BatchNorm:
            return [("BatchNormalization", weights, {"epsilon": layer.eps})]
        case layers.Dense:
            return [("Gemm", weights, {})]
        case layers.ReLU:
            return [("Relu", [], {})]
        case layers.GlobalAveragePool:
            return [("GlobalAveragePool", [], {}), ("Flatten", [], {})]
        case layers.Dropout:
            return []
    raise ValueError(f"{layer!r} is none of the layers of ums.layers, which can be exported")
