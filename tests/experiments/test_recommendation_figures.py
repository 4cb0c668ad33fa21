"""The recommendation's pictures: counts, shares, and each image under its own words."""

from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from ums.derived import Recommendations
from ums.experiments.report.pictures import recommendation_panel
from ums.experiments.report.plots import confusion_tables
from ums.experiments.report.style import INK, WRONG

TABLES = {"Independent": np.array([[6, 2], [1, 3]]), "Joint": [[8, 0], [0, 0]]}
FLOW, QUALITY = [0, 2, 2, 2, 1, 2], [1, 0, 0, 1, 0, 0]
TR, POOR = [0.05, 0.9, 0.3, 0.95, 0.1, 0.8], [0.2, 0.8, 0.8, 0.6, 0.7, 0.9]
WORDS = "true TR, poor\npredicted TR 0.90, poor 0.80\nexclude (exclusion 0.72)"


def screens(n=6):
    return np.random.default_rng(0).integers(0, 256, (n, 20, 24, 3), dtype=np.uint8)


def panel(tr=TR, **settings):
    flow = np.column_stack([0.75 * (1 - np.array(tr)), 0.25 * (1 - np.array(tr)), tr])
    quality = np.column_stack([POOR, 1 - np.array(POOR)])
    made = Recommendations(flow, quality)
    return recommendation_panel(screens(), FLOW, QUALITY, made, **{"each": 2, **settings})


def test_tables_hold_counts_and_each_rows_shares(sheets):
    confusion_tables(TABLES)
    first, second = sheets[0].axes
    assert [text.get_text() for text in first.texts] == [
        "6\n75 %", "2\n25 %", "1\n25 %", "3\n75 %",
    ]  # fmt: skip
    assert [text.get_text() for text in second.texts][2:] == ["0\nnone"] * 2
    assert first.get_images()[0].get_array().tolist() == [[0.75, 0.25], [0.25, 0.75]]
    assert [ax.get_title(loc="left") for ax in (first, second)] == ["Independent", "Joint"]
    colours = [text.get_color() for text in first.texts]
    assert colours == ["white", INK, INK, "white"]


def test_tables_are_svg_of_the_stated_width_and_say_it_in_words():
    figure = confusion_tables(TABLES)
    assert figure.data == confusion_tables(TABLES).data
    width = ElementTree.fromstring(figure.data).get("width").removesuffix("pt")
    assert float(width) == pytest.approx(0.75 * figure.width, abs=1)
    assert "Independent: 75 % (6) of those to use, 75 % (3) of those to exclude" in figure.alt
    assert "Joint: 100 % (8) of those to use, none (0) of those" in figure.alt


def test_images_stand_in_the_row_of_their_outcome_under_their_own_words(sheets):
    panel()
    axes = np.reshape(sheets[0].axes, (4, 2))
    shown = [[ax.get_images()[0].get_array() for ax in row if ax.get_images()] for row in axes]
    for row, numbers in zip(shown, [[0, 4], [1, 5], [2], [3]], strict=True):
        np.testing.assert_array_equal(row, screens()[numbers])
    labels = [row[0].texts[0].get_text() for row in axes]
    assert labels == [
        "rightly used: 2", "rightly excluded: 2", "wrongly used: 1", "wrongly excluded: 1",
    ]  # fmt: skip
    assert axes[1, 0].get_title() == WORDS
    assert [row[0].title.get_color() for row in axes] == [INK, INK, WRONG, WRONG]


def test_outcome_without_an_image_has_no_row_and_is_counted_in_the_caption(sheets):
    figure = panel(tr=[0.05, 0.9, 0.9, 0.1, 0.1, 0.8])
    assert len(sheets[0].axes) == 2 * 2 and "wrongly used: 0" in figure.caption


def test_panel_is_png_of_one_and_a_half_dots_per_pixel_and_told_in_words():
    figure = panel(each=1)
    pixels = cv2.imdecode(np.frombuffer(figure.data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape[1] == pytest.approx(1.5 * figure.width, abs=2) and pixels.std() > 20
    assert f"{WORDS}, rightly excluded: 2".replace("\n", ", ") in figure.alt
    assert figure.data == panel(each=1).data
