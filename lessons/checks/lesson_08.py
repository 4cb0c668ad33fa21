"""Checks of lesson 8: bytes that tell everything, an encoder held still, features once, fair labels."""

import numpy as np

from lessons.checking import as_array, check, require
from lessons.checks.gradients import Unchanged
from ums.layers import BatchNorm, Conv2D, Layer, ReLU, Sequential
from ums.networks import copy_network
from ums.ops import categorical_cross_entropy
from ums.optimizers import SGD
from ums.training import train_step


@check
def fingerprint(fingerprint):
    """the same for a copy, a different one as soon as a bit, a place or a statistic differs."""
    layer = Sequential(*_encoder(), Conv2D(4, 32, np.random.default_rng(4)))
    kept = {name: array.copy() for name, array in layer.state_dict().items()}
    learns = len(layer.trainable_parameters())
    first = fingerprint(layer)
    require(isinstance(first, bytes), f"it should return bytes, got {type(first).__name__}")
    require(
        fingerprint(copy_network(layer)) == first,
        "a copy that holds the same has another fingerprint: what does it depend on besides the arrays?",
    )
    for name, array in layer.state_dict().items():
        for place in (array.size // 2, array.size - 1):
            other = copy_network(layer)
            entry = other.state_dict()[name].reshape(-1)[place : place + 1]
            entry[...] = np.nextafter(entry, np.float32(9))
            require(
                fingerprint(other) != first,
                f"the last bit of one number of {name} {array.shape} was changed, and the fingerprint is "
                "the same",
            )
    other = copy_network(layer)
    gamma, beta = other.layers[1].gamma, other.layers[1].beta
    gamma.value, beta.value = beta.value, gamma.value
    require(
        fingerprint(other) != first,
        "two arrays have changed places, gamma and beta of a batch norm, and the fingerprint is the same",
    )
    require(
        all((layer.state_dict()[name] == array).all() for name, array in kept.items())
        and len(layer.trainable_parameters()) == learns,
        "taking the fingerprint has changed the layer",
    )


@check
def attach_head(attach_head):
    """logits come out, the head learns, and not a byte of the encoder moves, statistics included."""
    encoder = _encoder()
    before = {name: array.copy() for name, array in encoder.state_dict().items()}
    network = attach_head(encoder, 4, 3, np.random.default_rng(0))
    require(network is not None, "it returns None: where is the network?")
    require(
        isinstance(network, Sequential) and len(network.layers) == 2,
        "it should return one network of two parts, the encoder and after it the head",
    )
    require(
        network.layers[0] is encoder,
        "the first part is not the encoder that was given: all heads are to share one, without copies",
    )
    rng = np.random.default_rng(1)
    x, labels = rng.normal(2, 3, (6, 8, 8, 1)).astype(np.float32), np.arange(6) % 3
    head = network.layers[1]
    _has_the_layers(head, encoder, x)
    as_array(network.forward(x, keep=False), "the logits of 6 films and 3 classes", (6, 3))
    start = {name: array.copy() for name, array in head.state_dict().items()}
    optimizer = SGD(network.trainable_parameters(), 0.1)
    for _ in range(3):
        train_step(network, categorical_cross_entropy, optimizer, x, labels)
    moved = [name for name, array in encoder.state_dict().items() if (array != before[name]).any()]
    require(
        not moved,
        f"three steps of training have moved {len(moved)} arrays of the encoder, {', '.join(moved[:2])} "
        "among them: it should be held still",
    )
    still = [n for n, array in head.state_dict().items() if (array == start[n]).all()]
    require(not still, f"three steps of training left {', '.join(still)} of the head as it was")
    again = attach_head(encoder, 4, 3, np.random.default_rng(0)).layers[1].state_dict()
    require(
        all((again[name] == array).all() for name, array in start.items()),
        "the same seed gives another head: who draws its first weights?",
    )
    other = attach_head(encoder, 4, 3, np.random.default_rng(1)).layers[1].state_dict()
    require(
        any((other[name] != array).any() for name, array in start.items()),
        "two seeds give the same head: are its first weights drawn by rng?",
    )


def _has_the_layers(head, encoder, x):
    kinds = [type(layer).__name__ for layer in getattr(head, "layers", [head])]
    require(
        kinds == ["GlobalAveragePool", "BatchNorm", "Dense"],
        f"the head should be pooling, batch norm and a dense layer, yours is {', '.join(kinds)}",
    )
    pooled = encoder.forward(x, keep=False).mean(axis=(1, 2))
    expected = head.layers[2].forward(head.layers[1].forward(pooled, keep=False), keep=False)
    require(
        np.allclose(head.forward(encoder.forward(x, keep=False), keep=False), expected, atol=1e-4),
        "the head does not compute what its three layers should make of the features",
    )


@check
def features(features):
    """what the encoder gives at inference, in order, few films at a time, with nothing kept or changed."""
    encoder = _Watched(_encoder())
    rng = np.random.default_rng(1)
    films = rng.normal(1, 2, (13, 8, 8, 1)).astype(np.float32)
    before = {name: array.copy() for name, array in encoder.state_dict().items()}
    expected = encoder.inside.forward(films, keep=False)
    given = Unchanged(films=films)
    found = features(encoder, films, 5)
    given.check()
    as_array(found, "the features of 13 films", expected.shape, expected.dtype)
    require(
        not encoder.frozen, "the encoder was frozen: computing features should change nothing in it"
    )
    require(
        all((encoder.state_dict()[name] == array).all() for name, array in before.items()),
        "computing features has changed the encoder: is it in inference mode, or in training mode?",
    )
    require(
        max(encoder.sizes) <= 5,
        f"with batch = 5 the encoder was given {max(encoder.sizes)} films at once",
    )
    require(
        sum(encoder.sizes) == 13 and len(encoder.sizes) == 3,
        f"13 films, five at a time, are 5 + 5 + 3; yours went in as {' + '.join(map(str, encoder.sizes))}",
    )
    require(not encoder.kept, "the layers kept what only a way back needs: see keep=")
    require(
        np.allclose(found, expected, atol=1e-5),
        "the features are not those the encoder gives at inference, film by film, in their order",
    )
    for n, batch in ((11, 5), (10, 5), (3, 5), (5, 1)):
        found = as_array(features(encoder, films[:n], batch), f"{n} films, {batch} at a time,",
                         (n, *expected.shape[1:]))  # fmt: skip
        require(
            np.allclose(found, expected[:n], atol=1e-5),
            f"the features of {n} films, {batch} at a time, are not those that the encoder gives",
        )
    as_array(features(encoder, films), "the features, without a batch given,", expected.shape)


@check
def labelled_rows(labelled_rows):
    """n different rows, equally many of each class, drawn by rng from all of them."""
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [30, 12, 18]))
    two = np.minimum(labels, 1)
    for values, n, each in ((two, 8, 4), (labels, 12, 4), (labels, 36, 12), (3 * two + 2, 8, 4)):
        given = Unchanged(labels=values)
        rows = labelled_rows(values, n, np.random.default_rng(1))
        given.check()
        require(
            isinstance(rows, np.ndarray) and rows.ndim == 1 and rows.dtype.kind in "iu",
            "it should return an array (n,) of row numbers, not of labels or True and False; got "
            + (
                f"{rows.dtype} {rows.shape}"
                if isinstance(rows, np.ndarray)
                else type(rows).__name__
            ),
        )
        classes = np.unique(values).tolist()
        require(
            len(rows) == n, f"{n} rows of the classes {classes} were asked for, {len(rows)} came"
        )
        require(
            rows.min() >= 0 and rows.max() < len(values),
            "a row number is beyond the labels there are",
        )
        require(
            len(set(rows.tolist())) == n, "a row was drawn twice: who would label a film twice?"
        )
        counts = {int(k): int((values[rows] == k).sum()) for k in np.unique(values)}
        require(
            set(counts.values()) == {each},
            f"{n} rows of the classes {list(counts)} are {each} of each; rows by class in yours: {counts}",
        )
    draws = [labelled_rows(labels, 12, np.random.default_rng(seed)) for seed in range(60)]
    again = labelled_rows(labels, 12, np.random.default_rng(0))
    require(
        (again == draws[0]).all(), "the same seed gives other rows: where else does chance come in?"
    )
    reached = len(set(np.concatenate(draws).tolist()))
    require(
        reached == len(labels),
        f"60 draws with 60 seeds reach only {reached} of the {len(labels)} rows: are they drawn at random?",
    )


def _encoder():
    """A small encoder whose batch norm has statistics, gamma and beta of its own."""
    rng = np.random.default_rng(3)
    encoder = Sequential(Conv2D(1, 4, rng, stride=2), BatchNorm(4), ReLU())
    for array in encoder.layers[1].state_dict().values():
        array[...] = rng.uniform(0.5, 1.5, 4)
    return encoder


class _Watched(Layer):
    """An encoder that notes how many films it is given at a time, and whether it was to keep them."""

    def __init__(self, inside):
        super().__init__()
        self.inside, self.sizes, self.kept = inside, [], False

    def forward(self, x, training=False, keep=True):
        self.sizes.append(len(x))
        self.kept |= keep
        return self.inside.forward(x, training, keep)

    def state_dict(self):
        return self.inside.state_dict()
