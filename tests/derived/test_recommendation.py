"""The derived recommendation: the rule, the decision, how it is scored, all worked out by hand."""

from itertools import product

import numpy as np
import pytest

from ums.derived import Recommendations, agreement, excluded, exclusion_probability
from ums.derived.recommendation import causes_of_errors, outcomes

MV, MA, TR = range(3)
POOR, GOOD = range(2)


def sure(flow, quality, by=0.9):
    """Heads that hold these classes for likeliest."""
    flow, quality = np.eye(3)[flow], np.eye(2)[quality]
    return Recommendations(
        by * flow + (1 - by) / 2 * (1 - flow), by * quality + (1 - by) * (1 - quality)
    )


def test_only_tr_of_poor_quality_is_excluded_by_the_rule():
    pairs = list(product((MV, MA, TR), (POOR, GOOD)))
    assert excluded(*zip(*pairs, strict=True)).tolist() == [pair == (TR, POOR) for pair in pairs]


def test_probability_of_exclusion_is_that_of_tr_times_that_of_poor():
    flow = [[0.25, 0.25, 0.5], [0, 0, 1], [0.5, 0.5, 0]]
    quality = [[0.75, 0.25], [0.125, 0.875], [1, 0]]
    assert exclusion_probability(flow, quality).tolist() == [0.375, 0.125, 0]


@pytest.mark.parametrize(
    ("tr", "poor", "threshold", "out"),
    [
        (0.6, 0.6, 0.5, False),  # both likeliest, but together right 36 times of 100
        (0.8, 0.8, 0.5, True),
        (0.6, 0.6, 0.35, True),
        (0.5, 1.0, 0.5, False),  # at the threshold itself: used
        (1.0, 1.0, 1.0, False),
    ],
)
def test_image_is_excluded_above_the_threshold(tr, poor, threshold, out):
    rest = (1 - tr) / 2
    said = Recommendations(np.array([[rest, rest, tr]]), np.array([[poor, 1 - poor]]), threshold)
    assert said.excluded.tolist() == [out]


def test_product_errs_less_than_the_classes_where_heads_are_calibrated_and_independent(rng):
    """Truths drawn from the heads' own probabilities, flow and quality each by itself."""
    flow, quality = rng.dirichlet(np.ones(3), 40_000), rng.dirichlet(np.ones(2), 40_000)
    said = Recommendations(flow, quality)
    true_flow = (rng.random((len(flow), 1)) > flow.cumsum(axis=1)).sum(axis=1)
    true_quality = (rng.random(len(quality)) > quality[:, 0]).astype(int)
    true = excluded(true_flow, true_quality)
    by_classes = excluded(said.predicted_flow, said.predicted_quality)
    errors = [np.mean(out != true) for out in (said.excluded, by_classes)]
    expected = np.mean(np.minimum(said.probability, 1 - said.probability))
    assert errors[0] == pytest.approx(expected, abs=0.01) and errors[0] < errors[1] - 0.01
    assert (by_classes | ~said.excluded).all()  # the classes exclude all of it, and more


def test_agreement_of_eleven_images_by_hand():
    flow = [TR, TR, TR, TR, MV, MV, MA, TR, TR, MA, TR]
    quality = [POOR, POOR, POOR, POOR, GOOD, POOR, POOR, GOOD, GOOD, GOOD, POOR]
    said = sure(
        [TR, MV, TR, MA, MA, TR, MA, TR, TR, TR, MA],
        [POOR, POOR, GOOD, GOOD, GOOD, POOR, GOOD, POOR, GOOD, POOR, POOR],
    )
    result = agreement(flow, quality, said)
    assert result.table.tolist() == [[3, 3], [4, 1]]
    one_each = {"flow": 1, "quality": 1, "both": 1, "neither": 0}
    assert result.causes == {"wrongly used": one_each | {"flow": 2}, "wrongly excluded": one_each}
    assert outcomes(flow, quality, said)[[0, 1, 4, 5]].tolist() == [
        "rightly excluded", "wrongly used", "rightly used", "wrongly excluded",
    ]  # fmt: skip


def test_cause_of_an_error_is_the_head_that_was_wrong():
    flow = [TR, TR, TR, MA, MA, MV, TR]
    quality = [POOR, POOR, POOR, GOOD, POOR, POOR, GOOD]
    said = sure([TR, MV, MV, TR, TR, MA, TR], [POOR, POOR, GOOD, POOR, POOR, GOOD, POOR])
    causes = causes_of_errors(flow, quality, said)
    assert causes.tolist() == ["", "flow", "both", "both", "flow", "", "quality"]


def test_heads_that_are_right_but_unsure_are_neither_to_blame():
    said = sure([TR], [POOR], by=0.6)
    assert causes_of_errors([TR], [POOR], said).tolist() == ["neither"]
    assert agreement([TR], [POOR], said).causes["wrongly used"]["neither"] == 1


def test_mitral_valve_taken_for_annulus_is_no_cause():
    said = Recommendations(np.array([[0.05, 0.5, 0.45]]), np.array([[0.9, 0.1]]), threshold=0.2)
    assert causes_of_errors([MV], [POOR], said).tolist() == ["neither"]


@pytest.mark.parametrize(("flow", "table"), [(MV, [[3, 0], [0, 0]]), (TR, [[0, 0], [0, 3]])])
def test_truth_that_is_all_one_way_fills_one_row_of_the_table(flow, table):
    result = agreement([flow] * 3, [POOR] * 3, sure([flow] * 3, [POOR] * 3, by=0.95))
    assert result.table.tolist() == table


@pytest.mark.parametrize(
    ("flow", "quality", "message"),
    [
        ([[0.2, 0.8]], [[0.5, 0.5]], r"flow must be \(N, 3\), got shape \(1, 2\)"),
        ([[2.0, -1.0, 0.0]], [[0.5, 0.5]], "flow must hold probabilities.*softmax"),
        ([[0.2, 0.2, 0.6]], [[3.0, 1.0]], "quality must hold probabilities"),
        ([[np.nan, 0.2, 0.6]], [[0.5, 0.5]], "flow must hold probabilities"),
        ([[0.2, 0.2, 0.6]], [[0.5, 0.5]] * 2, r"as many .* got \(1, 3\), \(2, 2\)"),
    ],
)
def test_what_is_no_probability_is_refused(flow, quality, message):
    with pytest.raises(ValueError, match=message):
        Recommendations(np.array(flow), np.array(quality))


def test_threshold_classes_and_lengths_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"threshold must be in \[0, 1\], got 1.5"):
        Recommendations(np.array([[0, 0, 1]]), np.array([[0, 1]]), 1.5)
    with pytest.raises(ValueError, match=r"quality must be \(N,\) of 0 .. 1, got \[-1\]"):
        excluded([TR], [-1])
    with pytest.raises(ValueError, match=r"as many flows as qualities .* got \(2,\), \(1,\)"):
        excluded([TR, MV], [POOR])
    with pytest.raises(ValueError, match="1 recommendations for 2 images"):
        agreement([TR, MV], [POOR, POOR], sure([TR], [POOR]))
