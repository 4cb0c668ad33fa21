"""Checkpoints: files that are whole or not there, and the state of many things in one of them."""

import itertools
import os
import zipfile

import numpy as np
import pytest
import standin
from full_disk import FULL, half_a_file, nothing

from ums import checkpoint as module
from ums.backend import Device
from ums.checkpoint import Checkpoint, Generators, Stopwatch, gather, read, restore_all, write
from ums.layers import BatchNorm, Dense, Dropout
from ums.optimizers import Adam, ReduceOnPlateau
from ums.training import History, Snapshot

ARRAYS = {"0.w": np.arange(6, dtype=np.float32).reshape(2, 3), "1.text": np.array("é")}
RECORD = {"training": "lungs", "epochs": 3, "loss": 1e-17}


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(tmp_path / "stage-0123.checkpoint.npz", every=0)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------------------- load and save


def test_nothing_saved_is_none(checkpoint):
    assert checkpoint.load() is None and not checkpoint.restore([])


def test_what_was_saved_last_is_loaded_equal(checkpoint):
    checkpoint.save({"old": np.zeros(9)}, {})
    checkpoint.save(ARRAYS, RECORD)
    arrays, record = Checkpoint(checkpoint.path).load()
    assert record == RECORD and arrays.keys() == ARRAYS.keys()
    assert all(arrays[k].tobytes() == v.tobytes() for k, v in ARRAYS.items())
    assert all(arrays[k].dtype == v.dtype for k, v in ARRAYS.items())
    assert files(checkpoint.path.parent) == [checkpoint.path.name]


def test_arrays_come_from_any_device(checkpoint):
    device = Device(standin, "stand-in")
    checkpoint.save({"w": device.put(ARRAYS["0.w"])}, {})
    assert np.array_equal(checkpoint.load()[0]["w"], ARRAYS["0.w"])


DAMAGES = {
    "empty": lambda data: b"",
    "cut short": lambda data: data[: len(data) // 2],
    "its end missing": lambda data: data[:-1],
    "not a zip file": lambda data: b"x" * len(data),
    "a byte changed": lambda data: data.replace(np.float32(5).tobytes(), np.float32(6).tobytes()),
    "no record": lambda data: data.replace(b"__record__", b"__recorD__"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_named_and_left_out(damage, checkpoint, capsys):
    checkpoint.save(ARRAYS, RECORD)
    checkpoint.path.write_bytes(DAMAGES[damage](checkpoint.path.read_bytes()))
    assert checkpoint.load() is None
    assert capsys.readouterr().out.startswith(f"{checkpoint.path} cannot be read: ")
    checkpoint.save(ARRAYS, RECORD)
    assert checkpoint.load()[1] == RECORD


def test_file_cut_anywhere_is_left_out(checkpoint):
    checkpoint.save(ARRAYS, RECORD)
    data = checkpoint.path.read_bytes()
    for length in range(len(data)):
        checkpoint.path.write_bytes(data[:length])
        assert checkpoint.load() is None


FAILURES = pytest.mark.parametrize(
    ("owner", "name", "failure"),
    [(np, "savez", half_a_file), (os, "fsync", nothing), (os, "replace", nothing)],
)


@FAILURES
@pytest.mark.parametrize(
    ("error", "message"), [(FULL, "cannot write {}: No space left"), (KeyboardInterrupt(), "^$")]
)
def test_full_disk_or_interrupt_leaves_the_checkpoint_before(
    owner, name, failure, error, message, checkpoint, monkeypatch
):
    checkpoint.save(ARRAYS, RECORD)
    before = checkpoint.path.read_bytes()
    monkeypatch.setattr(owner, name, failure(error))
    with pytest.raises(type(error), match=message.format(checkpoint.path)):
        checkpoint.save({"new": np.zeros(3)}, {})
    assert files(checkpoint.path.parent) == [checkpoint.path.name]
    assert checkpoint.path.read_bytes() == before


def test_folder_that_is_gone_is_named(tmp_path):
    path = tmp_path / "gone" / "x.npz"
    with pytest.raises(OSError, match=f"cannot write {path}: No such file"):
        Checkpoint(path).save(ARRAYS, RECORD)


def test_file_with_objects_is_left_out(checkpoint):
    np.savez(checkpoint.path, __record__="{}", x=np.array([{}], object))
    assert checkpoint.load() is None


# ---------------------------------------------------------------------------- when


def test_saving_is_due_when_the_seconds_are_over(tmp_path, monkeypatch):
    now = itertools.count()  # a second at every look
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(now)))
    checkpoint = Checkpoint(tmp_path / "x.npz", every=3)
    assert [checkpoint.due() for _ in range(4)] == [False, False, True, True]
    checkpoint.save({}, {})
    assert [checkpoint.due() for _ in range(3)] == [False, False, True]


def test_saving_is_always_due_with_no_seconds_between(checkpoint):
    assert checkpoint.due() and checkpoint.part("a").due()


# ---------------------------------------------------------------------------- parts


NAMES = ["a", "b", "a+b", "a/b", "separate: lungs", "..", "é", "a.b", "*"]


def test_every_part_has_a_file_of_its_own_in_the_same_folder(checkpoint):
    parts = [checkpoint, *(checkpoint.part(name) for name in NAMES)]
    parts += [checkpoint.part("a").part("b"), checkpoint.part("b").part("a")]
    for i, part in enumerate(parts):
        part.save({}, {"i": i})
    assert [part.load()[1]["i"] for part in parts] == list(range(len(parts)))
    assert len(files(checkpoint.path.parent)) == len(parts)


def test_part_of_the_same_name_is_the_same(checkpoint):
    checkpoint.part("lungs").save(ARRAYS, RECORD)
    again = Checkpoint(checkpoint.path, every=7).part("lungs")
    assert again.load()[1] == RECORD and again.every == 7


def test_removing_takes_the_parts_along_and_nothing_else(checkpoint):
    folder = checkpoint.path.parent
    others = ["stage-0123.npz", "stage-0123.checkpoint.txt", "stage-01234.checkpoint.npz"]
    others += ["other-0123.checkpoint+a.npz"]
    for name in others:
        (folder / name).write_bytes(b"")
    for part in [checkpoint, *map(checkpoint.part, NAMES), checkpoint.part("a").part("b")]:
        part.save({}, {})
        part.path.with_name(f"{part.path.name}.7.partial").write_bytes(b"of a killed process")
    checkpoint.remove()
    assert files(folder) == sorted(others)
    checkpoint.remove()  # there is nothing more


def test_removing_a_part_leaves_the_others(checkpoint):
    for part in (checkpoint, checkpoint.part("a"), checkpoint.part("b")):
        part.save({}, {})
    checkpoint.part("a").remove()
    assert checkpoint.load() and checkpoint.part("b").load() and not checkpoint.part("a").load()


def test_names_with_a_pattern_in_them_are_taken_literally(tmp_path):
    odd, other = Checkpoint(tmp_path / "[ab]*.npz"), Checkpoint(tmp_path / "a.npz")
    odd.save({}, {})
    other.save({}, {})
    odd.remove()
    assert files(tmp_path) == ["a.npz"]


# ---------------------------------------------------------------------------- of this training alone


def exchange(one, two):
    aside = one.with_name("aside")
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


def test_checkpoints_exchanged_by_hand_are_named_and_ignored(tmp_path, capsys):
    one, two = (Checkpoint(tmp_path / f"{k}.npz", 0, {"job": k}) for k in (1, 2))
    for checkpoint in (one, two):
        checkpoint.save(ARRAYS, RECORD)
    exchange(one.path, two.path)
    for checkpoint in (one, two):
        assert checkpoint.load() is None and not checkpoint.restore(new_things())
        assert (
            f"{checkpoint.path} cannot be read: it belongs to another job"
            in capsys.readouterr().out
        )
    exchange(one.path, two.path)
    assert one.load()[1] == two.load()[1] == RECORD


@pytest.mark.parametrize("key", [None, {"job": 1}])
def test_parts_of_a_checkpoint_are_not_taken_for_each_other_or_the_whole(key, tmp_path):
    whole = Checkpoint(tmp_path / "x.npz", 0, key)
    each = [whole, whole.part("a"), whole.part("b"), whole.part("a").part("b")]
    for checkpoint in each:
        checkpoint.save(ARRAYS, RECORD)
    for one, two in itertools.combinations(each, 2):
        exchange(one.path, two.path)
        assert one.load() is None and two.load() is None
        exchange(one.path, two.path)
    assert all(checkpoint.load()[1] == RECORD for checkpoint in each)


@pytest.mark.parametrize("key", [None, {"job": 2}, {"fold": "1"}, {"fold": 1, "seed": 0}, [1]])
def test_file_of_another_key_is_not_read(key, tmp_path):
    write(tmp_path / "a.npz", ARRAYS, RECORD, {"job": 1})
    assert read(tmp_path / "a.npz", key) is None
    assert read(tmp_path / "a.npz", {"job": 1})[1] == RECORD


def test_check_that_fails_keeps_the_checkpoint_before(tmp_path):
    def changed():
        raise ValueError("the set was changed")

    Checkpoint(tmp_path / "x.npz").save(ARRAYS, RECORD)
    for checkpoint in (c := Checkpoint(tmp_path / "x.npz", 0, None, changed), c.part("a")):
        with pytest.raises(ValueError, match="the set was changed"):
            checkpoint.save({}, {})
    assert files(tmp_path) == ["x.npz"] and c.load()[1] == RECORD


# ---------------------------------------------------------------------------- every bit


def same(kept):
    arrays, record = kept
    return record == RECORD and {n: (a.dtype, a.tobytes()) for n, a in arrays.items()} == {
        n: (a.dtype, a.tobytes()) for n, a in ARRAYS.items()
    }


def test_no_flipped_bit_gives_other_arrays(checkpoint, capsys):
    checkpoint.save(ARRAYS, RECORD)
    data = checkpoint.path.read_bytes()
    refused = 0
    for place in range(0, len(data), 3):
        bit = 1 << place % 8
        checkpoint.path.write_bytes(data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :])
        kept = checkpoint.load()
        assert kept is None or same(kept)
        refused += kept is None
    assert capsys.readouterr().out.count(str(checkpoint.path)) == refused > len(data) // 6


def rewritten(path, change):
    """Write the members of a file again, changed, with checksums that are right."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, data in change(members).items():
            file.writestr(name, data)


MEMBERS = {
    "one gone": lambda m: {n: d for n, d in m.items() if n != "0.w.npy"},
    "one more": lambda m: m | {"2.w.npy": m["0.w.npy"]},
    "another name": lambda m: {n.replace("0.w", "0.v"): d for n, d in m.items()},
    "no array": lambda m: m | {"0.w.npy": b"\0" * 99},
    "less than an array": lambda m: m | {"0.w.npy": m["0.w.npy"][:-1]},
    "a huge shape": lambda m: (
        m | {"0.w.npy": m["0.w.npy"].replace(b"(2, 3)", b"(9999999999999, )")}
    ),
    "an open header": lambda m: m | {"0.w.npy": m["0.w.npy"].replace(b"(2, 3)", b"(2, 3 ")},
    "no file of ours": lambda m: {n: d for n, d in m.items() if "record" not in n},
    "no member": lambda m: {},
    "a record of no JSON": lambda m: m | {"__record__.npy": m["1.text.npy"]},
}


@pytest.mark.parametrize("change", MEMBERS)
def test_file_with_other_members_is_named_and_ignored(change, checkpoint, capsys):
    checkpoint.save(ARRAYS, RECORD)
    rewritten(checkpoint.path, MEMBERS[change])
    assert checkpoint.load() is None
    said = capsys.readouterr().out
    assert said.startswith(f"{checkpoint.path} cannot be read: ") and said.count("\n") == 1


# ---------------------------------------------------------------------------- things with state


def changed(things):
    """The things, each with a state that a new one does not have."""
    dense, norm, adam, plateau, history, snapshot = things
    for array in [*dense.state_dict().values(), *norm.state_dict().values()]:
        array += 1
    for parameter in dense.parameters():
        parameter.grad = np.full_like(parameter.value, 0.25)
    adam.step()
    plateau.update(3.0)
    plateau.update(4.0)
    history.train.append(0.1)
    history.cosines["lungs"] = [1e-17, -0.5]
    snapshot.take()
    dense.w.value[...] = 7
    return things


def new_things():
    dense, norm = Dense(2, 3, np.random.default_rng(0)), BatchNorm(3)
    adam = Adam(dense.parameters(), 0.1)
    return [dense, norm, adam, ReduceOnPlateau(adam), History(), Snapshot([dense, norm])]


def test_state_of_many_things_comes_back(checkpoint):
    told = changed(new_things())
    checkpoint.save(gather(told), {})
    back = new_things()
    assert checkpoint.restore(back)
    before, after = gather(told), gather(back)
    assert before.keys() == after.keys()
    assert all(after[name].tobytes() == before[name].tobytes() for name in before)
    assert back[3].best == 3 and back[3].waited == 1 and back[4] == told[4]
    assert (back[0].w.value == 7).all() and not (back[5].kept["0.w"] == 7).any()
    assert back[2].steps == [1, 1]


def test_arrays_are_put_back_in_place(checkpoint):
    things = new_things()
    checkpoint.save(gather(things), {})
    before = things[0].w.value
    checkpoint.restore(things)
    assert things[0].w.value is before


@pytest.mark.parametrize(
    "other",
    [
        lambda things: things[:-1],
        lambda things: [*things, Dense(1, 1, np.random.default_rng(0))],
        lambda things: [*things, Stopwatch()],
        lambda things: [things[1], things[0], *things[2:]],
        lambda things: [Dense(3, 3, np.random.default_rng(0)), *things[1:]],
    ],
)
def test_checkpoint_of_other_things_is_refused_by_name(other, checkpoint):
    checkpoint.save(gather(new_things()), {})
    with pytest.raises(ValueError, match=f"{checkpoint.path} is of another training, remove it"):
        checkpoint.restore(other(new_things()))


def test_more_than_ten_things_keep_their_order():
    told, back = ([Dense(1, 1, np.random.default_rng(s + i)) for i in range(25)] for s in (0, 50))
    restore_all(gather(told), back)
    assert [thing.w.value.item() for thing in back] == [thing.w.value.item() for thing in told]


def test_generators_go_on_in_place(checkpoint):
    one, two = np.random.default_rng(1), np.random.default_rng(2)
    one.integers(9, size=3, dtype=np.uint32)  # half a draw is kept inside
    two.normal(size=5)
    checkpoint.save(gather([Generators([one, two, one])]), {})
    expected = one.normal(size=4).tolist(), two.normal(size=4).tolist()
    new = [np.random.default_rng(8), np.random.default_rng(9)]
    layer = Dropout(0.5, new[0])
    checkpoint.restore([Generators([*new, new[0]])])
    assert layer.rng.normal(size=4).tolist() == expected[0]
    assert new[1].normal(size=4).tolist() == expected[1]


def test_stopwatch_counts_the_seconds_before_a_stop(checkpoint, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    watch = Stopwatch()
    now[0] = 130
    checkpoint.save(gather([watch]), {})
    now[0] = 5  # another process
    watch = Stopwatch()
    now[0] = 7
    assert watch.seconds == 2
    checkpoint.restore([watch])
    now[0] = 17
    assert watch.seconds == 40


def test_files_can_be_written_and_read_alone(tmp_path):
    write(tmp_path / "a.npz", ARRAYS, RECORD)
    assert read(tmp_path / "a.npz")[1] == RECORD and read(tmp_path / "b.npz") is None
