"""Films of the capstones: real ones from a prepared folder or a raw set, or synthetic ones."""

import cv2
import numpy as np
import pytest

from data_prep.writing import Content, save_prepared
from lessons.films import real_films, synthetic_films


def prepared(folder, **changes):
    rng = np.random.default_rng(0)
    images = rng.integers(20, 255, (8, 32, 32), dtype=np.uint8)
    masks = np.zeros((8, 32, 32), np.uint8)
    masks[:, 8:24, 8:24] = 1
    columns = {
        "ids": [f"{k}" for k in range(8)],
        "patients": [f"p{k}" for k in range(8)],
        "splits": ["train"] * 4 + ["validation"] * 2 + ["test"] * 2,
        "labels": {"opacity": np.arange(8) % 2},
        "masks": masks,
        "opacities": None,
        "about": {"name": "made up", "source": "made up"},
    }
    save_prepared(folder, Content(images, **columns | changes))
    return masks


def test_prepared_folder_comes_in_the_size_that_is_asked_for(tmp_path):
    prepared(tmp_path / "set")
    films = real_films(tmp_path / "set", 16, "masks")
    assert films.images.shape == films.masks.shape == (8, 16, 16) and films.opacities is None
    np.testing.assert_array_equal(films.masks[3], np.pad(np.ones((8, 8)), 4))
    assert {name: rows.tolist() for name, rows in films.rows.items()} == {
        "train": [0, 1, 2, 3], "validation": [4, 5], "test": [6, 7],
    }  # fmt: skip
    assert films.name == "made up"


def test_films_without_a_mask_are_in_no_part(tmp_path):
    has = np.array([True, False, True, True, True, True, True, False])
    masks = np.zeros((8, 32, 32), np.uint8)
    masks[has, 8:24] = 1
    prepared(tmp_path / "set", has_mask=has, masks=masks)
    rows = real_films(tmp_path / "set", 32, "masks").rows
    assert rows["train"].tolist() == [0, 2, 3] and rows["test"].tolist() == [6]


def test_folder_that_cannot_serve_is_refused_by_name(tmp_path):
    prepared(tmp_path / "set")
    with pytest.raises(ValueError, match="set: its films have no opacities, which this capstone"):
        real_films(tmp_path / "set", 32, "opacities")
    prepared(tmp_path / "all", splits=["train"] * 8)
    with pytest.raises(ValueError, match="all: no film with masks is in the validation part"):
        real_films(tmp_path / "all", 32, "masks")
    with pytest.raises(ValueError, match="there is no folder"):
        real_films(tmp_path / "nothing", 32, "masks")
    with pytest.raises(ValueError, match="neither a prepared folder nor one of the sets"):
        real_films(tmp_path, 32, "masks")


def test_raw_set_is_prepared_once_beside_the_notebook(tmp_path):
    raw, rng = tmp_path / "Shenzhen", np.random.default_rng(0)
    for folder in ("CXR_png", "mask"):
        (raw / folder).mkdir(parents=True)
    for k in range(1, 21):
        name = f"CHNCXR_{k:04d}_{k % 2}"
        cv2.imwrite(str(raw / "CXR_png" / f"{name}.png"), rng.integers(20, 255, (40, 40), np.uint8))
        mask = np.zeros((40, 40), np.uint8)
        mask[10:30, 10:30] = 255
        cv2.imwrite(str(raw / "mask" / f"{name}_mask.png"), mask)
    first = real_films(raw, 32, "masks", tmp_path / "own")
    assert first.images.shape == (20, 32, 32) and first.masks[0].sum() == 256
    about = tmp_path / "own" / "Shenzhen-32" / "about.json"
    made = about.stat().st_mtime_ns
    again = real_films(raw, 32, "masks", tmp_path / "own")
    assert about.stat().st_mtime_ns == made
    np.testing.assert_array_equal(first.images, again.images)


def test_synthetic_films_are_split_into_three_parts():
    films = synthetic_films(8, 32, np.random.default_rng(0), "C")
    assert {name: len(rows) for name, rows in films.rows.items()} == {
        "train": 5, "validation": 1, "test": 2,
    }  # fmt: skip
    assert np.concatenate(list(films.rows.values())).tolist() == list(range(8))
    assert films.name == "synthetic, hospital C" and films.opacities.any()
