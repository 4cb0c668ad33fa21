"""When sharing pays, in words and tables: from made-up contrasts whose verdicts are known."""

import numpy as np
import pytest
from made_records import in_memory, jobs_of, results_of

from ums.experiments.names import DIVERSE, SIMILAR
from ums.experiments.report.answer import (
    Answer,
    answer_section,
    answers,
    power_section,
    power_sentences,
    primary_sentences,
    secondary_sentences,
    spreads,
)
from ums.experiments.report.words import (
    claims_counted,
    contrasts_counted,
    failed_trainings,
    listed,
    percent,
)
from ums.experiments.results.contrasts import QUESTIONS
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.pilots import replicates_needed, verdict_chances
from ums.experiments.results.verdicts import Contrast, Verdict
from ums.metrics.significance import Interval

ARMS = ("single", "scratch", "alternating", "joint", "independent")
HOLDS, REFUTED, NEGLIGIBLE, OPEN = (
    Verdict.HOLDS, Verdict.REFUTED, Verdict.NEGLIGIBLE, Verdict.OPEN,
)  # fmt: skip


def test_failed_trainings_are_counted_in_words():
    jobs = jobs_of(DIVERSE, ("single", "joint"), replicates=3)
    for job, record in jobs.items():
        if (job.arm, job.replicate) in (("joint", 1), ("single", 2)):
            for scores in record["tasks"]["lungs"]["own epoch"].values():
                scores["IoU"] = scores["IoU"] * (0.1 if job.arm == "joint" else 0.7)
    assert failed_trainings([GroupResults(in_memory(jobs), DIVERSE)]) == (
        "Trainings for a segmentation failed, with less than half of their arm's median score: "
        "joint (1 of 3)."
    )
    assert failed_trainings([results_of(DIVERSE, replicates=3)]) == ""


@pytest.mark.parametrize(
    ("verdicts", "claims", "contrasts"),
    [
        ([OPEN] * 3, "3 stay open", "is open in 3"),
        ([OPEN, HOLDS, HOLDS], "2 hold and 1 stays open", "scores higher in 2 and is open in 1"),
        (
            [NEGLIGIBLE, REFUTED, HOLDS],
            "1 holds, 1 is refuted and 1 is negligible",
            "scores higher in 1, scores lower in 1 and differs by less than the margin in 1",
        ),
        ([], "", ""),
    ],
)
def test_verdicts_are_counted_in_words(verdicts, claims, contrasts):
    assert claims_counted(verdicts) == claims
    assert contrasts_counted(verdicts) == contrasts


def test_lists_and_shares_are_written_out():
    assert listed("abc") == "a, b and c" and listed("a") == "a" and listed([]) == ""
    assert percent(0.256) == "26 %" and percent(np.nan) == "none"


# ---------------------------------------------------------------------------- sentences


def made(question, task, mean, half, group=SIMILAR):
    """An answer with a given contrast."""
    results = results_of(group, arms=ARMS)
    info = results.task(task)
    interval = Interval(mean - half, mean + half)
    margin = 0.01 if info.measure == "IoU" else 0.05
    return Answer(QUESTIONS[question], results, info, Contrast(mean, interval, interval, 2, margin))


def test_primary_contrasts_are_counted_and_ordered_by_their_margins():
    found = [
        made(0, "viral-normal", 0.2, 0.1),
        made(1, "viral-normal", 0.3, 0.4),
        made(0, "lungs", 0.1, 0.01, DIVERSE),  # ten margins, where 0.3 MCC are six
        made(1, "lungs", -0.05, 0.01, DIVERSE),
        made(0, "abnormality", 0.0, 0.04, DIVERSE),
        made(4, "viral-normal", 9.0, 0.1),  # another question
    ]
    counts, ends, pays, costs, alike = primary_sentences(found)
    assert (
        "scores higher in 2, scores lower in 1, differs by less than the margin in 1 and is open"
        in counts
    )
    assert "of 5 comparisons over 2 replicates" in counts
    low = "joint, lung segmentation (IoU −0.050 [−0.060, −0.040])"
    high = "alternating, lung segmentation (IoU +0.100 [+0.090, +0.110])"
    assert ends == f"From the lowest to the highest: {low} to {high}."
    assert (
        pays == f"It pays for {high}; alternating, viral vs normal (MCC +0.200 [+0.100, +0.300])."
    )
    assert costs == f"It costs for {low}." and "alternating, abnormality" in alike


def test_other_questions_have_a_sentence_each():
    found = [made(4, "viral-normal", 0.2, 0.1), made(4, "bacterial-viral", 0.2, 0.3)]
    (line,) = secondary_sentences(found)
    text = "a start from the source, against random weights"
    assert line == f"Pretraining ({text}) scores higher in 1 and is open in 1 of 2 tasks."


def test_study_without_the_arms_says_nothing():
    assert primary_sentences([]) == secondary_sentences([]) == []
    assert answers([results_of(SIMILAR, arms=("independent", "joint"))]) == []


# ---------------------------------------------------------------------------- the section


def test_section_has_a_row_for_each_question_and_a_column_for_each_task():
    groups = [results_of(name, arms=ARMS) for name in (DIVERSE, SIMILAR)]
    found = answers(groups)
    section = answer_section(groups, found)
    (table,) = section.tables
    assert [row["Question"] for row in table.rows] == [
        "Sharing, alternating", "Sharing, joint", "Pretraining", "Freezing",
    ]  # fmt: skip
    assert table.rows[0]["Difference"] == "Alternating − single"
    contrast = groups[1].contrast("joint", "single", "viral-normal", "", 10)
    assert table.rows[1]["Viral vs normal, MCC"] == contrast
    plain = groups[0].contrast("single", "scratch", "lungs")
    assert table.rows[2]["Lung segmentation, IoU"] == plain
    assert [figure.name for figure in section.figures] == ["contrasts"]
    assert "conditional" not in section.text


def test_section_says_for_whom_intervals_hold_where_replicates_share_patients():
    groups = [results_of(SIMILAR, arms=ARMS, overlap=0.25)]
    text = answer_section(groups, answers(groups)).text
    assert "conditional on these patients" in text and "25 %" in text


# ---------------------------------------------------------------------------- few replicates


def test_spread_is_that_of_the_primary_differences_over_replicates():
    group = results_of(SIMILAR, arms=ARMS, replicates=3)
    found = answers([group])
    variances = [
        np.var(
            group.estimate(arm, task.name).values - group.estimate("single", task.name).values,
            ddof=1,
        )
        for arm in ("alternating", "joint")
        for task in group.tasks
    ]
    assert spreads(found) == {"MCC": (pytest.approx(np.sqrt(np.mean(variances))), 3)}


def test_what_replicates_settle_is_said_with_the_chances_of_the_verdicts():
    (line,) = power_sentences({"MCC": (0.08, 5)}, 10)
    chance = verdict_chances(0.1, 0.08, 5, 0.05, 10)[HOLDS]
    said = (
        "With 5 replicates, a true difference of 0.1 MCC by sharing is found with a probability of"
    )
    assert line.startswith(f"{said} {percent(chance)} ")
    assert f"takes {replicates_needed(0.08, 0.05, 10)} replicates" in line


def test_table_of_chances_marks_the_number_of_the_study():
    groups = [results_of(SIMILAR, arms=ARMS, replicates=3)]
    rows = power_section(groups, answers(groups)).tables[0].rows
    assert [row["Replicates"] for row in rows] == [3, 10, 20, 40]
    assert [row["Note"] for row in rows] == ["this study", "", "", ""]
    found = [row["Found"] for row in rows]
    assert found == sorted(found) and 0 <= found[0] < found[-1] <= 1


def test_one_replicate_has_no_spread_and_no_chances():
    groups = [results_of(SIMILAR, arms=ARMS, replicates=1)]
    found = answers(groups)
    assert spreads(found) == {} and power_section(groups, found) is None
    assert "over 1 replicate of" in primary_sentences(found)[0]
