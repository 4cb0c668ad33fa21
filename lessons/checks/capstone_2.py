"""What the checks of capstone 2 share: boxes, a map that is easy to read off, references."""

from contextlib import contextmanager

import numpy as np

from lessons.checking import CheckFailed, as_array, require

TRUTH = np.array([[10, 10, 20, 20], [30, 30, 34, 33], [50, 0, 60, 10]], np.float32)
CANDIDATES = np.array(
    [
        [10, 10, 20, 20],  # the first box
        [10, 10, 20, 16],  # 0.6 with it
        [10, 10, 20, 14],  # 0.4: neither
        [10, 10, 20, 12],  # 0.2: nothing
        [28, 28, 38, 38],  # 0.12 with the second box, the best of it
        [31, 25, 45, 40],  # less of it
        [50, 5, 60, 15],  # 0.33 with the third box, twice the best of it
        [45, 0, 55, 10],
        [0, 40, 9, 60],  # meets none
    ],
    np.float32,
)

MATCHES = (
    (
        CANDIDATES,
        np.float32([[10, 10, 20, 20], [200, 200, 210, 210]]),
    ),  # one that no candidate meets
    # The only candidate is box 1, and the best of the other two as well.
    (np.float32([[0, 0, 10, 10]]), np.float32([[8, 0, 20, 10], [0, 0, 10, 10], [0, 8, 10, 20]])),
    # The first candidate has 0.4 with box 0, which the second one has more of, and is the best of box 1.
    (np.float32([[0, 0, 10, 10], [0, 0, 10, 5]]), np.float32([[0, 0, 10, 4], [0, 8, 10, 12]])),
)
ONE, TWO, OFF = [0.0, 0, 10, 10], [20.0, 20, 30, 30], [40.0, 40, 50, 50]
NEAR = [0.0, 0, 10, 8]  # an IoU of 0.8 with ONE


def boxes_at(rng, n, size=48):
    """(n, 4) float64: boxes of 3 pixels or more within a film of ``size``."""
    low = rng.uniform(0, size - 12, (n, 2))
    return np.concatenate([low, low + rng.uniform(3, 12 + size / 4, (n, 2))], axis=1)


def iou_of(a, b):
    """IoU of two boxes, written out."""
    width = min(float(a[2]), float(b[2])) - max(float(a[0]), float(b[0]))
    height = min(float(a[3]), float(b[3])) - max(float(a[1]), float(b[1]))
    if width <= 0 or height <= 0:
        return 0.0
    areas = [float((c[2] - c[0]) * (c[3] - c[1])) for c in (a, b)]
    return width * height / (sum(areas) - width * height)


def ramp():
    """(2, 5, 6, 2) float64: channel 0 is the column, + 10 in the second film; channel 1 the row - 7."""
    row, column = np.mgrid[:5, :6].astype(float)
    return np.stack([np.stack([column + 10 * n, row - 7], axis=-1) for n in (0, 1)])


@contextmanager
def unchanged(**arrays):
    """Fail if an array is another one after the block."""
    before = {name: array.copy() for name, array in arrays.items()}
    yield
    for name, array in arrays.items():
        require(np.array_equal(array, before[name], equal_nan=True), f"{name} was changed in place")


def pair(answer, what):
    """The two values of an answer, or CheckFailed."""
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise CheckFailed(f"it should return {what}, two values, got {type(answer).__name__}")
    return answer


def raises(call, kind, what):
    """Fail unless ``call`` raises an error of this kind."""
    try:
        call()
    except NotImplementedError:
        raise
    except kind:
        return
    except Exception as error:
        raise CheckFailed(
            f"{what} should be a {kind.__name__}, it is a {type(error).__name__}: {error}"
        ) from error
    raise CheckFailed(f"{what} should raise {kind.__name__}, and nothing was raised")


def check_match(labels, number, candidates, boxes, high, low):
    """Whether labels and numbers are those of the three rules, candidate by candidate."""
    K = len(candidates)
    for name, array in (("the labels", labels), ("the numbers", number)):
        as_array(array, name, (K,))
        require(array.dtype.kind == "i", f"{name} should be integers, they are {array.dtype}")
    overlap = np.array([[iou_of(candidate, box) for box in boxes] for candidate in candidates])
    top = overlap.max(axis=0)
    for k in range(K):
        m = overlap[k].max()
        first = [j for j in range(len(boxes)) if top[j] > 0 and np.isclose(overlap[k, j], top[j])]
        right = 1 if m >= high or first else 0 if m < low else -1
        told = ", ".join(f"{value:.2f}" for value in overlap[k])
        why = f"; no candidate has more with box {first[0]}" if first and m < high else ""
        where = (
            f"high {high}, low {low}: candidate {k} has the IoU {told} with the true boxes{why}. "
        )
        require(labels[k] == right, f"{where}Its label should be {right}, yours is {labels[k]}")
        allowed = (
            first if first and m < high else np.flatnonzero(np.isclose(overlap[k], m)).tolist()
        )
        if right == 1:
            require(
                number[k] in allowed, f"{where}It belongs to box {allowed[0]}, yours to {number[k]}"
            )


def check_head_gradients(head, rng):
    """All gradients of a head in float64, by central differences, and that they add up."""
    for parameter in head.parameters():
        parameter.value, parameter.grad = parameter.value.astype(np.float64), None
    pooled = rng.normal(size=(6, 2, 2, 3))
    upstream = rng.normal(size=6), rng.normal(size=(6, 4))

    def value():
        return sum(
            float((d * y).sum()) for d, y in zip(upstream, head.forward(pooled), strict=True)
        )

    _check_formula(head.parameters(), pooled, *pair(head.forward(pooled), "logits and offsets"))
    given = [d.copy() for d in upstream]
    d_pooled = as_array(
        head.backward(*upstream), "the gradient of pooled", pooled.shape, np.float64
    )
    require(
        all((a == b).all() for a, b in zip(given, upstream, strict=True)), "a gradient was changed"
    )
    grads = [parameter.grad for parameter in head.parameters()]
    require(all(g is not None for g in grads), "a parameter is left without a gradient")
    arrays = [p.value for p in head.parameters()]
    names = [f"the parameter of shape {array.shape}" for array in arrays]
    for name, array, gradient in (
        ("pooled", pooled, d_pooled),
        *zip(names, arrays, [g.copy() for g in grads], strict=True),
    ):
        numeric = _differences(value, array)
        error = np.linalg.norm(gradient - numeric) / (np.linalg.norm(numeric) + 1e-12)
        require(error < 1e-6, f"the gradient of {name} is wrong: relative error {error:.1e}")
    value()
    _check_adding(head, grads, upstream)


def _check_adding(head, grads, upstream):
    """That a second backward pass adds, and zero_gradients forgets."""
    first = [g.copy() for g in grads]
    head.backward(*upstream)
    require(
        all(np.allclose(p.grad, 2 * g) for p, g in zip(head.parameters(), first, strict=True)),
        "a second backward pass should add to the gradients",
    )
    head.zero_gradients()
    require(
        all(parameter.grad is None for parameter in head.parameters()),
        "after zero_gradients a gradient is still there",
    )


def _check_formula(parameters, pooled, logits, offsets):
    """Whether the two outputs are those of a ReLU layer and two dense ones, known by their shapes."""
    w, b, w1, b1, w4, b4 = (
        next(p.value for p in parameters if p.value.shape == shape)
        for shape in ((12, 5), (5,), (5, 1), (1,), (5, 4), (4,))
    )
    hidden = np.maximum(pooled.reshape(6, 12) @ w + b, 0)
    for name, found, right in (
        ("logits", logits, (hidden @ w1 + b1)[:, 0]),
        ("offsets", offsets, hidden @ w4 + b4),
    ):
        require(
            np.allclose(found, right),
            f"the {name} are not what dense, ReLU and dense make of the features with these weights",
        )


def _differences(value, array):
    """Central differences of ``value()`` by every entry of an array, changed in place."""
    slopes = np.zeros(array.shape)
    for i in np.ndindex(array.shape):
        kept = array[i]
        array[i] = kept + 1e-5
        above = value()
        array[i] = kept - 1e-5
        slopes[i] = (above - value()) / 2e-5
        array[i] = kept
    return slopes


def check_suppression(nms):
    """On random boxes: kept ones do not overlap, and each dropped one overlaps a better kept one."""
    rng = np.random.default_rng(0)
    for threshold in (0.1, 0.3, 0.7):
        boxes, scores = boxes_at(rng, 25), rng.random(25)
        kept, right = [int(k) for k in nms(boxes, scores, threshold)], []
        for k in np.argsort(-scores):
            if all(iou_of(boxes[k], boxes[other]) <= threshold for other in right):
                right.append(int(k))
        require(
            kept == right,
            f"25 boxes, threshold {threshold}: kept should be {right}, yours are {kept}",
        )


def found_in(*films):
    """Boxes and scores of films, as average_precision takes them."""
    return [(np.array(b, float).reshape(-1, 4), np.array(s, float)) for b, s in films]


def ranked_cases():
    """(what is special, found, truth, the average precision by hand)."""
    empty, true = ([], []), [np.array([ONE, TWO]), np.zeros((0, 4))]
    return (
        ("right, wrong, right, wrong",
         found_in(([ONE, OFF, TWO], [0.9, 0.8, 0.7]), ([OFF], [0.6])), true, 5 / 6),
        ("the best box is in the second film, and wrong",
         found_in(([ONE, TWO], [0.5, 0.4]), ([OFF], [0.9])), true, (1 / 2 + 2 / 3) / 2),
        ("boxes of a film are not in the order of their scores",
         found_in(([OFF, ONE, TWO], [0.1, 0.9, 0.8]), empty), true, 1.0),
        ("a true box is found twice",
         found_in(([ONE, NEAR, TWO], [0.9, 0.8, 0.7]), empty), true, (1 + 2 / 3) / 2),
        ("one of two is not found", found_in(([ONE], [0.9]), empty), true, 0.5),
        ("nothing is found", found_in(empty, empty), true, 0.0),
        ("the true box is in the other film", found_in(empty, ([ONE], [0.9])), true, 0.0),
        ("the nearest true box is taken already",
         found_in(([ONE, [0.0, 0, 10, 9]], [0.9, 0.8])), [np.array([ONE, [0.0, 0, 10, 7]])], 1.0),
    )  # fmt: skip


REGIONS = np.array(
    [[8, 16, 32, 28], [0, 0, 48, 40], [20, 4, 24, 30], [0, 1, 6, 7], [43, 35, 48, 40]], np.float64
)
REGIONS_OF = np.array([1, 0, 1, 0, 1])


def check_ramp(forward):
    """Whether every bin is read off at its middle, on a map that says where it is."""
    x = ramp()
    with unchanged(x=x, boxes=REGIONS, film=REGIONS_OF):
        answer = pair(forward(x, REGIONS, REGIONS_OF, 8, 3), "y and the cache")
    y = as_array(answer[0], "y", (5, 3, 3, 2), np.float64)
    for r, u, v in np.ndindex(5, 3, 3):
        (x1, y1, x2, y2), film = REGIONS[r], REGIONS_OF[r]
        middle = y1 + (u + 0.5) * (y2 - y1) / 3, x1 + (v + 0.5) * (x2 - x1) / 3
        row, column = (np.clip(p / 8 - 0.5, 0, n - 1) for p, n in zip(middle, (5, 6), strict=True))
        right = np.array([column + 10 * film, row - 7])
        require(
            np.allclose(y[r, u, v], right),
            f"on a map whose first channel is the column (+ 10 in the second film) and whose second is "
            f"the row - 7, box {REGIONS[r].tolist()} of film {film} has {np.round(right, 3).tolist()} in "
            f"bin ({u}, {v}), yours has {np.round(y[r, u, v], 3).tolist()}",
        )


def check_roi_sizes(forward, backward):
    """Other sizes and types, no boxes at all, and that a film without boxes gets nothing."""
    rng = np.random.default_rng(1)
    x, boxes = rng.normal(size=(2, 4, 5, 3)).astype(np.float32), boxes_at(rng, 4, 32)
    y, cache = pair(forward(x, boxes.astype(np.float32), np.zeros(4, int), 8, 2), "y and the cache")
    as_array(y, "y of a float32 map with 2 x 2 bins", (4, 2, 2, 3), np.float32)
    dx = as_array(backward(np.ones_like(y), cache), "dx", x.shape, np.float32)
    require(
        abs(float(dx.sum()) - 48) < 1e-3 and not dx[1].any(),
        "with 16 bins of 3 channels and dy = 1 the dx of the first film adds up to 48, that of the second, "
        f"which has no boxes, to 0; yours to {dx[0].sum():.4g} and {dx[1].sum():.4g}. Does a cell that "
        "several bins read get something from each?",
    )
    none, cache = pair(forward(x, boxes[:0], np.zeros(0, int), 8, 3), "y and the cache")
    as_array(none, "y without boxes", (0, 3, 3, 3))
    require(not backward(none, cache).any(), "without boxes dx is 0")
