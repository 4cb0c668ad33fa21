"""The studies' command line: its options, and what is wrong in one line before anything is trained."""

import inspect
import json
import os
import re
import shutil
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from full_disk import files_of_at_most
from small_sets import FOLDERS, echoes, save_all
from study_runs import error_line, leave_out_training, run

from ums import backend
from ums.experiments import __main__ as command
from ums.experiments import cxr, pilot, runner, search
from ums.experiments.__main__ import main
from ums.experiments.arms import ARMS, PRIMARY_ARMS
from ums.experiments.cxr import CXR
from ums.experiments.echo import ECHO
from ums.experiments.items import Part
from ums.experiments.runner import Place
from ums.experiments.store import Store

DEFAULTS = {"cxr": CXR.defaults, "echo": ECHO.defaults, "search": search.SearchSettings()}

pytestmark = pytest.mark.usefixtures("no_page")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Four prepared folders, to be left as they are."""
    return save_all(tmp_path_factory.mktemp("prepared"), side=16)


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


@pytest.mark.parametrize("study", ["cxr", "echo"])
def test_results_go_to_a_folder_of_the_studys_name(study, capsys):
    assert f"folder to write (results/{study})" in help_of(capsys, study)


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


@pytest.fixture
def given(monkeypatch):
    """Calls of what runs studies: arguments by name; nothing is run."""
    calls = []

    def standing_in(function):
        def call(*arguments, **more):
            bound = inspect.signature(function).bind(*arguments, **more)
            bound.apply_defaults()
            calls.append(bound.arguments)
            raise ValueError("enough")

        return call

    for module in (runner, pilot, search):
        monkeypatch.setattr(module, "run", standing_in(module.run))
    return calls


@pytest.mark.parametrize("study", ["cxr", "echo"])
def test_study_without_options_has_the_default_settings_all_arms_and_no_factor(study, given):
    assert main([study, "a folder", "--device", "cpu"]) == 2
    (call,) = given
    assert call["parts"] == {"": Part(DEFAULTS[study], tuple(ARMS))}
    modality = {"cxr": CXR, "echo": ECHO}[study]
    out = Path("results") / study
    assert call["place"] == Place(modality, Path("a folder"), None, out, "cpu", progress=True)


def test_search_without_options_has_the_default_settings(tmp_path, given):
    echoes(tmp_path / "source", n=120)
    assert main(["search", str(tmp_path), "--out", str(tmp_path / "out"), "--quiet"]) == 2
    one = given[0]["search"]
    assert one.settings == DEFAULTS["search"] and not one.run.progress


def test_options_of_a_study_reach_what_is_run(given, tmp_path):
    arguments = ["--groups", "similar", "--arms", "joint", "single", "--factors", "hospital",
                 "--level-replicates", "3", "--processes", "5", "--steps", "40", "--quiet"]  # fmt: skip
    assert run("cxr", "a folder", tmp_path, *arguments) == 2
    (call,) = given
    settings = call["parts"][""].settings
    level = call["parts"]["hospital: another hospital's"]
    assert list(call["parts"]) == ["", "hospital: another hospital's"]
    assert call["parts"][""].arms == ("joint", "single") and level.arms == PRIMARY_ARMS
    assert (settings.steps, settings.replicates, level.settings.replicates) == (40, 2, 3)
    place = call["place"]
    assert (place.groups, place.progress, call["processes"]) == (("similar",), False, 5)


def test_factors_are_those_of_the_list_in_its_order(given, tmp_path, capsys):
    every = ["background", "labels", "source", "hospital"]
    more = ["--source-steps", "10"]
    assert run("cxr", "a folder", tmp_path, *more, "--factors", *every) == 2
    names = dict.fromkeys(name.split(":")[0] for name in given[0]["parts"])
    assert list(names) == ["", "labels", "source", "hospital", "background"]
    with pytest.raises(SystemExit):
        run("cxr", "a folder", tmp_path, "--factors", "luck")
    assert "luck" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("threads", "processors", "asked", "expected"),
    [(None, 4, 0, 4), ("2", 4, 0, 2), ("8", 4, 0, 1), (None, 4, 3, 3), ("2", None, 0, 1)],
)
def test_there_is_a_process_for_every_processor_or_as_many_as_are_asked_for(
    threads, processors, asked, expected, given, monkeypatch, tmp_path
):
    """A job's results depend on its threads, which are one, or what UMS_THREADS says; BLAS has as many."""
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    for name in ("UMS_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    if threads:
        monkeypatch.setenv("UMS_THREADS", threads)
    assert run("cxr", "a folder", tmp_path, "--processes", str(asked)) == 2
    assert given[0]["processes"] == expected
    for name in ("UMS_THREADS", "OMP_NUM_THREADS"):
        assert os.environ[name] == (threads or "1")
        monkeypatch.setenv(name, "1")  # what was set is taken back


def test_on_a_gpu_there_is_one_process(given, monkeypatch, tmp_path):
    monkeypatch.setattr(command, "choose_device", lambda name: SimpleNamespace(xp="cupy"))
    monkeypatch.delenv("UMS_THREADS", raising=False)
    assert run("cxr", "a folder", tmp_path, "--processes", "0") == 2
    assert given[0]["processes"] == 1 and "UMS_THREADS" not in os.environ


def test_pilot_runs_and_prints_its_choices_and_makes_no_page(tmp_path, monkeypatch, capsys):
    given, path = [], tmp_path / "rates.csv"
    path.write_text("arm,rate\n")
    monkeypatch.setattr(pilot, "run", lambda *arguments: given.append(arguments) or path)
    monkeypatch.setattr(command, "write_report", None)
    assert run("cxr", "a folder", tmp_path, "--pilot", "2", "--arms", "single") == 0
    place, part, replicates, processes = given[0]
    assert (place.prepared, part.arms, replicates, processes) == (
        Path("a folder"),
        ("single",),
        2,
        1,
    )
    assert capsys.readouterr().out == "arm,rate\n\n"


def test_page_is_made_of_the_folder_of_results(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runner, "run", lambda *_: None)
    monkeypatch.setattr(command, "write_report", lambda folder: (folder / "page", "a table"))
    for arguments in (["cxr", "a folder", "--out", str(tmp_path)], ["report", str(tmp_path)]):
        assert main(arguments) == 0
        said = capsys.readouterr().out
        assert f"making the page of {tmp_path}" in said and "\na table\n" in said
        assert f"{tmp_path / 'page'}: the page, after 0.0 minutes" in said


@pytest.mark.parametrize("option", ["--groups", "--arms", "--factors", "--source-from"])
def test_choice_that_does_not_exist_is_refused(option, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run("cxr", "a folder", tmp_path / "out", option, "both")
    assert stopped.value.code == 2 and "both" in capsys.readouterr().err


def test_groups_whose_folders_are_there_are_run(own_folders, tmp_path, monkeypatch):
    leave_out_training(monkeypatch)
    for name in ("target", "test"):
        shutil.rmtree(own_folders / name)
    assert run("cxr", own_folders, tmp_path / "out", "--arms", "single") == 0
    groups = {json.loads(path.read_text())["job"]["group"]
              for path in (tmp_path / "out" / "records").glob("*.json")}  # fmt: skip
    assert groups == {"", "similar"}


# ---------------------------------------------------------------------------- wrong settings


@pytest.fixture
def nothing_trained(monkeypatch):
    """Training is an error that no one catches."""

    def fail(*arguments, **more):
        raise AssertionError("this came too late")

    monkeypatch.setattr(cxr, "train_denoising", fail)


WRONG = {
    "replicates": (["--replicates", "0"], "replicates must be at least 1, got 0"),
    "level replicates": (
        ["--factors", "labels", "--level-replicates", "0"], "replicates must be at least 1, got 0"
    ),
    "no batch": (["--batch", "0"], "batch must be at least 1, got 0"),
    "steps": (["--steps", "1"], "steps must be at least 2, got 1"),
    "steps between evaluations": (["--steps", "5"], "steps must be a multiple of the 2"),
    "source steps": (["--source-steps", "-1"], "source steps must be at least 0, got -1"),
    "width": (["--width", "0"], "width must be a positive number, got 0"),
    "rate": (["--rate=-1"], "rate must be a positive number, got -1.0"),
    "background": (["--background", "255"], "must be a grey level below 255, or -1, got 255"),
    "seed": (["--seed", "-1"], "seed must be at least 0, got -1"),
    "large batch": (["--batch", "21"], "/target: a replicate has 20 images with what the lungs"),
    "few labels": (["--labels", "5"], "/target: a replicate has"),
    "of a level": (
        ["--batch", "19", "--groups", "diverse", "--factors", "hospital"],
        "hospital: another hospital's: no images of another hospital",
    ),
    "settings of a level": (
        ["--factors", "source"], "source: a fifth of the steps: source steps must be at least 2, got 1"
    ),
    "pilot": (["--pilot", "4"], "a pilot has 3 replicates at most, got 4"),
}  # fmt: skip


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
