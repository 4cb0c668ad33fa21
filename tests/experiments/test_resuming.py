"""Studies that go on: what is finished is kept, what depends on a change is computed again."""

import json
import random
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from small_sets import CPU, blank, children, hospital, note_computed, save_all
from study_runs import (
    OPTIONS,
    error_line,
    jobs_in,
    leave_out_training,
    records_alone,
    run,
    short,
    tables,
)

from ums.experiments import runner, tuning
from ums.experiments.__main__ import main
from ums.experiments.cxr import CXR
from ums.experiments.run import Run
from ums.experiments.settings import Settings
from ums.experiments.store import Store
from ums.experiments.study import Study
from ums.reading import read_verified, with_digest

SIMILAR = ["table-5-classification", "similar-classification-held-out", "similar-comparisons"]
SIMILAR += ["table-2", "denoising-filters", "table-6"]

pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.fixture(autouse=True)
def blank_pictures(monkeypatch):
    monkeypatch.setattr(Figure, "savefig", blank)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Four prepared folders, to be left as they are."""
    return save_all(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def finished(folders, tmp_path_factory, few_resamples):
    """A whole run, to be left as it is; the images it learned from are gone."""
    out, own = tmp_path_factory.mktemp("results") / "cxr", tmp_path_factory.mktemp("gone") / "own"
    shutil.copytree(folders, own)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", blank)
        assert run("cxr", own, out) == 0
    shutil.rmtree(own)
    return out


@pytest.fixture
def out(finished, tmp_path):
    """A copy of the whole run that a test may spoil."""
    return shutil.copytree(finished, tmp_path / "cxr")


# ---------------------------------------------------------------------------- again


def test_second_run_trains_nothing_and_writes_the_same_tables(
    folders, finished, out, monkeypatch, capsys
):
    computed = note_computed(monkeypatch)
    for name in ("report.html", "tables.txt", "tables.json", "study.json"):
        (out / name).unlink()
    assert run("cxr", folders, out) == 0
    assert computed.weights == computed.records == []
    for name in ("tables.json", "tables.txt", "study.json"):  # minutes included
        assert (out / name).read_bytes() == (finished / name).read_bytes()
    printed = capsys.readouterr().out
    assert (out / "tables.txt").read_text() in printed and "24 of 24 jobs are done" in printed
    for path in (out / "weights").iterdir():
        assert path.read_bytes() == (finished / "weights" / path.name).read_bytes()


def assert_similar_group_is_the_same(out, finished):
    """A run of that group alone has the tables that a run of both has of it."""
    found, both = (tables(folder, ["Minutes"]) for folder in (out, finished))
    assert set(found) == {"claims", *SIMILAR}
    assert all(found[name] == both[name] for name in SIMILAR)
    assert found["claims"] == both["claims"][-len(found["claims"]) :]


def test_one_group_alone_comes_out_as_it_does_beside_the_other(folders, finished, tmp_path):
    assert run("cxr", folders, tmp_path, "--groups", "similar") == 0
    assert_similar_group_is_the_same(tmp_path, finished)
    page = (tmp_path / "report.html").read_text()
    assert "Viral vs normal" in page and "Lung segmentation" not in page


def test_one_group_alone_takes_what_a_run_of_both_has_left(folders, finished, out, monkeypatch):
    computed = note_computed(monkeypatch)
    assert run("cxr", folders, out, "--groups", "similar") == 0
    assert computed.weights == computed.records == []
    assert_similar_group_is_the_same(out, finished)


def test_records_that_are_gone_are_computed_from_the_weights(folders, finished, out, monkeypatch):
    shutil.rmtree(out / "records")
    computed = note_computed(monkeypatch)
    assert run("cxr", folders, out) == 0
    assert computed.weights == [] and len(computed.records) == 24
    assert (out / "tables.json").read_bytes() == (finished / "tables.json").read_bytes()


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_damaged_weights_and_their_record_are_computed_again(folders, finished, out, monkeypatch):
    for kind, suffix in (("weights", "npz"), ("records", "json")):
        cut(jobs_in(out / kind, suffix)["similar-fold2-joint"])
    computed = note_computed(monkeypatch)
    assert run("cxr", folders, out, "--groups", "similar") == 0
    assert list(map(short, computed.weights)) == ["similar-fold2-joint"]
    assert list(map(short, computed.records)) == ["similar-fold2-joint"]
    assert_similar_group_is_the_same(out, finished)


# ---------------------------------------------------------------------------- the page again


def test_page_needs_neither_images_nor_weights(finished, tmp_path, monkeypatch, capsys):
    computed, folder = (
        note_computed(monkeypatch),
        records_alone(finished, tmp_path / "records only"),
    )
    assert main(["report", str(folder)]) == 0
    assert (folder / "tables.json").read_bytes() == (finished / "tables.json").read_bytes()
    assert (folder / "tables.txt").read_text() in capsys.readouterr().out
    assert computed.weights == computed.records == [] and not (folder / "weights").exists()


@pytest.mark.parametrize("gone", [1, 3])
def test_unfinished_study_is_refused_with_the_number_of_missing_records(gone, out, capsys):
    (out / "report.html").unlink()
    for path in sorted((out / "records").glob("*.json"))[:gone]:
        path.unlink()
    assert main(["report", str(out)]) == 2
    line = error_line(capsys)
    assert f"{out} is not finished: {gone} of 24 records are missing" in line
    assert str(out / "records") in line and not (out / "report.html").exists()


@pytest.mark.parametrize("spoil", [cut, lambda path: path.write_text("[]")])
def test_record_that_cannot_be_read_is_named(spoil, out, capsys):
    path = jobs_in(out / "records", "json")["diverse-fold1-joint"]
    spoil(path)
    assert main(["report", str(out)]) == 2
    assert f"{path} cannot be read" in error_line(capsys)


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), cut], ids=["gone", "cut"])
def test_pictures_that_cannot_be_read_are_named(spoil, out, capsys):
    path = jobs_in(out / "records", "npz")["source-test"]
    spoil(path)
    assert main(["report", str(out)]) == 2
    assert str(path) in error_line(capsys)


def test_folder_without_a_study_is_named(tmp_path, capsys):
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert str(tmp_path / "nowhere" / "study.json") in error_line(capsys)


def test_modality_of_ones_own_has_a_plain_page(out):
    study = read_verified(out / "study.json")
    about = study["about"] | {"title": "brains"}
    (out / "study.json").write_text(
        json.dumps(with_digest(study | {"study": "mri", "about": about}))
    )
    assert main(["report", str(out)]) == 0
    page = json.loads((out / "tables.json").read_text())
    assert page["title"] == "brains: one source, shared"
    assert not any(table["paper_rows"] and any(table["paper_rows"]) for table in page["tables"])
    names = {table["name"] for table in page["tables"]}
    assert {"denoising", "heat-maps-diverse", "diverse-segmentation-test"} <= names
    assert "claims" not in names and any("or the denoiser" in line for line in page["summary"])


# ---------------------------------------------------------------------------- something changed

# what is changed -> how many weights and records are computed again
CHANGED = {
    "source": (hospital, 19, 24),
    "target": (hospital, 10, 12),
    "test": (hospital, 0, 12),
    "pneumonia": (children, 8, 10),
}


@pytest.fixture(scope="module")
def untrained(folders, tmp_path_factory):
    """The store of a study whose networks are left as they were made."""
    out = tmp_path_factory.mktemp("untrained") / "out"
    with pytest.MonkeyPatch.context() as patch:
        leave_out_training(patch)
        run_all(folders, out)
    return out


FIRST = Settings(folds=2, width=0.1, batch=8)


def run_all(folders, out, settings=FIRST, groups=None):
    study = Study(CXR, CXR.layout.load(folders, groups), Run(settings, CPU, Store(out), False))
    runner.run_jobs(study, study.jobs())


@pytest.mark.parametrize("name", CHANGED)
def test_what_depends_on_other_images_is_computed_again(
    name, folders, untrained, tmp_path, monkeypatch
):
    leave_out_training(monkeypatch)
    computed = note_computed(monkeypatch)
    own, out = (shutil.copytree(f, tmp_path / f.name) for f in (folders, untrained))
    run_all(own, out)
    assert computed.weights == computed.records == []  # it is not the path that counts
    make, weights, records = CHANGED[name]
    shutil.rmtree(own / name)
    make(own / name, 9)
    run_all(own, out)
    assert (len(computed.weights), len(computed.records)) == (weights, records)


# setting -> another value, and how many weights of source and similar group are trained again
AGAIN = {
    "folds": (3, 12), "width": (0.2, 9), "source_epochs": (3, 9), "epochs": (1, 0),
    "classifier_epochs": (1, 8), "batch": (7, 9), "learning_rate": (0.01, 9), "patience": (3, 9),
    "joint_weights": ("uncertainty", 2), "stop_by": ("first", 4), "augment": (False, 8),
    "background": (20, 9), "statistics": ("target", 8), "labels": (0.9, 8), "seed": (1, 9),
}  # fmt: skip


@pytest.mark.parametrize("setting", [field.name for field in fields(Settings)])
def test_what_depends_on_another_setting_is_trained_again(
    setting, folders, untrained, tmp_path, monkeypatch
):
    leave_out_training(monkeypatch)
    computed = note_computed(monkeypatch)
    value, expected = AGAIN[setting]
    out = shutil.copytree(untrained, tmp_path / "out")
    run_all(folders, out, replace(FIRST, **{setting: value}), ["similar"])
    assert len(computed.weights) == expected
    source = [name for name in computed.weights if name.startswith("source")]
    assert len(source) == (expected == 9)


# ---------------------------------------------------------------------------- killed and stopped

KILLED = """
import os, signal, sys
from matplotlib.figure import Figure
from small_sets import blank
from ums.experiments.__main__ import main
from ums.experiments.results import scores
from ums.experiments.store import Store

Figure.savefig = blank
Store.__init__.__defaults__ = (0.0,)  # a checkpoint after every epoch
scores.RESAMPLES = 20
left, rename = int(sys.argv[1]), os.replace

def replace(*paths):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(*paths)

os.replace = replace
sys.exit(main(sys.argv[2:]))
"""


def test_run_that_is_killed_goes_on_and_ends_as_if_it_had_not_been(
    folders, finished, tmp_path, monkeypatch
):
    chance, ends = random.Random(0), []
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    options = ["--out", str(tmp_path), *OPTIONS, "--groups", "similar"]
    for files_before in [4, *(chance.randint(5, 20) for _ in range(3)), 0]:  # 0: it is let be
        command = [sys.executable, "-W", "error", "-c", KILLED, str(files_before), "cxr"]
        ends.append(
            subprocess.run([*command, str(folders), *options], stdout=subprocess.DEVNULL).returncode
        )
    assert ends == [-signal.SIGKILL] * 4 + [0]
    assert_similar_group_is_the_same(tmp_path, finished)
    for path in (tmp_path / "weights").iterdir():
        expected = finished / "weights" / path.name
        assert expected.is_file()  # no checkpoint, no half of a file is left
        found, wanted = (np.load(one) for one in (path, expected))
        names = [name for name in wanted.files if name != "__record__"]
        assert names and all(np.array_equal(found[name], wanted[name]) for name in names)
    for path in (tmp_path / "records").glob("*.json"):
        expected = finished / "records" / path.name
        assert numbers_in(path) == numbers_in(expected)


def numbers_in(path):
    """A record without the seconds that training took, and the digest in which they are."""
    return re.sub(r'"(seconds|digest)": (\[[^]]*\]|[^,]+)[,}]', "", path.read_text())


def test_stopping_a_run_keeps_what_is_finished(folders, tmp_path, monkeypatch, capsys):
    def stop(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(tuning, "tune_alternately", stop)
    assert run("cxr", folders, tmp_path) == 130
    assert len(capsys.readouterr().err.splitlines()) == 2  # after the line that shows ^C
    assert set(jobs_in(tmp_path / "weights", "npz")) == {"source", "diverse-fold1-independent"}
    assert set(jobs_in(tmp_path / "records", "json")) == {
        *("diverse-cases", "similar-cases", "source", "source-test", "diverse-fold1-independent")
    }
    assert not (tmp_path / "report.html").exists()
