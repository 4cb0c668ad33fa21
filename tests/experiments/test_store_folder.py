"""The folder of a store: made, kept to one run at a time, and the checkpoints of stopped jobs in it."""

import errno
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from full_disk import FULL, nothing
from small_jobs import ARRAYS, KEY, RECORD, Work, files, take
from small_sets import hospital

import ums.experiments.store as module
from ums.experiments.store import Store

# ---------------------------------------------------------------------------- checkpoints


class Stoppable:
    """Work in two halves; the first is kept in the checkpoint and in one part of it."""

    def __init__(self, stop=False):
        self.stop, self.loaded = stop, None

    def __call__(self, checkpoint):
        self.loaded, self.checkpoint = checkpoint.load(), checkpoint
        checkpoint.save({"half": np.ones(2)}, {"epochs": 1})
        checkpoint.part("lungs").save({}, {})
        if self.stop:
            raise KeyboardInterrupt
        return ARRAYS, RECORD


def stopped(folder, name="source", key=KEY):
    with pytest.raises(KeyboardInterrupt):
        Store(folder).weights(name, key, Stoppable(stop=True))


def test_job_that_was_stopped_finds_its_checkpoint_and_leaves_none(tmp_path):
    stopped(tmp_path)
    assert len(files(tmp_path)) == 2
    work = Stoppable()
    Store(tmp_path).weights("source", KEY, work)
    arrays, record = work.loaded
    assert arrays["half"].tolist() == [1, 1] and record == {"epochs": 1}
    (name,) = files(tmp_path)
    assert f"weights/{work.checkpoint.path.name}" == name.replace(".npz", ".checkpoint.npz")


@pytest.mark.parametrize(
    ("name", "key"), [("source", {"width": 2}), ("source", KEY | {"seed": 1}), ("sourc", KEY)]
)
def test_checkpoint_of_another_key_or_name_is_not_used_and_stays(name, key, tmp_path):
    stopped(tmp_path, name, key)
    before = files(tmp_path)
    work = Stoppable()
    Store(tmp_path).weights("source", KEY, work)
    assert work.loaded is None and set(before) < set(files(tmp_path))


def test_checkpoint_that_was_cut_short_is_said_and_not_used(tmp_path, capsys):
    stopped(tmp_path)
    (path,) = tmp_path.rglob("*.checkpoint.npz")
    path.write_bytes(path.read_bytes()[:-100])
    work = Stoppable()
    assert Store(tmp_path).weights("source", KEY, work)[1] == RECORD
    assert work.loaded is None and f"{path} cannot be read" in capsys.readouterr().out


def test_job_killed_before_its_checkpoint_was_removed_is_finished(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module.Checkpoint, "remove", lambda self: None)
        Store(tmp_path).weights("source", KEY, Stoppable())
    assert len(files(tmp_path)) == 3
    work = Work()
    assert take(Store(tmp_path), "weights", work) == RECORD
    assert work.calls == 0 and len(files(tmp_path)) == 1


def test_checkpoint_stays_when_the_weights_cannot_be_written(tmp_path, monkeypatch):
    def compute(checkpoint):
        result = Stoppable()(checkpoint)
        monkeypatch.setattr(os, "replace", nothing(FULL))
        return result

    with pytest.raises(OSError, match="cannot write"):
        Store(tmp_path).weights("source", KEY, compute)
    assert len(list(tmp_path.rglob("*.checkpoint*.npz"))) == len(files(tmp_path)) == 2


def test_seconds_between_checkpoints_are_handed_on(tmp_path):
    work = Stoppable()
    Store(tmp_path, every=7).weights("a", KEY, work)
    assert work.checkpoint.every == 7
    Store(tmp_path).weights("b", KEY, work)
    assert work.checkpoint.every == 60


def test_checkpoints_of_two_jobs_exchanged_by_hand_are_not_used(tmp_path, capsys):
    for width in (1, 2):
        stopped(tmp_path, key={"width": width})
    one, two = (p for p in sorted(tmp_path.rglob("*.checkpoint.npz")))
    two.replace(one)
    for width in (1, 2):
        work = Stoppable()
        Store(tmp_path).weights("source", {"width": width}, work)
        assert work.loaded is None
    assert f"{one} cannot be read: it belongs to another job" in capsys.readouterr().out


# ---------------------------------------------------------------------------- sets that are watched


@pytest.fixture
def watching(tmp_path):
    """A store that watches a set, and the file of its images."""
    store, prepared = Store(tmp_path / "out"), hospital(tmp_path / "set", side=16)
    store.watch([prepared])
    return store, prepared.folder / "images.npy"


def written_to(path):
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    os.utime(path, ns=(0, 0))


@pytest.mark.parametrize("kind", ["weights", "record"])
def test_nothing_is_kept_of_a_set_that_was_written_to(kind, watching):
    store, path = watching

    class Meanwhile(Work):
        def __call__(self, checkpoint=None):
            written_to(path)
            return super().__call__(checkpoint)

    with pytest.raises(ValueError, match=f"^{path} was written to while it was open"):
        take(store, kind, Meanwhile())
    assert files(store.folder) == []


def test_no_checkpoint_is_saved_of_a_set_that_was_written_to(watching):
    store, path = watching
    written_to(path)
    with pytest.raises(ValueError, match="was written to while it was open"):
        store.weights("source", KEY, Stoppable())
    assert files(store.folder) == []


def test_set_that_was_replaced_meanwhile_is_kept_as_it_was_opened(watching):
    store, path = watching
    shutil.rmtree(path.parent)
    hospital(path.parent, seed=1, side=16)
    assert take(store, "weights", Work()) == RECORD


def test_only_sets_that_were_opened_are_kept_to_be_watched_and_each_once(watching):
    store, _ = watching
    (prepared,) = store._watched
    store.watch([prepared, prepared, prepared.subset(np.arange(2))])
    assert store._watched == [prepared]


# ---------------------------------------------------------------------------- the folder


def test_folder_is_free_again_after_what_a_killed_run_left_cannot_be_removed(tmp_path):
    store = Store(tmp_path)
    left = store.weights_folder / "a.partial"
    left.mkdir()  # which unlink does not remove
    with pytest.raises(OSError, match=r"a\.partial"):
        store.__enter__()
    left.rmdir()
    with Store(tmp_path):
        pass


def test_folder_is_made_with_its_parents(tmp_path):
    Store(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "weights").is_dir()
    assert (tmp_path / "a" / "b" / "records").is_dir()


@pytest.mark.parametrize("below", ["", "deep"])
def test_file_in_the_folders_place_is_named(below, tmp_path):
    (tmp_path / "out").write_text("a file")
    folder = tmp_path / "out" / below
    with pytest.raises(OSError, match=f"cannot make the folder {folder}: Not a directory"):
        Store(folder)
    assert (tmp_path / "out").read_text() == "a file"


def test_folder_without_write_permission_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *asked: False)  # root may write anywhere
    with pytest.raises(OSError, match=f"cannot write to the folder {tmp_path}$"):
        Store(tmp_path)


def test_folder_of_a_run_is_refused_to_another(tmp_path):
    with Store(tmp_path):
        other = Store(tmp_path)
        with pytest.raises(OSError, match=f"another run is at work in {tmp_path}: wait"), other:
            pass
    with other:  # free again
        pass


def test_folder_that_cannot_be_locked_is_taken_and_said_to_be_open_to_others(
    tmp_path, monkeypatch, capsys
):
    def none_here(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", none_here)
    with Store(tmp_path) as store:
        assert take(store, "weights", Work()) == RECORD
    said = capsys.readouterr().err
    assert said.startswith(f"{tmp_path} cannot be locked (") and said.count("\n") == 1
    assert "Operation not supported" in said and said.endswith("): start no second run in it\n")


@pytest.mark.parametrize("end", ["sys.exit(1)", "os.kill(os.getpid(), 9)"])
def test_folder_is_free_after_a_run_however_it_ended(end, tmp_path):
    program = "import os, sys\nfrom ums.experiments.store import Store\n"
    program += f"with Store({str(tmp_path)!r}):\n    print('in', flush=True)\n    {end}"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.stdout == "in\n" and ended.returncode in (1, -9)
    with Store(tmp_path):
        pass
