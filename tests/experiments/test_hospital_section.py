"""The section across hospitals: its numbers are those of scikit-learn, or worked out by hand."""

import numpy as np
import pytest
from made_records import in_memory, jobs_of, labels_of, results_of
from scipy.special import expit

from ums.experiments import hospitals as recorded
from ums.experiments.names import DIVERSE, HELD_OUT, LOGITS, OWN_EPOCH, TEST, VALIDATION
from ums.experiments.report import hospitals
from ums.experiments.report.hospitals import DERIVED, OWN, hospital_sections
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.jackknife import Measured
from ums.experiments.results.scores import Estimate
from ums.experiments.results.verdicts import Contrast, contrast
from ums.metrics.significance import Interval

metrics = pytest.importorskip("sklearn.metrics")
linear = pytest.importorskip("sklearn.linear_model")

ARMS = ("independent", "joint", "separate")
THRESHOLDS = (0.5, -0.5)
"""Log odds with the highest sensitivity + specificity on the validation images, by replicate."""


def jobs_with_heads(**cases):
    """Records of two replicates, whose derived heads rank as well as is asked for; cases by place."""
    jobs, rng = jobs_of(DIVERSE, ARMS), np.random.default_rng(5)
    for job, record in jobs.items():
        if job.kind == "cases":
            record["heat map"]["task"] = "abnormality"
            for where, known in cases.items():
                record["tasks"]["abnormality"][where] |= known
        if job.kind != "tune":
            continue
        logits = [[1, 0], [0, THRESHOLDS[job.replicate - 1]], [0, -0.7], [0, 2]]
        record["tasks"]["abnormality"][VALIDATION] = {"label": [0, 1, 0, 1], LOGITS: logits}
        for where, scores in record["tasks"]["lungs"][OWN_EPOCH].items():
            scores["HD95"] = rng.uniform(2, 9, len(labels_of(where)))
        if job.arm != "separate":
            record["derived"] = {head: heads(rng, better) for better, head in enumerate(DERIVED)}
    return jobs


def heads(rng, better):
    """Logits of a derived head at each place."""
    return {
        where: {LOGITS: np.stack([np.zeros(n), rng.normal(better * labels_of(where))], axis=1)}
        for where, n in ((HELD_OUT, 20), (TEST, 40))
    }


def results(**cases):
    return GroupResults(in_memory(jobs_with_heads(**cases)), DIVERSE)


def tables(group):
    (section,) = hospital_sections(group)
    return {table.name.removeprefix("hospitals-"): table for table in section.tables}


def log_odds(group, arm, where, head):
    records = group.runs[arm]
    found = [
        (r["tasks"]["abnormality"][OWN_EPOCH] if head == OWN else r["derived"][head])[where][LOGITS]
        for r in records
    ]
    return np.diff(found)[..., 0]


PLACES = {HELD_OUT: "images put aside", TEST: "a test set"}


def test_study_without_derived_heads_has_no_such_section():
    assert hospital_sections(results_of(DIVERSE)) == []
    assert [section.title for section in hospital_sections(results())] == ["Across hospitals"]


def test_heads_are_named_as_they_are_recorded():
    assert (recorded.IN_LUNGS, recorded.ON_FILM, recorded.EVERYWHERE) == DERIVED


def test_every_head_has_its_auc_at_both_hospitals():
    group = results()
    rows = tables(group)["heads"].rows
    found = [(row["Arm"], row["Features"]) for row in rows]
    assert found == [
        *[("Independent", head) for head in (OWN, *DERIVED)],
        *[("Joint", head) for head in (OWN, *DERIVED)],
        ("Separate (baseline)", OWN),
    ]
    for row in rows:
        arm = row["Arm"].split()[0].lower()
        for where, name in PLACES.items():
            expected = [
                metrics.roc_auc_score(labels_of(where), z)
                for z in log_odds(group, arm, where, row["Features"])
            ]
            assert row[f"AUC, {name}"].values == pytest.approx(expected)


@pytest.mark.parametrize(("other", "heads"), [(OWN, DERIVED), ("everywhere", DERIVED[:2])])
def test_heads_differ_by_paired_contrasts_at_the_other_hospital(other, heads):
    group = results()
    rows = {row["Features"]: row for row in tables(group)["heads"].rows[:4]}
    labels, patients = labels_of(TEST), np.arange(40) // 2

    def measured(head):
        def auc(kept=slice(None)):
            scores = log_odds(group, "independent", TEST, head)
            return np.array([metrics.roc_auc_score(labels[kept], z[kept]) for z in scores])

        without = [auc(patients != g) for g in range(20)]
        return Measured(auc(), np.array([20 * auc() - 19 * one for one in without]).T)

    for head in heads:
        expected = contrast(measured(head), measured(other), 0.05)
        found = rows[head][f"Less {other}"]
        assert found.mean == pytest.approx(expected.mean)
        clipped = np.clip([*expected.both, *expected.trainings], -1, 1)
        assert [*found.both, *found.trainings] == pytest.approx(clipped)
        assert found.margin == 0.05
    assert [head for head in rows if f"Less {other}" in rows[head]] == list(heads)


def test_calibration_and_errors_are_those_of_each_replicate():
    group = results()
    row = tables(group)["decisions"].rows[3]
    assert (row["Arm"], row["Images"]) == ("Joint", "a test set")
    labels, scores = labels_of(TEST), log_odds(group, "joint", TEST, OWN)
    slopes = [
        linear.LogisticRegression(C=np.inf, tol=1e-10).fit(z[:, None], labels).coef_.item()
        for z in scores
    ]
    assert row["Slope"].values == pytest.approx(slopes, abs=1e-4)
    briers = [metrics.brier_score_loss(labels, expit(z)) for z in scores]
    assert row["Brier score"].values == pytest.approx(briers)
    for z, intercept in zip(scores, row["Intercept"].values, strict=True):
        assert expit(z + intercept).mean() == pytest.approx(labels.mean())
    for k, (z, least) in enumerate(zip(scores, THRESHOLDS, strict=True)):
        assert row["Sensitivity"].values[k] == pytest.approx(np.mean(z[labels == 1] >= least))
        assert row["Specificity"].values[k] == pytest.approx(np.mean(z[labels == 0] < least))
    assert np.isnan(row["Sensitivity"].low)


def test_slope_that_is_infinite_in_a_replicate_is_left_out():
    jobs = jobs_with_heads()
    first = next(record for job, record in jobs.items() if job.arm == "independent")
    there = first["tasks"]["abnormality"][OWN_EPOCH][TEST]
    there[LOGITS] = np.stack([np.zeros(40), 2.0 * labels_of(TEST) - 1], axis=1)
    table = tables(GroupResults(in_memory(jobs), DIVERSE))["decisions"]
    assert np.isnan(table.rows[1]["Slope"].mean) and table.cells()[1][4].text == "–"


def test_outlines_have_both_measures_at_both_hospitals():
    group = results()
    table = tables(group)["outlines"]
    for row, arm in zip(table.rows, ARMS, strict=True):
        for where, name in PLACES.items():
            for measure in ("IoU", "HD95"):
                records = [r["tasks"]["lungs"][OWN_EPOCH][where] for r in group.runs[arm]]
                expected = [np.mean(scores[measure]) for scores in records]
                assert row[f"{measure}, {name}"].values == pytest.approx(expected)
    assert "pixels" in table.note


def test_groups_of_patients_are_scored_by_themselves_where_there_are_enough():
    sexes, ages = np.arange(40) % 2, np.where(np.arange(40) < 12, 20, 70)
    sexes[:10], ages[39] = -1, -1
    group = results(**{TEST: {"sex": sexes, "age": ages}, HELD_OUT: {"sex": [0] * 8 + [-1] * 12}})
    rows = tables(group)["patients"].rows
    labels = labels_of(TEST)
    expected = {"female": sexes == 0, "male": sexes == 1, "18-39": ages == 20, "60+": ages == 70}
    assert [row["Patients"] for row in rows] == list(expected)
    assert {row["Images"] for row in rows} == {"a test set"}  # three of a class are too few
    for row, cases in zip(rows, expected.values(), strict=True):
        assert (row["Normal"], row["Abnormal"]) == tuple(np.bincount(labels[cases]))
        aucs = [
            metrics.roc_auc_score(labels[cases], z[cases])
            for z in log_odds(group, "joint", TEST, OWN)
        ]
        assert row["Joint"].values == pytest.approx(aucs)


def test_sets_without_age_and_sex_have_no_table_of_them():
    assert list(tables(results())) == ["heads", "decisions", "outlines"]


def less(low, high):
    """A contrast with this interval."""
    interval = Interval(low, high)
    return Contrast((low + high) / 2, interval, interval, 2, 0.05)


HELPS, HARMS, ALIKE, OPEN = less(0.1, 0.3), less(-0.3, -0.1), less(0.0, 0.02), less(-0.2, 0.26)


def made(**contrasts):
    """Rows of the table of heads, arm by arm."""
    return [
        {"Arm": arm, "Features": head, "Less own head": contrast, "Less everywhere": ALIKE}
        for arm, contrast in contrasts.items()
        for head in DERIVED
    ]


def test_text_says_what_follows_for_each_arm():
    rows = made(Joint=HELPS, Single=OPEN, Scratch=OPEN)
    text = hospitals.findings(results(), rows)
    counts = "scores higher in 1 and is open in 2 arms (+0.030 to +0.200)"
    assert (
        f"inside the lungs, it {counts}; on the film, it {counts}; everywhere, it {counts}." in text
    )
    alike = "differs by less than the margin in 3 arms (+0.010 to +0.010)"
    assert f"Inside the lungs, against everywhere, it {alike}." in text
    assert (
        "with at most 2 replicates, and 20 patients, of the head inside the lungs: it helps joint; it stays "
        "open whether it helps or harms single and scratch." in text
    )


def test_text_does_not_say_that_a_head_helps_where_it_does_not():
    rows = made(Joint=ALIKE, Single=HARMS)
    text = hospitals.findings(results(), rows)
    assert "it helps" not in text
    assert "it harms single; it makes no difference that matters for joint." in text


def test_text_says_what_a_threshold_does_at_each_hospital():
    here, there = ([Estimate([0.5, 0.7]), Estimate([0.2])], [Estimate([0.9]), Estimate([1.0])])
    rows = [
        {"Images": name, "Sensitivity": hit, "Specificity": spared}
        for name, scores in (("A", here), ("B", there))
        for hit, spared in (scores, scores[::-1])
    ]
    assert hospitals.passed_on(rows) == (
        "The arms' thresholds, set at the training hospital, call abnormal on average: 40 % of the ill and "
        "60 % of the well at A; 95 % of the ill and 5 % of the well at B."
    )
