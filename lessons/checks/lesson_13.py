"""Checks of lesson 13: the weighted mean of gradients, a sum on a ring, a batch norm over several ranks."""

import numpy as np

from lessons.checking import as_array, check, require
from ums.ops.norm import batchnorm_backward_plain, batchnorm_forward_plain

SPLITS = ((2, 3), (1, 4), (5,), (3, 1, 1, 2))


@check
def mean_gradient(mean_gradient):
    """each rank counts by its share of the films, and what comes in stays as it was."""
    ones = [np.ones(2), np.full(2, 6.0)]
    got = as_array(mean_gradient([g.copy() for g in ones], [4, 1]), "the gradient", (2,))
    require(
        np.allclose(got, 2),
        "four films with the gradient 1 and one film with 6 have a mean of 2 (ten over five films); yours is "
        f"{got[0]:.4g}. How many films does each of the two gradients speak for?",
    )
    rng = np.random.default_rng(0)
    for sizes in SPLITS:
        of_films = rng.normal(size=(sum(sizes), 7))
        gradients = [part.mean(axis=0) for part in np.split(of_films, np.cumsum(sizes)[:-1])]
        kept = [g.copy() for g in gradients]
        got = as_array(mean_gradient(gradients, list(sizes)), f"the gradient of {sizes}", (7,))
        off = abs(got - of_films.mean(axis=0)).max()
        require(
            off < 1e-12,
            f"with {sizes} films on the ranks it is off by up to {off:.2g}. Do the weights sum to 1?",
        )
        require(
            all((a == b).all() for a, b in zip(gradients, kept, strict=True)),
            "the gradients that came in have been changed: the ranks still need them",
        )


class _Ring:
    """The notebook's ring, and who sent how much."""

    def __init__(self, arrays):
        self.arrays, self.size, self.rounds = [a.copy() for a in arrays], len(arrays), []
        self.edges = [len(arrays[0]) * c // self.size for c in range(self.size + 1)]

    def chunk(self, r, c):
        return self.arrays[r][self.edges[c] : self.edges[c + 1]]

    def pass_on(self, chunks):
        require(
            len(chunks) == self.size,
            f"pass_on needs the number of a chunk for each of the {self.size} ranks, got {len(chunks)}",
        )
        self.rounds.append(list(chunks))
        require(
            len(self.rounds) <= 4 * self.size,
            f"with {self.size} ranks there are more than {4 * self.size} rounds: does ring_sum ever stop?",
        )
        messages = [self.chunk(r, c).copy() for r, c in enumerate(chunks)]
        return [messages[r - 1] for r in range(self.size)]


@check
def ring_sum(ring_sum):
    """every rank has the sum of all, after as few rounds as there can be."""
    rng = np.random.default_rng(0)
    for P in (2, 3, 5):
        arrays = rng.integers(1, 100, size=(P, 4 * P + 1)).astype(np.float64)
        ring = _Ring(list(arrays))
        ring_sum(ring)
        expected = arrays.sum(axis=0)
        right = [np.allclose(array, expected) for array in ring.arrays]
        require(
            all(right),
            f"with {P} ranks, {sum(right)} of them end with the sum of all arrays. {_chunks(ring, expected)} "
            "Which chunk does a rank add to in each round, and which does it replace?",
        )
        require(
            len(ring.rounds) == 2 * (P - 1),
            f"with {P} ranks the sum is right, after {len(ring.rounds)} rounds; it takes just {2 * (P - 1)}",
        )


def _chunks(ring, expected):
    done = [
        c
        for c in range(ring.size)
        if np.allclose(ring.chunk(0, c), expected[ring.edges[c] : ring.edges[c + 1]])
    ]
    return f"At rank 0 these chunks are right: {done or 'none'}."


# ------------------------------------------------------------------------------ batch norm


def _counted():
    """A `total` and the shapes that went through it."""
    seen = []

    def total(arrays):
        require(
            isinstance(arrays, list | tuple),
            f"total takes a list with an array for each rank, got {type(arrays).__name__}",
        )
        arrays = [np.asarray(a, np.float64) for a in arrays]
        seen.append((len(arrays), max(a.size for a in arrays)))
        return sum(arrays)

    return total, seen


def _sent_little(seen, ranks, C, name):
    require(
        ranks == 1 or sum(size for _, size in seen) >= 2 * C,
        f"{name}: too little goes through total for the ranks to know of each other's films",
    )
    require(
        all(n == ranks for n, _ in seen),
        f"{name}: total needs an array for each of the {ranks} ranks, got lists of {[n for n, _ in seen]}",
    )
    require(
        all(size <= 4 * C for _, size in seen),
        f"{name}: an array of {max((size for _, size in seen), default=0)} numbers goes through the wire; "
        "sums over "
        f"the rows of a part have {C}",
    )


@check
def batch_statistics(batch_statistics):
    """mean and variance of the whole batch, out of short sums."""
    rng = np.random.default_rng(0)
    for sizes in SPLITS:
        x = rng.normal(1000, 3, size=(sum(sizes), 4))
        xs = np.split(x, np.cumsum(sizes)[:-1])
        total, seen = _counted()
        answer = batch_statistics(xs, total)
        require(
            isinstance(answer, tuple) and len(answer) == 2,
            "it should return two arrays, mean and variance",
        )
        mean, var = (as_array(a, n, (4,)) for a, n in zip(answer, ("mean", "var"), strict=True))
        require(
            np.allclose(mean, x.mean(axis=0), rtol=1e-9),
            f"parts of {sizes} rows: the mean is off by up to {abs(mean - x.mean(axis=0)).max():.2g}. "
            "Do larger parts "
            "count for more?",
        )
        require(
            np.allclose(var, x.var(axis=0), rtol=1e-6),
            f"parts of {sizes} rows, means near 1000: the variance is {var[0]:.5g}, "
            f"not {x.var(axis=0)[0]:.5g}. "
            "About "
            "which mean are the squares taken, and divided by what?",
        )
        _sent_little(seen, len(sizes), 4, "batch_statistics")


@check
def norm_backward(norm_backward):
    """dx of each part is that of one rank with the whole batch."""
    rng = np.random.default_rng(1)
    for sizes in SPLITS:
        x, dy = rng.normal(2, 3, size=(2, sum(sizes), 4))
        gamma, beta = rng.normal(size=(2, 4))
        _, cache = batchnorm_forward_plain(x, gamma, beta, np.zeros(4), np.ones(4), True)
        expected, *_ = batchnorm_backward_plain(dy, cache)
        edges = np.cumsum(sizes)[:-1]
        total, seen = _counted()
        answer = norm_backward(
            np.split(dy, edges), np.split(cache[0], edges), gamma, cache[1], total
        )
        require(
            isinstance(answer, list) and len(answer) == len(sizes),
            f"it should return a list with dx for each of the {len(sizes)} ranks",
        )
        for r, (dx, right) in enumerate(zip(answer, np.split(expected, edges), strict=True)):
            off = abs(as_array(dx, f"dx of rank {r}", right.shape) - right).max()
            require(
                off < 1e-9,
                f"parts of {sizes} rows: dx of rank {r} is off by up to {off:.2g}. "
                "Over which rows are the two means "
                "taken, and which factors stand before them?",
            )
        _sent_little(seen, len(sizes), 4, "norm_backward")
