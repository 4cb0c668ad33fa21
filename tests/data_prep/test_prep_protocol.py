"""The paper's counts: asserted on whole sets, reported beside parts of them."""

import pytest

from data_prep.protocol import COUNTS, compare, lines


def found(name, **change):
    return {"found": COUNTS[name] | change}


@pytest.mark.parametrize("name", COUNTS)
def test_the_papers_own_counts_agree_with_themselves(name):
    counts = dict(COUNTS[name])
    images = counts.pop("images")
    counts.pop("masks", None)
    assert sum(counts.values()) == images


@pytest.mark.parametrize("name", COUNTS)
def test_the_whole_set_as_published_is_no_problem(name):
    about = found(name)
    assert compare(name, about, "raw") == [] and about["paper"] == COUNTS[name]
    assert about["protocol"].startswith("paper: ")


def test_as_many_images_but_another_class_count_is_a_problem():
    problems = compare("Shenzhen", found("Shenzhen", normal=325, abnormal=337), "raw")
    assert problems[0] == (
        "raw", "Shenzhen should be 662 images as in the paper: 325 normal, not 326",
    )  # fmt: skip
    assert len(problems) == 2


def test_more_images_than_the_paper_has_are_a_problem():
    assert (
        "139 images, not 138" in compare("Montgomery", found("Montgomery", images=139), "r")[0][1]
    )


def test_a_part_is_no_problem_and_is_reported_beside_the_paper():
    about = found("Shenzhen", images=9, normal=4, abnormal=5, masks=8) | {"name": "Shenzhen"}
    assert compare("Shenzhen", about, "raw") == []
    (text,) = lines(about | {"counts": {"images": 7}})
    assert text == (
        "Shenzhen, not the whole set: found images 9 (paper 662); normal 4 (paper 326); "
        "abnormal 5 (paper 336); masks 8 (paper 566); kept 7 images"
    )
    whole = found("Shenzhen") | {"name": "Shenzhen", "counts": {"images": 662}}
    compare("Shenzhen", whole, "raw")
    assert lines(whole)[0].startswith("Shenzhen, the whole set: ")


def test_a_class_that_was_not_counted_is_not_reported():
    about = {"name": "Shenzhen", "found": {"images": 9, "masks": 8}, "counts": {"images": 7}}
    assert lines(about) == [
        "Shenzhen, not the whole set: found images 9 (paper 662); masks 8 (paper 566); kept 7 images"
    ]


def test_both_sides_of_a_set_have_a_line_with_their_own_counts():
    sides = {"train": {"images": 5232}, "test": {"images": 9}}
    about = {"name": "Pediatric", "found": sides, "counts": {"train": 5000, "test": 8}}
    assert lines(about) == [
        "Pediatric train, the whole set: found images 5232 (paper 5232); kept 5000 images",
        "Pediatric test, not the whole set: found images 9 (paper 624); kept 8 images",
    ]
