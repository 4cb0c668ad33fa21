"""The chest X-ray study from the command line, end to end on tiny made-up hospitals."""

import json

import numpy as np
import pytest
from pages import Page, is_drawn
from small_sets import hospital, save_all
from study_runs import jobs_in, run, short

from ums.experiments import __main__ as command
from ums.experiments.arms import ARMS, PRIMARY_ARMS
from ums.experiments.jobs import SOURCE_TEST, TUNE
from ums.experiments.names import (
    CONTROL,
    DIVERSE,
    HELD_OUT,
    LOGITS,
    ONE_ENCODER,
    OWN_EPOCH,
    SEPARATE,
    SIMILAR,
    SINGLE,
    TEST,
)
from ums.experiments.report.words import LABELS
from ums.experiments.results import read_study

CHEST = [arm for arm in ARMS if arm != "source-head"]
PARTS = ["", "hospital: another hospital's"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of one whole run without its page, to be left as it is."""
    out, folders = tmp_path_factory.mktemp("results") / "cxr", tmp_path_factory.mktemp("prepared")
    save_all(folders, side=16)
    hospital(folders / "source-other", 7, side=16)
    more = ["--other-replicates", "1", "--factors", "hospital", "--level-replicates", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "write_report", lambda folder: (folder, "the tables"))
        assert run("cxr", folders, out, *more) == 0
    return out


@pytest.fixture(scope="module")
def study(finished):
    """What is read of its records."""
    return read_study(finished)


@pytest.fixture(scope="module")
def page(study):
    """Its page."""
    return Page(study)


def named(group, arm):
    """A group's jobs by an arm, of which those that sharing is judged by have two replicates."""
    replicates = (1, 2) if arm in PRIMARY_ARMS else (1,)
    return {f"{group}-{arm}-replicate{replicate}" for replicate in replicates}


SOURCES = {"source-replicate1", "source-replicate2"}
TUNED = {name for arm in CHEST for name in named(DIVERSE, arm)}
TUNED |= {name for arm in CHEST if arm != CONTROL for name in named(SIMILAR, arm)}
OTHERS = {f"{group}-cases" for group in (DIVERSE, SIMILAR)} | SOURCES
OTHERS |= {f"{group}-pictures-replicate1" for group in (DIVERSE, SIMILAR)}
OTHERS |= {"source-test-replicate1", "source-test-replicate2", "models"}


def test_run_leaves_weights_and_records_of_every_job(finished):
    assert {path.name for path in finished.iterdir()} - {".lock"} == {
        "study.json", "weights", "records", "models",
    }  # fmt: skip
    assert set(jobs_in(finished / "weights", "npz")) == SOURCES | TUNED
    assert set(jobs_in(finished / "records", "json")) == OTHERS | TUNED


def test_study_file_names_every_record_there_is(finished):
    jobs = json.loads((finished / "study.json").read_text())["jobs"]
    assert list(jobs) == PARTS
    names = {name for part in jobs.values() for name in part}
    assert names == {path.name for path in (finished / "records").glob("*.json")}
    main = {short(name.rpartition("-")[0]) for name in jobs[""]}
    assert main == OTHERS | TUNED


def test_weights_and_records_leave_nothing_half_written(finished):
    names = [path.name for each in ("weights", "records") for path in (finished / each).iterdir()]
    assert not [name for name in names if "checkpoint" in name or "partial" in name]


def test_level_has_four_arms_and_a_source_of_its_own(study):
    sources = set()
    for name, records in study.parts.items():
        for group in (DIVERSE, SIMILAR):
            arms = records.arms(group)
            assert name == "" or arms == PRIMARY_ARMS
        sources |= {json.dumps(records.of("source")[0]["history"]["train"])}
    assert len(sources) == len(PARTS)


def test_arms_from_scratch_are_the_same_whatever_the_source(study):
    found = {
        name: [records.of(TUNE, group, "scratch") for group in (DIVERSE, SIMILAR)]
        for name, records in study.parts.items()
    }
    assert all(own == [runs[:1] for runs in found[""]] for own in list(found.values())[1:])
    singles = [records.of(TUNE, DIVERSE, SINGLE)[0]["key"] for records in study.parts.values()]
    assert len({json.dumps(key) for key in singles}) == len(PARTS)


@pytest.mark.parametrize("epoch", [OWN_EPOCH, ONE_ENCODER])
@pytest.mark.parametrize("where", [TEST, HELD_OUT])
def test_lung_scores_satisfy_the_identities_between_them(epoch, where, study):
    for arm in CHEST:
        record = study.parts[""].of(TUNE, DIVERSE, arm)[0]
        scores = record["tasks"].get("lungs", {}).get(epoch, {}).get(where)
        if scores is None:
            assert arm == CONTROL or (epoch == ONE_ENCODER and not ARMS[arm].together)
            continue
        iou, f, both, right = (
            np.array(scores[m]) for m in ("IoU", "F-score", "Two-class IoU", "Accuracy")
        )
        assert len(iou) == (48 if where == TEST else 8)
        assert ((iou >= 0) & (iou <= f) & (f <= 1)).all() and (both <= right + 1e-5).all()
        np.testing.assert_allclose(f, 2 * iou / (1 + iou), atol=1e-4)


def test_records_count_the_parameters(study):
    """A tenth of the paper's channels: batch norm of 26, to 256 hidden units, 256 to 2 classes."""
    head = 2 * 26 + (26 * 256 + 256) + (256 * 2 + 2)
    costs = {}
    for arm in CHEST:
        record = study.parts[""].of(TUNE, DIVERSE, arm)[0]
        costs[arm] = {n: (t["trainable"], t["shared"]) for n, t in record["tasks"].items()}
    assert costs["independent"]["abnormality"] == costs["control"]["abnormality"] == (head, 0)
    whole = costs[SEPARATE]["lungs"][0]  # the source's form, for one channel
    assert costs["single"]["lungs"] == costs["scratch"]["lungs"] == (whole, 0)
    for arm in ("alternating", "joint", "joint-scratch"):
        decoder, encoder = costs[arm]["lungs"]
        assert decoder + encoder == whole and costs[arm]["abnormality"] == (head, encoder)


def test_every_logit_is_finite_and_every_pair_has_two(study):
    for records in study.parts.values():
        for arm in records.arms(SIMILAR):
            for task in records.of(TUNE, SIMILAR, arm)[0]["tasks"].values():
                logits = np.array(task[OWN_EPOCH][TEST][LOGITS])
                assert logits.shape == (16, 2) and np.isfinite(logits).all()


def test_source_is_tested_on_every_noise(study):
    for records in study.parts.values():
        record = records.of(SOURCE_TEST)[0]
        assert len(record["denoising"]) >= 6
        assert all(np.isfinite(row["denoised"]["PSNR"]) for row in record["denoising"])


# ---------------------------------------------------------------------------- the page

TESTED = [arm for arm in CHEST if arm != CONTROL]
COLUMNS = {
    "lungs": "Lung segmentation, IoU",
    "abnormality": "Abnormality, MCC",
    "bacterial-normal": "Bacterial vs normal, MCC",
    "viral-normal": "Viral vs normal, MCC",
    "bacterial-viral": "Bacterial vs viral, MCC",
}
GROUPS = {task: DIVERSE if task in ("lungs", "abnormality") else SIMILAR for task in COLUMNS}
CONTRASTS = {
    "Sharing, alternating": ("alternating", "single"),
    "Sharing, joint": ("joint", "single"),
    "Sharing from scratch": ("joint-scratch", "scratch"),
    "As many updates": ("alternating", "single-long"),
    "Pretraining": ("single", "scratch"),
    "Freezing": ("independent", "single"),
    "Architecture": ("scratch", "separate-raw"),
    "Cleaning": ("separate", "separate-raw"),
}
MAPS = ["heat-maps-diverse-Grad-CAM", "heat-maps-diverse-HiResCAM"]
CONTENTS = {
    "When does sharing pay?": ["contrasts", "contrasts"],  # a figure and its table
    "Images of the source": ["factor-hospital"],
    "What so many replicates can settle": ["power"],
    "The paper's claims": ["claims", "headlines"],
    "The arms": ["arms"],
    "The source: denoising": ["table-2", "denoising-filters", "denoising", "training-source"],
    "Tasks with diverse annotations": [
        "diverse-test", "diverse-held-out", "table-3-segmentation", "table-3-classification",
        "diverse-one-encoder", "outlines",
    ],
    "Across hospitals": ["hospitals-heads", "hospitals-decisions", "hospitals-outlines"],
    "Heat maps": [*MAPS, "heat-maps-diverse-occlusion", *MAPS],
    "Cost: diverse tasks": ["diverse-arms", "table-4", "crossover-diverse"],
    "Training: diverse tasks": ["training-diverse", "cosines-diverse"],
    "Tasks with similar annotations": [
        "similar-test", "table-5-classification", "similar-one-encoder",
    ],
    "Cost: similar tasks": ["similar-arms", "table-6", "crossover-similar"],
    "Training: similar tasks": ["training-similar", "cosines-similar"],
}  # fmt: skip


def test_page_has_its_sections_in_their_order_each_with_its_tables_and_figures(page):
    assert list(page.contents.items()) == list(CONTENTS.items())


def test_no_figure_is_empty(page):
    assert len(page.sheets) == 12
    assert not [name for name, sheet in page.sheets.items() if not is_drawn(sheet)]


@pytest.mark.parametrize(
    ("task", "where"),
    [*((task, TEST) for task in COLUMNS), ("lungs", HELD_OUT), ("abnormality", HELD_OUT)],
)
def test_scores_are_those_of_the_records(task, where, page):
    group = GROUPS[task]
    for arm in TESTED:
        found = page.row(f"{group}-{where}", Arm=LABELS[arm])[COLUMNS[task]].values
        np.testing.assert_allclose(found, page.scores(group, arm, task, where=where), atol=1e-9)
        assert len(found) == (2 if arm in PRIMARY_ARMS else 1)


@pytest.mark.parametrize("question", CONTRASTS)
def test_contrasts_are_the_differences_of_the_records(question, page):
    row = page.row("contrasts", Question=question)
    arms = CONTRASTS[question]
    for task, column in COLUMNS.items():
        assert row[column].mean == pytest.approx(page.difference(GROUPS[task], *arms, task))
        assert row[column].replicates == (2 if set(arms) <= set(PRIMARY_ARMS) else 1)


@pytest.mark.parametrize("name", ["Alternating − single", "Joint − single", "Single − scratch"])
def test_contrasts_of_a_level_are_those_of_its_own_records(name, page):
    arms = name.lower().split(" − ")
    for part, level, replicates in (
        ("", "as in the study", 2),
        (PARTS[1], "another hospital's", 1),
    ):
        row = page.row("factor-hospital", Difference=name, Level=level, Replicates=replicates)
        for task, column in COLUMNS.items():
            expected = page.difference(GROUPS[task], *arms, task, part=part)
            assert row[column].mean == pytest.approx(expected)


def test_claims_are_about_the_differences_of_the_records(page):
    titles = {column.split(", ")[0]: task for task, column in COLUMNS.items()}
    arms = {label.lower(): arm for arm, label in LABELS.items()}
    rows = page.rows("claims")
    for row in rows:
        better, worse = (arms[name] for name in row["The paper"].lower().split(" above "))
        task = titles[row["Task"]]
        expected = page.difference(GROUPS[task], better, worse, task)
        assert row["Difference here"].mean == pytest.approx(expected)
    assert len(rows) == 30 and any("Of the paper's 30 claims" in s for s in page.report.summary)


@pytest.mark.parametrize("arm", ["alternating", "joint", "joint-scratch"])
def test_one_encoder_is_that_of_the_records(arm, page):
    for task, column in COLUMNS.items():
        title, _ = column.split(", ")
        row = page.row(f"{GROUPS[task]}-one-encoder", Arm=LABELS[arm], Task=title)
        own, one = (page.scores(GROUPS[task], arm, task, e) for e in (OWN_EPOCH, ONE_ENCODER))
        np.testing.assert_allclose(row["One encoder"].values, one, atol=1e-9)
        assert row["Difference"].mean == pytest.approx((one - own).mean())


@pytest.mark.parametrize("arm", TESTED)
def test_costs_are_those_of_the_records(arm, page, study):
    for group in (DIVERSE, SIMILAR):
        runs = [record["tasks"].values() for record in study.parts[""].of(TUNE, group, arm)]
        row = page.row(f"{group}-arms", Arm=LABELS[arm])
        minutes = [sum(task["seconds"] for task in tasks) / 60 for tasks in runs]
        assert row["Minutes"] == pytest.approx(np.median(minutes))
        heads = sum(task["trainable"] for task in runs[0])
        assert row["Trainable parameters"] == heads + max(task["shared"] for task in runs[0])
        assert row["Encoder updates"] == max(task["encoder updates"] for task in runs[0])


def test_source_is_counted_with_the_arms_that_need_it(page, study):
    source = np.median([record["seconds"] for record in study.parts[""].of("source")]) / 60
    for arm in TESTED:
        row = page.row("diverse-arms", Arm=LABELS[arm])
        if "scratch" in arm or arm == "separate-raw":
            assert row["With the source"] is None
        else:
            assert row["With the source"] == pytest.approx(row["Minutes"] + source)


@pytest.mark.parametrize("method", ["Grad-CAM", "HiResCAM", "occlusion"])
def test_heat_maps_are_measured_in_the_records(method, page, study):
    for arm in CHEST:
        row = page.row(f"heat-maps-diverse-{method}", Arm=LABELS[arm])
        for record, i in zip(study.parts[""].of(TUNE, DIVERSE, arm), (0, 1), strict=False):
            for measure, values in record["heat map"][method].items():
                known = [value for value in values if value is not None]
                expected = np.mean(known) if known else np.nan
                assert row[measure.capitalize()].values[i] == pytest.approx(expected, nan_ok=True)


def test_denoising_is_that_of_the_first_replicate(page, study):
    noises = study.parts[""].of(SOURCE_TEST)[0]["denoising"]
    for row, noise in zip(page.rows("table-2"), noises, strict=True):
        assert (row["Noise"], row["PSNR"]) == (noise["noise"], noise["denoised"]["PSNR"])
        beside = page.row("denoising-filters", Noise=noise["noise"])
        assert beside["PSNR, Wiener filter"] == noise["Wiener filter"]["PSNR"]
