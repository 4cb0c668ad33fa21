"""The studies' command line: its options, and what is wrong in one line before anything is trained."""

import json
import re
import shutil
from dataclasses import fields

import numpy as np
import pytest
from full_disk import files_of_at_most
from matplotlib.figure import Figure
from small_sets import FOLDERS, blank, echoes, save_all
from study_runs import error_line, leave_out_training, run

from ums import backend
from ums.experiments import ablation, cxr, runner, search
from ums.experiments.__main__ import main
from ums.experiments.ablation_list import ABLATIONS
from ums.experiments.cxr import CXR
from ums.experiments.echo import ECHO
from ums.experiments.settings import described
from ums.experiments.store import Store

DEFAULTS = {
    "cxr": CXR.defaults,
    "echo": ECHO.defaults,
    "ablation": CXR.defaults,
    "search": search.SearchSettings(),
}

pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Four prepared folders, to be left as they are."""
    return save_all(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def own_folders(folders, tmp_path):
    """Folders that a test may spoil."""
    return shutil.copytree(folders, tmp_path / "prepared")


# ---------------------------------------------------------------------------- options


def help_of(capsys, *command):
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("study", [s for s in DEFAULTS if s != "search"])
def test_results_go_to_a_folder_of_the_studys_name(study, capsys):
    name = "cxr" if study == "ablation" else study
    assert f"folder to write (results/{name})" in help_of(capsys, study)


def test_help_names_every_study(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    text = help_of(capsys)
    for study in (*DEFAULTS, "report"):
        assert f" {study} " in text


@pytest.mark.parametrize("study", DEFAULTS)
def test_every_setting_is_an_option_with_its_help_and_default(study, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    text, defaults = help_of(capsys, study), DEFAULTS[study]
    assert len(fields(defaults)) >= 6
    for one in fields(defaults):
        explained = f"{one.metadata['help']} ({getattr(defaults, one.name)})"
        option = text[: text.index(explained)].split(") ")[-1]
        assert f"--{one.name.replace('_', '-')}" in option.replace(",", "").split()


@pytest.mark.parametrize("study", DEFAULTS)
def test_run_without_options_has_the_default_settings(study, folders, tmp_path, monkeypatch):
    given = []

    def keep(run, settings):
        given.append((settings, run.progress))
        raise ValueError("enough")

    monkeypatch.setattr(runner, "run", lambda s, *_: keep(s.run, s.settings))
    monkeypatch.setattr(ablation, "run", lambda datasets, run, *_: keep(run, run.settings))
    monkeypatch.setattr(search, "run", lambda s, *_: keep(s.run, s.settings))
    if study in ("echo", "search"):
        folders = tmp_path / "prepared"
        for seed, name in enumerate(("source", "target")):
            echoes(folders / name, seed, n=120)
    for quiet in (False, True):
        arguments = [study, str(folders), "--out", str(tmp_path / "out")]
        assert main(arguments + ["--quiet"] * quiet) == 2
    assert given == [(DEFAULTS[study], True), (DEFAULTS[study], False)]


def test_options_reach_the_settings_and_the_page_explains_them_as_the_help_does(
    folders, tmp_path, monkeypatch
):
    leave_out_training(monkeypatch)
    monkeypatch.setattr(Figure, "savefig", blank)
    options = ["--groups", "similar", "--learning-rate", "0.25", "--no-augment", "--seed", "3"]
    assert run("cxr", folders, tmp_path, *options) == 0
    found = json.loads((tmp_path / "tables.json").read_text())["run"]
    explained = {
        text[0].upper() + text[1:]: value for text, value in described(CXR.defaults).items()
    }
    assert set(explained) < set(found)
    changed = {"learning rate at": "0.25", "augmentation": "no", "seed": "3", "scale of": "0.1"}
    changed |= {"tasks whose": "all", "folds": "2", "share of": "1"}
    for text, value in changed.items():
        (shown,) = (v for name, v in found.items() if name.lower().startswith(text))
        assert shown == value
    page = (tmp_path / "report.html").read_text()
    assert all(text.replace("'", "&#39;") in page for text in explained)


def test_group_that_does_not_exist_is_refused(folders, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run("cxr", folders, tmp_path / "out", "--groups", "both")
    assert stopped.value.code == 2 and "both" in capsys.readouterr().err


def test_groups_whose_folders_are_there_are_run(own_folders, tmp_path, monkeypatch):
    leave_out_training(monkeypatch)
    monkeypatch.setattr(Figure, "savefig", blank)
    for name in ("target", "test"):
        shutil.rmtree(own_folders / name)
    assert run("cxr", own_folders, tmp_path / "out") == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Viral vs normal" in page and "Lung segmentation" not in page


def test_questions_choose_ablations_in_the_order_of_the_list(folders, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(ablation, "run", lambda *arguments: given.append(arguments[-1]))
    names = [one.name for one in ABLATIONS]
    for options in (["--questions", names[5], names[1]], []):  # there are no records to show
        assert run("ablation", folders, tmp_path, *options) == 2
    assert [[one.name for one in chosen] for chosen in given] == [[names[1], names[5]], names]
    with pytest.raises(SystemExit, match="2"):
        run("ablation", folders, tmp_path, "--questions", "luck")


# ---------------------------------------------------------------------------- wrong settings


@pytest.fixture
def nothing_trained(monkeypatch):
    """Training is an error that no one catches."""

    def fail(*arguments, **more):
        raise AssertionError("this came too late")

    monkeypatch.setattr(cxr, "train_denoising", fail)


WRONG = {
    "folds": (["--folds", "1"], "folds must be at least 2, got 1"),
    "weights": (["--joint-weights", "foo"], "'foo'"),
    "negative weights": (["--joint-weights=-1,1"], "weights must be positive"),
    "weights for other tasks": (["--joint-weights", "1,2"], "2 weights for 3 tasks"),
    "no batch": (["--batch", "0"], "batch must be at least 1, got 0"),
    "epochs": (["--epochs", "0"], "epochs must be at least 1, got 0"),
    "source epochs": (["--source-epochs", "-1"], "epochs must be at least 0, got -1"),
    "classifier epochs": (["--classifier-epochs", "0"], "epochs must be at least 1, got 0"),
    "patience": (["--patience", "0"], "patience must be at least 1, got 0"),
    "width": (["--width", "0"], "width must be a positive number, got 0"),
    "labels": (["--labels", "0"], "labels must be a share above 0 and at most 1, got 0.0"),
    "background": (["--background", "255"], "must be a grey level below 255, or -1, got 255"),
    "seed": (["--seed", "-1"], "seed must be at least 0, got -1"),
    "large batch": (["--batch", "21"], "/target: 20 images to train the lungs task on"),
    "many folds": (["--folds", "13"], "/target: class"),
    "batch of few": (["--batch", "9", "--groups", "similar", "--labels", "0.5"], "/pneumonia: "),
}


@pytest.mark.parametrize("name", WRONG)
def test_setting_that_cannot_be_is_named_before_anything_is_trained(
    name, folders, tmp_path, nothing_trained, capsys
):
    arguments, text = WRONG[name]
    assert run("cxr", folders, tmp_path / "out", *arguments) == 2
    assert text in error_line(capsys)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"]


# ---------------------------------------------------------------------------- wrong folders


@pytest.mark.parametrize("gone", ["target", "test", "pneumonia"])
def test_missing_folder_is_named(gone, own_folders, tmp_path, nothing_trained, capsys):
    shutil.rmtree(own_folders / gone)
    assert run("cxr", own_folders, tmp_path / "out", "--groups", "diverse", "similar") == 2
    assert str(own_folders / gone) in error_line(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("study", DEFAULTS)
def test_folder_that_is_not_there_is_named(study, tmp_path, capsys):
    assert main([study, str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 2
    assert str(tmp_path / "nowhere") in error_line(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", FOLDERS)
def test_damaged_images_are_named(name, own_folders, tmp_path, nothing_trained, capsys):
    path = own_folders / name / "images.npy"
    path.write_bytes(path.read_bytes()[:1000])
    assert run("cxr", own_folders, tmp_path / "out") == 2
    assert str(path) in error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_folder_that_cannot_be_written_to_is_named(
    folders, tmp_path, nothing_trained, monkeypatch, capsys
):
    monkeypatch.setattr("os.access", lambda *asked: False)  # root may write anywhere
    assert run("cxr", folders, tmp_path / "out") == 2
    assert str(tmp_path / "out") in error_line(capsys)


def test_file_in_the_place_of_the_results_is_named_and_left(
    folders, tmp_path, nothing_trained, capsys
):
    (tmp_path / "out").write_text("a file")
    assert run("cxr", folders, tmp_path / "out") == 2
    assert str(tmp_path / "out") in error_line(capsys)
    assert (tmp_path / "out").read_text() == "a file"


def test_folder_in_which_another_run_is_at_work_is_refused(
    folders, tmp_path, nothing_trained, capsys
):
    with Store(tmp_path):
        assert run("cxr", folders, tmp_path) == 2
    assert f"another run is at work in {tmp_path}" in error_line(capsys)


# ---------------------------------------------------------------------------- while it runs


def test_gpu_that_does_not_work_is_an_error(folders, tmp_path, monkeypatch, capsys):
    def no_gpu():
        raise ImportError("No module\nnamed 'cupy'")

    monkeypatch.setattr(backend, "_gpu", no_gpu)
    assert run("cxr", folders, tmp_path / "out", "--device", "gpu") == 2
    assert error_line(capsys) == "error: no working GPU: No module named 'cupy'"
    assert not list(tmp_path.rglob("*.json")) + list(tmp_path.rglob("*.npz"))


def test_training_that_diverges_is_one_line(folders, tmp_path, monkeypatch, capsys):
    def nothing_but_nan(prediction, target):
        return np.float32("nan"), prediction

    monkeypatch.setattr("ums.source.mse", nothing_but_nan)
    assert run("cxr", folders, tmp_path / "out") == 2
    assert "source: denoising: the training loss is nan in batch 1 of epoch 1" in error_line(capsys)
    assert not list((tmp_path / "out" / "weights").glob("*.npz"))


@pytest.mark.parametrize("size", [0, 2000, 20_000])
def test_full_disk_is_one_line_that_names_the_file(size, folders, tmp_path, monkeypatch, capsys):
    leave_out_training(monkeypatch)
    with files_of_at_most(size):
        assert run("cxr", folders, tmp_path / "out") == 2
    said = error_line(capsys)
    assert re.fullmatch(rf"error: cannot write {tmp_path}/out/\S+: File too large", said)
    assert not list(tmp_path.rglob("*.partial"))


def test_memory_that_is_not_enough_is_one_line(folders, tmp_path, monkeypatch, capsys):
    def fail(*arguments):
        raise MemoryError("Unable to allocate 4 TiB")

    monkeypatch.setattr(cxr, "train_denoising", fail)
    assert run("cxr", folders, tmp_path) == 2
    assert error_line(capsys) == "error: Unable to allocate 4 TiB"
