"""What a job that tunes leaves: scores of the trained networks, costs, heat maps."""

from dataclasses import replace

import numpy as np
import pytest
from small_sets import SMALL, hospital
from small_tuning import (
    Trainings,
    arms_of,
    job_of,
    network_of,
    records_of,
    small_groups,
    small_tuning,
)

from ums.data import normalise
from ums.derived import GRAD_CAM, HIRES_CAM, heat_maps
from ums.experiments import cxr, evaluation, testing
from ums.experiments.cxr import ABNORMALITY, LUNGS, diverse_group
from ums.experiments.jobs import PILOT
from ums.experiments.names import (
    ALTERNATING,
    CONTROL,
    DIVERSE,
    HELD_OUT,
    INDEPENDENT,
    JOINT,
    JOINT_SCRATCH,
    LOGITS,
    ONE_ENCODER,
    OWN_EPOCH,
    SEGMENTATION,
    SEPARATE,
    SEPARATE_RAW,
    SIMILAR,
    SINGLE,
    TEST,
    VALIDATION,
)
from ums.experiments.tuning import Tuning
from ums.networks import parameter_count
from ums.training import TrainingDiverged

EACH_GROUP = pytest.mark.parametrize("name", [DIVERSE, SIMILAR])
TOGETHER = (JOINT_SCRATCH, ALTERNATING, JOINT)


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    return small_groups(tmp_path_factory.mktemp("groups"))


@pytest.fixture(scope="module")
def finished(groups, tmp_path_factory):
    """Group -> (tuning, records by arm) of a replicate, to be left as they are."""
    tunings = {n: small_tuning(g, tmp_path_factory.mktemp(n)) for n, g in groups.items()}
    return {name: (tuning, records_of(tuning)) for name, tuning in tunings.items()}


@pytest.fixture
def trainings(monkeypatch):
    """The trainings that would be done, and are not."""
    return Trainings(monkeypatch)


# ---------------------------------------------------------------------------- cases


@EACH_GROUP
def test_cases_are_all_test_images_and_all_that_were_put_aside(name, groups):
    group = groups[name]
    for task in group.tasks:
        cases = testing.cases_of(group, task)
        assert cases[TEST][0] == "test_set" and cases[TEST][1] is task.test.rows
        assert (HELD_OUT in cases) == (name == DIVERSE)
        if name == DIVERSE:
            which, rows = cases[HELD_OUT]
            assert which == "train_set"
            assert rows.tolist() == [k for k in range(48) if k % 12 >= 10]


def test_images_put_aside_count_where_they_have_what_the_task_asks_for(groups, tmp_path):
    abnormal = np.where(np.arange(48) < 12, -1, np.arange(48) // 12 % 2)
    target = hospital(tmp_path / "target", side=16, labels={"abnormal": abnormal})
    group = diverse_group(target, groups[DIVERSE].test_set)
    found = [testing.cases_of(group, task)[HELD_OUT][1].tolist() for task in group.tasks]
    assert found == [[10, 11, 22, 23, 34, 35, 46, 47], [22, 23, 34, 35, 46, 47]]


@EACH_GROUP
def test_no_image_that_is_tested_on_was_drawn(name, finished):
    tuning, _ = finished[name]
    drawn = {*tuning.draw.train, *tuning.draw.validation}
    for task in tuning.group.tasks:
        for which, rows in testing.cases_of(tuning.group, task).values():
            if getattr(tuning.group, which) is tuning.group.train_set:
                assert not drawn & {*rows.tolist()}


# ---------------------------------------------------------------------------- scores


def lines_of(arm):
    return {OWN_EPOCH, ONE_ENCODER} if arm in TOGETHER else {OWN_EPOCH}


@EACH_GROUP
def test_every_network_is_scored_on_every_case_once(name, finished):
    tuning, records = finished[name]
    for arm, record in records.items():
        for task in tuning.group.tasks if arm != CONTROL else ():
            found, cases = record["tasks"][task.name], testing.cases_of(tuning.group, task)
            assert found.keys() & {OWN_EPOCH, ONE_ENCODER} == lines_of(arm)
            for line in lines_of(arm):
                assert found[line].keys() == cases.keys()
                for where, (_, rows) in cases.items():
                    values = list(map(np.asarray, found[line][where].values()))
                    assert {len(v) for v in values} == {len(rows)}
                    assert all(np.isfinite(v).all() for v in values)


@pytest.mark.parametrize("arm", [SEPARATE, SEPARATE_RAW, SINGLE, INDEPENDENT, *TOGETHER])
@EACH_GROUP
def test_scores_are_those_of_the_trained_networks(name, arm, finished):
    tuning, records = finished[name]
    for task in tuning.group.tasks:
        for where, (which, rows) in testing.cases_of(tuning.group, task).items():
            labelled = task.test if which == "test_set" else task.train
            images = np.asarray(labelled.prepared.images)[rows]
            if arm == SEPARATE:
                images = tuning.trained.clean(images)
            for line in lines_of(arm):
                network = network_of(tuning, arm, task.name, line)
                y = network.forward(normalise(images), keep=False)
                found = records[arm]["tasks"][task.name][line][where]
                if task.kind == SEGMENTATION:
                    right = (y[..., 0] > 0) == (labelled.targets[rows] > 0)
                    expected = right.mean(axis=(1, 2))
                    np.testing.assert_allclose(found["Accuracy"], expected, atol=0.01)
                else:
                    np.testing.assert_allclose(found[LOGITS], y, atol=1e-4)


def test_scores_are_rounded(finished):
    _, records = finished[SIMILAR]
    logits = records[SINGLE]["tasks"]["viral-normal"][OWN_EPOCH][TEST][LOGITS]
    assert np.array_equal(logits, np.round(logits, 5)) and abs(logits).min() > 0


def test_control_is_shown_and_never_scored(finished):
    _, records = finished[DIVERSE]
    (found,) = records[CONTROL]["tasks"].values()
    assert not {OWN_EPOCH, ONE_ENCODER} & found.keys() and records[CONTROL]["heat map"]


def test_background_of_the_normalisation_reaches_every_test(groups, tmp_path, trainings):
    tuning = small_tuning(groups[DIVERSE], tmp_path, replace(SMALL, background=70))
    records, images = records_of(tuning), groups[DIVERSE].test_set.images
    network = network_of(tuning, INDEPENDENT, ABNORMALITY)
    found = records[INDEPENDENT]["tasks"][ABNORMALITY][OWN_EPOCH][TEST][LOGITS]
    expected = network.forward(normalise(images, background=70), keep=False)
    assert abs(expected - network.forward(normalise(images), keep=False)).max() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-4)


@EACH_GROUP
def test_only_the_paper_s_baseline_is_tested_on_cleaned_images(
    name, groups, tmp_path, trainings, monkeypatch
):
    monkeypatch.setattr(cxr, "denoise", lambda denoiser, images, *how: np.asarray(images) // 2)
    scored, shown, score = [], {}, evaluation.score

    def scoring(task, network, images, *how):
        scored.append((trainings.job.arm, images.max(axis=(1, 2))))
        return score(task, network, images, *how)

    monkeypatch.setattr(evaluation, "score", scoring)
    monkeypatch.setattr(
        evaluation, "measured_maps", lambda _, x, *how: shown.update({trainings.job.arm: x}) or {}
    )
    records_of(small_tuning(groups[name], tmp_path))
    assert {arm for arm, _ in scored} == {*arms_of(groups[name])} - {CONTROL}
    for arm, highest in scored:  # every image has a disc of 180
        assert (highest < 128).all() if arm == SEPARATE else (highest > 150).all()
    rows = evaluation.heat_map_rows(groups[name])
    assert set(shown) == (set(arms_of(groups[name])) if len(rows) else set())
    for arm, x in shown.items():
        images = groups[name].test_set.images[rows]
        np.testing.assert_array_equal(x, normalise(images // 2 if arm == SEPARATE else images))


def test_validation_images_have_their_labels_and_logits(finished):
    tuning, records = finished[DIVERSE]
    task = tuning.group.task(ABNORMALITY)
    images, labels = tuning.group.train_set.images, tuning.group.train_set.labels["abnormal"]
    rows = tuning.draw.validation
    for arm in (SINGLE, SEPARATE, JOINT):
        own = images[rows] if arm != SEPARATE else tuning.trained.clean(images[rows])
        y = network_of(tuning, arm, task.name).forward(normalise(own), keep=False)
        found = records[arm]["tasks"][task.name][VALIDATION]
        assert np.array_equal(found["label"], labels[rows])
        np.testing.assert_allclose(found[LOGITS], y, atol=1e-4)
        assert VALIDATION not in records[arm]["tasks"][LUNGS]


def test_derived_heads_have_logits_of_every_case_where_there_are_lungs(finished):
    tuning, records = finished[DIVERSE]
    cases = testing.cases_of(tuning.group, tuning.group.task(ABNORMALITY))
    for arm, record in records.items():
        assert ("derived" in record) == (arm not in (CONTROL, SEPARATE, SEPARATE_RAW))
        for head in record.get("derived", {}).values():
            assert {k: np.shape(v[LOGITS]) for k, v in head.items()} == {
                where: (len(rows), 2) for where, (_, rows) in cases.items()
            }
    assert all("derived" not in record for record in finished[SIMILAR][1].values())


# ---------------------------------------------------------------------------- costs and trials


def test_costs_are_of_what_learned(finished):
    tuning, records = finished[DIVERSE]
    encoder = parameter_count(tuning.trained.encoder.freeze(False))
    for arm, record in records.items():
        assert list(record["tasks"]) == ([ABNORMALITY] if arm == CONTROL else [LUNGS, ABNORMALITY])
        for task, found in record["tasks"].items():
            own = arm in (SEPARATE, SEPARATE_RAW)
            make = (tuning.trained.models if own else tuning.trained.heads)[task]
            head = parameter_count(make(np.random.default_rng(0)))
            moved_alone = not own and arm not in (INDEPENDENT, CONTROL, *TOGETHER)
            assert found["trainable"] == head + encoder * moved_alone
            assert found["shared"] == (encoder if arm in TOGETHER else 0)
            assert found["seconds"] > 0 and len(found["history"]["train"]) == SMALL.evaluations


@pytest.mark.parametrize("arm", [SINGLE, JOINT])
def test_trial_has_each_task_s_lowest_validation_loss_and_no_test_image(
    arm, groups, tmp_path, monkeypatch
):
    monkeypatch.setattr(testing, "predict", None)
    monkeypatch.setattr(evaluation, "score", None)
    tuning = small_tuning(groups[SIMILAR], tmp_path, replicate=-1)
    job = replace(job_of(tuning, arm, -1), kind=PILOT, trial=2)
    record = testing.tried(tuning, job)
    lowest = {n: min(o.tuned.history.validation) for n, o in tuning.tune(job).items()}
    assert record == {"losses": lowest} and set(lowest) == {t.name for t in groups[SIMILAR].tasks}


def test_trial_that_diverges_has_infinite_losses(groups, tmp_path, monkeypatch):
    def diverge(*_):
        raise TrainingDiverged("too fast")

    monkeypatch.setattr(Tuning, "tune", diverge)
    tuning = small_tuning(groups[DIVERSE], tmp_path)
    job = replace(job_of(tuning, SINGLE, -1), kind=PILOT, trial=1)
    assert testing.tried(tuning, job) == {"losses": {LUNGS: np.inf, ABNORMALITY: np.inf}}


# ---------------------------------------------------------------------------- heat maps


def test_heat_maps_are_of_abnormal_test_images_with_masks(groups, tmp_path, trainings):
    whole, has_mask = groups[DIVERSE].test_set, np.arange(48) % 6 > 0
    masks = whole.masks * has_mask[:, None, None]
    test = hospital(tmp_path / "test", 2, side=16, has_mask=has_mask, masks=masks)
    group = diverse_group(groups[DIVERSE].train_set, test)
    rows = [k for k in range(48) if k // 12 % 2 and k % 6]
    assert evaluation.heat_map_rows(group).tolist() == rows
    for record in records_of(small_tuning(group, tmp_path / "out")).values():
        found = record["heat map"][GRAD_CAM]
        lungs, opacity = (found[f"mass inside the {name}"] for name in ("lungs", "opacity"))
        assert len(lungs) == len(opacity) == len(rows)
        assert ((opacity <= lungs) | np.isnan(lungs)).all()  # the spots lie in the lungs


@pytest.mark.parametrize("arm", [ALTERNATING, CONTROL])
def test_heat_map_s_shares_are_those_of_the_maps_in_the_masks(arm, finished):
    tuning, records = finished[DIVERSE]
    rows, test = evaluation.heat_map_rows(tuning.group), tuning.group.test_set
    network = network_of(tuning, arm, ABNORMALITY)
    x = normalise(test.images[rows])
    for method in (GRAD_CAM, HIRES_CAM):
        maps, found = heat_maps(network, x, 1, method), records[arm]["heat map"][method]
        for name, masks in (("lungs", test.masks), ("opacity", test.opacities)):
            with np.errstate(invalid="ignore"):  # a map may be 0 everywhere
                inside = (maps * masks[rows]).sum(axis=(1, 2)) / maps.sum(axis=(1, 2))
            np.testing.assert_allclose(found[f"mass inside the {name}"], inside, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "found"),
    [({"opacities": None}, ["lungs"]), ({"labels": {"abnormal": np.zeros(48, int)}}, None)],
)
def test_heat_maps_without_opacities_or_anything_to_show(
    changes, found, groups, tmp_path, trainings
):
    test = hospital(tmp_path / "test", side=16, **changes)
    tuning = small_tuning(diverse_group(groups[DIVERSE].train_set, test), tmp_path / "out")
    record = testing.tested(tuning, job_of(tuning, JOINT))
    assert ("heat map" in record) == (found is not None)
    for measures in record.get("heat map", {}).values():
        assert [n[16:] for n in measures if n.startswith("mass inside the ")] == found


def test_similar_tasks_have_no_heat_maps(finished):
    assert all("heat map" not in record for record in finished[SIMILAR][1].values())
