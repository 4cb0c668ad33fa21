"""ONNX (https://onnx.ai): a network as a graph that other runtimes execute."""

from pathlib import Path
from typing import Any

import numpy as np

from ums import layers
from ums.backend import to_numpy
from ums.files import write_whole
from ums.layer import Layer
from ums.ops.arguments import zeros_around

OPERATORS = {
    layers.BatchNorm: ["BatchNormalization"], layers.Conv2D: ["Conv"], layers.Dense: ["Gemm"],
    layers.Dropout: [], layers.GlobalAveragePool: ["GlobalAveragePool", "Flatten"],
    layers.ReLU: ["Relu"], layers.Upsample2D: ["Resize"], layers.UpsampleConv2D: ["Resize", "Conv"],
}  # fmt: skip


def to_onnx(
    network: Layer, shape: tuple[int, ...], path: str | Path, channels_first: bool = False
) -> None:
    """Write a network, as it is at inference, to an ONNX file; needs the extra ``onnx``.

    The graph takes ``input`` to ``output``, both float32, for any number of examples. It holds layers
    alone: images come in normalised, and logits go out.

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

    nodes: list[Any] = []
    arrays: list[Any] = []

    def add(operator: str, *weights: np.ndarray, **attributes: Any) -> None:
        names = [f"{operator}_{len(nodes)}_{k}" for k in range(len(weights))]
        arrays.extend(map(numpy_helper.from_array, weights, names))
        inputs, output = [nodes[-1].output[0] if nodes else "input", *names], f"y_{len(nodes)}"
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))

    def end(name: str, shape: tuple[int, ...]) -> Any:
        sides = (*shape[-1:], *shape[:-1]) if channels_first else shape
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *sides])

    last = shape
    if len(shape) == 3 and not channels_first:
        add("Transpose", perm=(0, 3, 1, 2))
    for layer in network.leaves():
        before, last = last, layer.output_shape(last)
        if type(layer) not in OPERATORS:  # not even a subclass, which may compute something else
            raise ValueError(f"{layer} is none of the layers of ums.layers, which can be exported")
        for operator in OPERATORS[type(layer)]:
            weights, attributes = _details(operator, layer, before)
            add(operator, *weights, **attributes)
    if len(last) == 3 and not channels_first:
        add("Transpose", perm=(0, 2, 3, 1))
    add("Identity")
    nodes[-1].output[0] = "output"
    graph = helper.make_graph(nodes, "ums", [end("input", shape)], [end("output", last)], arrays)
    opsets = [helper.make_opsetid("", 17)]  # of 2022, as the file's format, for older runtimes
    model = helper.make_model(graph, producer_name="ums", opset_imports=opsets, ir_version=8)
    checker.check_model(model, full_check=True)
    write_whole(Path(path), model.SerializeToString())


def _details(operator: str, layer: Any, shape: tuple[int, ...]) -> tuple[list, dict[str, Any]]:
    """The weights and attributes of one of a layer's operators."""
    weights = [to_numpy(array).astype(np.float32) for array in layer.state_dict().values()]
    if operator == "Conv":
        usual: dict[str, Any] = {"stride": 1, "dilation": 1, "padding": "symmetric"}
        s, d, padding = (getattr(layer, name, value) for name, value in usual.items())
        zeros = [zeros_around(side, len(weights[0]), s, d, padding) for side in shape[:2]]
        pads = [side[end] for end in (0, 1) for side in zeros]
        weights[0] = weights[0].transpose(3, 2, 0, 1)  # (O, C, K, K)
        return weights, {"strides": [s, s], "dilations": [d, d], "pads": pads}
    if operator == "Resize":  # no region, the scales
        weights = [np.zeros(0, np.float32), np.array([1, 1, 2, 2], np.float32)]
        kind = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return weights, {"mode": "nearest", **kind}
    return weights, {"epsilon": layer.eps} if operator == "BatchNormalization" else {}
