"""Names and random numbers of jobs, and the print of the data that they are kept by."""

import re
import zlib
from dataclasses import fields, replace
from itertools import product

import numpy as np
import pytest

from data_prep.writing import Content, save_prepared
from ums.experiments.arms import ARMS
from ums.experiments.datasets import fingerprint
from ums.experiments.jobs import (
    CASES,
    PICTURES,
    PILOT,
    SOURCE,
    SOURCE_TEST,
    TRIAL,
    TUNE,
    Job,
    generator,
)

JOB = Job(TUNE, "diverse", "joint", replicate=3, seed=4)

# ---------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("job", "name"),
    [
        (JOB, "diverse-joint-replicate3-seed4"),
        (Job(SOURCE, replicate=1), "source-replicate1-seed0"),
        (Job(CASES, "similar", seed=7), "similar-cases-seed7"),
        (Job(TRIAL, arm="kernel3", seed=7), "kernel3-seed7"),
        (Job(PILOT, "similar", "joint", -2, 3), "similar-joint-trial3-pilot2-seed0"),
    ],
)
def test_name_carries_what_the_job_is(job, name):
    assert job.name == name


def test_no_two_jobs_have_one_name():
    groups, arms, seeds = ("diverse", "similar"), tuple(ARMS), (0, 1, 11)
    jobs = [Job(CASES, group, seed=seed) for group in groups for seed in seeds]
    jobs += [
        Job(k, "", "", r, 0, s) for k in (SOURCE, SOURCE_TEST) for r in (1, 11, -1) for s in seeds
    ]
    jobs += [Job(PICTURES, group, "", 1, 0, seed) for group in groups for seed in seeds]
    jobs += [Job(TUNE, *own) for own in product(groups, arms, (1, 2, 11), (0,), seeds)]
    jobs += [Job(PILOT, *own) for own in product(groups, arms, (-1, -2, -11), (1, 2, 11), seeds)]
    assert len({job.name for job in jobs}) == len(jobs)
    assert all(re.fullmatch("[a-z0-9-]+", job.name) for job in jobs)  # a file name anywhere


def test_record_of_a_job_names_every_field():
    assert JOB.to_dict() == {field.name: getattr(JOB, field.name) for field in fields(Job)}


# ---------------------------------------------------------------------------- random numbers


def drawn(rng):
    return rng.integers(2**62, size=3).tolist()


def test_generator_depends_on_seed_stream_and_replicate_only():
    first = drawn(generator(0, "source"))
    np.random.default_rng(0).normal(size=100)
    assert drawn(generator(0, "source")) == first
    others = [(1, "source"), (0, "noise"), (1, "noise")]
    others += [(0, "source", replicate) for replicate in (1, 2, -1, -2)]
    assert len({tuple(drawn(generator(*own))) for own in [(0, "source"), *others]}) == 8


def test_generator_is_numpy_s_of_seed_stream_and_replicate():
    for replicate, number in ((0, 0), (3, 3), (-1, 2**32 - 1)):
        expected = drawn(np.random.default_rng([5, zlib.crc32(b"source"), number]))
        assert drawn(generator(5, "source", replicate)) == expected


def test_job_draws_by_its_seed_and_replicate():
    assert drawn(JOB.generator("head")) == drawn(generator(4, "head", 3))
    assert drawn(replace(JOB, replicate=1).generator("head")) != drawn(JOB.generator("head"))


# ---------------------------------------------------------------------------- data


def prepared(folder, **changes):
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8), dtype=np.uint8)
    columns = {
        "images": images,
        "ids": list("abcd"),
        "patients": list("abcd"),
        "splits": ["train", "train", "validation", "test"],
        "labels": {"abnormal": [0, 1, 0, 1]},
        "masks": images % 2,
    }
    return save_prepared(folder, Content(**columns | changes))


def test_fingerprint_is_of_the_contents_and_not_of_the_place(tmp_path):
    one, two = (prepared(tmp_path / name) for name in "ab")
    assert fingerprint(one) == fingerprint(two)


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": {"abnormal": [0, 1, 1, 1]}},
        {"labels": {"quality": [0, 1, 0, 1]}},
        {"splits": ["train", "validation", "validation", "test"]},
        {"ids": list("abce")},
        {"patients": list("aacd")},
        {"masks": np.triu(np.ones((4, 8, 8), np.uint8))},
        {"masks": None},
        {"opacities": np.zeros((4, 8, 8), np.uint8)},
    ],
)
def test_fingerprint_changes_with_any_content(changes, tmp_path):
    assert fingerprint(prepared(tmp_path / "a")) != fingerprint(prepared(tmp_path / "b", **changes))


def test_fingerprint_changes_with_one_pixel(tmp_path):
    one = prepared(tmp_path / "a")
    images = np.array(one.images)
    images[-1, -1, -1] ^= 1
    assert fingerprint(prepared(tmp_path / "b", images=images, masks=one.masks)) != fingerprint(one)


def test_fingerprint_is_of_the_images_that_were_opened(tmp_path):
    whole = prepared(tmp_path / "a")
    assert fingerprint(whole.subset(np.array([0, 1]))) != fingerprint(whole)
    assert fingerprint(whole.subset(np.array([1, 0]))) != fingerprint(
        whole.subset(np.array([0, 1]))
    )
