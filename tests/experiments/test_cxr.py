"""The chest X-ray study from the command line, end to end on tiny made-up hospitals."""

import json

import numpy as np
import pytest
from small_sets import hospital, save_all
from study_runs import jobs_in, run, short

from ums.experiments import __main__ as command
from ums.experiments.arms import ARMS, PRIMARY_ARMS
from ums.experiments.jobs import SOURCE_TEST, TUNE
from ums.experiments.names import (
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
from ums.experiments.results import read_study

CHEST = [arm for arm in ARMS if arm != "source-head"]
PARTS = ["", "hospital: another hospital's"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of one whole run without its page, to be left as it is."""
    out, folders = tmp_path_factory.mktemp("results") / "cxr", tmp_path_factory.mktemp("prepared")
    save_all(folders, side=16)
    hospital(folders / "source-other", 7, side=16)
    more = ["--replicates", "1", "--factors", "hospital", "--level-replicates", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "write_report", lambda folder: (folder, "the tables"))
        assert run("cxr", folders, out, *more) == 0
    return out


@pytest.fixture(scope="module")
def study(finished):
    """What is read of its records."""
    return read_study(finished)


TUNED = {f"{DIVERSE}-{arm}-replicate1" for arm in CHEST}
TUNED |= {f"{SIMILAR}-{arm}-replicate1" for arm in CHEST if arm != "control"}
OTHERS = {f"{group}-cases" for group in (DIVERSE, SIMILAR)} | {"source-replicate1"}
OTHERS |= {f"{group}-pictures-replicate1" for group in (DIVERSE, SIMILAR)}


def test_run_leaves_weights_and_records_of_every_job(finished):
    assert {path.name for path in finished.iterdir()} - {".lock"} == {
        "study.json", "weights", "records",
    }  # fmt: skip
    assert set(jobs_in(finished / "weights", "npz")) == {"source-replicate1", *TUNED}
    assert set(jobs_in(finished / "records", "json")) == {
        *TUNED, *OTHERS, "source-test-replicate1",
    }  # fmt: skip


def test_study_file_names_every_record_there_is(finished):
    jobs = json.loads((finished / "study.json").read_text())["jobs"]
    assert list(jobs) == PARTS
    names = {name for part in jobs.values() for name in part}
    assert names == {path.name for path in (finished / "records").glob("*.json")}
    main = {short(name.rpartition("-")[0]) for name in jobs[""]}
    assert main == {*TUNED, *OTHERS, "source-test-replicate1"}


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
    assert all(own == found[""] for own in found.values())
    singles = [records.of(TUNE, DIVERSE, SINGLE)[0]["key"] for records in study.parts.values()]
    assert len({json.dumps(key) for key in singles}) == len(PARTS)


@pytest.mark.parametrize("epoch", [OWN_EPOCH, ONE_ENCODER])
@pytest.mark.parametrize("where", [TEST, HELD_OUT])
def test_lung_scores_satisfy_the_identities_between_them(epoch, where, study):
    for arm in CHEST:
        (record,) = study.parts[""].of(TUNE, DIVERSE, arm)
        scores = record["tasks"].get("lungs", {}).get(epoch, {}).get(where)
        if scores is None:
            assert arm == "control" or (epoch == ONE_ENCODER and not ARMS[arm].together)
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
        (record,) = study.parts[""].of(TUNE, DIVERSE, arm)
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
        (record,) = records.of(SOURCE_TEST)
        assert len(record["denoising"]) >= 6
        assert all(np.isfinite(row["denoised"]["PSNR"]) for row in record["denoising"])
