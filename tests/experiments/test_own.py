"""A study of one's own: from a text file and a folder of images to a page, models and predictions."""

import csv
import pickle
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import data_prep.__main__
import ums.experiments
from ums import __main__ as ums_command
from ums.backend import choose_device
from ums.data import load_prepared
from ums.experiments import __main__ as command
from ums.experiments.names import CLASSIFICATION, REGRESSION, SEGMENTATION, SEVERAL_LABELS
from ums.experiments.own import OwnStudy, own_group
from ums.experiments.results.jackknife import weighted_auc, weighted_by_label, weighted_r2
from ums.experiments.settings import Settings
from ums.layers import Layer
from ums.metrics.classification import roc_auc
from ums.metrics.several import by_label, errors
from ums.models import load_model

PAGE = (Path(ums.experiments.__file__).parent / "OWN.md").read_text(encoding="utf-8")
(TOML,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
PREPARE, RUN = re.findall(r"^    python -m (?:data_prep|ums.experiments) (.*)$", PAGE, re.MULTILINE)
SMALL = "--steps 2 --source-steps 2 --evaluations 1 --width 0.25 --batch 4 --replicates 2"


def draw(folder, n=140):
    """Squares whose side is the age, on a bright ground for AP; corners are the findings."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rows = []
    for i in range(n):
        image, mask = rng.normal(70, 6, (48, 48)), np.zeros((48, 48), np.uint8)
        side, view = int(rng.integers(8, 24)), ("AP", "PA")[i % 2]
        image += 40 * (view == "AP")
        mask[12 : 12 + side, 12 : 12 + side] = 255
        mask[12 : 12 + side // 2, 12 : 12 + side // 2] = 100
        image += mask / 3
        fracture, implant = rng.random(2) < 0.5
        image[:6, :6] += 90 * fracture
        image[-6:, -6:] += 90 * implant
        cv2.imwrite(str(folder / f"images/h{i:03d}.png"), np.clip(image, 0, 255).astype(np.uint8))
        if i % 4:
            cv2.imwrite(str(folder / f"masks/h{i:03d}.png"), mask)
        age = "" if i % 7 == 0 else f"{side + 0.5}"
        known = "" if i % 5 == 0 else int(implant)
        rows.append([f"h{i:03d}.png", f"P{i}", view, age, int(fracture), known])
    with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as file:
        head = ["file", "patient", "view", "age", "fracture", "implant"]
        csv.writer(file).writerows([head, *rows])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The page's example: hands.toml, the prepared images, and a study of two replicates."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        draw(home / "hands/raw")
        Path("hands.toml").write_text(TOML, encoding="utf-8")
        assert data_prep.__main__.main(shlex.split(PREPARE)) in (None, 0)
        assert command.main(shlex.split(f"{RUN} {SMALL} --processes 1 --quiet --device cpu")) == 0
    return home


def test_example_is_short():
    assert len(PAGE.splitlines()) < 60


def test_page_has_every_task_in_its_measure_and_none_of_a_paper(home):
    text = (home / "hands/results/tables.txt").read_text(encoding="utf-8")
    for heading in ("Bones, IoU", "View, MCC", "Age, R²", "Findings, Mean AUC"):
        assert heading in text
    assert "claim" not in text.lower() and "headline" not in text.lower()
    assert "Guessing has an MCC of 0, an R² of 0 and a mean AUC of 0.5." in text
    page = (home / "hands/results/report.html").read_text(encoding="utf-8")
    assert "hand X-rays: one source, shared" in page
    assert "tasks tasks" not in page.lower()
    assert "the squared error of numbers divided by their deviation and the mean binary" in page


def test_tasks_are_those_of_the_file_and_the_folder(home):
    prepared = load_prepared(home / "hands/prepared/tasks")
    group = own_group(OwnStudy(home / "hands.toml").tasks, prepared)
    bones, view, age, findings = group.tasks
    kinds = [task.kind for task in group.tasks]
    assert kinds == [SEGMENTATION, CLASSIFICATION, REGRESSION, SEVERAL_LABELS]
    assert (bones.classes, bones.outputs) == (3, 3) and view.named_classes == ("AP", "PA")
    assert (age.outputs, findings.outputs, findings.named_classes) == (
        1,
        2,
        ("fracture", "implant"),
    )
    known = np.isfinite(prepared.numbers["age"]) & (prepared.splits != "test")
    own = prepared.numbers["age"][known].astype(float)
    np.testing.assert_allclose(age.unit, [own.mean(), own.std()])
    assert set(age.train.rows) == set(np.flatnonzero(known))
    assert len(group.pool) == (prepared.splits != "test").sum()
    assert group.heat_map_task == "view"


def test_model_predicts_in_the_units_of_the_table(home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    given = ["predict", "hands/raw/images/h001.png", "--model", "hands/results", "--out", "said"]
    assert ums_command.main([*given, "--device", "cpu"]) == 0
    with open("said/predictions.csv", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    model = load_model("hands/results")
    mean, deviation = model.about["tasks"]["age"]["unit"]
    image = cv2.imread("hands/raw/images/h001.png", cv2.IMREAD_GRAYSCALE)
    output = model.networks["age"](model.normalisation(image[None]))[0, 0]
    assert float(row["age"]) == pytest.approx(output * deviation + mean, rel=1e-3)
    assert {"view: AP", "view: PA", "findings: fracture", "findings: implant"} <= set(row)
    mask = cv2.imread("said/h001-bones-mask.png", cv2.IMREAD_UNCHANGED)
    assert set(np.unique(mask)) <= {0, 1, 2}
    about = model.about["tasks"]
    assert {t: about[t]["scores"]["measure"] for t in about} == {
        "bones": "IoU", "view": "MCC", "age": "R²", "findings": "Mean AUC",
    }  # fmt: skip


def test_studies_of_one_file_are_equal_and_can_be_sent_to_processes(home):
    one, other = OwnStudy(home / "hands.toml"), OwnStudy(home / "hands.toml")
    assert one == other and hash(one) == hash(other) and pickle.loads(pickle.dumps(one)) == one
    (home / "more.toml").write_text(TOML + '\n[tasks.more]\nkind = "regression"\n')
    assert OwnStudy(home / "more.toml") != one


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("title = 'x'", r"it names no task: a table \[tasks\.NAME\] for each"),
        ("[tasks.a]\nkind = 'ranking'", "task a: kind must be one of segmentation, classification"),
        (
            "[tasks.a]\nkind = 'regression'\ncolum = 'b'",
            "task a: unknown: colum; a regression task takes column, kind, title",
        ),
        ("[tasks.a]\nkind = 'segmentation'\ncolumn = 'b'", "unknown: column; a segmentation task"),
        ("tasks = ['age']", r"it names no task: a table \[tasks\.NAME\] for each"),
        (
            "[tasks]\nage = 'regression'",
            r"there should be a table \[tasks\.age\], got 'regression'",
        ),
        (
            "channels = 2\n[tasks.a]\nkind = 'regression'",
            r"channels must be 1 \(grey\) or 3 \(RGB\), got 2",
        ),
        ("[tasks.'a/b']\nkind = 'regression'", "a task cannot be called 'a/b'"),
        ("[tasks.Warnings]\nkind = 'regression'", "a task cannot be called 'Warnings'"),
        ("[tasks.encoder]\nkind = 'regression'", "a task cannot be called 'encoder'"),
        (
            "[tasks.a]\nkind = 'several labels'\ncolumns = 'b'",
            "task a: columns must be a list of names",
        ),
        ("[tasks.a]\nkind = 'several labels'\ncolumns = ['b', 'b']", "must be a list of names"),
        ("[tasks.a]\nkind = 'regression'\ncolumn = 3", "names of columns must be texts in quotes"),
        ("size = 3\n[tasks.a]\nkind = 'regression'", "unknown: size"),
        ("[tasks.a", r"own\.toml cannot be read"),
    ],
)
def test_file_that_is_not_understood_is_named(text, why, tmp_path, capsys):
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=why):
        OwnStudy(path)
    assert command.main([str(path), str(tmp_path)]) == 2
    assert re.search(why, capsys.readouterr().err)


def test_denoising_in_colour_is_scored_channel_by_channel(tmp_path, rng):
    class Same(Layer):
        def forward(self, x, training=False, keep=True):
            assert x.shape[1:] == (16, 16, 3)
            assert (np.diff(x.mean(axis=(1, 2)), axis=1) > 0.1).all()  # red, green, blue
            return x

    path = tmp_path / "own.toml"
    path.write_text(f"channels = 3\n{TOML}", encoding="utf-8")
    images = (rng.integers(0, 40, (4, 16, 16, 3)) + np.array([40, 100, 160])).astype(np.uint8)
    source = SimpleNamespace(images=images, splits=np.array(["test", "test", "train", "train"]))
    draw, device = SimpleNamespace(validation=np.array([2, 3])), choose_device("cpu")
    record, pictures = OwnStudy(path).test_source(Same(), source, draw, Settings(), device)
    for row in record["denoising"]:
        assert row["images"] == 2
        assert row["denoised"]["PSNR"] == pytest.approx(row["noisy"]["PSNR"], abs=1)
    assert pictures["denoised"].shape == (len(record["denoising"]), 16, 16)


def test_study_that_has_the_name_of_another_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Report is a study of ums; give the file another name"):
        OwnStudy(tmp_path / "Report.toml")


def test_command_that_prepares_the_images_is_said_where_they_are_missing(tmp_path, capsys):
    (tmp_path / "own.TOML").write_text(TOML, encoding="utf-8")
    assert command.main([str(tmp_path / "own.TOML"), str(tmp_path)]) == 2
    text = f"holds no tasks; make them with `python -m data_prep folder RAW {tmp_path}/tasks`"
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ({"kind": REGRESSION}, "no column 'weight'; there are .*age"),
        ({"kind": SEVERAL_LABELS, "columns": ["fracture", "nodule"]}, "no column 'nodule'"),
        (
            {"kind": CLASSIFICATION, "column": "age"},
            "column 'age' holds numbers: not for a classification task",
        ),
        (
            {"kind": REGRESSION, "column": "view"},
            r"column 'view' holds classes \(AP, PA\): not for a regression task",
        ),
        (
            {"kind": SEVERAL_LABELS, "columns": ["fracture", "view"]},
            "column 'view' holds classes .* not for a several labels task",
        ),
    ],
)
def test_column_that_does_not_fit_is_named(task, why, home):
    prepared = load_prepared(home / "hands/prepared/tasks")
    with pytest.raises(ValueError, match=why):
        own_group({"weight": task}, prepared)


def test_classification_of_one_class_is_refused(home):
    prepared = load_prepared(home / "hands/prepared/tasks")
    prepared.labels["fracture"] = np.zeros_like(prepared.labels["fracture"])
    with pytest.raises(ValueError, match="column 'fracture' has one class alone, labels 0 to 0"):
        own_group({"fracture": {"kind": CLASSIFICATION}}, prepared)


# ------------------------------------------------------------------------ their measures


def test_weighted_r2_is_that_of_the_metrics(rng):
    t, y = rng.normal(size=30), rng.normal(size=(2, 30))
    ones, few = np.ones(30), (np.arange(30) < 20).astype(float)
    found = weighted_r2(np.stack([ones, few]), t, y)
    for r in (0, 1):
        assert found[0, r] == pytest.approx(errors(t, y[r]).r2)
        assert found[1, r] == pytest.approx(errors(t[:20], y[r, :20]).r2)
    assert np.isnan(weighted_r2(ones[None], np.full(30, 2.0), y)).all()


def test_weighted_measures_of_several_labels_are_means_of_each_label_s(rng):
    labels, scores = (rng.random((40, 3)) < 0.5).astype(float), rng.normal(size=(2, 40, 3))
    labels[::4, 1] = np.nan
    found = weighted_by_label(np.ones((1, 40)), labels, scores)
    for r in (0, 1):
        assert found[0, r] == pytest.approx(by_label(roc_auc, labels, scores[r]).mean())
    right = weighted_by_label(np.ones((1, 40)), labels, scores, accuracy=True)
    known = np.isfinite(labels)
    shares = [((scores[0] > 0) == labels)[known[:, k], k].mean() for k in range(3)]
    assert right[0, 0] == pytest.approx(np.mean(shares))
    labels[:, 2] = 1  # no AUC: it takes no part
    both = [weighted_auc(np.ones((1, known[:, k].sum())), labels[known[:, k], k], scores[:, known[:, k], k])
            for k in (0, 1)]  # fmt: skip
    np.testing.assert_allclose(
        weighted_by_label(np.ones((1, 40)), labels, scores), np.mean(both, axis=0)
    )
