"""Checks of capstone 2: boxes and their offsets, region pooling, matching, losses, the head, the score."""

import numpy as np

from lessons.checking import as_array, check, require
from lessons.checks.capstone_2 import (
    CANDIDATES,
    MATCHES,
    NEAR,
    ONE,
    TRUTH,
    boxes_at,
    check_head_gradients,
    check_match,
    check_ramp,
    check_roi_sizes,
    check_suppression,
    found_in,
    iou_of,
    pair,
    raises,
    ranked_cases,
    unchanged,
)
from ums.gradcheck import check_gradients, check_loss
from ums.ops import bce


@check
def box_iou(box_iou):
    """boxes apart, touching, inside each other and alike, of any number on either side."""
    a = np.array([[0, 0, 4, 4], [1, 1, 3, 3], [10, 10, 12, 20], [4, 0, 8, 4]], np.float32)
    b = np.array(
        [[0, 0, 4, 4], [2, 2, 6, 4], [9, 0, 30, 30], [0, 5, 4, 9], [1, 1, 3, 3]], np.float32
    )
    apart = float(np.ravel(box_iou(a[:1], np.float32([[6, 6, 8, 8]])))[0])
    require(
        apart == 0, f"the boxes (0, 0, 4, 4) and (6, 6, 8, 8) share nothing; yours is {apart:.4f}"
    )
    with unchanged(a=a, b=b):
        found = as_array(box_iou(a, b), "the IoU", (4, 5))
    for i, j in np.ndindex(4, 5):
        right = iou_of(a[i], b[j])
        require(
            abs(found[i, j] - right) < 1e-6,
            f"the boxes {a[i].tolist()} and {b[j].tolist()} have an IoU of {right:.4f}, yours is "
            f"{found[i, j]:.4f}",
        )
    rng = np.random.default_rng(0)
    many, others = boxes_at(rng, 30), boxes_at(rng, 20)
    right = [[iou_of(one, other) for other in others] for one in many]
    require(
        np.allclose(box_iou(many, others), right, atol=1e-6),
        "of 30 boxes with 20, some IoU is wrong",
    )
    for n, m in ((0, 20), (30, 0), (0, 0)):
        as_array(box_iou(many[:n], others[:m]), f"the IoU of {n} boxes with {m}", (n, m))


@check
def offsets(encode, decode):
    """offsets are relative to the candidate's size, and each function undoes the other."""
    candidate = np.array([[10, 20, 20, 40]], np.float64)
    moved = np.array([[10, 20, 30, 40]], np.float64)
    hand = as_array(encode(candidate, moved), "the offsets", (1, 4))
    require(
        np.allclose(hand, [[0.5, 0, np.log(2), 0]]),
        f"a box of 10 x 20 pixels that moves 5 to the right and becomes twice as wide has the offsets "
        f"(0.5, 0, 0.693, 0), yours are {np.round(hand[0], 3).tolist()}",
    )
    tall = as_array(encode(candidate, np.array([[10.0, 10, 20, 50]])), "the offsets", (1, 4))
    require(
        np.allclose(tall, [[0, 0, 0, np.log(2)]]),
        f"a box of 10 x 20 pixels that becomes twice as tall has the offsets (0, 0, 0, 0.693), yours are "
        f"{np.round(tall[0], 3).tolist()}",
    )
    rng = np.random.default_rng(0)
    candidates, boxes = boxes_at(rng, 40), boxes_at(rng, 40)
    with unchanged(candidates=candidates, boxes=boxes):
        back = as_array(decode(candidates, encode(candidates, boxes)), "the boxes", (40, 4))
    require(np.allclose(back, boxes, atol=1e-6), "decode does not undo encode")
    given = rng.normal(0, 0.4, (40, 4))
    with unchanged(offsets=given):
        again = as_array(encode(candidates, decode(candidates, given)), "the offsets", (40, 4))
    require(np.allclose(again, given, atol=1e-6), "encode does not undo decode")
    for n in (0, 3):
        single = decode(candidates[:n].astype(np.float32), given[:n].astype(np.float32))
        as_array(single, f"{n} boxes in float32", (n, 4), np.float32)


@check
def roi_align(roi_align_forward, roi_align_backward):
    """bins are read off at their middle, from the map of their own film, and dx is the adjoint."""
    check_ramp(roi_align_forward)
    check_roi_sizes(roi_align_forward, roi_align_backward)
    rng = np.random.default_rng(0)
    for B, stride in ((1, 8), (2, 4), (3, 8)):
        regions, which = boxes_at(rng, 7, 5 * stride), np.array([0, 1, 1, 0, 1, 1, 1])
        check_gradients(
            lambda x, s=stride, n=B, r=regions, w=which: roi_align_forward(x, r, w, s, n),
            roi_align_backward,
            {"x": rng.normal(size=(2, 4, 5, 3))},
            rng=rng,
        )


@check
def match(match):
    """opacity, nothing or neither, the best candidate of every box, and films without any box."""
    with unchanged(candidates=CANDIDATES, boxes=TRUTH):
        answer = pair(match(CANDIDATES, TRUTH), "the labels and the numbers")
    check_match(*answer, CANDIDATES, TRUTH, 0.5, 0.3)
    for high, low in ((0.7, 0.3), (0.5, 0.1), (0.5, 0.2), (0.2, 0.2)):
        check_match(*match(CANDIDATES, TRUTH, high, low), CANDIDATES, TRUTH, high, low)
    for candidates, boxes in MATCHES:
        check_match(*match(candidates, boxes), candidates, boxes, 0.5, 0.3)
    rng = np.random.default_rng(0)
    for n in (1, 2, 5):
        candidates, boxes = boxes_at(rng, 60), boxes_at(rng, n)
        check_match(*match(candidates, boxes), candidates, boxes, 0.5, 0.3)
    for part in pair(match(CANDIDATES, TRUTH[:0]), "the labels and the numbers"):
        none = as_array(part, "without a true box, each of the two", (len(CANDIDATES),))
        require(
            not none.any() and none.dtype.kind == "i", "without a true box both are all 0, integers"
        )


@check
def smooth_l1(smooth_l1):
    """quadratic near 0, linear further away, a sum over each row and a mean over rows."""
    prediction = np.array([[0.0, 0.05, -0.05, 3.0], [1.0, 1.0, 1.0, 0.0]])
    target = np.array([[0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 0.1]])
    with unchanged(prediction=prediction, target=target):
        value, gradient = pair(smooth_l1(prediction, target), "the value and the gradient")
    # 2 * 0.05^2 / 0.2 = 0.025, 2 - 0.05 = 1.95, and 0.1 - 0.05 = 0.05; over two rows
    require(
        abs(float(value) - 2.025 / 2) < 1e-9,
        f"for the differences (0, 0.05, -0.05, 2) and (0, 0, 0, -0.1) the value is 1.0125, yours is "
        f"{float(value):.5f}",
    )
    right = np.array([[0, 0.25, -0.25, 0.5], [0, 0, 0, -0.5]])
    require(
        np.allclose(as_array(gradient, "the gradient", (2, 4)), right),
        f"the gradient there is {right.tolist()}, yours {np.round(gradient, 4).tolist()}",
    )
    rng = np.random.default_rng(0)
    prediction, target = rng.normal(size=(2, 6, 4))
    for beta in (0.1, 1.0, 3.0):
        check_loss(lambda y, t, b=beta: smooth_l1(y, t, b), prediction, target, rng=rng)
    wide = float(smooth_l1(np.full((1, 4), 0.5), np.zeros((1, 4)), 1.0)[0])
    require(abs(wide - 0.5) < 1e-9, f"for beta 1 and differences of 0.5 it is 0.5, yours is {wide}")
    single = smooth_l1(prediction.astype(np.float32), target.astype(np.float32))
    as_array(single[1], "the gradient of float32 offsets", (6, 4), np.float32)
    value, gradient = smooth_l1(prediction[:0], target[:0])
    require(float(value) == 0, f"without any row the value is 0, yours is {value}")
    as_array(gradient, "the gradient without any row", (0, 4))


@check
def detection_loss(detection_loss):
    """every candidate that counts has its score in it, opacities their offsets, the others nothing."""
    rng = np.random.default_rng(0)
    labels = np.array([1, 0, -1, 0, 1, -1, 0])
    logits, offsets, wanted = rng.normal(size=7), *rng.normal(size=(2, 7, 4))
    wanted[labels != 1] = np.nan
    with unchanged(logits=logits, offsets=offsets, labels=labels, wanted=wanted):
        answer = pair(
            detection_loss(logits, offsets, labels, wanted), "value, (d_logits, d_offsets)"
        )
    value, gradients = answer[0], pair(answer[1], "the gradients of logits and offsets")
    counts, found = labels >= 0, labels == 1
    d = np.abs(offsets[found] - wanted[found])
    of_boxes = np.where(d < 0.1, d * d / 0.2, d - 0.05).sum() / 2
    of_scores = float(bce(logits[counts], labels[counts].astype(float))[0])
    require(
        np.isfinite(value),
        f"where the label is not 1 wanted holds nan, and yours let it through: the value is {value}",
    )
    require(
        abs(float(value) - of_scores - of_boxes) < 1e-9,
        f"the scores make {of_scores:.4f} and the boxes {of_boxes:.4f}, together "
        f"{of_scores + of_boxes:.4f}; yours is {float(value):.4f}",
    )
    for name, gradient, shape, silent in (
        ("d_logits", gradients[0], (7,), ~counts),
        ("d_offsets", gradients[1], (7, 4), ~found),
    ):
        as_array(gradient, name, shape, np.float64)
        require(
            not gradient[silent].any(), f"{name} is not 0 at candidates that do not count for it"
        )
    check_loss(
        lambda z, t: _part(detection_loss(z, offsets, labels, wanted), 0), logits, labels, rng=rng
    )
    check_loss(
        lambda o, t: _part(detection_loss(logits, o, labels, wanted), 1), offsets, wanted, rng=rng
    )
    _check_nothing_found(detection_loss, logits, offsets, wanted)


def _check_nothing_found(detection_loss, logits, offsets, wanted):
    for own in (np.full(7, -1), np.zeros(7, int)):
        value, gradients = detection_loss(logits, offsets, own, wanted)
        require(
            np.isfinite(value) and not gradients[1].any(),
            f"with the labels {own.tolist()} the value should be a finite number, and d_offsets 0",
        )
    require(
        float(detection_loss(logits, offsets, np.full(7, -1), wanted)[0]) == 0,
        "where no candidate counts the value should be 0",
    )


def _part(answer, k):
    return answer[0], answer[1][k]


@check
def box_head(BoxHead):
    """shapes, six parameters, and all gradients, where both branches meet as well."""
    rng = np.random.default_rng(0)
    head = BoxHead(2 * 2 * 3, np.random.default_rng(1), hidden=5)
    shapes = sorted(p.value.shape for p in head.parameters())
    require(
        shapes == sorted([(12, 5), (5,), (5, 1), (1,), (5, 4), (4,)]),
        f"weights and biases for 12 inputs and 5 hidden numbers, six arrays in all; yours are {shapes}",
    )
    pooled = rng.normal(size=(6, 2, 2, 3)).astype(np.float32)
    with unchanged(pooled=pooled):
        answer = pair(head.forward(pooled), "logits and offsets")
    as_array(answer[0], "the logits", (6,), np.float32)
    as_array(answer[1], "the offsets", (6, 4), np.float32)
    default = BoxHead(12, np.random.default_rng(1))
    require(
        (12, 64) in [p.value.shape for p in default.parameters()],
        "without `hidden` there are 64 hidden numbers",
    )
    twin = BoxHead(12, np.random.default_rng(1), hidden=5)
    same = [
        (a.value == b.value).all()
        for a, b in zip(head.parameters(), twin.parameters(), strict=True)
    ]
    require(all(same), "two generators with the same seed make different heads")
    check_head_gradients(head, rng)
    fresh = BoxHead(12, rng, hidden=5)
    fresh.forward(pooled)
    fresh.forward(pooled, keep=False)
    what = "backward after forward(keep=False), which every layer is to be told,"
    raises(lambda: fresh.backward(*answer), Exception, what)


@check
def nms(nms):
    """the best box first, what overlaps a kept one dropped, and nothing else."""
    boxes = np.array(
        [[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [0, 0, 10, 5], [21, 20, 31, 30]], float
    )
    scores = np.array([0.8, 0.9, 0.3, 0.7, 0.6])
    with unchanged(boxes=boxes, scores=scores):
        kept = [int(k) for k in nms(boxes, scores)]
    require(
        kept == [1, 4],
        f"of two groups of boxes with the best ones 1 and 4, these two should be kept, the better one "
        f"first; yours are {kept}",
    )
    loose = [int(k) for k in nms(boxes, scores, 0.6)]
    require(
        loose == [1, 3, 4],
        "at a threshold of 0.6 box 3 is kept: it has an IoU of 5/9 with box 1, and box 0 is dropped "
        f"before; yours are {loose}",
    )
    chain = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], float)
    kept = [int(k) for k in nms(chain, np.array([0.9, 0.8, 0.7]))]
    require(
        kept == [0, 2],
        "in a chain 0, 1, 2, where only neighbours overlap, box 1 is dropped because of box 0, and box 2 "
        f"is kept: what has been dropped drops nothing; yours are {kept}",
    )
    check_suppression(nms)
    none = nms(boxes[:0], scores[:0])
    require(len(none) == 0, "of no boxes none is kept")
    require(
        isinstance(none, list | tuple) or np.asarray(none).dtype.kind in "iu",
        "of no boxes yours returns an array of floats, with which nothing can be indexed: return a list, "
        "or whole numbers",
    )
    halves = [int(k) for k in nms(np.array([[0, 0, 10, 10], [0, 0, 10, 5.0]]), scores[:2], 0.5)]
    require(
        halves == [1, 0],
        f"an IoU of 0.5 is not above a threshold of 0.5: keep both; yours are {halves}",
    )
    tied = [int(k) for k in nms(boxes, np.full(5, 0.5))]
    require(
        tied == [0, 2],
        f"of equal scores the earlier counts as the better: 0 and 2; yours are {tied}",
    )


@check
def average_precision(average_precision):
    """right and wrong boxes in their order over all films, each true box found once."""
    for name, found, truth, right in ranked_cases():
        answer = average_precision(found, truth)
        require(isinstance(answer, float), f"it should be a float, got {type(answer).__name__}")
        require(
            abs(answer - right) < 1e-9,
            f"{name}: the average precision is {right:.4f}, yours is {answer:.4f}",
        )
    strict, loose = (
        average_precision(found_in(([NEAR], [1])), [np.array([ONE])], t) for t in (0.9, 0.8)
    )
    require(
        (strict, loose) == (0.0, 1.0),
        f"an IoU of 0.8 is too little at a threshold of 0.9, and enough at 0.8; yours are {strict} and "
        f"{loose}",
    )
    raises(
        lambda: average_precision(found_in(([ONE], [1])), [np.zeros((0, 4))]),
        ValueError,
        "no true box",
    )
