"""What is opened is what was written: damage, exchanges and edits by hand are refused by name."""

import csv
import hashlib
import json
import os
import re
import shutil

import numpy as np
import pytest

from data_prep.__main__ import main
from data_prep.writing import Content, accept, save_prepared
from ums.data import load_prepared, prepared
from ums.data.prepared_set import check_untouched
from ums.experiments.datasets import fingerprint
from ums.experiments.store import Store

ID = [f"i{k}" for k in (3, 1, 4, 0, 5, 2)]


def content(seed=0, **changes):
    images = np.random.default_rng(seed).integers(0, 256, (6, 4, 5), dtype=np.uint8)
    columns = {
        "images": images,
        "ids": ID,
        "patients": [f"p{k}" for k in range(6)],
        "splits": ["train"] * 4 + ["validation", "test"],
        "labels": {"abnormal": [0, 1, -1, 0, 1, 1]},
        "masks": images // 128,
        "opacities": images // 200,
    }
    return Content(**columns | changes)


@pytest.fixture
def folder(tmp_path):
    return save_prepared(tmp_path / "set", content()).folder


def in_array(name, change):
    """Write an array of the folder again, changed."""

    def damage(folder):
        np.save(folder / name, change(np.load(folder / name)))

    return damage


def in_table(change):
    """Write the table again, its list of rows (without the header) changed in place."""

    def damage(folder):
        with open(folder / "table.csv", encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        change(rows)
        with open(folder / "table.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *rows])

    return damage


def cell(row, column, value):
    return in_table(lambda rows: rows[row].__setitem__(column, value))


def swapped(column):
    def change(rows):
        rows[0][column], rows[1][column] = rows[1][column], rows[0][column]

    return in_table(change)


def bit(array):
    array[2, 3, 1] ^= 1
    return array


def another_sets(name):
    def damage(folder):
        other = save_prepared(folder.parent / "other", content(seed=1)).folder
        shutil.copy(other / name, folder / name)

    return damage


def text(name, old, new):
    def damage(folder):
        before = (folder / name).read_text()
        assert old in before
        (folder / name).write_text(before.replace(old, new, 1))

    return damage


ARRAYS = ("images.npy", "masks.npy", "opacities.npy")
PREPARE, ACCEPT = "remove the folder and prepare it again", "`python -m data_prep accept"
SORTED = "was the table sorted"
REFUSED = {
    **{f"a bit of {name}": (in_array(name, bit), name, PREPARE) for name in ARRAYS},
    **{f"another set's {name}": (another_sets(name), name, PREPARE) for name in ARRAYS},
    "no opacities": (lambda f: (f / "opacities.npy").unlink(), "opacities.npy", "missing"),
    "no masks": (lambda f: (f / "masks.npy").unlink(), "masks.npy", "is missing, although 6 rows"),
    "masks inverted": (in_array("masks.npy", lambda a: 1 - a), "masks.npy", PREPARE),
    "masks all one": (in_array("masks.npy", np.ones_like), "masks.npy", "is all 1"),
    "masks all zero": (in_array("masks.npy", np.zeros_like), "masks.npy", "is all 0"),
    "masks cut at a side": (in_array("masks.npy", lambda a: a * (np.arange(5) > 0)), "masks.npy", PREPARE),
    "images in another order": (in_array("images.npy", lambda a: a[::-1]), "images.npy", PREPARE),
    "images turned": (in_array("images.npy", lambda a: a[:, ::-1, ::-1]), "images.npy", PREPARE),
    "masks for opacities": (lambda f: shutil.copy(f / "masks.npy", f / "opacities.npy"),
                            "opacities.npy", PREPARE),
    "two rows exchanged": (in_table(lambda rows: rows.insert(0, rows.pop(1))), "table.csv", SORTED),
    "sorted by id": (in_table(lambda rows: rows.sort()), "table.csv", SORTED),
    "sorted by label": (in_table(lambda rows: rows.sort(key=lambda r: r[4])), "table.csv", SORTED),
    "ids exchanged": (swapped(0), "table.csv", "the ids are not those of the images"),
    "patients exchanged": (swapped(1), "table.csv", f"'patient' .*{ACCEPT}"),
    "labels exchanged": (swapped(4), "table.csv", f"'abnormal' .*{ACCEPT}"),
    "a label": (cell(1, 4, "0"), "table.csv", f"'abnormal' .*{ACCEPT}"),
    "a label removed": (cell(1, 4, ""), "table.csv", f"'abnormal' .*{ACCEPT}"),
    "a split": (cell(0, 2, "test"), "table.csv", f"'split' .*{ACCEPT}"),
    "an id": (cell(0, 0, "i9"), "table.csv", "the ids are not those of the images"),
    "a number made of an id": (cell(0, 0, "3"), "table.csv", "the ids are not those of the images"),
    "a column's name": (text("table.csv", "abnormal", "normal"), "table.csv", f"'normal' .*{ACCEPT}"),
    "a word of about": (text("about.json", "skipped", "Skipped"), "about.json", ACCEPT),
    "no digest in about": (text("about.json", '"digest"', '"digets"'), "about.json", ACCEPT),
}  # fmt: skip


@pytest.mark.parametrize("damage", REFUSED)
def test_folder_that_is_not_as_it_was_written_is_refused_with_what_to_do(damage, folder):
    change, name, what = REFUSED[damage]
    change(folder)
    with pytest.raises(ValueError, match=f"^{folder / name}.*{what}"):
        load_prepared(folder)


def test_new_column_and_new_masks_are_refused(tmp_path):
    bare = save_prepared(tmp_path / "bare", content(masks=None, opacities=None)).folder
    full = save_prepared(tmp_path / "full", content()).folder
    shutil.copy(full / "opacities.npy", bare / "opacities.npy")
    with pytest.raises(ValueError, match=r"opacities\.npy is .* another set's"):
        load_prepared(bare)
    lines = (full / "table.csv").read_text().splitlines()
    lines = [f"{line},{'late' if i == 0 else 1}" for i, line in enumerate(lines)]
    (full / "table.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=f"column 'late' .*{ACCEPT}"):
        load_prepared(full)


def again(change):
    def save(folder):
        path = folder / "table.csv"
        path.write_bytes(change(path.read_text()))

    return save


HARMLESS = {
    "a byte order mark": again(lambda text: text.encode("utf-8-sig")),
    "lines of Windows": again(lambda text: text.replace("\n", "\r\n").encode()),
    "quotes": again(lambda text: text.replace("i3", '"i3"').replace("train", '"train"').encode()),
    "no last end of line": again(lambda text: text.rstrip().encode()),
    "an array in another layout": in_array("images.npy", np.asfortranarray),
    "about in one line": lambda f: (f / "about.json").write_text(
        json.dumps(json.loads((f / "about.json").read_text()))
    ),
    "no pictures": lambda f: [path.unlink() for path in f.glob("*.png")],
}


@pytest.mark.parametrize("change", HARMLESS)
def test_folder_that_reads_the_same_is_opened(change, folder):
    before = fingerprint(load_prepared(folder))
    HARMLESS[change](folder)
    after = load_prepared(folder)
    assert fingerprint(after) == before and after.ids.tolist() == ID
    np.testing.assert_array_equal(after.images, content().images)


def test_digests_are_the_sha_256_of_the_values(folder):
    found = json.loads((folder / "about.json").read_text())["digests"]
    data = np.load(folder / "masks.npy").tobytes()
    assert found["masks.npy"] == hashlib.sha256(b"uint8 (6, 4, 5)" + data).hexdigest()
    ids = '["i3", "i1", "i4", "i0", "i5", "i2"]'
    assert found["table.csv id"] == hashlib.sha256(ids.encode()).hexdigest()
    assert len(found) == 8


# ---------------------------------------------------------------------------- accepted


def test_accepted_edits_are_opened_and_counted(folder):
    cell(1, 4, "0")(folder)
    text("about.json", '"skipped"', '"name": "Mine", "skipped"')(folder)
    assert accept(folder).labels["abnormal"].tolist() == [0, 0, -1, 0, 1, 1]
    again = load_prepared(folder)
    assert again.about["counts"]["labels"]["abnormal"]["train"] == {"0": 3}
    assert again.about["name"] == "Mine"


@pytest.mark.parametrize("damage", [n for n in REFUSED if ACCEPT not in REFUSED[n][2]])
def test_what_is_no_edit_is_not_accepted(damage, folder):
    change, _, what = REFUSED[damage]
    before = (folder / "about.json").read_bytes()
    change(folder)
    with pytest.raises(ValueError, match=what):
        accept(folder)
    assert (folder / "about.json").read_bytes() == before


@pytest.mark.parametrize("edit", [n for n in REFUSED if ACCEPT in REFUSED[n][2]])
def test_what_is_told_to_accept_is_accepted(edit, folder):
    REFUSED[edit][0](folder)
    accept(folder)
    assert load_prepared(folder).ids.tolist() == ID


def test_folder_from_before_there_were_digests_is_refused_until_it_is_accepted(folder, capsys):
    about = json.loads((folder / "about.json").read_text())
    del about["digests"], about["digest"]
    (folder / "about.json").write_text(json.dumps(about))
    with pytest.raises(
        ValueError, match=f"about.json .*an earlier version wrote it; .*{ACCEPT} {folder}`"
    ):
        load_prepared(folder)
    assert main(["accept", str(folder)]) == 0
    assert "6 images 4x5" in capsys.readouterr().out and len(load_prepared(folder)) == 6


@pytest.mark.parametrize("found", [[], None, 3, {"images.npy": 1}])
def test_digests_that_are_none_are_refused(found, folder, capsys):
    about = json.loads((folder / "about.json").read_text())
    (folder / "about.json").write_text(json.dumps(about | {"digests": found}))
    assert main(["accept", str(folder)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {folder}/")


# ---------------------------------------------------------------------------- large, and while open


def test_large_arrays_are_compared_before_a_study_uses_them(folder, monkeypatch):
    monkeypatch.setattr(prepared, "LARGE_BYTES", 359)
    store = Store(folder.parent / "out")
    store.watch([load_prepared(folder)])
    in_array("masks.npy", bit)(folder)
    damaged = load_prepared(folder)
    with pytest.raises(ValueError, match=rf"{folder}/masks\.npy is missing, damaged"):
        store.watch([damaged])
    with pytest.raises(ValueError, match=r"masks\.npy is missing, damaged"):
        accept(folder)
    monkeypatch.setattr(prepared, "LARGE_BYTES", 360)
    with pytest.raises(ValueError, match=r"masks\.npy is missing, damaged"):
        load_prepared(folder)


def test_some_images_of_a_set_have_a_fingerprint_of_their_own(folder):
    whole = load_prepared(folder)
    some = [fingerprint(whole.subset(np.array(rows))) for rows in ([0, 1], [1, 0], [0])]
    assert len({fingerprint(whole), *some}) == 4


def test_set_that_was_replaced_stays_as_it_was_opened(folder):
    one = load_prepared(folder)
    images, before = np.array(one.images), fingerprint(one)
    save_prepared(folder, content(seed=1), overwrite=True)
    np.testing.assert_array_equal(one.images, images)
    assert fingerprint(one) == before != fingerprint(load_prepared(folder))


def in_place(path):
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\1")
    os.utime(path, ns=(0, 0))  # within a tick of the clock the time would be the same


@pytest.mark.parametrize("name", ARRAYS)
def test_set_that_was_written_to_since_it_was_opened_is_refused(name, folder):
    one = load_prepared(folder)
    check_untouched(one)
    in_place(folder / name)
    with pytest.raises(ValueError, match=rf"^{folder / name} was written to while it was open"):
        check_untouched(one)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no time of the last change of any kind")
def test_write_that_kept_the_time_is_found_and_a_change_of_rights_is_none(folder):
    one, path = load_prepared(folder), folder / "images.npy"
    before = path.stat()
    path.chmod(0o600)
    check_untouched(one)
    in_place(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    with pytest.raises(ValueError, match=rf"^{path} was written to while it was open"):
        check_untouched(one)


def test_images_in_memory_are_not_those_of_a_file_that_changes(folder):
    some = load_prepared(folder).subset(np.arange(3))
    in_place(folder / "images.npy")
    check_untouched(some)


def test_accept_names_the_file_that_holds_half_a_character(folder):
    path = folder / "about.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps(about | {"source": "\ud83d"}))
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} cannot be read: .*surrogates"):
        accept(folder)
