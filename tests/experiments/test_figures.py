from xml.etree import ElementTree

import cv2
import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure as Sheet
from matplotlib.text import Text

from ums.experiments.report import style
from ums.experiments.report.pictures import (
    HEAT,
    denoising_panel,
    examples_panel,
    heat_map_panel,
    mosaic,
    outline_panel,
    show,
)
from ums.experiments.report.plots import cosine_curves, crossover, training_curves
from ums.experiments.report.style import METHOD_COLOURS, draw_outline, method_colours, titled_panels
from ums.metrics import iou
from ums.training import History


def images(count, seed=0, size=24):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size + 4), dtype=np.uint8)


def discs(radii, size=24):
    rows, columns = np.indices((size, size + 4)) - size / 2
    return np.stack([rows**2 + columns**2 < radius**2 for radius in radii])


def denoising():
    shown = {"clean": images(2), "noisy": images(2, 1), "denoised": images(2, 2)}
    psnr = {"noisy": [28.1, 22.2], "denoised": [33.3, 31.4]}
    return denoising_panel(shown, ["σ = 10", "σ = 20"], psnr)


def outlines(predicted=(5, 0)):
    true, masks = discs([8, 6]), discs(predicted)
    methods = {"Independent": masks, "Joint": true}
    scores = {method: iou(true, m) for method, m in methods.items()}
    return outline_panel(images(2), true, methods, scores, titles=["a", "b"])


def curves():
    short = History([1.0, 0.5], [], [1e-3, 1e-3])
    full = History([1.0, 0.3, 0.01], [1.1, 0.2, 0.4], [1e-3, 1e-3, 5e-4])
    together = History([1.0, 0.3], [0.9, 0.8], criterion=[1.0, 2.0])  # its own best is the second
    runs = {"Joint": [short], "Alternating": [History([2.0])], "Independent": [full, together]}
    return training_curves(runs)


def examples():
    colour = np.stack([images(3, seed) for seed in range(3)], axis=-1)
    titles = ["true normal\npredicted normal", "true normal\npredicted abnormal", "c"]
    return examples_panel(colour, titles, correct=[True, False, True])


def cosines():
    # One run ends earlier; another has an epoch without a value.
    runs = [[0.5, 0.25, -0.125], [0.25, -0.75], [0.0, float("nan"), -0.375]]
    return cosine_curves({"lungs and abnormality": runs, "lungs and opacities": [[0.25]]})


def heat(**settings):
    maps = np.linspace(0, 1, 2 * 24 * 28).reshape(2, 24, 28)
    given = {
        "images": images(2),
        "maps": {"Independent": maps, "Joint": 0 * maps},
        "outlines": {"lungs": discs([8, 6]), "opacity": discs([3, 0])},
        "titles": ["abnormal\npredicted normal", "normal"],
        "inside": {"Independent": [0.25, 0.5], "Joint": [float("nan")] * 2},
    }
    return heat_map_panel(**{**given, **settings})


def costs(**others):
    return crossover({"Shared": (12.5, 1.5), **(others or {"Separate models": (0, 5.5)})})


def points(lines):
    return [np.column_stack(line.get_data()).tolist() for line in lines]


def fills_and_strokes(figure):
    root = ElementTree.fromstring(figure.data)
    return " ".join(element.get("style") or "" for element in root.iter())


@pytest.mark.parametrize("draw", [denoising, examples, heat])
def test_mosaics_are_png_of_one_and_a_half_dots_per_pixel(draw):
    figure = draw()
    pixels = cv2.imdecode(np.frombuffer(figure.data, np.uint8), cv2.IMREAD_COLOR)
    assert figure.suffix == ".png"
    assert pixels.shape[1] == pytest.approx(1.5 * figure.width, abs=2)
    assert pixels.std() > 20


@pytest.mark.parametrize("draw", [outlines, curves, cosines, costs])
def test_lines_are_svg_of_the_stated_width_in_points(draw):
    figure = draw()
    root = ElementTree.fromstring(figure.data)
    assert root.tag.endswith("}svg")
    assert float(root.get("width").removesuffix("pt")) == pytest.approx(0.75 * figure.width, abs=1)


@pytest.mark.parametrize("draw", [denoising, outlines, curves, examples, cosines, heat, costs])
def test_the_same_input_gives_the_same_bytes(draw):
    assert draw().data == draw().data


@pytest.mark.parametrize("draw", [outlines, curves])
def test_drawing_leaves_matplotlibs_settings_alone(draw):
    with matplotlib.rc_context({"font.size": 31, "svg.hashsalt": "the caller's"}):
        before = dict(matplotlib.rcParams)
        draw()
        assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (denoising, "Clean, σ = 10; Noisy, 28.1 dB; Denoised, 33.3 dB; Error; σ = 20; 22.2 dB"),
        (outlines, "IoU 0.000; IoU 1.000"),
        (curves, "The best epoch of each replicate: Independent 2, 2."),
        (examples, "✗ true normal, predicted abnormal"),
        (cosines, "lungs and abnormality 0.250 in the first epoch, -0.250 in the last"),
        (cosines, "mean -0.083, below 0 in 2 of 3 epochs; lungs and opacities 0.250 in"),
        (heat, "abnormal, predicted normal, image, lungs 29 %; normal, lungs 16 %;"),
        (heat, "Independent, 25 % inside; 50 % inside; Joint, no map; no map."),
        (costs, "Shared 12.5 and 1.5 for each task; Separate models 0.0 and 5.5 for each task."),
        (costs, "Shared: pays from 4 tasks on against Separate models."),
    ],
)
def test_alternative_text_tells_what_the_picture_shows(draw, told):
    assert told in draw().alt


@pytest.mark.parametrize(("shift", "brightness"), [(0, 0), (-50, 250)])
def test_the_error_is_dark_where_the_denoiser_is_right(shift, brightness):
    clean = np.full((1, 24, 24), 100.0)
    shown = {"clean": clean, "noisy": clean, "denoised": clean + shift}
    figure = denoising_panel(shown, ["a"], {"noisy": [20.0], "denoised": [30.0]})
    pixels = cv2.imdecode(np.frombuffer(figure.data, np.uint8), cv2.IMREAD_COLOR)
    middle_of_the_last_column = pixels[pixels.shape[0] // 2, int(0.75 * pixels.shape[1])]
    assert float(middle_of_the_last_column[2]) == pytest.approx(brightness, abs=5)


def test_a_method_keeps_its_colour_in_every_figure():
    for figure in (outlines(), curves()):
        assert METHOD_COLOURS["independent"] in fills_and_strokes(figure)
    assert METHOD_COLOURS["joint"] in fills_and_strokes(curves())


def test_unknown_methods_get_colours_of_their_own():
    colours = method_colours(["Joint, learned weights", "Joint", "Ours", "Separate models"])
    assert colours["Joint, learned weights"] == METHOD_COLOURS["joint"]
    assert colours["Separate models"] == METHOD_COLOURS["separate"]
    assert len(set(colours.values())) == 4


@pytest.mark.parametrize("colour", METHOD_COLOURS.values())
def test_method_colours_stand_out_against_white(colour):
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 3


def test_a_mask_touching_the_border_has_a_closed_outline():
    ax = Sheet().subplots()
    draw_outline(ax, np.ones((20, 30), bool), "red", 1.0)
    corners = ax.collections[0].get_paths()[0].vertices
    assert corners[0].tolist() == corners[-1].tolist()
    assert [corners.min(), *corners.max(axis=0)] == [-0.5, 29.5, 19.5]


def test_an_empty_mask_has_no_outline():
    ax = Sheet().subplots()
    draw_outline(ax, np.zeros((20, 30), bool), "red", 1.0)
    assert not ax.collections


def test_replicates_of_a_training_share_a_panel_the_first_one_bold(sheets):
    curves()
    lines = sheets[0].axes[2].get_lines()
    assert points(lines)[:2] == [
        [[1, 1.0], [2, 0.3], [3, 0.01]],
        [[1, 1.1], [2, 0.2], [3, 0.4]],
    ]
    assert [[1, 1.0], [2, 0.3]] in points(lines) and [[1, 0.9], [2, 0.8]] in points(lines)
    assert [line.get_markevery() for line in lines if line.get_marker() == "o"] == [[1], [1]]
    widths = [line.get_linewidth() for line in lines if len(line.get_xdata()) in (2, 3)]
    assert min(widths[:2]) > max(widths[-2:])


def test_one_strategys_panels_share_its_colour(sheets):
    tasks = ["Joint: lungs", "Joint: abnormality", "Source: denoising"]
    training_curves({task: [History([2.0, 1.0])] for task in tasks})
    colours = [ax.get_lines()[0].get_color() for ax in sheets[0].axes]
    assert colours[:2] == [METHOD_COLOURS["joint"]] * 2 and colours[2] != colours[0]


def test_the_mean_cosine_is_of_the_replicates_still_running(sheets):
    cosines()
    lines = points(sheets[0].axes[0].get_lines())
    assert lines[:2] == [[[1, 0.5], [2, 0.25], [3, -0.125]], [[1, 0.25], [2, -0.75]]]
    assert lines[3] == [[1, 0.25], [2, -0.25], [3, -0.25]]


def test_both_sides_of_zero_are_named_with_room_to_read(sheets):
    cosines()
    cosine_curves({"a": [[0.5, 0.4]]})
    for sheet in sheets:
        ax = sheet.axes[0]
        sides = {text.get_text().split()[0]: text.get_va() for text in ax.texts}
        assert sides == {"help": "bottom", "work": "top"}
        assert ax.get_ylim()[0] <= -0.09 and ax.get_ylim()[1] >= 0.09


def test_heat_maps_lie_over_the_images_they_are_of(sheets):
    heat()
    axes = sheets[0].axes
    maps = np.linspace(0, 1, 2 * 24 * 28).reshape(2, 24, 28)
    np.testing.assert_array_equal(axes[1].get_images()[0].get_array(), images(2)[1])
    np.testing.assert_array_equal(axes[3].get_images()[0].get_array(), 0.75 * images(2)[1])
    np.testing.assert_array_equal(axes[3].get_images()[1].get_array(), maps[1])
    stamps = [ax.texts[-1].get_text() for ax in axes[:6]]
    assert stamps == ["lungs 29 %", "lungs 16 %", "25 % inside", "50 % inside", "no map", "no map"]
    assert [len(ax.collections) for ax in axes[:6]] == [2, 1] * 3


def test_a_heat_map_is_clear_where_nothing_speaks_for_the_class_and_yellow_where_most_does():
    red, green, blue, opacity = HEAT(np.linspace(0, 1, 256)).T
    assert opacity[0] == 0 and (np.diff(opacity) > 0).all()
    # Yellow against grey is seen with any red-green blindness: the blue is what differs.
    assert min(red[-1], green[-1]) - blue[-1] > 0.45


def test_titles_of_panels_side_by_side_are_broken_at_the_colon():
    _, panels = titled_panels(["Joint: lungs", "Joint: disease"], 1)
    assert [ax.get_title("left") for ax in panels.values()] == ["Joint:\nlungs", "Joint:\ndisease"]
    _, panels = titled_panels(["Source: flow"], 1)
    assert panels["Source: flow"].get_title("left") == "Source: flow"


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        ((0, 5.5), "pays from 4 tasks on"),  # 12.5 / 4 is 3.1
        ((0.5, 5.5), "pays from 4 tasks on"),  # even at the third
        ((10.5, 5.5), "pays from the first task on"),
        ((12.5, 1.5), "never pays"),
        ((0, 1.0), "never pays"),
        ((14.5, 1.0), "pays up to 3 tasks"),  # even at the fourth
        ((0, 1.75), "pays from 51 tasks on"),
        ((0, 2.75), "pays from 11 tasks on"),
    ],
)
def test_the_crossing_is_told_in_words(theirs, words, sheets):
    figure = costs(Separate=theirs)
    assert f"Shared: {words} against Separate." in figure.caption
    notes = [text.get_text() for text in sheets[0].axes[0].texts]
    assert notes in ([], [f"{words}\nagainst Separate"])


def test_the_lines_are_the_total_costs_and_a_ring_marks_the_crossing(sheets):
    crossover({"Shared": (12.5, 1.5), "Separate": (0, 5.5), "Third": (0, 1)})
    lines = points(sheets[0].axes[0].get_lines())
    assert lines[0] == [[n, 12.5 + 1.5 * n] for n in range(1, 8)]
    assert lines[1] == [[n, 5.5 * n] for n in range(1, 8)]
    assert lines[-2:] == [[[4, 0], [4, 18.5]], [[4, 18.5]]]
    assert len(lines) == 5  # the third never crosses


def test_grey_levels_are_shown_from_black_to_white_whatever_an_image_holds():
    _, ((ax,),) = mosaic([""], 1, images(1)[0])
    show(ax, np.full((4, 4), 90, np.uint8))
    assert ax.images[0].get_clim() == (0, 255)


WORDS = {
    denoising: {"Clean", "Noisy", "Denoised", "Error", "|denoised − clean|, of 255",
                "σ = 10", "σ = 20", "28.1 dB", "22.2 dB", "33.3 dB", "31.4 dB"},
    outlines: {"Independent", "Joint", "a", "b", "IoU 1.000"},
    curves: {"epoch", "loss", "Joint", "Alternating", "Independent"},
    heat: {"image", "Independent", "Joint", "0", "most", "speaks for the class", "25 % inside",
           "50 % inside", "no map"},
}  # fmt: skip


@pytest.mark.parametrize("draw", WORDS)
def test_figure_says_what_is_where(draw, sheets):
    draw()
    found = {text.get_text() for text in sheets[0].findobj(Text)}
    assert WORDS[draw] <= found


def test_columns_and_rows_of_outlines_are_methods_and_images(sheets):
    outlines()
    axes = sheets[0].axes
    assert [ax.get_title() for ax in axes] == ["Independent", "Joint", "", ""]
    for ax, image in zip(axes, images(2).repeat(2, axis=0), strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), image)
    assert [len(ax.collections) for ax in axes] == [2, 2, 1, 2]  # the last prediction is empty
    labels = [ax.texts[0].get_text() for ax in axes[::2]]
    assert labels == ["a", "b"]


def test_columns_of_denoising_are_clean_noisy_denoised_and_the_error(sheets):
    denoising()
    rows = np.reshape(sheets[0].axes[:8], (2, 4))
    assert [ax.get_title() for ax in rows[0]] == ["Clean", "Noisy", "Denoised", "Error"]
    for n, row in enumerate(rows):
        shown = [ax.images[0].get_array() for ax in row]
        for seed in range(3):
            np.testing.assert_array_equal(shown[seed], images(2, seed)[n])
        error = abs(images(2, 2)[n].astype(float) - images(2)[n])
        np.testing.assert_array_equal(shown[3], error)


def test_columns_of_heat_maps_bear_their_titles(sheets):
    heat()
    titles = [ax.get_title() for ax in sheets[0].axes[:6]]
    assert titles == ["abnormal\npredicted normal", "normal", *[""] * 4]


EXPLAINED = {
    outlines: ["true outline", "Independent", "Joint"],
    heat: ["lungs", "opacity"],
    costs: ["Shared", "Separate models"],
    curves: ["training", "validation", "best epoch"],
}


@pytest.mark.parametrize("draw", EXPLAINED)
def test_legend_explains_every_line(draw, sheets):
    draw()
    (legend,) = sheets[0].legends
    assert [text.get_text() for text in legend.get_texts()] == EXPLAINED[draw]


def test_best_epoch_is_written_at_its_loss(sheets):
    training_curves({"Joint": [History([1.0, 0.3, 0.2], [1.1, 0.2, 0.4], [1e-3] * 3)]})
    (best,) = [text for text in sheets[0].axes[0].texts if text.get_text() == "2"]
    assert best.xy == (2, 0.2)


OFFSETS = {  # in points, right and up
    denoising: [(-4, 0)] * 2 + [(6, 6)] * 4,
    outlines: [(-4, 0)] * 2 + [(6, 6)] * 4,
    curves: [(0, 7)],
    cosines: [(6, -5), (6, 5)],
    costs: [(5, 0)],
}


@pytest.mark.parametrize("draw", OFFSETS)
def test_notes_stand_beside_what_they_are_about(draw, sheets):
    draw()
    notes = [text for ax in sheets[0].axes for text in ax.texts if hasattr(text, "xyann")]
    assert sorted(text.xyann for text in notes) == sorted(OFFSETS[draw])


@pytest.mark.parametrize(
    ("count", "columns"), [(1, 1), (2, 2), (3, 3), (4, 2), (5, 3), (6, 2), (7, 3), (8, 2), (9, 3)]
)
def test_panels_stand_in_rows_in_their_order(count, columns):
    sheet, panels = titled_panels([f"n{i}" for i in range(count)], 1)
    specs = [ax.get_subplotspec() for ax in panels.values()]
    places = [(spec.rowspan.start, spec.colspan.start) for spec in specs]
    assert places == [divmod(i, columns) for i in range(count)]
    assert [ax.axison for ax in sheet.axes] == [True] * count + [False] * (-count % columns)


@pytest.mark.parametrize("lines", [0, 3])
def test_rows_of_images_have_room_for_the_lines_above_each(lines):
    low, high = (mosaic(["", ""], 4, np.zeros((30, 30)), n)[0] for n in (0, lines))
    assert high.get_figheight() - low.get_figheight() == pytest.approx(2 * 0.17 * lines)
    assert high.get_figwidth() == low.get_figwidth() == style.PAGE


@pytest.mark.parametrize("draw", [denoising, heat])
def test_a_scale_of_colours_has_no_frame(draw, sheets):
    draw()
    bar = sheets[0].axes[-1]
    assert not bar.spines["outline"].get_visible()


@pytest.mark.parametrize(
    ("count", "rows", "columns"), [(1, 1, 1), (3, 1, 3), (4, 1, 4), (5, 2, 4), (9, 3, 4)]
)
def test_examples_stand_in_rows_of_four(count, rows, columns, sheets):
    titles = [f"n{i}" for i in range(count)]
    examples_panel(images(count), titles, [i % 2 == 0 for i in range(count)])
    axes = sheets[0].axes
    assert len(axes) == rows * columns
    expected = [f"{'✗' if i % 2 else '✓'} n{i}" for i in range(count)]
    assert [ax.get_title() for ax in axes if ax.images] == expected


def test_label_beside_a_low_image_is_broken_after_eight_letters():
    _, axes = mosaic(["abcd efg hij"], 4, np.zeros((1, 30)))
    assert axes[0, 0].texts[0].get_text() == "abcd efg\nhij"
    _, axes = mosaic(["abcd efg hij"], 1, np.zeros((30, 30)))
    assert axes[0, 0].texts[0].get_text() == "abcd efg hij"


@pytest.mark.parametrize(
    ("losses", "scale"),
    [
        ([1, 9], "linear"),
        ([1, 10], "linear"),
        ([1, 10.5], "log"),
        ([2, 20, 21, float("nan")], "log"),
        ([0, 50], "linear"),
        ([-1, 50], "linear"),
        ([0.5, 6, float("inf")], "log"),
    ],
)
def test_losses_that_span_more_than_a_factor_of_ten_are_on_a_logarithmic_axis(losses, scale):
    ax = Sheet().subplots()
    style.scale_losses(ax, losses)
    assert ax.get_yscale() == scale


def test_errors_of_all_rows_are_on_one_scale_from_none(sheets):
    denoising()
    last = [
        ax.images[0] for ax in sheets[0].axes if ax.images and ax.images[0].cmap.name == "magma"
    ]
    low, high = zip(*(shown.get_clim() for shown in last), strict=True)
    assert len(last) == 2 and low == (0, 0) and high[0] == high[1] > 100
