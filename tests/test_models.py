"""Models: networks in files with a manifest, read back without the code that built them."""

import inspect
import json

import numpy as np
import pytest

from ums import layers, networks
from ums.layers import Conv2D, Dense, Layer, ReLU, Sequential
from ums.models import (
    MANIFEST,
    MODELS,
    NOTICE,
    USE,
    WEIGHTS,
    build,
    describe,
    load_model,
    save_model,
)
from ums.reading import with_digest

INPUT = {"size": 16, "channels": 1, "background": 8}
KINDS = [
    kind for kind in vars(layers).values()
    if isinstance(kind, type) and issubclass(kind, Layer) and kind not in (Layer, Sequential)
]  # fmt: skip


def every_layer(rng):
    """A network of all layers, none with the usual settings, whose statistics are not the first ones."""
    down = [Conv2D(1, 4, rng, 5, 2, 2, "same"), layers.BatchNorm(4, 0.8, 1e-3), ReLU()]
    up = [layers.UpsampleConv2D(4, 3, rng), layers.Upsample2D(), layers.GlobalAveragePool()]
    network = Sequential(Sequential(*down), *up, layers.Dropout(0.3, rng), Dense(3, 2, rng))
    network.forward(rng.normal(size=(3, 16, 16, 1)).astype(np.float32), training=True)
    return network


def saved(folder, **tasks):
    save_model(folder, tasks, {"input": INPUT, "tasks": {name: {} for name in tasks}})
    return folder


def test_network_that_was_read_gives_what_it_gave(tmp_path, rng):
    network = every_layer(rng)
    x = rng.normal(size=(2, 16, 16, 1)).astype(np.float32)
    model = load_model(saved(tmp_path, one=network))
    np.testing.assert_array_equal(model.networks["one"](x), network(x))
    assert repr(model.networks["one"]) == repr(network)
    assert {type(leaf) for leaf in network.leaves()} == set(KINDS)


@pytest.mark.parametrize("make", [networks.denoising_autoencoder, networks.separate_classifier])
def test_network_of_the_paper_that_was_read_gives_what_it_gave(make, tmp_path, rng):
    network = make(rng, width=0.25)
    x = rng.normal(size=(2, 32, 32, 1)).astype(np.float32)
    model = load_model(saved(tmp_path, one=network, other=every_layer(rng)))
    np.testing.assert_array_equal(model.networks["one"](x), network(x))


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_of_a_layer_are_all_that_it_takes(kind, rng):
    (layer,) = (leaf for leaf in every_layer(rng).leaves() if type(leaf) is kind)
    assert set(layer.arguments()) == set(inspect.signature(kind).parameters) - {"rng"}
    assert build(describe(layer)).arguments() == layer.arguments()


def test_manifest_says_what_the_model_is(tmp_path, rng):
    about = load_model(saved(tmp_path, one=every_layer(rng))).about
    assert about["notice"] == NOTICE and "not for clinical use" in NOTICE
    assert about["input"] == INPUT and about["tasks"] == {"one": {}}
    assert (
        json.loads((tmp_path / MANIFEST).read_text())["networks"]["one"][0][0]["padding"] == "same"
    )


def test_study_s_folder_stands_for_the_model_that_it_recommends(tmp_path, rng):
    for name, width in (("joint", 2), ("single", 3)):
        saved(tmp_path / MODELS / name, one=Sequential(Dense(4, width, rng)))
    (tmp_path / MODELS / USE).write_text(json.dumps(with_digest({"model": "single"})))
    assert repr(load_model(tmp_path).networks["one"]) == "Sequential(Dense(4, 3))"
    assert (
        repr(load_model(tmp_path / MODELS / "joint").networks["one"]) == "Sequential(Dense(4, 2))"
    )


def test_layer_of_one_s_own_cannot_be_saved_and_nothing_is_written(tmp_path):
    class Own(ReLU):
        pass

    with pytest.raises(ValueError, match=r"Own\(\) is no layer of ums.layers"):
        saved(tmp_path / "model", one=Sequential(Own()))
    assert not (tmp_path / "model").exists()


def test_manifest_that_lacks_something_is_refused(tmp_path, rng):
    network = {"one": every_layer(rng)}
    with pytest.raises(ValueError, match="lacks background, size"):
        save_model(tmp_path, network, {"input": {"channels": 1}, "tasks": {"one": {}}})
    with pytest.raises(ValueError, match="networks' names, one"):
        save_model(tmp_path, network, {"input": INPUT, "tasks": {"two": {}}})
    with pytest.raises(FileNotFoundError, match=r"no model, that is a folder with model\.json"):
        load_model(tmp_path)


def test_damage_and_later_formats_are_named(tmp_path, rng):
    path = saved(tmp_path, one=every_layer(rng)) / MANIFEST
    text = path.read_text()
    path.write_text(text.replace('"size": 16', '"size": 32'))
    with pytest.raises(
        ValueError, match=r"model\.json cannot be read: it is damaged or was changed"
    ):
        load_model(tmp_path)
    content = json.loads(text)
    for change, why in (
        ({"format": 2}, "format 2 is of a later version"),
        ({"seed": 1}, r"weights\.npz"),
    ):
        path.write_text(json.dumps(with_digest(content | change)))
        with pytest.raises(ValueError, match=why):
            load_model(tmp_path)
    path.write_text(text)
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"weights\.npz cannot be read"):
        load_model(tmp_path)
