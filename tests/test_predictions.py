"""What a trained model says of image files, and what it leaves behind."""

import csv
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from dicom_files import dicom

import ums
from ums import __main__ as command
from ums import predictions
from ums.backend import choose_device
from ums.data.typical import typical, unlike
from ums.derived.heat_map import HIRES_CAM, heat_maps
from ums.derived.recommendation import FLOWS, QUALITIES
from ums.layers import Conv2D, Dense, GlobalAveragePool, Layer, ReLU, Sequential, UpsampleConv2D
from ums.models import Model, load_model, save_model
from ums.predictions import image_files, predict_image, row, write_predictions

CPU = choose_device("cpu")
SIZE = 32


def film(rng, shape=(70, 60)):
    """Bright in the middle, dark at the border, like a chest on a film; noise on top."""
    y, x = (np.linspace(-1, 1, n) for n in shape)
    bright = 220 * np.exp(-2 * (y[:, None] ** 2 + x**2))
    return np.clip(bright + rng.normal(0, 6, shape), 0, 255).astype(np.uint8)


def tasks_of(**classes):
    return {
        name: {"kind": "classification", "classes": list(names)}
        if names
        else {"kind": "segmentation"}
        for name, names in classes.items()
    }


def small_model(rng, channels=1, about=None, **classes):
    """A network for each task, with random weights: an outline where there are no classes."""
    networks = {}
    for name, names in classes.items():
        end = [UpsampleConv2D(4, 1, rng)]
        if names:
            end = [GlobalAveragePool(), Dense(4, len(names), rng)]
        networks[name] = Sequential(Conv2D(channels, 4, rng, stride=2), ReLU(), *end)
    tasks = tasks_of(**classes)
    given = {"input": {"size": SIZE, "channels": channels, "background": 8}, "tasks": tasks}
    return Model(networks, given | {"notice": "not for clinical use"} | (about or {}))


@pytest.fixture
def model(rng):
    known = {"training images": typical(np.stack([film(rng, (SIZE, SIZE)) for _ in range(40)]))}
    return small_model(rng, about=known, lungs=None, abnormality=("normal", "abnormal"))


def written(path, image):
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return path


# ------------------------------------------------------------------------ one image


def test_same_pixels_give_the_same_numbers_from_png_and_dicom(tmp_path, model, rng):
    image = film(rng)
    paths = [written(tmp_path / "a.png", image), tmp_path / "b.dcm", tmp_path / "c.dcm"]
    paths[1].write_bytes(dicom(image))
    paths[2].write_bytes(dicom(255 - image, PhotometricInterpretation="MONOCHROME1"))
    first, *others = (predict_image(model, path, CPU) for path in paths)
    for other in others:
        np.testing.assert_array_equal(other.image, image)
        for name in ("probabilities", "masks", "maps"):
            ours, theirs = getattr(first, name), getattr(other, name)
            assert ours.keys() == theirs.keys() and ours
            for task in ours:
                np.testing.assert_array_equal(ours[task], theirs[task])


def test_outline_and_map_are_the_network_s_in_the_image_s_own_size(tmp_path, model, rng):
    image = film(rng, (SIZE, SIZE))  # nothing is resized
    found = predict_image(model, written(tmp_path / "a.png", image), CPU)
    x = model.normalisation(image[None])
    np.testing.assert_array_equal(found.masks["lungs"], model.networks["lungs"](x)[0, ..., 0] > 0)
    expected = heat_maps(model.networks["abnormality"], x, 1, HIRES_CAM)[0]
    np.testing.assert_array_equal(found.maps["abnormality"], expected)
    logits = model.networks["abnormality"](x)[0].astype(np.float64)
    np.testing.assert_allclose(
        found.probabilities["abnormality"], np.exp(logits) / np.exp(logits).sum()
    )
    large = predict_image(model, written(tmp_path / "b.png", film(rng)), CPU)
    assert large.masks["lungs"].shape == large.maps["abnormality"].shape == (70, 60)


def test_model_of_three_channels_sees_colours(tmp_path, rng):
    model = small_model(rng, 3, flow=FLOWS)
    image = rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    found = predict_image(model, written(tmp_path / "a.png", image[..., ::-1]), CPU)
    np.testing.assert_array_equal(found.image, image)
    assert found.probabilities["flow"].shape == (3,)


def test_mask_of_several_classes_has_the_likeliest(tmp_path, rng):
    class Scores(Layer):
        def forward(self, x, training=False, keep=True):
            return np.stack([0 * x[..., 0], x[..., 0], 0.5 - x[..., 0]], axis=3)

    model = small_model(rng, lungs=None)
    model.networks["lungs"] = Scores()
    image = film(rng, (SIZE, SIZE))
    found = predict_image(model, written(tmp_path / "a.png", image), CPU)
    x = model.normalisation(image[None])[0, ..., 0]
    np.testing.assert_array_equal(found.masks["lungs"], np.argmax([0 * x, x, 0.5 - x], axis=0))


# ------------------------------------------------------------------------ unlike the training images


def test_image_like_the_training_images_has_no_warning(model, rng):
    for _ in range(10):
        image = film(rng, (SIZE, SIZE))
        assert unlike(image, image, model.about) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda image: 255 - image, "is it inverted"),
        (lambda image: image // 3, "unusual brightness"),
        (lambda image: np.rot90(image[: SIZE // 2].repeat(2, axis=0)), "unlike the mean"),
        (lambda image: np.full_like(image, 255), "unusual share of white"),
    ],
)
def test_image_that_is_unlike_them_is_warned_of(change, why, model, rng):
    image = np.ascontiguousarray(change(film(rng, (SIZE, SIZE))))
    assert any(why in line for line in unlike(image, image, model.about))


def test_little_more_of_what_no_training_image_has_is_no_warning(rng):
    images = np.stack([film(rng, (SIZE, SIZE)).clip(20, 240) for _ in range(5)])
    about = {"input": {"size": SIZE}, "training images": typical(images)}
    image = images[0].copy()
    image[0, 0], image[0, 1] = 0, 255
    assert unlike(image, image, about) == []
    image[:4] = 0
    assert any("unusual share of black" in line for line in unlike(image, image, about))


def test_small_image_is_warned_of_whatever_is_known(rng):
    about = {"input": {"size": SIZE}}
    (why,) = unlike(film(rng, (20, 40)), film(rng, (SIZE, SIZE)), about)
    assert why == "smaller (40 x 20) than the model's 32 pixels"


# ------------------------------------------------------------------------ files


def test_what_is_written(tmp_path, model, rng):
    (tmp_path / "one").mkdir()
    same = film(rng)
    paths = [written(tmp_path / name, same) for name in ("a.png", "one/a.png", "b.png")]
    assert write_predictions(paths, model, tmp_path / "out", CPU, progress=False) == []
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"predictions.csv", "contact.png"} | {
        f"{stem}-{what}.png"
        for stem in ("a", "a-2", "b")
        for what in ("lungs-mask", "abnormality-map")
    }
    with open(tmp_path / "out" / "predictions.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [line["file"] for line in rows] == list(map(str, paths))
    found = predict_image(model, paths[0], CPU)
    assert rows[0]["abnormality: abnormal"] == f"{found.probabilities['abnormality'][1]:.4f}"
    assert rows[0]["lungs: share of the image"] == f"{found.masks['lungs'].mean():.4f}"
    mask = cv2.imread(str(tmp_path / "out" / "a-lungs-mask.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, 255 * found.masks["lungs"])
    sheet = cv2.imread(str(tmp_path / "out" / "contact.png"))
    assert sheet.shape == (predictions.SHEET + 20, 6 * predictions.SHEET, 3)


def test_no_image_s_outputs_have_the_names_of_another_s():
    paths = [Path(name) for name in ("a/k.png", "b/k.png", "a/k-2.png", "c/K.jpg")]
    assert list(predictions._names(paths).values()) == ["k", "k-2", "k-2-2", "K-3"]


def test_file_that_cannot_be_read_is_named_and_the_others_follow(tmp_path, model, rng):
    good, bad = written(tmp_path / "good.png", film(rng)), tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:100])
    (line,) = write_predictions([bad, good], model, tmp_path / "out", CPU, progress=False)
    assert "bad.png" in line and (tmp_path / "out" / "good-lungs-mask.png").exists()
    assert not list((tmp_path / "out").glob("bad*"))


def test_no_tag_of_a_dicom_file_reaches_an_output(tmp_path, model, rng):
    secret = {"PatientName": "Doe^Jane", "PatientID": "ID-4711", "StudyDate": "19991231"}
    path = tmp_path / "film.dcm"
    path.write_bytes(dicom(film(rng), **secret))
    write_predictions([path], model, tmp_path / "out", CPU, progress=False)
    content = b"".join(each.read_bytes() for each in (tmp_path / "out").iterdir())
    assert len(content) > 1000
    assert not any(part.encode() in content for part in ("Doe", "Jane", "4711", "19991231"))


def test_operating_point_and_recommendation_stand_in_the_row(tmp_path, rng):
    path = written(tmp_path / "a.png", film(rng))
    model = small_model(rng, flow=FLOWS, quality=QUALITIES)
    found = predict_image(model, path, CPU)
    found.probabilities |= {"flow": np.array([0.1, 0.1, 0.8]), "quality": np.array([0.75, 0.25])}
    assert row(found, model)["recommendation"] == "exclude (0.60)"
    found.probabilities["flow"] = np.array([0.8, 0.1, 0.1])
    assert row(found, model)["recommendation"] == "use (0.08)"
    model.about["tasks"]["quality"]["threshold"] = 0.25
    assert row(found, model)["quality: at 0.250"] == "good"
    model.about["tasks"]["quality"]["threshold"] = 0.26
    assert row(found, model)["quality: at 0.260"] == "poor"


def test_folders_stand_for_the_images_in_them(tmp_path, rng):
    (tmp_path / "more").mkdir()
    paths = [written(tmp_path / name, film(rng)) for name in ("b.png", "a.png", "more/c.png")]
    (tmp_path / "table.csv").write_text("not an image")
    assert image_files([tmp_path, paths[0]]) == [*sorted(paths), paths[0]]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty: no PNG, JPEG or DICOM file in this folder"):
        image_files([paths[0], tmp_path / "empty"])
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such file"):
        image_files([tmp_path / "nowhere"])


# ------------------------------------------------------------------------ the command


def test_command_predicts_and_tells_by_its_status(tmp_path, model, rng, capsys):
    save_model(tmp_path / "model", model.networks, model.about)
    path = written(tmp_path / "a.png", film(rng))
    given = [
        "predict",
        str(path),
        "--model",
        str(tmp_path / "model"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert command.main([*given, "--device", "cpu"]) == 0
    assert "1 image. not for clinical use" in capsys.readouterr().out
    path.write_bytes(b"nothing")
    assert command.main(given) == 1
    assert "left out: " in capsys.readouterr().err
    assert command.main([*given[:3], str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert command.main([]) == 0 and "predict" in capsys.readouterr().out


def test_model_that_was_saved_says_the_same(tmp_path, model, rng):
    save_model(tmp_path / "model", model.networks, model.about)
    path = written(tmp_path / "a.png", film(rng))
    ours, theirs = (
        row(predict_image(m, path, CPU), m) for m in (model, load_model(tmp_path / "model"))
    )
    assert ours == theirs


def test_examples_of_the_page_do_what_it_states(tmp_path, model, rng, monkeypatch, capsys):
    text = (Path(ums.__file__).parent / "USE.md").read_text(encoding="utf-8")
    derived, exported = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    save_model(tmp_path / "results/cxr", model.networks, model.about)
    written(tmp_path / "film.png", film(rng))
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(derived, names)
    mask = names["found"].masks["lungs"]
    halves = mask[:, :30].sum(), mask[:, 30:].sum()
    assert f"{abs(halves[0] - halves[1]) / sum(halves):.12f}"[:8] in capsys.readouterr().out
    pytest.importorskip("onnx")
    exec(exported, names)
    assert (tmp_path / "lungs.onnx").stat().st_size > 100
