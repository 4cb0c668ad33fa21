"""The prepared folder: what is written comes back, and what does not fit is named."""

import numpy as np
import pytest

from data_prep.writing import Content, save_prepared
from ums.data.prepared import load_prepared


def columns(n=10):
    return {
        "ids": [f"i{k}" for k in range(n)],
        "patients": [f"p{k}" for k in range(n)],
        "splits": (["train"] * 7 + ["validation"] * 2 + ["test"])[:n],
        "labels": {"abnormal": np.array(([0, 1, -1] * 4)[:n])},
    }


def pictures(rng, n=10):
    return rng.integers(0, 256, (n, 8, 6), dtype=np.uint8)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path, rng):
    images = pictures(rng)
    masks = (images > 99).astype(np.uint8)
    save_prepared(tmp_path / "set", Content(images, masks=masks, opacities=masks, **columns()))
    return tmp_path / "set"


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_what_is_saved_comes_back(tmp_path, rng):
    images = pictures(rng)
    has_mask = np.arange(10) < 4
    masks = (images > 99).astype(np.uint8) * has_mask[:, None, None]
    about = {"source": "made up", "settings": {"size": 8}}
    content = Content(images, masks=masks, has_mask=has_mask, about=about, **columns())
    save_prepared(tmp_path / "a", content)
    back = load_prepared(tmp_path / "a")
    np.testing.assert_array_equal(back.images, images)
    np.testing.assert_array_equal(back.masks, masks)
    np.testing.assert_array_equal(back.has_mask, has_mask)
    np.testing.assert_array_equal(back.labels["abnormal"], columns()["labels"]["abnormal"])
    assert back.opacities is None and list(back.ids) == columns()["ids"]
    assert back.about["source"] == "made up" and back.about["counts"]["validation"] == 2


def test_arrays_are_memory_mapped_and_read_only(folder):
    images = load_prepared(folder).images
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_colour_images_are_a_prepared_set_too(tmp_path, rng):
    images = rng.integers(0, 256, (10, 4, 4, 3), dtype=np.uint8)
    assert save_prepared(tmp_path / "c", Content(images, **columns())).images.shape == (10, 4, 4, 3)


def test_repr_names_sizes_splits_and_labels(folder):
    text = repr(load_prepared(folder))
    assert "10 images 8x6" in text and "train 7" in text and "abnormal 0: 4, 1: 3" in text


def test_repr_gives_the_range_of_a_label_of_many_values(tmp_path, rng):
    images = rng.integers(0, 256, (20, 4, 4), dtype=np.uint8)
    names, splits, ages = [f"p{k}" for k in range(20)], ["train"] * 20, np.arange(20) - 1
    content = Content(images, names, names, splits, {"age": ages})
    assert "age 0 to 18" in repr(save_prepared(tmp_path / "a", content))


@pytest.mark.parametrize("name", ["images.npy", "table.csv", "about.json"])
def test_a_missing_file_is_named_with_what_to_run(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name} is missing: from a checkout.*data_prep"):
        load_prepared(folder)


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "table.csv", "about.json"])
def test_a_broken_link_is_called_one(folder, name):
    (folder / name).unlink()
    (folder / name).symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match=rf"{name} is a broken link"):
        load_prepared(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "\n",
        lambda text: text + "\r\n , ,\n",
        lambda text: text + ",,,,\n" * 3,
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.replace("\n", ",\n"),
        lambda text: text.replace("\n", ",,\n") + ",,,,,,\n",
    ],
)
def test_empty_rows_and_columns_that_a_spreadsheet_leaves_make_no_difference(folder, change):
    table = folder / "table.csv"
    table.write_bytes(change(table.read_text()).encode())
    assert len(load_prepared(folder)) == 10


@pytest.mark.parametrize("text", ["[]", "null", "1", "", "{", "[" * 100_000])
def test_an_about_that_cannot_be_kept_is_not_said_to_be(folder, text):
    (folder / "about.json").write_text(text)
    with pytest.raises(ValueError, match=r"about\.json") as error:
        load_prepared(folder)
    assert "accept" not in str(error.value) and "\n" not in str(error.value)


def test_an_about_with_a_byte_order_mark_is_read(folder):
    about = folder / "about.json"
    about.write_bytes(b"\xef\xbb\xbf" + about.read_bytes())
    assert len(load_prepared(folder)) == 10


def test_a_missing_folder_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m data_prep"):
        load_prepared(tmp_path / "nowhere")


def test_masks_of_another_size_are_reported_with_both_shapes(folder):
    np.save(folder / "masks.npy", np.zeros((10, 4, 4), np.uint8))
    with pytest.raises(ValueError, match=r"masks\.npy must be \(10, 8, 6\).*\(10, 4, 4\)"):
        load_prepared(folder)


def test_masks_of_0_and_255_are_refused(folder):
    np.save(folder / "masks.npy", np.full((10, 8, 6), 255, np.uint8))
    with pytest.raises(ValueError, match=r"masks\.npy must be 0 and 1, got values up to 255"):
        load_prepared(folder)


@pytest.mark.parametrize("keep", [0, 100, 400])
def test_a_cut_off_array_is_named(folder, keep):
    data = (folder / "images.npy").read_bytes()
    (folder / "images.npy").write_bytes(data[:keep])
    with pytest.raises(ValueError, match=r"images\.npy"):
        load_prepared(folder)


def test_an_array_of_pickled_objects_is_refused(folder):
    np.save(folder / "images.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"images\.npy"):
        load_prepared(folder)


@pytest.mark.parametrize("bad", ["one", "-1", "1.0", "٣", "99999999999999999999"])
def test_an_unreadable_label_is_reported_with_its_row(folder, bad):
    edit(folder / "table.csv", "i1,p1,train,1,1", f"i1,p1,train,1,{bad}")
    with pytest.raises(ValueError, match=rf"table\.csv, row 3: abnormal is '{bad}'"):
        load_prepared(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("i1,p1,train", "i1,p1,dev", "row 3: split is 'dev'"),
        ("i1,p1,train", "i0,p1,train", "row 3: id 'i0'.*row 2"),
        ("i1,p1,train", "i1,p9,train", "'p9' is in test and in train"),
        ("i1,p1,train,1", "i1,p1,train,yes", "row 3: has_mask is 'yes'"),
        ("i1,p1,train,1", "i1,p1,train,0", "has_mask is 0"),
        ("i1,p1,train,1", "i1,,train,1", "row 3: id or patient is empty"),
        ("i1,p1,train,1", "i1,p1,train", "row 3: 4 values for 5 columns"),
        ("i1,p1,train,1,1\n", "", r"\(9,\).*\(10, 8, 6\)"),
        ("id,patient", "id,person", "columns should be"),
    ],
)
def test_a_table_that_does_not_fit_is_reported(folder, old, new, message):
    edit(folder / "table.csv", old, new)
    with pytest.raises(ValueError, match=message):
        load_prepared(folder)


def test_has_mask_without_masks_is_reported(folder):
    (folder / "masks.npy").unlink()
    with pytest.raises(ValueError, match=r"masks\.npy is missing, although 10 rows"):
        load_prepared(folder)


def test_a_table_saved_again_by_a_spreadsheet_is_read(folder):
    text = (folder / "table.csv").read_text()
    (folder / "table.csv").write_text(text.replace("\n", "\r\n"), encoding="utf-8-sig", newline="")
    assert load_prepared(folder).ids[0] == "i0"


@pytest.mark.parametrize("content", ["{", "[]", "null", "7", "[" * 100_000, ""])
def test_about_that_is_no_json_object_is_named(folder, content):
    (folder / "about.json").write_text(content)
    with pytest.raises(ValueError, match=f"^{folder}/about.json cannot be read: [^\n]+$"):
        load_prepared(folder)


def header(text):
    """The bytes of a file of numpy, its header as it is given."""
    text = text.ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode("latin1") + bytes(480)


GOOD = "{'descr': '|u1', 'fortran_order': False, 'shape': (10, 8, 6), }"
HEADERS = {
    "an open bracket": GOOD.replace(")", " "),
    "an open text": GOOD.replace("'shape'", "'shape "),
    "a sign that is none": GOOD.replace("(10", "($0"),
    "a call": GOOD.replace("False", "print(1)"),
    "a number too large": GOOD.replace("10", "9" * 30),
    "more than memory": GOOD.replace("10", "1" + "0" * 15),
    "a negative size": GOOD.replace("10", "-1"),
    "keys of two kinds": GOOD.replace("'descr'", "7"),
    "another type": GOOD.replace("u1", "u7"),
    "objects": GOOD.replace("|u1", "|O"),
    "floats": GOOD.replace("|u1", "<f8").replace("10", " 1"),
    "brackets": "[" * 110,
    "Latin letters": GOOD.replace("shape", "sh\xe4pe"),
    "nothing": "",
}


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "opacities.npy"])
@pytest.mark.parametrize("bad", HEADERS)
def test_damaged_header_of_an_array_is_named_in_one_line(bad, name, folder):
    (folder / name).write_bytes(header(HEADERS[bad]))
    with pytest.raises(ValueError, match=f"^{folder / name} [^\n]+$"):
        load_prepared(folder)


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "table.csv", "about.json"])
def test_folder_in_place_of_a_file_is_named(name, folder):
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(ValueError, match=f"^{folder / name} cannot be read: [^\n]+$"):
        load_prepared(folder)


TABLES = {
    "empty": "",
    "blank lines": "\n\n",
    "semicolons": "id;patient;split;has_mask",
    "no UTF-8": "id\udcff",
    "an open quote": 'id,patient,split,has_mask\n"' + "x\n" * 99,
    "a field of a megabyte": "id," + "x" * 1_000_000,
    "a NUL": "id,patient,split,has_mask\na\0,b,train,0\n",
    "lines of old Macs": "id,patient,split,has_mask\ra,b,train,0\r",
}


@pytest.mark.parametrize("table", TABLES)
def test_table_that_is_none_is_named_in_one_line(table, folder):
    (folder / "table.csv").write_bytes(TABLES[table].encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=rf"^{folder}/table\.csv[^\n]+$") as error:
        load_prepared(folder)
    assert len(str(error.value)) < 500


def test_masks_that_are_all_the_same_are_refused_or_counted(tmp_path, rng):
    images, masks = pictures(rng), np.zeros((10, 8, 6), np.uint8)
    for value in (0, 1):
        with pytest.raises(ValueError, match=rf"masks\.npy: each mask of the 10 .* all {value}"):
            save_prepared(tmp_path / "a", Content(images, masks=masks + value, **columns()))
    masks[0, 0, 0] = masks[1] = 1
    made = save_prepared(tmp_path / "a", Content(images, masks=masks, **columns()))
    assert made.about["counts"]["constant_masks"] == {"0": 8, "1": 1}


def test_boolean_masks_are_refused_by_name(tmp_path, rng):
    images = pictures(rng)
    with pytest.raises(ValueError, match=r"masks\.npy must be uint8, found bool"):
        save_prepared(tmp_path / "a", Content(images, masks=images > 99, **columns()))


# ---------------------------------------------------------------------------- numbers, mask classes


AGES = np.array([20.5, np.nan, -3, 1e-7, 0.1, 6e8, 7, 8, 9, 10], np.float32)


@pytest.fixture
def with_numbers(tmp_path, rng):
    images, about = pictures(rng), {"mask_values": [0, 127, 255]}
    content = Content(images, masks=images % 3, about=about, numbers={"age": AGES}, **columns())
    save_prepared(tmp_path / "n", content)
    return tmp_path / "n"


def test_numbers_and_masks_of_classes_come_back(with_numbers):
    back = load_prepared(with_numbers)
    np.testing.assert_array_equal(back.numbers["age"], AGES)
    assert back.numbers["age"].dtype == np.float32 and [*back.labels] == ["abnormal"]
    assert back.mask_classes == 3 and back.masks.max() == 2
    assert "age -3 to 6e+08" in repr(back)
    np.testing.assert_array_equal(back.subset(np.array([2, 0])).numbers["age"], AGES[[2, 0]])


def test_values_are_targets_with_nan_where_they_are_not_known(with_numbers):
    values = load_prepared(with_numbers).values("abnormal", "age")
    assert values.dtype == np.float32 and values[:3, 0].tolist()[:2] == [0, 1]
    assert np.isnan(values[2, 0]) and np.isnan(values[1, 1]) and values[2, 1] == -3


@pytest.mark.parametrize(("new", "why"), [
    ("p0,train,1,0,old", "age should be empty or numbers: .*'old'"),
    ("p0,train,1,0,1e999", "numbers 'age' should be finite"),
    ("p0,train,1,0,21", "'age' is not as it was written"),
])  # fmt: skip
def test_number_that_is_none_or_was_changed_is_refused(with_numbers, new, why):
    edit(with_numbers / "table.csv", "p0,train,1,0,20.5", new)
    with pytest.raises(ValueError, match=why):
        load_prepared(with_numbers)


def test_mask_value_above_the_classes_is_refused(tmp_path, rng):
    images = pictures(rng)
    content = Content(images, masks=images % 4, about={"mask_values": [0, 1, 2]}, **columns())
    with pytest.raises(ValueError, match=r"masks.npy must be classes in 0..2, got values up to 3"):
        save_prepared(tmp_path / "m", content)


def test_numbers_of_the_name_of_a_label_are_refused(tmp_path, rng):
    content = Content(pictures(rng), numbers={"abnormal": AGES}, **columns())
    with pytest.raises(ValueError, match=r"numbers 'abnormal' .* under their own name"):
        save_prepared(tmp_path / "m", content)
