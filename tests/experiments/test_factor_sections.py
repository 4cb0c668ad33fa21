"""The sections on factors: each level's contrasts, beside the study's own."""

from dataclasses import fields

import pytest
from made_records import in_memory, jobs_of, study_of

from ums.experiments.arms import PRIMARY_ARMS
from ums.experiments.factors import FACTORS
from ums.experiments.names import SIMILAR
from ums.experiments.report import words
from ums.experiments.report.factors import BENEFITS, benefits, factor_sections, sentences
from ums.experiments.results.groups import GroupResults
from ums.experiments.settings import Settings

LABELS = {"": 150, "labels: 500 labels": 500, "labels: 50 labels": 50, "source: no steps": 150}


def made(parts=tuple(LABELS)):
    """A study with a part for each level, and the results of its main part."""
    jobs = {
        part: jobs_of(SIMILAR, PRIMARY_ARMS, replicates=2 + number)
        for number, part in enumerate(parts)
    }
    settings = {part: {words.NUMBER_OF_LABELS: LABELS[part]} for part in parts}
    return study_of(jobs, parts=settings), [GroupResults(in_memory(jobs[""]), SIMILAR)]


def test_factors_and_the_setting_of_labels_are_called_as_the_study_calls_them():
    assert set(words.FACTORS) == {factor.name for factor in FACTORS}
    (labels,) = (f for f in fields(Settings) if f.name == "labels")
    assert labels.metadata["help"] == words.NUMBER_OF_LABELS


def test_benefits_are_plain_contrasts_of_each_level_by_the_number_of_labels():
    study, main = made()
    found = benefits(study, "labels", main)
    assert len(found) == 3 * 3 * 3
    first = [(each.level, each.labels) for each in found if each.name == "Joint − single"]
    assert list(dict.fromkeys(first)) == [
        ("50 labels", 50),
        ("150 labels", 150),
        ("500 labels", 500),
    ]
    level = GroupResults(study.parts["labels: 50 labels"], SIMILAR)
    expected = level.contrast("joint", "single", "bacterial-normal")
    one = next(each for each in found if (each.name, each.labels) == ("Joint − single", 50))
    assert one.contrast == expected and one.contrast.replicates == 4


def test_there_is_a_section_for_each_factor_that_was_varied():
    titles = [section.title for section in factor_sections(*made())]
    assert titles == ["Number of labels", "Length of the source's training"]
    assert factor_sections(*made(("",))) == []


def test_labels_have_a_curve_and_every_factor_has_a_table():
    labels, source = factor_sections(*made())
    assert [figure.name for figure in labels.figures] == ["benefit-labels"] and not source.figures
    rows = source.tables[0].rows
    assert [(row["Difference"], row["Level"]) for row in rows] == [
        (name, level) for name in BENEFITS for level in ("as in the study", "no steps")
    ]
    assert [row["Replicates"] for row in rows[:2]] == [2, 5]


def test_levels_are_told_in_words():
    study, main = made()
    found = benefits(study, "source", main)
    main_level, other = sentences(found)
    assert main_level.startswith("As in the study: sharing, against one task alone, ")
    assert other.startswith("No steps: ") and "of 6; pretraining" in other and "of 3." in other


@pytest.mark.parametrize("missing", ["scratch", "joint"])
def test_level_without_an_arm_has_no_contrast_with_it(missing):
    arms = [arm for arm in PRIMARY_ARMS if arm != missing]
    jobs = {part: jobs_of(SIMILAR, arms) for part in ("", "source: no steps")}
    settings = {part: {words.NUMBER_OF_LABELS: 150} for part in jobs}
    main = [GroupResults(in_memory(jobs[""]), SIMILAR)]
    found = benefits(study_of(jobs, parts=settings), "source", main)
    assert {each.name for each in found} == {
        name for name, pair in BENEFITS.items() if missing not in pair
    }
