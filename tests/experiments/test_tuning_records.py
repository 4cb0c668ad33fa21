"""What a job that tunes leaves: scores of the trained networks, costs, heat maps; the source as it was."""

from dataclasses import replace

import numpy as np
import pytest
from small_sets import SMALL, hospital
from small_tuning import Trainings, arms_of, records_of, small_groups, small_tuning

from ums.data import normalise
from ums.experiments import cxr, evaluation
from ums.experiments.cxr import ABNORMALITY, LUNGS, diverse_group
from ums.experiments.jobs import TUNE, Job
from ums.experiments.names import (
    ALTERNATING,
    CONTROL,
    DIVERSE,
    HELD_OUT,
    INDEPENDENT,
    JOINT,
    LOGITS,
    SEGMENTATION,
    SEPARATE,
    SIMILAR,
    STRATEGIES,
    TEST,
    TOGETHER,
)
from ums.experiments.tuning import one_optimizer
from ums.finetuning import Task
from ums.networks import parameter_count
from ums.optimizers import SGD, Adam

EACH_GROUP = pytest.mark.parametrize("name", [DIVERSE, SIMILAR])


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    return small_groups(tmp_path_factory.mktemp("groups"))


@pytest.fixture(scope="module")
def finished(groups, tmp_path_factory):
    """Group -> (tuning, records by arm and fold) of a whole run, to be left as they are."""
    tunings = {n: small_tuning(g, tmp_path_factory.mktemp(n)) for n, g in groups.items()}
    return {name: (tuning, records_of(tuning)) for name, tuning in tunings.items()}


@pytest.fixture
def trainings(monkeypatch):
    """The trainings that would be done, and are not."""
    return Trainings(monkeypatch)


# ---------------------------------------------------------------------------- scores


@EACH_GROUP
def test_held_out_cases_are_those_of_the_fold_by_their_number_among_the_task_s(name, finished):
    tuning, records = finished[name]
    for task in tuning.group.tasks:
        for arm in STRATEGIES:
            cases = [records[arm, i]["tasks"][task.name][HELD_OUT]["case"] for i in (1, 2)]
            for case, fold in zip(cases, tuning.folds, strict=True):
                asked = np.intersect1d(fold.held_out, task.train.rows)
                assert task.train.rows[case].tolist() == asked.tolist()
            pooled = np.intersect1d(tuning.group.pool, task.train.rows)
            assert sorted(task.train.rows[np.concatenate(cases)]) == pooled.tolist()


@EACH_GROUP
def test_every_network_is_scored_on_every_case_once(name, finished):
    tuning, records = finished[name]
    for (arm, _), record in records.items():
        for task in tuning.group.tasks if arm != CONTROL else ():
            found = record["tasks"][task.name]
            assert list(found[TEST]["case"]) == list(range(len(task.test.rows)))
            for where in (TEST, HELD_OUT):
                values = [np.asarray(v) for v in found[where].values()]
                assert {len(v) for v in values} == {len(found[where]["case"])}
                assert all(np.isfinite(v).all() for v in values)


def network_of(tuning, arm, fold, task):
    return tuning.tune(Job(TUNE, tuning.group.name, arm, fold))[task].network


@pytest.mark.parametrize("arm", STRATEGIES)
@EACH_GROUP
def test_scores_are_those_of_the_trained_networks(name, arm, finished):
    tuning, records = finished[name]
    for i, fold in enumerate(tuning.folds, start=1):
        for task in tuning.group.tasks:
            network = network_of(tuning, arm, i, task.name)
            held_out = np.intersect1d(fold.held_out, task.train.rows)
            for where, labelled, rows in (
                (TEST, task.test, task.test.rows),
                (HELD_OUT, task.train, held_out),
            ):
                images = np.asarray(labelled.prepared.images)[rows]
                if arm == SEPARATE:
                    images = tuning.networks.clean(images)
                y = network.forward(normalise(images), keep=False)
                found = records[arm, i]["tasks"][task.name][where]
                if task.kind == SEGMENTATION:
                    right = (y[..., 0] > 0) == (labelled.targets[rows] > 0)
                    np.testing.assert_allclose(
                        found["Accuracy"], right.mean(axis=(1, 2)), atol=0.01
                    )
                else:
                    np.testing.assert_allclose(found[LOGITS], y, atol=1e-4)


def test_background_of_the_normalisation_reaches_every_test(groups, tmp_path, trainings):
    tuning = small_tuning(groups[DIVERSE], tmp_path, replace(SMALL, background=70))
    records, images = records_of(tuning), groups[DIVERSE].test_set.images
    network = network_of(tuning, INDEPENDENT, 1, ABNORMALITY)
    found = records[INDEPENDENT, 1]["tasks"][ABNORMALITY][TEST][LOGITS]
    expected = network.forward(normalise(images, background=70), keep=False)
    assert abs(expected - network.forward(normalise(images), keep=False)).max() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-4)


@EACH_GROUP
def test_only_the_baseline_is_tested_on_cleaned_images(
    name, groups, tmp_path, trainings, monkeypatch
):
    monkeypatch.setattr(cxr, "denoise", lambda denoiser, images, *how: np.asarray(images) // 2)
    given = []

    def watching(function, images_at):
        def watched(*arguments):
            given.append((trainings.job.arm, arguments[images_at].max(axis=(1, 2))))
            return function(*arguments)

        return watched

    monkeypatch.setattr(evaluation, "score", watching(evaluation.score, 2))
    monkeypatch.setattr(evaluation, "class_1_maps", watching(evaluation.class_1_maps, 1))
    records_of(small_tuning(groups[name], tmp_path))
    assert {arm for arm, _ in given} == set(arms_of(groups[name]))
    for arm, highest in given:  # every image has a disc of 180
        assert (highest < 128).all() if arm == SEPARATE else (highest > 150).all()


# ---------------------------------------------------------------------------- networks and costs


def bytes_of(network):
    return {name: value.tobytes() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("changes", [{}, {"augment": True}, {"statistics": "target"}])
@EACH_GROUP
def test_no_arm_changes_the_source(name, changes, groups, tmp_path):
    tuning = small_tuning(groups[name], tmp_path, replace(SMALL, **changes))
    networks = (tuning.networks.encoder, tuning.encoder, tuning.source)
    before = [bytes_of(network) for network in networks]
    records_of(tuning)
    assert [bytes_of(network) for network in networks] == before


def test_arms_but_the_independent_move_the_encoder_of_their_networks(finished):
    tuning, _ = finished[DIVERSE]
    source = bytes_of(tuning.networks.encoder)
    for arm in (INDEPENDENT, *TOGETHER):
        one, two = (network_of(tuning, arm, 1, task).layers[0] for task in (LUNGS, ABNORMALITY))
        assert bytes_of(one) == bytes_of(two)  # one encoder for all tasks
        assert (bytes_of(one) == source) == (arm == INDEPENDENT)


def test_costs_are_of_what_learned(finished):
    tuning, records = finished[DIVERSE]
    encoder = parameter_count(tuning.networks.encoder.freeze(False))
    for (arm, _), record in records.items():
        assert list(record["tasks"]) == ([ABNORMALITY] if arm == CONTROL else [LUNGS, ABNORMALITY])
        for task, found in record["tasks"].items():
            make = (tuning.networks.models if arm == SEPARATE else tuning.networks.heads)[task]
            assert found["trainable"] == parameter_count(make(np.random.default_rng(0)))
            assert found["shared"] == (encoder if arm in TOGETHER else 0)
            assert found["seconds"] > 0 and len(found["history"]["train"]) == 1


def test_one_loss_has_one_optimizer(rng):
    def task(optimizer):
        return Task("a", None, None, None, None, optimizer)

    def optimizers(*made):
        return [t.optimizer for t in one_optimizer([task(optimizer) for optimizer in made])]

    assert optimizers(SGD, SGD) == [SGD, SGD]
    assert optimizers(SGD, Adam) == optimizers(SGD, print) == [Adam, Adam]


# ---------------------------------------------------------------------------- heat maps


def test_heat_maps_are_of_abnormal_test_images_with_masks(groups, tmp_path, trainings):
    whole, has_mask = groups[DIVERSE].test_set, np.arange(48) % 6 > 0
    masks = whole.masks * has_mask[:, None, None]
    test = hospital(tmp_path / "test", 2, side=16, has_mask=has_mask, masks=masks)
    group = diverse_group(groups[DIVERSE].train_set, test)
    rows = [k for k in range(48) if k // 12 % 2 and k % 6]
    assert evaluation.heat_map_rows(group).tolist() == rows
    records = records_of(small_tuning(group, tmp_path / "out"))
    assert {arm for arm, _ in records} == {*STRATEGIES, CONTROL}
    for record in records.values():
        lungs, opacity = (np.asarray(record["heat map"][n]) for n in ("lungs", "opacity"))
        assert len(lungs) == len(opacity) == len(rows)
        assert ((opacity <= lungs) | np.isnan(lungs)).all()  # the spots lie in the lungs


@pytest.mark.parametrize("arm", [ALTERNATING, CONTROL])
def test_heat_map_s_shares_are_those_of_the_maps_in_the_masks(arm, finished):
    tuning, records = finished[DIVERSE]
    rows, test = evaluation.heat_map_rows(tuning.group), tuning.group.test_set
    maps = tuning.maps(Job(TUNE, DIVERSE, arm, 2), network_of(tuning, arm, 2, ABNORMALITY), rows)
    for name, masks in (("lungs", test.masks), ("opacity", test.opacities)):
        with np.errstate(invalid="ignore"):  # a map may be 0 everywhere
            inside = (maps * masks[rows]).sum(axis=(1, 2)) / maps.sum(axis=(1, 2))
        np.testing.assert_allclose(records[arm, 2]["heat map"][name], inside, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "found"),
    [({"opacities": None}, ["lungs"]), ({"labels": {"abnormal": np.zeros(48, int)}}, None)],
)
def test_heat_maps_without_opacities_or_anything_to_show(
    changes, found, groups, tmp_path, trainings
):
    test = hospital(tmp_path / "test", side=16, **changes)
    group = diverse_group(groups[DIVERSE].train_set, test)
    assert (CONTROL in arms_of(group)) == (found is not None)
    record = small_tuning(group, tmp_path / "out").record(Job(TUNE, DIVERSE, JOINT, 1))
    assert list(record["heat map"]) == found if found else "heat map" not in record


def test_similar_tasks_have_no_heat_maps(finished):
    assert all("heat map" not in record for record in finished[SIMILAR][1].values())


def test_baseline_cleans_each_set_once(groups, tmp_path, trainings, monkeypatch):
    cleaned = []
    monkeypatch.setattr(
        cxr, "denoise", lambda denoiser, images, *how: cleaned.append(len(images)) or images
    )
    tuning = small_tuning(groups[DIVERSE], tmp_path)
    assert cleaned == []
    records_of(tuning)
    assert cleaned == [48, 48]
