"""Charts of differences between arms: what is drawn where, how far, and in which colour."""

import numpy as np
import pytest

from ums.experiments.report import forest
from ums.experiments.report.forest import COLOURS, LEGEND, benefit_curves
from ums.experiments.results.verdicts import Contrast, Verdict
from ums.metrics.significance import Interval

NOTHING = Interval(np.nan, np.nan)


def contrast(mean, both=0.02, trainings=0.01, margin=0.05):
    """A difference with half widths, or None where there is no interval."""
    around = [NOTHING if h is None else Interval(mean - h, mean + h) for h in (trainings, both)]
    return Contrast(mean, *around, 3, margin)


PANELS = {
    "Lung segmentation": {"Sharing": contrast(0.1), "Freezing": contrast(-0.1)},
    "Abnormality": {"Sharing": contrast(0.0), "Pretraining": contrast(0.2, both=0.5)},
}
MEASURES = {"Lung segmentation": "IoU", "Abnormality": "MCC"}


def lines_of(ax):
    """Colour, x and height of each line but that at 0, in the order in which they were drawn."""
    return [
        (line.get_color(), np.round(line.get_xdata(), 3).tolist(), float(np.mean(line.get_ydata())))
        for line in ax.get_lines()
        if list(line.get_xdata()) != [0, 0]
    ]


def test_each_contrast_has_its_interval_and_below_it_that_over_trainings(sheets):
    forest.forest(PANELS, MEASURES, "contrasts")
    lungs, _ = sheets[0].axes
    green, red = COLOURS[Verdict.HOLDS], COLOURS[Verdict.REFUTED]
    assert lines_of(lungs) == [
        (green, [0.08, 0.12], 0.0), (green, [0.09, 0.11], 0.22), (green, [0.1], 0.0),
        (red, [-0.12, -0.08], 1.0), (red, [-0.11, -0.09], 1.22), (red, [-0.1], 1.0),
    ]  # fmt: skip
    widths = [line.get_linewidth() for line in lungs.get_lines()[:2]]
    assert widths[0] > 2 * widths[1]
    assert [text.get_text() for text in lungs.texts] == ["✓", "✗"]


def test_rows_are_named_once_and_a_panel_may_lack_one(sheets):
    forest.forest(PANELS, MEASURES, "contrasts")
    lungs, abnormality = sheets[0].axes
    names = [label.get_text() for label in lungs.get_yticklabels()]
    assert names == ["Sharing", "Freezing", "Pretraining"]
    assert not any(label.get_text() for label in abnormality.get_yticklabels())
    assert {round(y) for *_, y in lines_of(abnormality)} == {0, 2}


def test_an_interval_that_goes_on_ends_in_arrows_at_the_edge(sheets):
    forest.forest({"A": {"a": contrast(0.1, both=4.0)}}, {"A": "MCC"}, "far")
    ax = sheets[0].axes[0]
    low, high = ax.get_xlim()
    assert -low == high == pytest.approx(1.12 * 2.2 * 0.1)
    arrows = {line.get_marker(): list(line.get_xdata()) for line in ax.get_lines()}
    assert (arrows["<"], arrows[">"]) == ([low], [high])


def test_panels_of_one_measure_share_their_scale_and_each_has_its_band(sheets):
    panels = {t: {"a": contrast(m, margin=0.05)} for t, m in (("A", 0.3), ("B", 0.1))}
    panels["C"] = {"a": contrast(0.02, 0.001, 0.001, margin=0.01)}
    forest.forest(panels, {"A": "MCC", "B": "MCC", "C": "IoU"}, "scales")
    one, other, third = (ax.get_xlim() for ax in sheets[0].axes)
    assert one == other != third
    bands = [
        ax.patches[0].get_extents().transformed(ax.transData.inverted()) for ax in sheets[0].axes
    ]
    assert [band.x1 for band in bands] == pytest.approx([0.05, 0.05, 0.01])


def test_a_single_replicate_has_a_dot_and_no_interval(sheets):
    forest.forest({"A": {"a": contrast(0.1, None, None)}}, {"A": "MCC"}, "one")
    assert [x for _, x, _ in lines_of(sheets[0].axes[0])] == [[0.1]]


def test_every_verdict_has_a_colour_and_an_entry_in_the_legend():
    for verdict in Verdict:
        assert LEGEND[f"{verdict.mark} {verdict.value}"]["color"] == COLOURS[verdict]
    assert len(set(COLOURS.values())) == len(Verdict)


def test_text_for_the_blind_has_every_number():
    alt = forest.forest(PANELS, MEASURES, "contrasts").alt
    assert "Lung segmentation, Sharing +0.100 [+0.080, +0.120] ✓" in alt
    assert "Abnormality, Pretraining +0.200 [−0.300, +0.700] ?" in alt


def curves():
    numbers = {500: contrast(0.1), 50: contrast(0.3)}
    panels = {"A": {"Joint − single": numbers, "Single − scratch": {50: contrast(-0.1)}}}
    return benefit_curves(panels, {"A": "MCC"}, "labelled images", "benefit")


def test_benefit_is_drawn_at_its_number_with_its_interval(sheets):
    curves()
    ax = sheets[0].axes[0]
    joint, single = ax.get_lines()[:2]
    np.testing.assert_allclose(joint.get_xdata(), [500, 50], rtol=0.03)
    assert list(joint.get_ydata()) == [0.1, 0.3] and list(single.get_ydata()) == [-0.1]
    bars = [collection.get_segments() for collection in ax.collections]
    assert [[bar[:, 1].tolist() for bar in of] for of in bars] == [
        [pytest.approx([0.08, 0.12]), pytest.approx([0.28, 0.32])], [pytest.approx([-0.12, -0.08])],
    ]  # fmt: skip
    assert ax.get_xscale() == "log" and [t.get_text() for t in ax.get_xticklabels()] == [
        "50",
        "500",
    ]
    assert joint.get_xdata()[0] < 500  # side by side
    assert ax.get_ylabel() == "difference, MCC" and ax.get_xlabel() == "labelled images"


def test_text_of_the_curves_has_every_number():
    assert "A, Joint − single 500: +0.100 [+0.080, +0.120] ✓, 50: +0.300" in curves().alt
