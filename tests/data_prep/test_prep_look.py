"""The two pictures of a prepared set."""

import cv2
import numpy as np
import pytest

from data_prep import look
from data_prep.look import contact_sheet, describe_sizes, summary_plot
from data_prep.writing import Content


def pixels(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


@pytest.fixture
def images():
    return np.full((60, 32, 32), 120, np.uint8)


def sheet(images, masks=None, opacities=None, has_mask=None, labels=None):
    n = len(images)
    ids, splits = [f"image{i}" for i in range(n)], ["train"] * n
    about = {"label_values": {"kind": {"0": "one", "1": "other"}}}
    content = Content(images, ids, ids, splits, labels or {}, masks, opacities, has_mask, about)
    return pixels(contact_sheet(content))


def has(picture, colour):
    return (picture == colour).all(axis=-1).any()


def test_the_sheet_has_a_tile_for_at_most_48_images(images):
    assert sheet(images).shape[:2] == (6 * (look.TILE + look.CAPTION), 8 * look.TILE)
    assert sheet(images[:3]).shape[:2] == (look.TILE + look.CAPTION, 3 * look.TILE)


def test_masks_and_opacities_are_outlined_in_their_colours(images):
    marked = np.zeros_like(images)
    marked[:, 8:20, 8:20] = 1
    plain, lungs, spots = (
        sheet(images),
        sheet(images, masks=marked),
        sheet(images, opacities=marked),
    )
    assert not has(plain, look.MASK) and has(lungs, look.MASK) and not has(lungs, look.OPACITY)
    assert has(spots, look.OPACITY)


def test_labels_and_a_missing_mask_change_the_caption(images):
    no = np.zeros(60, bool)
    zero, one = ({"kind": np.full(60, k)} for k in (0, 1))
    pictures = [sheet(images, labels=label) for label in ({}, zero, one)]
    pictures += [sheet(images, np.zeros_like(images), None, no)]
    assert len({picture.tobytes() for picture in pictures}) == 4


def test_a_long_name_stays_in_its_tile(images):
    png, alone = (
        contact_sheet(Content(images[:2], [name, "b"], ["a", "b"], ["test"] * 2, {}))
        for name in ("W" * 99, "")
    )
    np.testing.assert_array_equal(pixels(png)[:, look.TILE :], pixels(alone)[:, look.TILE :])


@pytest.mark.parametrize("shapes", [(), [(20, 30)] * 30 + [(40, 50)] * 30])
def test_the_summary_is_drawn_alike_each_time(images, shapes):
    splits, ids = np.repeat(["train", "test"], 30), [str(k) for k in range(60)]
    content = Content(images, ids, ids, splits, {"kind": np.arange(60) % 3 - 1})
    one, two = (summary_plot(content, shapes) for _ in range(2))
    assert one == two and pixels(one).shape[1] == 1300


def test_sizes_are_described_by_area():
    described = describe_sizes([(10, 10), (5, 30), (40, 2), (10, 10)])
    assert described == {
        "smallest": [40, 2], "median": [10, 10], "largest": [5, 30], "different": 3,
    }  # fmt: skip


def test_bars_of_the_parts_stand_on_each_other(images, monkeypatch):
    drawn = []
    canvas = type("Canvas", (), {"print_png": lambda self, file: None})
    monkeypatch.setattr(look, "FigureCanvasAgg", lambda figure: drawn.append(figure) or canvas())
    splits = ["train"] * 30 + ["validation"] * 20 + ["test"] * 10
    content = Content(images, splits, splits, splits, {"kind": np.arange(60) % 3})
    summary_plot(content, ())
    bars = [(bar.get_y(), bar.get_height()) for bar in drawn[0].axes[2].patches]
    assert bars[::3] == [(0, 10), (10, 7), (17, 3)]  # of 0, 3, 6, ...


def test_the_summary_names_the_set_and_its_size(images, monkeypatch):
    drawn = []
    canvas = type("Canvas", (), {"print_png": lambda self, file: None})
    monkeypatch.setattr(look, "FigureCanvasAgg", lambda figure: drawn.append(figure) or canvas())
    splits = ["train"] * 60
    for about in ({"name": "Lungs"}, {}):
        summary_plot(Content(images, splits, splits, splits, {}, about=about), [(20, 30)] * 60)
    titles = [figure.get_suptitle() for figure in drawn]
    assert titles == ["Lungs: 60 images of 32 x 32", "images: 60 images of 32 x 32"]
    sizes, greys, classes = drawn[0].axes
    assert sizes.collections[0].get_offsets().tolist() == [[30, 20]]  # width, height
    assert np.argmax(greys.patches[0].get_data().values) == 120
    assert [text.get_text() for text in classes.get_xticklabels()] == ["images"]


def test_ages_are_no_classes(images, monkeypatch):
    drawn = []
    canvas = type("Canvas", (), {"print_png": lambda self, file: None})
    monkeypatch.setattr(look, "FigureCanvasAgg", lambda figure: drawn.append(figure) or canvas())
    splits, labels = ["train"] * 60, {"age": np.arange(60), "sex": np.arange(60) % 2}
    summary_plot(Content(images, splits, splits, splits, labels), ())
    assert [text.get_text() for text in drawn[0].axes[2].get_xticklabels()] == ["sex 0", "sex 1"]


def test_a_long_name_leaves_the_tiles_around_it_alone(images):
    rows = np.arange(18, dtype=np.uint8)[:, None, None] + images[:18]
    ids = [str(k) for k in range(18)]
    long = [name if k != 9 else "W" * 30 for k, name in enumerate(ids)]
    one, other = (
        pixels(contact_sheet(Content(rows, names, ids, ["test"] * 18, {}))) for names in (ids, long)
    )
    row, column = look.TILE + look.CAPTION, look.TILE
    changed = (one != other).any(axis=2)
    assert changed[row : 2 * row, column : 2 * column].any()
    changed[row : 2 * row, column : 2 * column] = False
    assert not changed.any()
    for place in range(18):  # below a tile that was written before, too
        y, x = place // 8 * row, place % 8 * column
        assert (one[y + 5, x + 5] == 120 + place).all()


@pytest.mark.parametrize(
    ("count", "shown"),
    [(1, [0]), (3, [0, 1, 2]), (48, list(range(48))), (95, list(range(0, 95, 2)))],
)
def test_the_sheet_shows_images_evenly_from_the_first_to_the_last(count, shown):
    levels = np.arange(count, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    ids = [str(k) for k in range(count)]
    drawn = pixels(contact_sheet(Content(levels, ids, ids, ["test"] * count, {})))
    row = look.TILE + look.CAPTION
    tops = drawn[5::row, 5 :: look.TILE, 0].ravel()[: len(shown)]
    assert abs(tops.astype(int) - shown).max() <= 1


def test_grey_levels_are_shares_of_all_pixels(images, monkeypatch):
    drawn = []
    canvas = type("Canvas", (), {"print_png": lambda self, file: None})
    monkeypatch.setattr(look, "FigureCanvasAgg", lambda figure: drawn.append(figure) or canvas())
    images[:15], splits = 255, ["train"] * 60
    images[15:30] = 0
    summary_plot(Content(images, splits, splits, splits, {}), ())
    sizes, greys, _ = drawn[0].axes
    shares, edges, _ = greys.patches[0].get_data()
    assert (shares[[0, 120, 255]] == [0.25, 0.5, 0.25]).all() and shares.sum() == 1
    assert edges.tolist() == list(range(257)) and greys.get_yscale() == "log"
    assert [text.get_text() for text in sizes.texts] == ["not recorded"]


def test_sizes_are_drawn_from_0_as_often_as_they_are(images, monkeypatch):
    drawn = []
    canvas = type("Canvas", (), {"print_png": lambda self, file: None})
    monkeypatch.setattr(look, "FigureCanvasAgg", lambda figure: drawn.append(figure) or canvas())
    splits = ["train"] * 60
    summary_plot(Content(images, splits, splits, splits, {}), [(20, 30)] * 45 + [(40, 50)] * 15)
    sizes = drawn[0].axes[0]
    assert sizes.collections[0].get_offsets().tolist() == [[30, 20], [50, 40]]
    assert sizes.collections[0].get_sizes().tolist() == [128, 48]
    assert sizes.get_xlim()[0] == sizes.get_ylim()[0] == 0
    legend = [text.get_text() for text in drawn[0].axes[2].get_legend().get_texts()]
    assert legend == list(look.SPLITS)
