"""Checks of lesson 12: Grad-CAM by hand and by differences, alone or in a batch; the recommendation."""

import numpy as np

from lessons.checking import as_array, check, require
from ums.derived import exclusion_probability
from ums.layers import BatchNorm, Conv2D, Dense, Dropout, GlobalAveragePool, ReLU, Sequential
from ums.ops import softmax_forward


@check
def grad_cam(grad_cam):
    """the maps are those worked out by hand, each image's from its own gradient, none below 0."""
    features = np.array([[[[1.0, 0.0], [0.0, 1.0]], [[2.0, 1.0], [0.0, 4.0]]]])  # (1, 2, 2, 2)
    for alpha, expected, hint in (
        ((1, 0), [[1, 0], [2, 0]], "Alpha is 1 for channel 0 and 0 for channel 1: what is left?"),
        ((-1, 2), [[0, 2], [0, 8]], "What is below 0 is cut off once the channels are added up."),
        ((-1, -3), [[0, 0], [0, 0]], "Where nothing speaks for the class the map is 0."),
    ):
        gradient = np.broadcast_to(np.array(alpha, float), features.shape).copy()
        _same_map(
            grad_cam, features, gradient, [expected], f"a gradient of {alpha} everywhere", hint
        )
    _same_map(
        grad_cam, np.array([[[[2.0], [-1.0]]]]), np.array([[[[0.5], [0.0]]]]), [[[0.5, 0]]],
        "features 2 and -1 of one channel with gradients 1/2 and 0",
        "Alpha is one number of the whole map, the gradient's mean over its places",
    )  # fmt: skip
    two = np.repeat(features, 2, axis=0)
    gradient = np.stack([np.full((2, 2, 2), (1.0, 0.0)), np.full((2, 2, 2), (-1.0, 2.0))])
    expected = [[[1, 0], [2, 0]], [[0, 2], [0, 8]]]
    hint = "Each image has alphas of its own: over which axes is the mean taken?"
    _same_map(grad_cam, two, gradient, expected, "two images with different gradients", hint)


def _same_map(grad_cam, features, gradient, expected, what, hint):
    given = features.copy(), gradient.copy()
    got = as_array(grad_cam(*given), "the map", features.shape[:3], float)
    for name, array, kept in (("features", given[0], features), ("gradient", given[1], gradient)):
        require((array == kept).all(), f"{name} has been changed: the caller still needs it")
    expected = np.array(expected, float)
    require(
        np.allclose(got, expected, atol=1e-9),
        f"{what}: the map should be {expected.tolist()}, yours is {np.round(got, 4).tolist()}. {hint}",
    )


@check
def coarse_maps(coarse_maps):
    """maps agree with central differences of the scores, alone or in a batch, and nothing is moved."""
    encoder, head, x = _network()
    before = {name: a.copy() for name, a in Sequential(encoder, head).state_dict().items()}
    size = (len(x), 4, 3)
    for asked in ([0.0, 1.0], [1.0, 0.0], [-1.0, 1.0]):
        given = x.copy(), np.array(asked)
        maps = as_array(coarse_maps(encoder, head, *given), "the maps", size, float)
        _unmoved(encoder, head, before)
        require(
            (given[0] == x).all(), "the images x have been changed: the caller still needs them"
        )
        require((given[1] == asked).all(), "asked has been changed: the caller still needs it")
        expected = _by_differences(encoder, head, x, asked)
        for n in range(len(x)):
            alone = as_array(
                coarse_maps(encoder, head, x[n : n + 1], np.array(asked)), "a map", (1, 4, 3)
            )
            require(
                np.allclose(alone[0], maps[n], atol=1e-9),
                f"asked {asked}, image {n}: its map alone differs from its map in a batch by up to "
                f"{abs(alone[0] - maps[n]).max():.3g}. Is the network used as it is for predictions? Does "
                "anything depend on the other images, or on their number?",
            )
        require(
            np.allclose(maps, expected, atol=1e-6),
            f"asked {asked}: the maps differ from those by central differences by up to "
            f"{abs(maps - expected).max():.3g}. Each image's s depends on its own scores "
            "alone: what is its gradient with respect to the scores (N, K)?",
        )
    _unmoved(encoder, head, before)


def _network():
    """A small encoder and head in float64, away from where they start, with images (5, 8, 6, 1)."""
    rng = np.random.default_rng(3)
    encoder = Sequential(
        Conv2D(1, 4, rng, stride=2), BatchNorm(4), ReLU(), Conv2D(4, 5, rng), ReLU()
    )
    head = Sequential(
        GlobalAveragePool(),
        BatchNorm(5),
        Dense(5, 6, rng),
        ReLU(),
        Dropout(0.5, rng),
        Dense(6, 2, rng),
    )
    for layer in (encoder, head):
        layer.astype(np.float64)
        for value in layer.state_dict().values():
            value += rng.uniform(0.1, 0.5, value.shape)
    return encoder, head, rng.normal(size=(5, 8, 6, 1))


def _by_differences(encoder, head, x, asked, step=1e-5):
    """The maps, each alpha by adding a little to one channel everywhere: (N, h, w)."""
    features = encoder.forward(x, keep=False)
    h, w, C = features.shape[1:]
    total = np.zeros(features.shape[:3])
    for k in range(C):
        little = np.zeros(C)
        little[k] = step
        more, less = (head.forward(features + s * little, keep=False) @ asked for s in (1, -1))
        alpha = (more - less) / (2 * step) / (h * w)  # (N,)
        total += alpha[:, None, None] * features[..., k]
    return np.maximum(total, 0)


def _unmoved(encoder, head, before):
    for name, array in Sequential(encoder, head).state_dict().items():
        require(
            np.array_equal(array, before[name]),
            f"the network's {name} moved: whoever looks at a network must leave it as it is",
        )
    grads = [p.grad for p in encoder.parameters() + head.parameters()]
    require(
        all(g is None for g in grads),
        "gradients were left behind in the network's own parameters; the next step of a training would "
        "take them along. Which head goes backward?",
    )


@check
def recommend(recommend):
    """P(exclude) and decisions are those worked out by hand, for any costs and for logits of 1000."""
    flow = np.log([[0.2, 0.2, 0.6], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1], [0.05, 0.05, 0.9]])
    quality = np.log([[0.6, 0.4], [0.9, 0.1], [0.99, 0.01], [0.1, 0.9]])
    expected = [0.36, 0.72, 0.099, 0.09]
    for lost, spoilt, decisions in (
        (1, 1, [0, 1, 0, 0]),
        (1, 3, [1, 1, 0, 0]),
        (3, 1, [0, 0, 0, 0]),
    ):
        p, excluded = _two(recommend, flow, quality, lost=lost, spoilt=spoilt)
        require(
            np.allclose(p, expected),
            f"P(exclude) of TR {[0.6, 0.8, 0.1, 0.9]} and poor {[0.6, 0.9, 0.99, 0.1]} should be "
            f"{expected}, yours is {np.round(p, 4).tolist()}. Which column is which, and what is done to "
            "logits first?",
        )
        require(
            excluded.tolist() == [bool(d) for d in decisions],
            f"with P(exclude) {expected}, a lost image costing {lost} and a spoilt measurement {spoilt}, "
            f"images {[i for i, d in enumerate(decisions) if d]} should be excluded, you exclude "
            f"{np.flatnonzero(excluded).tolist()}. Compare the two expected costs.",
        )
    require(
        _two(recommend, flow, quality)[1].tolist() == [False, True, False, False],
        "with costs of 1, which they are unless told, the threshold is 1/2",
    )
    rng = np.random.default_rng(2)
    flow, quality = rng.normal(0, 2, (30, 3)), rng.normal(0, 2, (30, 2))
    known = exclusion_probability(softmax_forward(flow)[0], softmax_forward(quality)[0])
    require(
        np.allclose(_two(recommend, flow, quality)[0], known),
        "for thirty images P(exclude) differs from that of ums.derived: each row is an image of its own",
    )
    p, _ = _two(recommend, np.array([[0.0, 0, 1000]]), np.array([[1000.0, 0]]))
    require(abs(p[0] - 1) < 1e-9, f"logits of 1000 should give P(exclude) = 1, yours is {p[0]:.4g}")


def _two(recommend, flow, quality, **costs):
    given = flow.copy(), quality.copy()
    answer = recommend(*given, **costs)
    require(
        isinstance(answer, tuple | list) and len(answer) == 2,
        f"it should return P(exclude) and the decisions, got {type(answer).__name__}",
    )
    same = (given[0] == flow).all() and (given[1] == quality).all()
    require(same, "logits that were given have been changed: the caller still needs them")
    p = as_array(answer[0], "P(exclude)", (len(flow),), float)
    return p, as_array(answer[1], "the decisions", (len(flow),), bool)
