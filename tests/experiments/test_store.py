"""Finished jobs: computed once, read back equal, never taken for another's, whole or not at all."""

import json
import os

import cv2
import numpy as np
import pytest
from full_disk import FULL, half_a_file, nothing
from small_jobs import ARRAYS, KEY, RECORD, Work, files, take

import ums
import ums.experiments.store as module
from ums.checkpoint import read
from ums.experiments.store import NOT_RECORDED, NOT_TRAINING, Store, code_print

EACH = pytest.mark.parametrize("kind", ["weights", "record"])


# ---------------------------------------------------------------------------- once


@EACH
def test_result_is_computed_once_and_read_back_equal(kind, tmp_path):
    work = Work()
    results = [take(Store(tmp_path), kind, work) for _ in range(3)]
    assert work.calls == 1 and results == [RECORD] * 3


def test_weights_are_read_back_to_the_bit(tmp_path):
    for _ in range(2):
        arrays, _ = Store(tmp_path).weights("source", KEY, Work())
        assert arrays.keys() == ARRAYS.keys()
        assert all(arrays[k].tobytes() == v.tobytes() for k, v in ARRAYS.items())
        assert all(arrays[k].dtype == v.dtype for k, v in ARRAYS.items())


def test_arrays_stand_beside_the_record_if_there_are_any(tmp_path):
    store = Store(tmp_path)
    take(store, "record", Work())
    path = store.record_path("source", KEY).with_suffix(".npz")
    kept = read(path, store.record("source", KEY, Work())["key"])
    assert kept[0]["0.w"].tobytes() == ARRAYS["0.w"].tobytes()
    take(store, "record", Work(arrays={}), "bare")
    assert not store.record_path("bare", KEY).with_suffix(".npz").exists()


def test_record_holds_arrays_as_lists_and_nan_as_nothing(tmp_path):
    found = {"a": np.array([[1, 2]]), "b": [np.float32(0.5), np.nan], "c": (np.int64(3), {1: True})}
    for _ in range(2):
        record = take(Store(tmp_path), "record", Work({}, found))
        assert record == {"a": [[1, 2]], "b": [0.5, None], "c": [3, {"1": True}]}


def test_record_says_what_made_it(tmp_path):
    record = Store(tmp_path).record("source", KEY, lambda: (RECORD, {}))
    made = {"ums": ums.__version__, "numpy": np.__version__, "cv2": cv2.__version__}
    assert made.items() < record["made by"].items()


def test_finished_records_are_counted(tmp_path):
    for name in ("a", "b"):
        take(Store(tmp_path), "record", Work(), name)
        take(Store(tmp_path), "weights", Work(), name)
    assert Store(tmp_path).finished() == 2


# ---------------------------------------------------------------------------- of this job alone


@EACH
@pytest.mark.parametrize(
    ("name", "key"),
    [("head", {"width": 1}), ("source", {"width": 2}), ("source", {}),
     ("source", {"width": 1, "data": "x"})],
)  # fmt: skip
def test_another_name_or_key_computes_again(name, key, kind, tmp_path):
    first, second = Work(), Work({"x": np.zeros(1)}, {"other": True})
    take(Store(tmp_path), kind, first)
    assert take(Store(tmp_path), kind, second, name, key) == {"other": True}
    assert take(Store(tmp_path), kind, second) == RECORD
    assert (first.calls, second.calls) == (1, 1)


@EACH
def test_order_of_the_key_does_not_matter(kind, tmp_path):
    work = Work()
    for key in ({"a": 1, "b": 2}, {"b": 2, "a": 1}):
        take(Store(tmp_path), kind, work, key=key)
    assert work.calls == 1


@EACH
@pytest.mark.parametrize("package", [np, cv2])
def test_another_version_of_a_package_that_computes_computes_again(
    package, kind, tmp_path, monkeypatch
):
    work = Work()
    take(Store(tmp_path), kind, work)
    monkeypatch.setattr(package, "__version__", "0.0.0")
    take(Store(tmp_path), kind, work)
    assert work.calls == 2


@EACH
def test_other_code_computes_again(kind, tmp_path, monkeypatch):
    without, work = NOT_TRAINING if kind == "weights" else NOT_RECORDED, Work()
    for code in ("a", "a", "b"):
        monkeypatch.setattr(module, "code_print", lambda places, code=code: (code, places))
        take(Store(tmp_path), kind, work)
    assert work.calls == 2
    monkeypatch.setattr(module, "code_print", lambda places: ("b", without))
    take(Store(tmp_path), kind, work)
    assert work.calls == 2


@EACH
def test_files_exchanged_by_hand_are_not_taken(kind, tmp_path):
    works = {width: Work({}, {"width": width}) for width in (1, 2)}
    for width, work in works.items():
        take(Store(tmp_path), kind, work, key={"width": width})
    one, two = (tmp_path / name for name in files(tmp_path))
    one.rename(tmp_path / "aside")
    two.rename(one)
    (tmp_path / "aside").rename(two)
    for width, work in works.items():
        assert take(Store(tmp_path), kind, work, key={"width": width}) == {"width": width}
        assert work.calls == 2


def test_record_under_another_name_is_named_and_computed_again(tmp_path, capsys):
    store, work = Store(tmp_path), Work()
    for name in ("source", "head"):
        take(store, "record", Work(arrays={}), name)
    one, two = (store.record_path(name, KEY) for name in ("source", "head"))
    two.replace(one)
    assert take(store, "record", work) == RECORD and work.calls == 1
    assert f"{one} cannot be read: it was written as {two.name}" in capsys.readouterr().out


def test_weights_exchanged_by_hand_are_named(tmp_path, capsys):
    for width in (1, 2):
        take(Store(tmp_path), "weights", Work({}, {"width": width}), key={"width": width})
    one, two = sorted((tmp_path / "weights").iterdir())
    two.replace(one)
    for width in (1, 2):
        take(Store(tmp_path), "weights", Work({}, {"width": width}), key={"width": width})
    assert f"{one} cannot be read: it belongs to another job" in capsys.readouterr().out


@pytest.mark.parametrize(("old", "new"), [("1.25", "1.35"), ("0.1", "0.7"), ('"n"', '"m"')])
def test_record_with_another_number_is_computed_again(old, new, tmp_path, capsys):
    store, work = Store(tmp_path), Work()
    take(store, "record", work)
    path = store.record_path("source", KEY)
    path.write_text(path.read_text().replace(old, new, 1))
    assert take(store, "record", work) == RECORD and work.calls == 2
    assert f"{path} cannot be read: it is damaged or was changed" in capsys.readouterr().out


def test_arrays_of_another_record_are_not_taken(tmp_path):
    store, work = Store(tmp_path), Work()
    one, two = (store.record_path(n, KEY).with_suffix(".npz") for n in ("source", "head"))
    take(store, "record", work)
    take(store, "record", Work(), "head")
    two.replace(one)
    assert take(store, "record", work) == RECORD and work.calls == 2


def test_files_hold_no_pickle_and_say_what_they_depend_on(tmp_path):
    store = Store(tmp_path)
    expected = {"numpy": np.__version__, "cv2": cv2.__version__, "width": 1, "job": "source"}
    take(store, "weights", Work())
    (name,) = files(tmp_path)
    with np.load(tmp_path / name, allow_pickle=False) as file:
        key = json.loads(str(file["__record__"]))["key"]
    assert key == expected | {"code": code_print(NOT_TRAINING)}
    record = store.record("source", KEY, lambda: (RECORD, {}))
    assert record["key"] == expected | {"code": code_print(NOT_RECORDED)}


# ---------------------------------------------------------------------------- whole or not at all


@EACH
@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), MemoryError()])
def test_work_that_fails_leaves_no_file(error, kind, tmp_path):
    with pytest.raises(type(error)):
        take(Store(tmp_path / "new"), kind, Work(error=error))
    assert files(tmp_path / "new") == []


INTERRUPTED = pytest.mark.parametrize(
    ("kind", "owner", "name", "failure"),
    [("weights", np, "savez", half_a_file), ("weights", os, "replace", nothing),
     ("record", np, "savez", half_a_file), ("record", os, "replace", nothing)],
)  # fmt: skip


@INTERRUPTED
def test_full_disk_leaves_no_half_file_and_is_named(
    kind, owner, name, failure, tmp_path, monkeypatch
):
    monkeypatch.setattr(owner, name, failure(FULL))
    with pytest.raises(OSError, match=f"cannot write {tmp_path}/{kind}s?/source-.*: No space left"):
        take(Store(tmp_path), kind, Work())
    assert files(tmp_path) == []


@INTERRUPTED
def test_interrupted_write_leaves_nothing_and_is_done_again(
    kind, owner, name, failure, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owner, name, failure(KeyboardInterrupt()))
        take(Store(tmp_path), kind, Work())
    assert files(tmp_path) == []
    work = Work()
    assert take(Store(tmp_path), kind, work) == RECORD and work.calls == 1


@INTERRUPTED
def test_failed_write_harms_no_other_result(kind, owner, name, failure, tmp_path, monkeypatch):
    take(Store(tmp_path), kind, Work())
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    monkeypatch.setattr(owner, name, failure(FULL))
    with pytest.raises(OSError, match="cannot write"):
        take(Store(tmp_path), kind, Work(), key={"other": 1})
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


def test_record_stopped_behind_its_arrays_is_computed_again(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "write_whole", nothing(KeyboardInterrupt()))
        take(Store(tmp_path), "record", Work())
    assert [name.rpartition(".")[2] for name in files(tmp_path)] == ["npz"]
    work = Work()
    assert take(Store(tmp_path), "record", work) == RECORD and work.calls == 1


DAMAGES = {
    "empty": lambda data: b"",
    "cut short": lambda data: data[: len(data) // 2],
    "its end missing": lambda data: data[:-1],
    "not a zip file": lambda data: b"x" * len(data),
    "a byte changed": lambda data: data.replace(np.float32(5).tobytes(), np.float32(6).tobytes()),
    "its directory cut": lambda data: data.replace(b"PK\x01\x02", b"PK\x01\x03", 1),
}


@EACH
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_arrays_are_computed_again_and_said(damage, kind, tmp_path, capsys):
    take(Store(tmp_path), kind, Work())
    (path,) = tmp_path.rglob("*.npz")
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    work = Work()
    assert [take(Store(tmp_path), kind, work) for _ in range(2)] == [RECORD] * 2
    assert work.calls == 1
    assert f"{path} cannot be read" in capsys.readouterr().out
    with np.load(path) as arrays:
        assert np.array_equal(arrays["0.w"], ARRAYS["0.w"])


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"{}", b"null", b"[" * 10**5, b'{"key": 1}', b"\xff"]
)
def test_damaged_record_is_computed_again_and_said(content, tmp_path, capsys):
    store, work = Store(tmp_path), Work()
    path = store.record_path("source", KEY)
    path.write_bytes(content)
    assert [take(store, "record", work) for _ in range(2)] == [RECORD] * 2
    assert work.calls == 1
    assert f"{path} cannot be read" in capsys.readouterr().out


def test_record_without_its_arrays_is_computed_again_and_said(tmp_path, capsys):
    store, work = Store(tmp_path), Work()
    take(store, "record", work)
    path = store.record_path("source", KEY)
    path.with_suffix(".npz").unlink()
    assert take(store, "record", work) == RECORD and work.calls == 2
    npz = path.with_suffix(".npz")
    assert f"{npz} cannot be read: No such file or directory" in capsys.readouterr().out
