"""The synthetic Doppler images: exact, repeatable, in the paper's proportions, told by their shape."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from scipy.stats import rankdata

from data_prep import doppler_screen, drawing
from data_prep.doppler import PAPER, deal, make_doppler, render
from data_prep.doppler_flow import FLOWS, draw_patient, draw_trace
from data_prep.doppler_spectrum import (
    draw_texture,
    envelope,
    heights,
    show_spectrum,
    velocities,
)

MV, MA, TR = range(3)


def make(n=12, size=64, seed=0, **options):
    return make_doppler(n, size, np.random.default_rng(seed), **options)


@pytest.fixture(scope="module")
def many():
    return make(244, 64, patients=30)


@pytest.fixture
def patient():
    return calm(np.random.default_rng(3))


def calm(rng):
    person = draw_patient(rng, machines=4)
    return person._replace(
        period=1.0, uneven=0.0, fibrillation=False, systole=0.4, late=0.8, muscle_late=0.8
    )


def auc(scores, positive):
    ranks, n = rankdata(scores), np.count_nonzero(positive)
    return (ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(scores) - n))


def test_the_same_seed_gives_the_same_bytes():
    for a, b in zip(make(), make(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_seed_gives_other_images():
    a, b = make(), make(seed=1)
    assert (a.images != b.images).any(axis=(1, 2, 3)).all()
    assert (a.masks != b.masks).any(axis=(1, 2)).all()


def test_the_number_of_threads_changes_nothing(monkeypatch):
    many = make()
    monkeypatch.setattr(drawing, "thread_count", lambda: 1)
    np.testing.assert_array_equal(make().images, many.images)


def test_the_size_does_not_change_who_is_drawn():
    small, large = make(size=64), make(size=128)
    np.testing.assert_array_equal(small.quality, large.quality)
    shrunk = np.stack([cv2.resize(i, (64, 64), interpolation=cv2.INTER_AREA) for i in large.images])
    for a, b in zip(shrunk, small.images, strict=True):
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.85


@pytest.mark.parametrize("size", [32, 45, 150, 512])
def test_any_size_from_32_is_drawn_with_a_binary_mask(size):
    made = make(2, size)
    assert made.images.shape == (2, size, size, 3) and made.masks.shape == (2, size, size)
    assert made.images.dtype == made.masks.dtype == np.uint8
    assert made.images.std() > 15 and set(np.unique(made.masks)) == {0, 1}


@pytest.mark.parametrize("flow", [MV, MA, TR])
def test_without_noise_the_mask_is_exactly_what_is_lit(flow, patient):
    rng = np.random.default_rng(1)
    trace = draw_trace(flow, patient, 3.0, 320, rng)._replace(clicks=np.zeros(320, np.float32))
    nothing = -200.0
    look = draw_texture(flow, 1, rng)._replace(
        hollow=1.0, blur=1e-8, fringe=0.0, other=nothing, mirror=nothing, clutter=nothing,
        noise=nothing, wall_filter=1e-9, white=0.0, span=80.0, dropout=0.0, streaks=0.0,
    )  # fmt: skip
    bands, v = heights(trace, 0.5, 0.8, upward=True), velocities(200, 0.5)
    lit = show_spectrum(trace.clicks, bands, v, 320, look, rng) > 0
    mask = envelope(bands[0], v, 320)
    thin = bands[0].max(axis=0) > 0.01
    assert mask.max() == 1 and 0.05 < mask.mean() < 0.5
    np.testing.assert_array_equal(lit[:, thin], mask[:, thin] == 1)


def rises(row, high=0.3):
    """How often a row climbs above `high` of its largest value."""
    up = row > high * row.max()
    return np.count_nonzero(up[1:] & ~up[:-1])


def test_mitral_inflow_has_two_waves_a_beat_on_one_side(patient):
    trace = draw_trace(MV, patient._replace(early=1.0, deceleration=0.14), 5.0, 1000, rng=rng(0))
    assert not trace.backward.any() and rises(trace.forward) in (9, 10, 11)


def test_a_regurgitant_jet_has_one_dome_a_beat_on_one_side(patient):
    trace = draw_trace(TR, patient, 5.0, 1000, rng=rng(0))
    assert not trace.backward.any() and rises(trace.forward) in (4, 5, 6)
    assert (trace.forward > 0.5).mean() > 0.25


def test_the_annulus_moves_once_one_way_and_twice_the_other(patient):
    trace = draw_trace(MA, patient, 5.0, 1000, rng=rng(0))
    wide = cv2.blur(trace.forward[None], (11, 1))[0]  # the short spikes of contraction go under
    assert rises(wide, 0.6) in (4, 5, 6) and rises(trace.backward, 0.2) in (9, 10, 11)
    assert np.minimum(trace.forward, trace.backward).max() < 0.5


def rng(seed):
    return np.random.default_rng(seed)


def test_a_jet_comes_with_the_heartbeat_and_inflow_between_the_beats(patient):
    for flow, low, high in ((TR, 0.0, 0.5), (MV, 0.4, 1.0)):
        trace = draw_trace(flow, patient, 6.0, 1200, rng=rng(2))
        peaks = np.flatnonzero(trace.ecg > 0.75 * trace.ecg.max())
        since = np.arange(1200)[:, None] - peaks
        phase = np.where(since >= 0, since, 2000).min(axis=1) / 200
        fast = (trace.forward > 0.3) & (phase < 1.5)
        assert np.mean((phase[fast] >= low) & (phase[fast] <= high)) > 0.9


def test_fibrillation_has_no_wave_of_the_atria():
    for seed in range(40):
        person = draw_patient(rng(seed), 4)
        if person.fibrillation:
            assert person.late == person.muscle_late == person.qrs[0] == 0
            return
    raise AssertionError("nobody in 40 has fibrillation")


@pytest.mark.parametrize(("flow", "sides"), [(MV, 1), (MA, 2), (TR, 1)])
def test_masks_lie_on_the_sides_that_the_flow_has(flow, sides):
    for seed in range(4):
        mask = render(128, rng(seed), calm(rng(seed)), flow, 1)[1]
        columns = mask[:, mask.any(axis=0)]
        tops = columns.argmax(axis=0)
        bottoms = 128 - columns[::-1].argmax(axis=0)
        # Every column begins or ends at the baseline; on one side all do so at the same end.
        one_sided = min(np.ptp(tops), np.ptp(bottoms)) <= 1
        assert one_sided == (sides == 1)


def test_flows_come_in_the_papers_proportions_in_all_and_in_each_part():
    part = np.repeat([0, 1, 2], [1711, 489, 244])
    flow, quality, labelled = deal(2444, part, rng(0))
    assert np.bincount(flow).tolist() == list(PAPER.values()) == [855, 490, 1099]
    assert list(PAPER) == list(FLOWS) and labelled.sum() == 814
    assert quality[labelled].mean() == pytest.approx(0.6, abs=0.01)
    for one in range(3):
        mine = part == one
        np.testing.assert_allclose(
            np.bincount(flow[mine]), mine.sum() * np.array([855, 490, 1099]) / 2444, atol=2
        )
        assert labelled[mine].sum() == pytest.approx(mine.sum() / 3, abs=3)


def test_quality_is_labelled_on_a_third_and_only_there(many):
    labelled = many.quality >= 0
    assert labelled.sum() == round(244 * 814 / 2444)
    np.testing.assert_array_equal(many.quality[labelled], many.drawn_quality[labelled])
    assert set(many.drawn_quality[~labelled]) == {0, 1}


def test_every_patient_has_several_images(many):
    counts = np.bincount(many.patients)
    assert len(counts) == 30 and counts.min() >= 3 and counts.sum() == 244
    assert (np.diff(many.patients) >= 0).all()


def test_envelopes_are_brighter_than_the_rest_and_more_so_in_good_images(many):
    grey, mask = many.images.mean(axis=3), many.masks
    inside = (grey * mask).sum((1, 2)) / mask.sum((1, 2))
    outside = (grey * (1 - mask)).sum((1, 2)) / (1 - mask).sum((1, 2))
    good = many.drawn_quality == 1
    assert (inside > outside)[good].mean() > 0.97
    assert auc((inside - outside) / (outside + 10), good) > 0.8


def test_brightness_and_place_do_not_tell_the_flow(many):
    rows = np.arange(64)[:, None]
    centre = (many.masks * rows).sum((1, 2)) / many.masks.sum((1, 2))
    for flow in range(3):
        assert 0.33 < auc(many.images.mean((1, 2, 3)), many.flow == flow) < 0.67
    assert abs(centre[many.flow == MV].mean() - centre[many.flow == TR].mean()) < 20


def nearest_neighbour(images, labels, patients, size=16):
    """Accuracy of taking the label of the most alike image of another patient, by its pixels."""
    small = np.stack([cv2.resize(i, (size, size), interpolation=cv2.INTER_AREA) for i in images])
    x = small.astype(np.float32).mean(axis=3).reshape(len(images), -1)
    x = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    alike = x @ x.T - 1e9 * (patients[:, None] == patients)
    return np.mean(labels[alike.argmax(axis=1)] == labels)


def test_the_nearest_neighbour_is_no_good_classifier(many):
    assert nearest_neighbour(many.images, many.flow, many.patients) < 0.7


@pytest.mark.parametrize(
    ("n", "size", "options", "message"),
    [
        (0, 64, {}, "^0 images"),
        (2, 31, {}, "31 pixels"),
        (2, 64, {"patients": 3}, "3 patients for 2 images"),
        (2, 64, {"patients": 0}, "0 patients"),
    ],
)
def test_impossible_wishes_are_refused(n, size, options, message):
    with pytest.raises(ValueError, match=message):
        make(n, size, **options)


def test_flow_ends_with_the_velocity_it_has():
    v = np.float32([[0.75], [0.5], [0.25], [-0.25], [-0.5]])
    flow = np.float32([[0.5] * 4, [0.25] * 4])
    assert envelope(flow, v, 4).tolist() == [[k] * 4 for k in (0, 1, 1, 1, 0)]


def test_text_is_as_high_as_its_share_of_the_screen(monkeypatch):
    written = []
    monkeypatch.setattr(doppler_screen, "_write", lambda *given: written.append(given[2:5]))
    for seed in range(8):
        machine = SimpleNamespace(text=(255, 255, 255))
        doppler_screen._text(np.zeros((480, 640, 3), np.uint8), machine, rng(seed))
    assert {height for _, _, height in written} == {10, 12}
    assert any(y == 480 - 6 and x >= 320 for x, y, _ in written)
