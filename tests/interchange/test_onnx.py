"""The ONNX file of a network, run by onnxruntime."""

import numpy as np
import pytest
from twins import TITLES, difference, every_layer, images, paper

from ums.interchange.onnx import to_onnx
from ums.layers import Conv2D, Dense, Layer, ReLU, Sequential
from ums.networks import cxr_encoder

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def outputs(path, x):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["output"], {"input": x})[0]


@pytest.mark.parametrize("k", range(len(TITLES)), ids=TITLES)
def test_onnxruntime_agrees_on_the_papers_networks(k, tmp_path, rng):
    network, x = paper(k, rng)
    to_onnx(network, x.shape[1:], tmp_path / "net.onnx")
    assert difference(outputs(tmp_path / "net.onnx", x), network.forward(x)) < 1e-5


@pytest.mark.parametrize("N", [1, 5])
@pytest.mark.parametrize("side", [12, 13])
@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("channels_first", [False, True])
def test_every_layer_in_either_layout_for_any_batch(
    N, side, padding, channels_first, tmp_path, rng
):
    network, x = every_layer(rng), images(rng, side, 10, 2, N)
    network[0][0].padding = padding
    to_onnx(network, x.shape[1:], tmp_path / "net.onnx", channels_first)
    given = x.transpose(0, 3, 1, 2) if channels_first else x
    assert difference(outputs(tmp_path / "net.onnx", given), network.forward(x)) < 1e-5


@pytest.mark.parametrize("channels_first", [False, True])
def test_images_come_out_in_the_layout_they_go_in(channels_first, tmp_path, rng):
    network, x = cxr_encoder(rng, 3, 0.1), images(rng, 32, 48, 3)
    to_onnx(network, x.shape[1:], tmp_path / "net.onnx", channels_first)
    y = outputs(tmp_path / "net.onnx", x.transpose(0, 3, 1, 2) if channels_first else x)
    y = y.transpose(0, 2, 3, 1) if channels_first else y
    assert difference(y, network.forward(x)) < 1e-5


def test_head_alone_takes_features(tmp_path, rng):
    network, x = Sequential(Dense(5, 3, rng), ReLU()), rng.normal(size=(4, 5)).astype(np.float32)
    to_onnx(network, (5,), tmp_path / "net.onnx")
    assert difference(outputs(tmp_path / "net.onnx", x), network.forward(x)) < 1e-5


def test_file_says_what_goes_in_and_out(tmp_path, rng):
    to_onnx(cxr_encoder(rng, 3, 0.25), (32, 48, 3), tmp_path / "net.onnx")
    graph = onnx.load(tmp_path / "net.onnx").graph
    ends = {
        end.name: [axis.dim_param or axis.dim_value for axis in end.type.tensor_type.shape.dim]
        for end in (*graph.input, *graph.output)
    }
    assert ends == {"input": ["N", 32, 48, 3], "output": ["N", 2, 3, 64]}


class Doubled(Conv2D):
    def _forward(self, x, training):
        y, cache = super()._forward(x, training)
        return 2 * y, cache


class Other(Layer):
    pass


@pytest.mark.parametrize("layer", [Other(), Doubled(1, 1, np.random.default_rng(0))], ids=repr)
def test_layer_of_another_class_is_refused(layer, tmp_path):
    with pytest.raises(ValueError, match=r"none of the layers of ums\.layers"):
        to_onnx(Sequential(layer), (4, 4, 1), tmp_path / "net.onnx")
    assert not any(tmp_path.iterdir())


def test_shape_that_does_not_fit_is_refused(tmp_path, rng):
    with pytest.raises(ValueError, match="input has 3 channels, expected 1"):
        to_onnx(cxr_encoder(rng), (32, 32, 3), tmp_path / "net.onnx")
