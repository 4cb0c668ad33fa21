"""What a replicate is trained on: blocks of patients of its own where the pool has enough of them."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from ums.experiments.replicates import PILOTS, Draw, Pool, thinned

ALL = (1, 2, 3, 4, -1, -2, -3)
"""Four replicates, and those of a pilot."""


def pool_of(n=420, images=40, replicates=4, each=2, seed=0, classes=(0, 0, 0, 1)):
    """A pool of n images, ``each`` of a patient who has one class, in rows that begin at 100."""
    patients = np.arange(n) // each
    strata = np.array(classes)[patients % len(classes)]
    return Pool(np.arange(n) + 100, patients, strata, images, replicates, seed, "lungs")


def patients_of(pool, rows):
    return set(pool.patients[rows - 100].tolist())


def rows_of(draw):
    return [draw.train.tolist(), draw.validation.tolist()]


# ---------------------------------------------------------------------------- blocks


@pytest.mark.parametrize("each", [1, 2, 3])
def test_no_two_replicates_or_pilots_share_a_patient(each):
    pool = pool_of(each=each)
    assert pool.disjoint and pool.overlap == 0
    found = [patients_of(pool, np.concatenate(rows_of(pool.draw(r))).astype(int)) for r in ALL]
    assert all(found) and not any(one & two for one, two in combinations(found, 2))


@pytest.mark.parametrize("n", [420, 90])
def test_no_patient_is_in_training_and_in_validation(n):
    pool = pool_of(n)
    for replicate in ALL:
        draw = pool.draw(replicate)
        assert not patients_of(pool, draw.train) & patients_of(pool, draw.validation)


@pytest.mark.parametrize("n", [420, 90])
def test_draw_has_the_images_asked_for_and_a_fifth_of_them_for_validation(n):
    """Whole patients of two images: a block may lack a few."""
    for replicate in ALL:
        draw = pool_of(n).draw(replicate)
        assert 36 <= len(draw.train) <= 41 and 6 <= len(draw.validation) <= 9
        assert all((np.diff(rows) > 0).all() for rows in (draw.train, draw.validation))


@pytest.mark.parametrize("n", [420, 90])
def test_draw_has_every_class_in_its_proportion(n):
    pool = pool_of(n)
    for replicate in ALL:
        draw = pool.draw(replicate)
        assert pool.strata[draw.train - 100].mean() == pytest.approx(0.25, abs=0.06)
        assert 1 <= pool.strata[draw.validation - 100].sum() <= 3


def test_rows_outside_the_pool_are_never_drawn():
    pool = pool_of(90)
    some = replace(pool, rows=pool.rows[::2], patients=np.arange(45), strata=pool.strata[::2])
    for replicate in ALL:
        assert {*np.concatenate(rows_of(some.draw(replicate)))} <= set(some.rows.tolist())


# ---------------------------------------------------------------------------- a small pool


@pytest.mark.parametrize(
    ("n", "replicates", "overlap"),
    [
        (48 * 4, 4, 0),  # a block of 48 for each
        (48 * 4 - 1, 4, 48 / 191),
        (48 * 4, 5, 48 / 192),
        (60, 4, 48 / 60),
        (30, 4, 1),  # each takes all there is
    ],
)
def test_replicates_overlap_where_there_is_no_block_for_each(n, replicates, overlap):
    pool = pool_of(n, replicates=replicates, each=1)
    assert pool.overlap == pytest.approx(overlap) and pool.disjoint == (overlap == 0)


def test_overlap_is_the_share_that_two_replicates_have_in_common():
    pool = pool_of(90, each=1)
    found = [set(np.concatenate(rows_of(pool.draw(r))).tolist()) for r in range(1, 9)]
    shared = [len(one & two) / len(one) for one, two in combinations(found, 2)]
    assert not pool.disjoint and np.mean(shared) == pytest.approx(pool.overlap, abs=0.05)


def test_pool_that_is_too_small_gives_all_its_images():
    draws = [pool_of(30, each=1).draw(r) for r in (1, 2)]
    for draw in draws:
        assert sorted(np.concatenate(rows_of(draw))) == list(range(100, 130))
        assert len(draw.validation) == 5
    assert rows_of(draws[0]) != rows_of(draws[1])


def test_pool_without_enough_patients_of_a_class_is_named():
    pool = pool_of(40, classes=(0,) * 19 + (1,))
    with pytest.raises(ValueError, match=r"^lungs: part \d of 2, .* no patient of class 1, of 1$"):
        pool.draw(1)


@pytest.mark.parametrize(("patients", "disjoint"), [(16, True), (15, False)])
def test_every_block_has_four_patients_of_each_class(patients, disjoint):
    pool = pool_of(48 * 7, each=1, classes=(1,) * patients + (0,) * (48 * 7 - patients))
    assert pool.disjoint == disjoint
    for replicate in ALL:
        draw = pool.draw(replicate)
        assert all(1 in pool.strata[rows - 100] for rows in (draw.train, draw.validation))


# ---------------------------------------------------------------------------- random numbers


@pytest.mark.parametrize("n", [420, 90])
def test_draw_depends_on_seed_replicate_and_pool_alone(n):
    first = rows_of(pool_of(n).draw(2))
    again = pool_of(n)
    for replicate in (4, -1, 1):
        again.draw(replicate)
    assert rows_of(again.draw(2)) == first
    assert rows_of(pool_of(n, seed=1).draw(2)) != first != rows_of(again.draw(3))
    assert rows_of(replace(pool_of(n), name="other").draw(2)) != first


def test_more_replicates_keep_what_the_first_drew():
    few, more = pool_of(replicates=2), pool_of(replicates=5)
    assert more.disjoint
    assert [rows_of(few.draw(r)) for r in ALL] == [rows_of(more.draw(r)) for r in ALL]
    few, more = pool_of(90, replicates=2), pool_of(90, replicates=50)
    assert [rows_of(few.draw(r)) for r in ALL] == [rows_of(more.draw(r)) for r in ALL]


def test_last_replicate_and_last_pilot_have_blocks_of_their_own():
    pool = pool_of(48 * 7, replicates=7 - PILOTS, each=1)
    assert pool.disjoint and len({pool.draw(r).digest for r in ALL}) == 7


def test_pilot_without_a_block_of_its_own_draws_from_the_whole_pool():
    pool = pool_of(48 * 7, replicates=6, each=1)
    of_pilots = [pool._chosen(-r) for r in (1, 2)]
    assert pool.disjoint and [len(rows) for rows in of_pilots] == [48, 48 * 7]


def test_digest_tells_draws_apart():
    one = Draw(np.array([1, 2]), np.array([3]))
    assert one.digest == Draw(np.array([1, 2]), np.array([3])).digest
    others = [Draw(np.array([1, 3]), np.array([2])), Draw(np.array([1]), np.array([2, 3]))]
    assert len({draw.digest for draw in (one, *others)}) == 3


# ---------------------------------------------------------------------------- a share of each class


def test_thinned_rows_are_a_share_of_each_class_in_order():
    rows, strata = np.arange(4, 34), np.repeat([7, 0, 1, 2], [4, 20, 8, 2])
    few = thinned(rows, strata, 0.25, np.random.default_rng(0))
    assert np.bincount(strata[few]).tolist() == [5, 2, 1]  # half of one is still one
    assert set(few) < set(rows) and (np.diff(few) > 0).all()


def test_smaller_share_is_a_part_of_a_larger_one():
    rows, strata = np.arange(40), np.arange(40) % 2
    shares = [thinned(rows, strata, s, np.random.default_rng(3)) for s in (0.1, 0.5, 1.0)]
    assert set(shares[0]) < set(shares[1]) < set(shares[2]) == set(rows)
