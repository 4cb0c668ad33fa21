from xml.etree import ElementTree

import cv2
import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure as Sheet

from ums.experiments.drawing import (
    METHOD_COLOURS,
    best_epoch,
    draw_outline,
    method_colours,
    rate_drops,
)
from ums.experiments.figures import (
    denoising_panel,
    examples_panel,
    outline_panel,
    score_strip,
    training_curves,
)
from ums.metrics import iou


def images(count, seed=0, size=24):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size + 4), dtype=np.uint8)


def discs(radii, size=24):
    rows, columns = np.indices((size, size + 4)) - size / 2
    return np.stack([rows**2 + columns**2 < radius**2 for radius in radii])


def denoising(**settings):
    clean, noisy, denoised = images(2), images(2, 1), images(2, 2)
    titles, before, after = ["σ = 10", "σ = 20"], [28.1, 22.2], [33.3, 31.4]
    return denoising_panel(clean, noisy, denoised, titles, before, after, **settings)


def outlines(predicted=(5, 0), **settings):
    true, masks = discs([8, 6]), discs(predicted)
    methods = [("Independent", masks), ("Joint", true)]
    scores = [iou(true, m) for _, m in methods]
    return outline_panel(images(2), true, methods, scores, titles=["a", "b"], **settings)


def curves():
    short = {"train": [1.0, 0.5], "validation": [], "learning_rate": [1e-3, 1e-3]}
    full = {
        "train": [1.0, 0.3, 0.01],
        "validation": [1.1, 0.2, 0.4],
        "learning_rate": [1e-3, 1e-3, 5e-4],
    }
    return training_curves({"Independent": full, "Joint": short, "Alternating": {"train": [2.0]}})


def strip():
    rng = np.random.default_rng(0)
    scores = {"Independent": rng.random(9), "Separate models": rng.random(9), "Joint": []}
    return score_strip({"Shenzhen": scores, "Montgomery": {"Independent": [0.25, 0.5, 1.0]}})


def examples():
    colour = np.stack([images(3, seed) for seed in range(3)], axis=-1)
    titles = ["true normal\nsaid normal", "true normal\nsaid abnormal", "c"]
    return examples_panel(colour, titles, correct=[True, False, True])


def fills_and_strokes(figure):
    root = ElementTree.fromstring(figure.data)
    return " ".join(element.get("style") or "" for element in root.iter())


@pytest.mark.parametrize("draw", [denoising, examples])
def test_mosaics_are_png_of_one_and_a_half_dots_per_pixel(draw):
    figure = draw()
    pixels = cv2.imdecode(np.frombuffer(figure.data, np.uint8), cv2.IMREAD_COLOR)
    assert figure.suffix == ".png"
    assert pixels.shape[1] == pytest.approx(1.5 * figure.width, abs=2)
    assert pixels.std() > 20


@pytest.mark.parametrize("draw", [outlines, curves, strip])
def test_lines_are_svg_of_the_stated_width_in_points(draw):
    figure = draw()
    root = ElementTree.fromstring(figure.data)
    assert root.tag.endswith("}svg")
    assert float(root.get("width").removesuffix("pt")) == pytest.approx(0.75 * figure.width, abs=1)


@pytest.mark.parametrize("draw", [denoising, outlines, curves, strip, examples])
def test_the_same_input_gives_the_same_bytes(draw):
    assert draw().data == draw().data


@pytest.mark.parametrize("draw", [outlines, strip])
def test_drawing_leaves_matplotlibs_settings_alone(draw):
    with matplotlib.rc_context({"font.size": 31, "svg.hashsalt": "the caller's"}):
        before = dict(matplotlib.rcParams)
        draw()
        assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (denoising, "PSNR from 28.1, 22.2 to 33.3, 31.4 dB"),
        (outlines, "Joint 1.000, 1.000"),
        (curves, "Weights kept: Independent at epoch 2."),
        (strip, "Montgomery, Independent 0.500"),
        (examples, "true normal, said abnormal (wrong)"),
    ],
)
def test_alternative_text_tells_what_the_picture_shows(draw, told):
    assert told in draw().alt


@pytest.mark.parametrize(("shift", "brightness"), [(0, 0), (-50, 250)])
def test_the_error_is_dark_where_the_denoiser_is_right(shift, brightness):
    clean = np.full((1, 24, 24), 100.0)
    figure = denoising_panel(clean, clean, clean + shift, ["a"], [20.0], [30.0])
    pixels = cv2.imdecode(np.frombuffer(figure.data, np.uint8), cv2.IMREAD_COLOR)
    middle_of_the_last_column = pixels[pixels.shape[0] // 2, int(0.75 * pixels.shape[1])]
    assert float(middle_of_the_last_column[2]) == pytest.approx(brightness, abs=5)


def test_a_method_keeps_its_colour_in_every_figure():
    for figure in (outlines(), curves(), strip()):
        assert METHOD_COLOURS["independent"] in fills_and_strokes(figure)
    assert METHOD_COLOURS["separate"] in fills_and_strokes(strip())


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


def test_learning_rate_drops_name_the_first_epoch_at_the_lower_rate():
    assert rate_drops([1e-3, 1e-3, 5e-4, 5e-4, 1e-4]) == [(3, 5e-4), (5, 1e-4)]
    assert rate_drops([]) == []


def test_the_best_epoch_has_the_lowest_validation_value():
    assert best_epoch({"validation": [3.0, float("nan"), 1.0, 2.0]}) == 3
    assert best_epoch({"train": [1.0]}) is None


def test_lists_of_different_length_are_refused():
    with pytest.raises(ValueError, match=r"examples_panel: .* got \[2, 1, 1\]"):
        examples_panel(images(2), ["a"])
    with pytest.raises(ValueError, match="training_curves"):
        training_curves({})
