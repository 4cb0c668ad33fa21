"""Studies that go on: what is finished is kept, what is gone or damaged is computed again."""

import json
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from full_disk import nothing
from matplotlib.figure import Figure
from small_sets import SMALL, blank, note_computed, save_all, small_place
from study_runs import OPTIONS, error_line, jobs_in, records_alone, run, short

from ums.experiments import runner, tuning
from ums.experiments.__main__ import main
from ums.experiments.cxr import CXR
from ums.experiments.items import Part
from ums.experiments.names import SIMILAR
from ums.reading import read_verified, with_digest

ARMS = ("scratch", "single", "independent", "joint")
PARTS = {"": Part(SMALL, ARMS)}


@pytest.fixture(autouse=True)
def fresh():
    """No study is taken from an earlier test."""
    runner.study_of.cache_clear()
    runner.datasets_of.cache_clear()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Four prepared folders, to be left as they are."""
    return save_all(tmp_path_factory.mktemp("prepared"), side=16)


@pytest.fixture(scope="module")
def finished(folders, tmp_path_factory):
    """A whole run of both groups, to be left as it is; the images it learned from are gone."""
    out, own = tmp_path_factory.mktemp("results") / "cxr", tmp_path_factory.mktemp("gone") / "own"
    shutil.copytree(folders, own)
    runner.run(small_place(CXR, own, out), PARTS, report=lambda _: None)
    shutil.rmtree(own)
    return out


@pytest.fixture
def out(finished, tmp_path):
    """A copy of the whole run that a test may spoil."""
    return shutil.copytree(finished, tmp_path / "cxr")


def run_again(folders, out, groups=None):
    runner.run(small_place(CXR, folders, out, groups), PARTS, report=lambda _: None)


def numbers_in(path):
    """A record without the seconds that training took, and the digest in which they are."""
    return re.sub(r'"(seconds|wall|digest)": (\[[^]]*\]|[^,]+)[,}]', "", path.read_text())


def assert_records_are_the_same(out, finished):
    """All records that a run left are those of the whole run, but for times."""
    found = {path.name: numbers_in(path) for path in (out / "records").glob("*.json")}
    assert found == {name: numbers_in(finished / "records" / name) for name in found}
    return set(map(short, (name.rpartition("-")[0] for name in found)))


# ---------------------------------------------------------------------------- again


def test_another_folder_of_the_same_images_trains_nothing(folders, finished, out, monkeypatch):
    computed = note_computed(monkeypatch)
    (out / "study.json").unlink()
    run_again(folders, out)
    assert computed.weights == computed.records == []
    assert (out / "study.json").read_bytes() == (finished / "study.json").read_bytes()


def test_one_group_alone_comes_out_as_it_does_beside_the_other(folders, finished, tmp_path):
    run_again(folders, tmp_path, (SIMILAR,))
    (models,) = (tmp_path / "records").glob("models-*")
    models.unlink()  # of one group, of two in the other run
    names = assert_records_are_the_same(tmp_path, finished)
    assert len(names) == 1 + 2 * (2 + 4) + 1 and not any("diverse" in name for name in names)


def test_one_group_alone_takes_what_a_run_of_both_has_left(folders, out, monkeypatch):
    computed = note_computed(monkeypatch)
    run_again(folders, out, (SIMILAR,))
    assert computed.weights == [] and computed.records == ["models-seed0"]


def test_records_that_are_gone_are_computed_from_the_weights(folders, finished, out, monkeypatch):
    shutil.rmtree(out / "records")
    computed = note_computed(monkeypatch)
    run_again(folders, out)
    assert computed.weights == []
    assert len(computed.records) == len(list((finished / "records").glob("*.json")))
    assert_records_are_the_same(out, finished)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_damaged_weights_are_trained_again(folders, finished, out, monkeypatch):
    name = "similar-joint-replicate2"
    cut(jobs_in(out / "weights", "npz")[name])
    jobs_in(out / "records", "json")[name].unlink()
    computed = note_computed(monkeypatch)
    run_again(folders, out)
    assert list(map(short, computed.weights)) == list(map(short, computed.records)) == [name]
    assert_records_are_the_same(out, finished)


# ---------------------------------------------------------------------------- the page again


@pytest.fixture
def undrawn(monkeypatch):
    """Pages whose figures are blank, which takes less time."""
    monkeypatch.setattr(Figure, "savefig", blank)


@pytest.mark.usefixtures("undrawn")
def test_page_needs_neither_images_nor_weights(finished, tmp_path, monkeypatch):
    computed = note_computed(monkeypatch)
    folder = records_alone(finished, tmp_path / "records only")
    assert main(["report", str(folder)]) == 0
    assert computed.weights == computed.records == [] and not (folder / "weights").exists()


@pytest.mark.parametrize("gone", [1, 3])
def test_unfinished_study_is_refused_with_the_number_of_missing_records(gone, out, capsys):
    records = sorted((out / "records").glob("*.json"))
    for path in records[:gone]:
        path.unlink()
    assert main(["report", str(out)]) == 2
    line = error_line(capsys)
    assert f"{out} is not finished: {gone} of {len(records)} records are missing" in line
    assert str(out / "records") in line and not (out / "report.html").exists()


@pytest.mark.parametrize("spoil", [cut, lambda path: path.write_text("[]")])
def test_record_that_cannot_be_read_is_named(spoil, out, capsys):
    path = jobs_in(out / "records", "json")["diverse-joint-replicate1"]
    spoil(path)
    assert main(["report", str(out)]) == 2
    assert f"{path} cannot be read" in error_line(capsys)


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), cut], ids=["gone", "cut"])
def test_pictures_that_cannot_be_read_are_named(spoil, out, capsys):
    path = jobs_in(out / "records", "npz")["source-test-replicate1"]
    spoil(path)
    assert main(["report", str(out)]) == 2
    assert str(path) in error_line(capsys)


def test_folder_without_a_study_is_named(tmp_path, capsys):
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert str(tmp_path / "nowhere" / "study.json") in error_line(capsys)


@pytest.mark.usefixtures("undrawn")
def test_modality_of_ones_own_has_a_plain_page(out):
    study = read_verified(out / "study.json")
    about = study["about"] | {"title": "brains"}
    changed = with_digest(study | {"study": "mri", "about": about})
    (out / "study.json").write_text(json.dumps(changed))
    assert main(["report", str(out)]) == 0
    page = json.loads((out / "tables.json").read_text())
    assert page["title"] == "brains: one source, shared"


# ---------------------------------------------------------------------------- killed and stopped

KILLED = """
import os, signal, sys
import pytest
from study_runs import quicken
from ums.experiments import __main__ as command
from ums.experiments.store import Store

quicken(pytest.MonkeyPatch())
Store.__init__.__defaults__ = (0.0, None)  # a checkpoint after every epoch
command.write_report = lambda folder: (folder, "")
left, rename = int(sys.argv[1]), os.replace

def replace(*paths):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(*paths)

os.replace = replace
sys.exit(command.main(sys.argv[2:]))
"""


@pytest.mark.usefixtures("no_page")
def test_run_that_is_killed_goes_on_and_ends_as_if_it_had_not_been(folders, tmp_path, monkeypatch):
    ends = []
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    options = [*OPTIONS, "--groups", "similar", "--arms", *ARMS, "--replicates", "1"]
    for files_before in [4, 11, 0]:  # 0: it is let be
        command = [sys.executable, "-W", "error", "-c", KILLED, str(files_before), "cxr"]
        command += [str(folders), "--out", str(tmp_path / "killed"), *options]
        ends.append(subprocess.run(command, stdout=subprocess.DEVNULL).returncode)
    assert ends == [-signal.SIGKILL] * 2 + [0]
    whole = tmp_path / "whole"
    assert run("cxr", folders, whole, *options) == 0
    assert len(assert_records_are_the_same(tmp_path / "killed", whole)) == 9
    for path in (tmp_path / "killed" / "weights").iterdir():
        expected = whole / "weights" / path.name
        assert expected.is_file()  # no checkpoint, no half of a file is left
        found, wanted = (np.load(one) for one in (path, expected))
        names = [name for name in wanted.files if name != "__record__"]
        assert names and all(np.array_equal(found[name], wanted[name]) for name in names)


def test_stopping_a_run_keeps_what_is_finished(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tuning, "tune_alternately", nothing(KeyboardInterrupt()))
    assert run("cxr", folders, tmp_path, "--arms", "single", "alternating") == 130
    assert len(capsys.readouterr().err.splitlines()) == 2  # after the line that shows ^C
    weights = {"source-replicate1", "diverse-single-replicate1"}
    assert set(jobs_in(tmp_path / "weights", "npz")) == weights
    assert set(jobs_in(tmp_path / "records", "json")) == {
        *weights, "diverse-cases", "similar-cases", "source-test-replicate1",
    }  # fmt: skip
    assert not (tmp_path / "report.html").exists()
