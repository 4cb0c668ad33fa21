"""The synthetic X-rays: exact, repeatable, and not to be had by their brightness."""

import os

import numpy as np
import pytest
from full_disk import FULL, nothing
from scipy.stats import rankdata

from data_prep import synthetic_disease, synthetic_sets
from data_prep.__main__ import main
from data_prep.synthetic import make_synthetic
from data_prep.synthetic_disease import draw_disease
from ums.data.prepared import load_prepared


def make(n=12, size=64, seed=0, **options):
    return make_synthetic(n, size, np.random.default_rng(seed), **options)


@pytest.fixture(scope="module")
def many():
    return make(200)


@pytest.fixture(scope="module")
def children():
    return make(90, hospital="C")


def auc(scores, labels):
    ranks, positives = rankdata(scores), labels.sum()
    lowest = positives * (positives + 1) / 2
    return (ranks[labels == 1].sum() - lowest) / (positives * (len(labels) - positives))


def test_the_same_seed_gives_the_same_bytes():
    for a, b in zip(make(), make(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_seed_or_hospital_gives_other_patients():
    assert (make().masks != make(seed=1).masks).any(axis=(1, 2)).all()
    assert (make().masks != make(hospital="B").masks).any(axis=(1, 2)).all()


def test_opacities_lie_in_the_lungs_of_abnormal_patients_only(many):
    assert (many.opacities <= many.masks).all()
    np.testing.assert_array_equal(many.opacities.any(axis=(1, 2)), many.labels == 1)
    assert many.labels.sum() == 100


@pytest.mark.parametrize("hospital", ["A", "B", "C"])
def test_lung_masks_are_two_fields_of_plausible_size(hospital):
    masks = make(hospital=hospital).masks
    share = masks.mean(axis=(1, 2))
    assert 0.1 < share.min() and share.max() < 0.45
    assert (masks[:, :, :32].any(axis=(1, 2)) & masks[:, :, 32:].any(axis=(1, 2))).all()


def test_the_disease_does_not_move_the_lung_mask():
    well, ill = make(abnormal_fraction=0.0), make(abnormal_fraction=1.0)
    np.testing.assert_array_equal(well.masks, ill.masks)


def test_lungs_are_darker_than_what_is_beside_them(many):
    lungs = (many.images * many.masks).sum((1, 2)) / many.masks.sum((1, 2))
    middle = many.images[:, 24:48, 28:36].mean((1, 2))
    assert (lungs < middle).mean() > 0.99


def test_opacities_brighten_the_lung(many):
    ill = many.labels == 1
    images, spots = many.images[ill].astype(float), many.opacities[ill]
    rest = many.masks[ill] - spots
    inside = (images * spots).sum((1, 2)) / spots.sum((1, 2))
    assert (inside > (images * rest).sum((1, 2)) / rest.sum((1, 2))).mean() > 0.85


def test_mean_brightness_does_not_tell_the_label(many):
    assert 0.35 < auc(many.images.mean((1, 2)), many.labels) < 0.65


def test_children_are_normal_bacterial_and_viral_in_equal_parts(children):
    assert np.bincount(children.labels).tolist() == [30, 30, 30]
    assert (children.opacities <= children.masks).all()
    np.testing.assert_array_equal(children.opacities.any(axis=(1, 2)), children.labels > 0)


def test_a_childs_heart_takes_more_of_the_chest(many, children):
    def between_the_lungs(masks):
        """The share of the chest's width that is not lung, in the rows of the heart."""
        rows = masks[:, 36:42].any(axis=1)
        width = 64 - rows.argmax(axis=1) - rows[:, ::-1].argmax(axis=1)
        return 1 - rows.sum(axis=1) / width

    adults = between_the_lungs(many.masks)
    assert between_the_lungs(children.masks).mean() > adults.mean() + adults.std()


def test_bacteria_fill_one_lung_and_viruses_touch_both(children):
    left, right = (
        children.opacities[:, :, half].sum((1, 2)) for half in (slice(32), slice(32, 64))
    )
    smaller = np.minimum(left, right) / np.maximum(left + right, 1)
    assert smaller[children.labels == 1].mean() < 0.02
    assert (smaller[children.labels == 2] > 0.15).mean() > 0.9


def test_the_two_pneumonias_look_different(children):
    images, masks = children.images.astype(float), children.masks.astype(float)
    left, right = (
        (images * masks)[:, :, half].sum((1, 2)) / masks[:, :, half].sum((1, 2))
        for half in (slice(32), slice(32, 64))
    )
    uneven, labels = abs(left - right), children.labels
    bacterial, viral = labels != 2, labels != 1
    assert auc(uneven[bacterial], labels[bacterial]) > 0.9
    assert auc(uneven[viral], labels[viral] // 2) < 0.75
    assert auc(uneven[labels > 0], 2 - labels[labels > 0]) > 0.85


@pytest.mark.parametrize("size", [32, 45, 128, 150])
def test_any_size_from_32_is_drawn(size):
    made = make(2, size, abnormal_fraction=1.0)
    assert made.images.shape == (2, size, size) and made.images.std() > 20
    assert made.opacities.any(axis=(1, 2)).all()


@pytest.mark.parametrize(
    ("n", "size", "options", "message"),
    [
        (0, 64, {}, "0 images"),
        (2, 31, {}, "31 pixels"),
        (2, 64, {"hospital": "D"}, "'D'"),
        (2, 64, {"abnormal_fraction": 1.5}, r"1\.5"),
    ],
)
def test_impossible_wishes_are_refused(n, size, options, message):
    with pytest.raises(ValueError, match=message):
        make(n, size, **options)


def test_the_command_line_writes_a_prepared_folder(tmp_path):
    out = tmp_path / "B"
    code = main(["synthetic", str(out), "--images", "10", "--size", "32", "--hospital", "B"])
    made = load_prepared(out)
    assert code == 0 and list(made.patients[:2]) == ["B0001", "B0002"] and made.has_mask.all()
    assert [np.sum(made.splits == s) for s in ("train", "validation", "test")] == [7, 2, 1]
    assert made.opacities is not None and made.about["settings"]["hospital"] == "B"


def test_what_is_drawn_waits_on_disk_and_leaves_nothing_behind(tmp_path, monkeypatch):
    given, save = {}, synthetic_sets.save_prepared

    def keep(out, content, **options):
        given.update(vars(content))
        return save(out, content, **options)

    monkeypatch.setattr(synthetic_sets, "save_prepared", keep)
    (tmp_path / ".A.drawn").mkdir()  # a killed run's: there is no such process
    assert main(["synthetic", str(tmp_path / "A"), "--images", "4", "--size", "32"]) == 0
    assert all(isinstance(given[name], np.memmap) for name in ("images", "masks", "opacities"))
    assert os.listdir(tmp_path) == ["A"]


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="not to be asked of this system")
def test_a_disk_too_small_is_an_error_before_anything_is_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "posix_fallocate", nothing(FULL))
    assert main(["synthetic", str(tmp_path / "A"), "--images", "4", "--size", "32"]) == 2
    assert "No space left on device" in capsys.readouterr().err and not os.listdir(tmp_path)


def test_on_disk_or_in_memory_the_same_is_drawn(tmp_path):
    for one, other in zip(make(4, 32), make(4, 32, folder=tmp_path), strict=True):
        np.testing.assert_array_equal(one, other)


def test_hospital_c_comes_with_a_test_part_and_no_validation_part(tmp_path):
    out = tmp_path / "C"
    assert main(["synthetic", str(out), "--images", "30", "--size", "32", "--hospital", "C"]) == 0
    made = load_prepared(out)
    assert made.about["counts"]["labels"]["pneumonia"] == {
        "train": {"0": 8, "1": 8, "2": 8}, "validation": {}, "test": {"0": 2, "1": 2, "2": 2},
    }  # fmt: skip
    assert made.about["label_values"]["pneumonia"] == {
        "0": "normal",
        "1": "bacterial",
        "2": "viral",
    }


def test_the_share_of_ill_children_can_be_told():
    assert np.bincount(make(12, 32, hospital="C", abnormal_fraction=0.5).labels).tolist() == [
        6,
        3,
        3,
    ]


def test_an_error_is_one_line_and_code_2(tmp_path, capsys):
    code = main(["synthetic", str(tmp_path / "x"), "--images", "0"])
    assert (
        code == 2 and capsys.readouterr().err == "error: 0 images asked for, should be at least 1\n"
    )


# ---------------------------------------------------------------------------- disease


@pytest.fixture
def lungs():
    """Positions from -1 to 1, and a field of which the right part is deeper."""
    x, y = np.meshgrid(*[np.linspace(-1, 1, 201, dtype=np.float32)] * 2)
    return x, y, (np.hypot(x + 0.5, y) < 0.3) | (np.hypot(x - 0.4, y - 0.1) < 0.4)


@pytest.mark.parametrize(("too_small", "tries"), [(0, 1), (3, 4), (7, 8), (8, 8)])
def test_disease_that_is_too_small_is_drawn_again_and_at_last_is_a_nodule(
    too_small, tries, lungs, monkeypatch
):
    x, y, field = lungs
    least, drawn = int(np.ceil(field.sum() / 150)), []

    def lobar(x, y, field, rng):
        mask = np.zeros(field.shape, bool)
        rows, columns = np.nonzero(field)
        enough = least - (len(drawn) < too_small)
        mask[rows[:enough], columns[:enough]] = mask[0, 0] = True  # the corner is no lung
        drawn.append(mask)
        return mask * 0.5, mask

    monkeypatch.setitem(synthetic_disease._MAKERS, "lobar", lobar)
    rng = np.random.default_rng(0)
    kind, density, mask = draw_disease(x, y, field, {"lobar": 1.0}, rng)
    assert len(drawn) == tries
    if too_small < 8:
        assert kind == "lobar" and mask.sum() == least and not mask[0, 0]
        return
    assert kind == "nodules"  # round, in the middle of the larger lung
    off = np.hypot(x - 0.4, y - 0.1)
    np.testing.assert_array_equal(
        mask[abs(off - 0.09) > 0.015], (off < 0.09)[abs(off - 0.09) > 0.015]
    )
    np.testing.assert_allclose(density**2, np.maximum(1 - (off / 0.09) ** 2, 0), atol=0.3)
    assert density.max() == 1 and not density[off > 0.11].any()


@pytest.mark.parametrize(("n", "kept"), [(3, False), (4, True)])
def test_disease_in_a_small_field_has_four_pixels_at_least(n, kept, monkeypatch):
    x, y = np.meshgrid(*[np.linspace(-1, 1, 12, dtype=np.float32)] * 2)
    mask = np.zeros(x.shape, bool)
    mask[2, 2 : 2 + n] = True
    monkeypatch.setitem(
        synthetic_disease._MAKERS, "lobar", lambda *given: (mask * 1.0, mask.copy())
    )
    kind, *_ = draw_disease(x, y, x < 2, {"lobar": 1.0}, np.random.default_rng(0))
    assert (kind == "lobar") == kept


@pytest.mark.parametrize("hospital", "ABC")
def test_kinds_of_disease_are_as_frequent_as_their_hospital_has_them(hospital):
    expected = {
        "A": [{"infiltrate": 0.34, "consolidation": 0.26, "ground glass": 0.12, "nodules": 0.18,
               "effusion": 0.10}],
        "B": [{"infiltrate": 0.10, "consolidation": 0.34, "ground glass": 0.22, "nodules": 0.12,
               "effusion": 0.22}],
        "C": [{"lobar": 1.0}, {"interstitial": 1.0}],
    }  # fmt: skip
    assert list(synthetic_disease.MIXTURES[hospital]) == expected[hospital]
