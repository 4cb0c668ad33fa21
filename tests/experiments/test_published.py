"""Records that are published with the project: smaller, and the numbers of the page follow from them."""

from dataclasses import replace

import numpy as np
import pytest
from made_records import jobs_of, study_of

from ums.experiments.jobs import PICTURES, Job
from ums.experiments.names import DIVERSE, HELD_OUT, TEST
from ums.experiments.report import answer
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.published import FOLDER, publish, published

ARMS = ("single", "scratch", "alternating", "joint")
LEVEL = "labels: 50 labels"


def made(group=DIVERSE):
    """A study with pictures, and a level of a factor."""
    pictures = {Job(PICTURES, group, replicate=1): {}}
    study = study_of({"": jobs_of(group, ARMS) | pictures, LEVEL: jobs_of(group, ARMS[:2])})
    level = study.parts[LEVEL]
    study.parts[LEVEL] = replace(level, files=tuple(f"50-{file}" for file in level.files))
    return study


@pytest.fixture
def path(tmp_path):
    """What is published of a study."""
    path = tmp_path / "published" / "cxr.json.xz"
    publish(made(), path)
    return path


@pytest.mark.parametrize("part", ["", LEVEL])
@pytest.mark.parametrize("task", ["lungs", "abnormality"])
def test_contrasts_of_published_records_are_those_of_the_study(task, part, path):
    studies = (made(), published("cxr", path.parent))
    groups = [GroupResults(study.parts[part], DIVERSE) for study in studies]
    own, read = (group.contrast("single", "scratch", task) for group in groups)
    found, expected = ([c.mean, *c.trainings, *c.both] for c in (read, own))
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert read.replicates == own.replicates == 2


def test_costs_and_images_put_aside_are_published_of_the_study_itself(path):
    own, read = (
        GroupResults(s.parts[""], DIVERSE) for s in (made(), published("cxr", path.parent))
    )
    for arm in ARMS:
        for task in own.tasks:
            one, other = (g.costs[arm][task.name][1] for g in (own, read))
            assert (one[1:], one.history.validation) == (other[1:], other.history.validation)
            aside = [g.estimate(arm, task.name, "", HELD_OUT).values for g in (own, read)]
            np.testing.assert_allclose(*aside, atol=2e-3)
    assert [task.cases for task in read.tasks] == [{HELD_OUT: 20, TEST: 40}] * 2


def test_nothing_is_published_of_pictures_and_a_level_s_costs(path):
    read = published("cxr", path.parent)
    assert all(r["job"]["kind"] != PICTURES for r in read.parts[""].records)
    level = GroupResults(read.parts[LEVEL], DIVERSE)
    assert not any(level.costs.values()) and not level.has("single", "lungs", HELD_OUT)


def test_page_shows_what_is_published_beside_its_own(path, monkeypatch):
    read = published("cxr", path.parent)
    monkeypatch.setattr(answer, "published", lambda name: read if name == "cxr" else None)
    section = answer.published_section("cxr")
    assert section.title == "Beside it: the published records, 2 replicates"
    assert [block.name for block in section.blocks] == ["published-contrasts"] * 2
    assert answer.published_section("mri") is None


def test_file_that_is_not_as_it_was_written_is_named(path):
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=str(path)):
        published("cxr", path.parent)


def test_what_was_changed_by_hand_is_refused(path, monkeypatch):
    monkeypatch.setattr("ums.experiments.results.published.digest_of", lambda content: "other")
    with pytest.raises(ValueError, match="damaged or was changed"):
        published("cxr", path.parent)


def test_a_name_under_which_nothing_is_published_has_no_records(tmp_path):
    assert published("cxr", tmp_path) is None


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json.xz")), ids=lambda path: path.name)
def test_every_published_study_is_small_and_can_be_read(path):
    study = published(path.name.removesuffix(".json.xz"))
    assert path.stat().st_size < 15e6
    for group in study.parts[""].groups:
        assert GroupResults(study.parts[""], group).replicates > 1
