"""Heat maps: Grad-CAM by hand and against PyTorch, and what it must leave alone."""

import numpy as np
import pytest
import standin

from ums.backend import Device
from ums.derived import grad_cam, heat_maps, mass_inside, split_at_pooling
from ums.layers import BatchNorm, Conv2D, Dense, Dropout, GlobalAveragePool, ReLU, Sequential
from ums.networks import classification_head, cxr_encoder, separate_classifier

# One image's features, 2 x 2 pixels of 2 channels, and a dense layer for three classes.
FEATURES = np.array([[[[1.0, 0.0], [0.0, 1.0]], [[2.0, 1.0], [0.0, 4.0]]]])
WEIGHTS = np.array([[1.0, -1.0, -1.0], [-1.0, 2.0, -3.0]])
BY_CLASS = {
    0: [[1, 0], [1, 0]],  # channel 0 less channel 1: 1, -1 / 1, -4
    1: [[0, 2], [0, 8]],  # 2 channel 1 less channel 0: -1, 2 / 0, 8
    2: [[0, 0], [0, 0]],  # negative everywhere
}


def linear_head(w=WEIGHTS):
    head = Sequential(GlobalAveragePool(), Dense(*w.shape, np.random.default_rng(0)))
    head.layers[1].w.value = w.copy()
    head.layers[1].b.value = np.zeros(w.shape[1], w.dtype)
    return head


def classifier(rng, classes=3, dropout=0.5):
    """A small encoder and head with every parameter and statistic away from where it starts."""
    network = Sequential(
        Sequential(Conv2D(1, 4, rng, stride=2), BatchNorm(4), ReLU(), Conv2D(4, 6, rng), ReLU()),
        classification_head(6, classes, rng, hidden=8, dropout=dropout, batch_norm=True),
    )
    for name, value in network.state_dict().items():
        value += rng.uniform(0.1, 0.5, value.shape).astype(np.float32)
        assert "var" not in name or (value > 1).all()
    return network


def images(rng, N=5, H=12, W=8):
    return rng.normal(size=(N, H, W, 1)).astype(np.float32)


# ------------------------------------------------------------------------------ the map


@pytest.mark.parametrize("number", BY_CLASS)
def test_grad_cam_of_a_linear_head_is_the_class_activation_map(number):
    expected = np.array(BY_CLASS[number]) / 4  # the weights divided by the pixels pooled
    np.testing.assert_allclose(grad_cam(FEATURES, linear_head(), number)[0], expected, rtol=1e-12)


def test_gradient_is_averaged_over_the_image():
    """A head that looks at the first of two pixels only: gradients 1/2 and 0, so alpha is 1/4."""
    head = Sequential(ReLU(), linear_head(np.array([[1.0]])))
    features = np.array([[[[2.0], [-1.0]]]])
    assert grad_cam(features, head).tolist() == [[[2 / 4, 0]]]


def test_mean_gradient_of_a_large_map_does_not_drift():
    features = np.full((1, 500, 500, 2), 0.1, np.float32)
    maps = grad_cam(features, linear_head(np.ones((2, 2), np.float32)), 0)
    np.testing.assert_allclose(maps, 0.2 / 500**2, rtol=1e-6)


def test_class_asked_about_is_the_winning_one_by_default():
    scores = linear_head().forward(FEATURES)[0]
    assert scores.tolist() == [-3 / 4, 9 / 4, -21 / 4]
    expected = grad_cam(FEATURES, linear_head(), 1)
    np.testing.assert_array_equal(grad_cam(FEATURES, linear_head()), expected)


def test_each_image_can_have_a_class_of_its_own():
    three = np.repeat(FEATURES, 3, axis=0)
    maps = grad_cam(three, linear_head(), np.array([1, 2, 0]))
    np.testing.assert_allclose(maps, np.array([BY_CLASS[k] for k in (1, 2, 0)]) / 4)
    np.testing.assert_array_equal(grad_cam(three, linear_head(), [0, 0, 0])[1], maps[2])


class EverySecondPixel(ReLU):
    """An encoder whose feature map is the image at half its size."""

    def forward(self, x, training=False, keep=True):
        return x[:, ::2, ::2]


def test_map_is_enlarged_bilinearly_and_scaled_to_one():
    x = np.zeros((1, 2, 4, 1))
    x[0, 0, 0] = 8  # features: one row of two pixels, 8 and 0
    network = Sequential(EverySecondPixel(), linear_head(np.array([[1.0]])))
    np.testing.assert_allclose(heat_maps(network, x)[0], [[1, 3 / 4, 1 / 4, 0]] * 2)


def test_map_without_anything_for_the_class_stays_zero():
    maps = heat_maps(linear_head(), np.repeat(FEATURES, 2, axis=0), [2, 1])
    assert (maps[0] == 0).all() and maps[1].max() == 1


def test_heat_maps_lie_between_zero_and_one_in_the_images_size(rng):
    x = images(rng)
    for number in range(3):
        maps = heat_maps(classifier(rng), x, number)
        assert maps.shape == x.shape[:3] and maps.dtype == np.float32
        assert maps.min() >= 0 and set(maps.max(axis=(1, 2))) <= {0, 1}


# ------------------------------------------------------------------------------ against PyTorch


def as_torch(layer):
    """A layer of ours as PyTorch's, in evaluation mode, on (N, C, H, W)."""
    torch = pytest.importorskip("torch")
    nn, arrays = torch.nn, {k: torch.tensor(v) for k, v in layer.state_dict().items()}
    if isinstance(layer, Conv2D):
        _, _, C, O = arrays["w"].shape
        twin = nn.Conv2d(C, O, 3, layer.stride, layer.dilation, layer.dilation)
        twin.weight.data, twin.bias.data = arrays["w"].permute(3, 2, 0, 1), arrays["b"]
    elif isinstance(layer, Dense):
        twin = nn.Linear(*arrays["w"].shape)
        twin.weight.data, twin.bias.data = arrays["w"].T, arrays["b"]
    elif isinstance(layer, BatchNorm):
        twin = (nn.BatchNorm2d if layer.image else nn.BatchNorm1d)(len(arrays["beta"]), layer.eps)
        twin.weight.data, twin.bias.data = arrays["gamma"], arrays["beta"]
        twin.running_mean, twin.running_var = arrays["running_mean"], arrays["running_var"]
    elif isinstance(layer, GlobalAveragePool):
        twin = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    else:
        twin = {ReLU: nn.ReLU, Dropout: nn.Dropout}[type(layer)]()
    return twin.double().eval()


def torch_heat_maps(network, x, classes):
    """Grad-CAM by autograd, one image at a time, enlarged by PyTorch."""
    torch = pytest.importorskip("torch")
    layers, pooled = network.leaves(), False
    for layer in layers:
        pooled |= isinstance(layer, GlobalAveragePool)
        layer.image = not pooled
    twins = [as_torch(layer) for layer in layers]
    pool = next(i for i, layer in enumerate(layers) if isinstance(layer, GlobalAveragePool))
    maps = []
    for image, number in zip(x, classes, strict=True):
        A = torch.tensor(image[None]).permute(0, 3, 1, 2)
        for twin in twins[:pool]:
            A = twin(A)
        A = A.detach().requires_grad_()
        scores = A
        for twin in twins[pool:]:
            scores = twin(scores)
        number = scores[0].argmax() if number is None else number
        (gradient,) = torch.autograd.grad(scores[0, number], A)
        cam = torch.relu((gradient.mean((2, 3), keepdim=True) * A).sum(1, keepdim=True)).detach()
        size = image.shape[:2]
        cam = torch.nn.functional.interpolate(cam, size, mode="bilinear", align_corners=False)
        maps.append(cam[0, 0].numpy() / (cam.max().item() or 1))
    return np.array(maps)


@pytest.mark.parametrize("classes", [None, 0, [2, 0, 1, 1, 2]])
def test_heat_maps_equal_those_of_autograd(classes, rng):
    network, x = classifier(rng).astype(np.float64), images(rng).astype(np.float64)
    each = np.broadcast_to(classes, 5).tolist()
    expected = torch_heat_maps(network, x, each)
    assert (expected > 0).any(axis=(1, 2)).sum() >= 3
    np.testing.assert_allclose(heat_maps(network, x, classes), expected, rtol=1e-5, atol=1e-6)


def test_heat_maps_of_the_separate_classifier_equal_those_of_autograd(rng):
    network = separate_classifier(rng, width=0.1).astype(np.float64)
    x = images(rng, 3, 64, 64).astype(np.float64)
    for number in (0, 1):
        expected = torch_heat_maps(network, x, [number] * 3)
        assert expected.any()
        np.testing.assert_allclose(heat_maps(network, x, number), expected, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------------ what it leaves alone


def test_image_has_the_same_map_alone_as_in_a_batch(rng):
    network, x = classifier(rng), images(rng)
    x[1:] *= 20  # images that would move a batch's statistics
    together = heat_maps(network, x)
    alone = np.concatenate([heat_maps(network, x[k : k + 1]) for k in range(len(x))])
    assert (together > 0).any(axis=(1, 2)).sum() >= 3
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_dropout_is_off(rng):
    network, x = classifier(rng, dropout=0.9), images(rng)
    maps = heat_maps(network, x)
    np.testing.assert_array_equal(maps, heat_maps(network, x))
    encoder, head = network.layers
    without = Sequential(*(layer for layer in head.layers if not isinstance(layer, Dropout)))
    np.testing.assert_array_equal(maps, heat_maps(Sequential(encoder, without), x))


def everything(network):
    """Arrays, gradients, switches and the state of the generator, to the byte."""
    return [
        {name: value.tobytes() for name, value in network.state_dict().items()},
        [None if p.grad is None else p.grad.tobytes() for p in network.parameters()],
        [layer.frozen for layer in network.leaves()],
        [layer.rng.bit_generator.state for layer in network.leaves() if isinstance(layer, Dropout)],
    ]


@pytest.mark.parametrize("part", [None, 0, 1])
def test_network_is_left_as_it_was_found(part, rng):
    network, x = classifier(rng), images(rng)
    if part is not None:
        network.layers[part].freeze()
    network.backward(network.forward(x, training=True))
    before = everything(network)
    heat_maps(network, x)
    assert everything(network) == before
    assert any(before[1]) and any(before[2]) == (part is not None)


def test_head_keeps_the_forward_pass_it_had(rng):
    encoder, head = classifier(rng).layers
    features = encoder.forward(images(rng))
    y = head.forward(features)
    grad_cam(features[:2], head)
    assert head.backward(y).shape == features.shape


def test_frozen_and_learning_heads_have_the_same_map(rng):
    network, x = classifier(rng), images(rng)
    maps = heat_maps(network, x)
    network.freeze()
    np.testing.assert_array_equal(heat_maps(network, x), maps)


# ------------------------------------------------------------------------------ splitting


def test_network_is_split_before_its_pooling(rng):
    encoder = cxr_encoder(rng, width=0.1)
    head = classification_head(26, 2, rng, hidden=4)
    before, after = split_at_pooling(Sequential(encoder, head))
    assert before.layers == encoder.layers and after.layers == head.layers
    whole = separate_classifier(rng, width=0.1)
    before, after = split_at_pooling(whole)
    assert before.layers + after.layers == whole.layers
    assert isinstance(after.layers[0], GlobalAveragePool) and len(after.layers) == 2


def test_splitting_leaves_frozen_layers_frozen(rng):
    network = classifier(rng)
    network.layers[0].freeze()
    before, after = split_at_pooling(network)
    assert before.frozen and not any(layer.frozen for layer in after.layers)


@pytest.mark.parametrize("pools", [0, 2])
def test_network_without_one_pooling_is_refused(pools):
    network = Sequential(ReLU(), *(GlobalAveragePool() for _ in range(pools)))
    with pytest.raises(ValueError, match=rf"found {pools} in Sequential\(ReLU\(\)"):
        heat_maps(network, FEATURES)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (3, r"whole numbers in 0 .. 2, got 3"),
        (-1, r"0 .. 2, got -1"),
        ([0, 1], r"one number or \(1,\), got shape \(2,\)"),
        ([0.0], "whole numbers"),
        ([True], "whole numbers"),
    ],
)
def test_classes_that_the_head_does_not_have_are_refused(classes, message):
    with pytest.raises(ValueError, match=message):
        grad_cam(FEATURES, linear_head(), classes)


# ------------------------------------------------------------------------------ another device


@pytest.mark.parametrize("classes", [None, [2, 0, 1, 1, 2]])
def test_heat_maps_of_a_network_on_a_device_equal_numpys(classes, rng):
    device = Device(standin, "stand-in")
    network, x = classifier(rng), images(rng)
    expected = heat_maps(network, x, classes)
    network.to(device)
    x = device.put(x)
    standin.moves.clear()
    maps = heat_maps(network, x, classes)
    assert isinstance(maps, np.ndarray) and standin.moves["to host"] == 1
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)
    assert maps.any()


# ------------------------------------------------------------------------------ mass inside a mask


def test_mass_inside_a_mask_by_hand():
    maps = np.array([[[1, 0], [2, 5]], [[0, 0], [3, 0]], [[1, 1], [1, 1]]]) / 5
    masks = np.array([[[1, 1], [1, 0]], [[0, 0], [1, 1]], [[0, 0], [0, 0]]]) == 1
    np.testing.assert_allclose(mass_inside(maps, masks), [3 / 8, 1, 0])
    assert isinstance(mass_inside(maps[0], masks[0]), float)


def test_mass_inside_of_an_even_map_is_the_share_of_the_mask(rng):
    masks = rng.random((4, 20, 30)) < 0.3
    shares = mass_inside(np.full(masks.shape, 0.1, np.float32), masks)
    np.testing.assert_allclose(shares, masks.mean(axis=(1, 2)), rtol=1e-6)


def test_mass_inside_of_an_empty_map_is_undefined():
    maps = np.zeros((2, 3, 3))
    maps[1, 0, 0] = 1e-30
    np.testing.assert_array_equal(mass_inside(maps, np.ones((2, 3, 3), bool)), [np.nan, 1])


@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        (np.ones((1, 2, 2)), np.ones((1, 2, 3), bool), r"\(1, 2, 2\) and \(1, 2, 3\)"),
        (np.ones((1, 2, 2)), np.ones((1, 2, 2)), "boolean, got float64"),
        (-np.ones((1, 2, 2)), np.ones((1, 2, 2), bool), "negative, got -1.0"),
        (np.full((1, 2, 2), np.nan), np.ones((1, 2, 2), bool), "finite and not negative, got nan"),
        (np.diag([np.inf, 1.0]), np.ones((2, 2), bool), "finite and not negative, got inf"),
    ],
)
def test_unfit_maps_and_masks_are_refused(maps, masks, message):
    with pytest.raises(ValueError, match=message):
        mass_inside(maps, masks)


@pytest.mark.parametrize("shape", [(5, 12, 8), (12, 8), (5, 12, 8, 1)])
def test_images_that_are_not_normalised_have_no_heat_map(shape, rng):
    with pytest.raises(ValueError, match=r"x must be normalised, floats \(N, H, W, C\), got"):
        heat_maps(classifier(rng), rng.integers(0, 256, shape, dtype=np.uint8))


def test_heat_map_of_what_is_not_finite_is_refused(rng):
    x = images(rng)
    x[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="heat maps are not finite"):
        heat_maps(classifier(rng), x)
