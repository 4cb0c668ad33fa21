"""Damaged files: hundreds of them, drawn from a seed, are read right or refused by name, in one line."""

import shutil
from collections import Counter

import numpy as np
import pytest

from data_prep.writing import Content, save_prepared
from ums.checkpoint import read, write
from ums.data import load_prepared
from ums.experiments.names import STUDY_FILE
from ums.experiments.results import load
from ums.experiments.store import Store
from ums.experiments.study_file import write_study

ARRAYS = {"0.w": np.arange(6, dtype=np.float32).reshape(2, 3), "1.b": np.asfortranarray(np.eye(3))}
RECORD = {"epochs": 3, "loss": 1e-17, "name": "é"}


# ---------------------------------------------------------------------------- what is damaged


def prepared_folder(folder):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 4, 5), dtype=np.uint8)
    names, masks = [f"i{k}" for k in range(6)], images // 128
    labels = {"abnormal": [0, 1, -1, 0, 1, 1]}
    about = {"name": "made up"}
    splits = ["train"] * 4 + ["validation", "test"]
    content = Content(images, names, names, splits, labels, masks, masks[::-1], about=about)
    save_prepared(folder / "set", content)


def opened(folder):
    one = load_prepared(folder / "set")
    arrays = [one.images, one.masks, one.opacities, one.ids, one.patients, one.splits, one.has_mask]
    return [array.tolist() for array in arrays], one.labels["abnormal"].tolist(), one.about


def checkpoint_file(folder):
    write(folder / "x.npz", ARRAYS, RECORD, {"width": 1})


def checkpoint_read(folder):
    kept = read(folder / "x.npz", {"width": 1})
    return kept and ({name: (a.dtype, a.tolist()) for name, a in kept[0].items()}, kept[1])


def study_folder(folder):
    store = Store(folder)
    names = []
    for replicate in (1, 2):
        job = {"kind": "source", "group": "", "arm": "", "replicate": replicate}
        cost = {"seconds": 1.5, "trainable": 9, "shared": 0, "history": {"train": [0.5, 0.25]}}
        store.record(
            f"replicate{replicate}", {}, lambda job=job, cost=cost: ({"job": job} | cost, {})
        )
        names.append(store.record_path(f"replicate{replicate}", {}).name)
    write_study(folder, "cxr", {"seed": 0}, {"": names}, store)


def study_read(folder):
    assert (folder / STUDY_FILE).exists() or pytest.fail("the folder is not that of the test")
    return {name: {k: v.tolist() for k, v in table.items()} for name, table in load(folder).items()}


KINDS = {
    "prepared": (prepared_folder, opened, "set/*.*"),
    "checkpoint": (checkpoint_file, checkpoint_read, "*.npz"),
    "study": (study_folder, study_read, "**/*.json"),
}


# ---------------------------------------------------------------------------- how


def flipped(data, rng):
    place = rng.integers(len(data))
    return data[:place] + bytes([data[place] ^ (1 << rng.integers(8))]) + data[place + 1 :]


def cut(data, rng):
    return data[: rng.integers(len(data))]


def zeroed(data, rng):
    start = rng.integers(len(data))
    return data[:start] + bytes(min(16, len(data) - start)) + data[start + 16 :]


def lost(data, rng):
    start = rng.integers(len(data))
    return data[:start] + data[start + rng.integers(1, 9) :]


def doubled(data, rng):
    start = rng.integers(len(data))
    return data[:start] + data[start : start + 16] + data[start:]


def noise(data, rng):
    return rng.bytes(len(data))


def nested(data, rng):
    return b"[" * 100_000


DAMAGES = (flipped,) * 6 + (cut, zeroed, lost, doubled, noise, nested, lambda data, rng: b"")


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_file_is_read_right_or_refused_by_name(kind, tmp_path, capsys):
    make, take, pattern = KINDS[kind]
    make(tmp_path)
    right, rng, outcomes = take(tmp_path), np.random.default_rng(16), Counter()
    files = sorted(tmp_path.glob(pattern))
    for number in range(200):
        path = files[number % len(files)]
        data = path.read_bytes()
        path.write_bytes(DAMAGES[number % len(DAMAGES)](data, rng))
        try:
            found = take(tmp_path)
            said = capsys.readouterr().out
        except (ValueError, FileNotFoundError) as error:
            found, said = None, str(error)
        assert found == right or (found is None and path.parent.name in said and said), said
        assert found == right or path.name.split("-")[0] in said, (path, said)
        assert said.strip().count("\n") == 0 and len(said) < 1000
        outcomes[found is None] += 1
        path.write_bytes(data)
    assert take(tmp_path) == right and outcomes[True] > 100


@pytest.mark.parametrize("kind", KINDS)
def test_folder_in_place_of_a_file_is_named(kind, tmp_path, capsys):
    make, take, pattern = KINDS[kind]
    make(tmp_path)
    for path in sorted(tmp_path.glob(pattern)):
        copy = shutil.copytree(tmp_path, tmp_path.with_name("copy"))
        place = copy / path.relative_to(tmp_path)
        place.unlink()
        place.mkdir()
        try:
            said = "" if take(copy) else capsys.readouterr().out
        except (ValueError, FileNotFoundError) as error:
            said = str(error)
        assert place.name in said
        shutil.rmtree(copy)
