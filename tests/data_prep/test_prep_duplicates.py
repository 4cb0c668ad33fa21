"""Equal pictures: which one stays, and whose patient is whose."""

from pathlib import Path

import numpy as np
import pytest

from data_prep.duplicates import digests, without_duplicates
from data_prep.listing import Item


def item(name, patient, split="", **labels):
    return Item(name, patient, Path("raw") / name, labels=labels, split=split)


def keep(*items, pictures, files=None):
    """The ids left, their patients, and why each other was not; pictures: one letter for each."""
    files = files or pictures
    left, why = without_duplicates(items, list(zip(files, pictures, strict=True)))
    ids, patients = [i.id for i in left.values()], [i.patient for i in left.values()]
    return ids, patients, {path.name: reason for path, reason in why}


def test_the_first_of_equal_pictures_stays():
    ids, _, why = keep(item("a", "A"), item("b", "A"), item("c", "A"), pictures="xyx")
    assert ids == ["a", "b"] and why == {"c": "the same bytes as a"}


def test_equal_pixels_in_other_bytes_are_said_to_be_so():
    _, _, why = keep(item("a", "A"), item("b", "B"), pictures="xx", files="12")
    assert why == {"b": "the same pixels as a"}


def test_the_test_copy_stays_wherever_it_is_listed():
    ids, patients, why = keep(
        item("a", "A", "train"), item("b", "B", "train"), item("c", "C", "test"), pictures="xyx"
    )
    assert ids == ["b", "c"] and patients == ["B", "C"] and why == {"a": "the same bytes as c"}


def test_patients_who_share_a_picture_become_one_along_the_chain():
    items = [item(n, p) for n, p in zip("abcdefg", "ABABCCD", strict=True)]
    ids, patients, _ = keep(*items, pictures="xxpqqrs")
    assert dict(zip(ids, patients, strict=True)) == dict(a="A", c="A", d="A", f="A", g="D")


def test_a_patient_who_shares_pictures_with_two_makes_them_one():
    ids, patients, _ = keep(
        *(item(n, p) for n, p in zip("acbd", "ACBB", strict=True)), pictures="xyxy"
    )
    assert ids == ["a", "c"] and len(set(patients)) == 1


def test_the_other_images_of_a_patient_in_the_test_set_leave_training():
    items = [item(n, p, "train") for n, p in zip("abcd", "ABBC", strict=True)]
    ids, _, why = keep(*items, item("t", "T", "test"), pictures="xxyzx")
    assert ids == ["d", "t"] and why["c"] == "its patient B shares a picture with the test set"


def test_so_do_those_of_a_patient_who_is_the_same_under_another_name():
    items = [item(n, p, "train") for n, p in zip("abcde", "ABBAC", strict=True)]
    ids, _, _ = keep(*items, item("t", "T", "test"), pictures="xxyzwy")
    assert ids == ["e", "t"]


def test_one_picture_with_two_labels_is_reported():
    _, _, why = keep(item("a", "A", label=0), item("b", "B", label=2), pictures="xx")
    assert why == {"b": "the same bytes as a, though labelled label 2, there 0"}


@pytest.mark.parametrize("other", [np.zeros((3, 2), np.uint8), np.ones((2, 3), np.uint8)])
def test_digests_tell_pixels_and_shapes_apart(other):
    image = np.zeros((2, 3), np.uint8)
    assert digests(b"1", image)[1] == digests(b"2", image.copy())[1] != digests(b"1", other)[1]
    assert digests(b"1", image)[0] == digests(b"1", other)[0] != digests(b"2", image)[0]
