"""The pilot: every arm's learning rate and joint weights are chosen by validation losses alone."""

import csv

import numpy as np
import pytest
from small_sets import SMALL, note_computed, save_all, small_place, small_study
from small_tuning import bytes_of

from ums.experiments import pilot, rates, runner, testing
from ums.experiments.arms import ARMS
from ums.experiments.cxr import CXR
from ums.experiments.echo import ECHO
from ums.experiments.items import Part
from ums.experiments.jobs import PILOT, SOURCE, Job
from ums.experiments.names import (
    ALTERNATING,
    CONTROL,
    DIVERSE,
    INDEPENDENT,
    JOINT,
    JOINT_SCRATCH,
    SCRATCH,
    SIMILAR,
    SINGLE,
    SINGLE_LONG,
    SOURCE_HEAD,
)
from ums.experiments.rates import DEFAULT, Trial, chosen, trials
from ums.finetuning import Equal, Uncertainty

TRIED = (SINGLE, ALTERNATING, JOINT)
PAIRS = ("bacterial-normal", "viral-normal", "bacterial-viral")

# ---------------------------------------------------------------------------- trials


def test_every_arm_has_as_many_trials_and_each_only_once():
    numbers = {len(set(trials(arm))) for arm in ARMS} | {len(trials(arm)) for arm in ARMS}
    assert numbers == {5}


@pytest.mark.parametrize("arm", ARMS)
def test_only_one_joint_loss_has_weights(arm):
    weights = [trial.weights for trial in trials(arm)]
    joint = ["uncertainty"] * 4 + ["equal"]
    assert weights == (joint if arm in (JOINT, JOINT_SCRATCH) else [""] * 5)
    assert all(3e-4 <= trial.rate <= 3e-2 for trial in trials(arm))


@pytest.mark.parametrize(
    ("weights", "kind"), [("", Equal), ("equal", Equal), ("uncertainty", Uncertainty)]
)
def test_weights_are_made_anew_by_their_name(weights, kind):
    trial = Trial(1e-3, weights)
    assert type(trial.weighting()) is kind and trial.weighting() is not trial.weighting()


@pytest.fixture
def chosen_rates(monkeypatch):
    """What a pilot chose, in place of what stands in the package."""
    table = {
        ("cxr", DIVERSE, SINGLE, "lungs"): Trial(0.25),
        ("cxr", DIVERSE, INDEPENDENT, "lungs"): Trial(0.5),
    }
    monkeypatch.setattr(rates, "_table", lambda: table)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("cxr", DIVERSE, SINGLE, "lungs"), Trial(0.25)),
        (("cxr", DIVERSE, SINGLE_LONG, "lungs"), Trial(0.25)),
        (("cxr", DIVERSE, CONTROL, "lungs"), Trial(0.5)),
        (("cxr", DIVERSE, SCRATCH, "lungs"), DEFAULT),
        (("cxr", DIVERSE, SINGLE, "abnormality"), DEFAULT),
        (("cxr", SIMILAR, SINGLE, "lungs"), DEFAULT),
        (("echo", DIVERSE, SINGLE, "lungs"), DEFAULT),
    ],
)
def test_choice_is_of_one_task_of_an_arm_or_of_the_arm_that_it_follows(
    asked, expected, chosen_rates
):
    assert chosen(*asked) == expected and Trial(1e-3) == DEFAULT


def test_choices_of_the_package_are_trials_of_arms_that_there_are():
    assert rates.FOLLOWS == {CONTROL: INDEPENDENT, SINGLE_LONG: SINGLE}
    groups = {m.name: set(m.layout.groups) for m in (CXR, ECHO)}
    together = {}
    for (modality, group, arm, _), trial in rates._table().items():
        assert group in groups[modality] and trial in trials(arm)
        assert arm not in (CONTROL, SINGLE_LONG, SOURCE_HEAD)
        if ARMS[arm].together:
            together.setdefault((modality, group, arm), set()).add(trial)
    assert all(len(found) == 1 for found in together.values())


# ---------------------------------------------------------------------------- the run


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return save_all(tmp_path_factory.mktemp("prepared"), side=16)


# (arm, task) -> the losses of its trials but the first, which is no good, in two replicates
LOSSES = {
    (SINGLE, "lungs"): ([4, 3, 1, 2], [4, 3, 1, 2]),
    (SINGLE, "abnormality"): ([1, 2, 3, 4], [1, np.inf, 3, 4]),
    (ALTERNATING, "lungs"): ([1, 1.5, 3, 3], [1, 1.5, 3, 3]),
    (ALTERNATING, "abnormality"): ([9, 1, 3, 3], [9, 1, 3, 3]),
    (JOINT, "lungs"): ([2, 2, 2, 1], [2, 2, 2, 1]),
    (JOINT, "abnormality"): ([2, 2, 2, 1], [2, 2, 2, 1]),
    **{(arm, pair): ([1, 2, 3, 4], [4, 3, 2, 1]) for arm in TRIED for pair in PAIRS},
    **{(SCRATCH, task): ([1, 2, 3, 4],) * 2 for task in ("lungs", "abnormality", *PAIRS)},
}


@pytest.fixture
def computed(monkeypatch):
    """A pilot whose losses are made up, and what it computes."""

    def tried(tuning, job):
        tasks = [task.name for task in tuning.group.tasks]
        of = [LOSSES[job.arm, task][-job.replicate - 1] for task in tasks]
        of = [[9, *losses][job.trial - 1] for losses in of]
        return {"losses": dict(zip(tasks, of, strict=True))}

    runner.study_of.cache_clear()
    runner.datasets_of.cache_clear()
    monkeypatch.setattr(testing, "tried", tried)
    return note_computed(monkeypatch)


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return {tuple(row.values())[:4]: tuple(row.values())[4:] for row in csv.DictReader(file)}


def test_trial_with_the_lowest_relative_losses_is_chosen_for_each_task_or_for_all_together(
    folders, tmp_path, computed, monkeypatch
):
    place, part = small_place(CXR, folders, tmp_path), Part(SMALL, (*TRIED, CONTROL, SINGLE_LONG))
    path = pilot.run(place, part, 2)
    assert path == tmp_path / "rates.csv"
    found = rows_of(path)
    assert {key[1:]: values for key, values in found.items() if key[1] == DIVERSE} == {
        (DIVERSE, SINGLE, "lungs"): ("0.001", ""),
        (DIVERSE, SINGLE, "abnormality"): ("0.01", ""),
        (DIVERSE, ALTERNATING, "lungs"): ("0.003", ""),
        (DIVERSE, ALTERNATING, "abnormality"): ("0.003", ""),
        (DIVERSE, JOINT, "lungs"): ("0.01", "equal"),
        (DIVERSE, JOINT, "abnormality"): ("0.01", "equal"),
    }
    assert len(found) == 6 + 3 * 3 and {key[0] for key in found} == {"cxr"}
    monkeypatch.setattr(rates, "__file__", str(path))
    rates._table.cache_clear()
    assert chosen("cxr", DIVERSE, CONTROL, "lungs") == DEFAULT
    assert chosen("cxr", DIVERSE, SINGLE_LONG, "lungs") == Trial(1e-3)
    assert chosen("cxr", DIVERSE, JOINT, "lungs") == Trial(1e-2, "equal")
    rates._table.cache_clear()


def test_pilot_tests_nothing_and_a_second_run_tries_nothing_again(folders, tmp_path, computed):
    place, part = small_place(CXR, folders, tmp_path), Part(SMALL, (SINGLE, SCRATCH))
    path = pilot.run(place, part, 1)
    names = [f"{g}-{a}-trial{t}-pilot1-seed0" for g in (DIVERSE, SIMILAR)
             for a in (SCRATCH, SINGLE) for t in (1, 2, 3, 4, 5)]  # fmt: skip
    assert computed.records == ["source-pilot1-seed0", *names]
    before = path.read_bytes()
    computed.clear()
    pilot.run(place, part, 2)  # one more replicate
    assert all("pilot2" in name for name in computed.records) and len(computed.records) == 21
    computed.clear()
    pilot.run(place, part, 1)
    assert computed.records == [] and path.read_bytes() == before


@pytest.mark.parametrize(("replicates", "text"), [(4, "3 replicates at most, got 4"), (0, "got 0")])
def test_pilot_has_no_more_replicates_than_are_left_to_it(replicates, text, folders, tmp_path):
    with pytest.raises(ValueError, match=text):
        pilot.run(small_place(CXR, folders, tmp_path), Part(SMALL, TRIED), replicates)
    assert not list(tmp_path.iterdir())


def test_pilot_s_images_and_sources_are_not_those_of_the_study(tmp_path):
    datasets = CXR.layout.load(save_all(tmp_path / "sets", side=16, n=240))
    study = small_study(CXR, datasets, tmp_path / "out")
    for name in (SOURCE, DIVERSE, SIMILAR):
        assert study.pool(name).disjoint
        patients = (
            study.source_set.patients
            if name == SOURCE
            else study.datasets.group(name).train_set.patients
        )
        found = [study.draw(name, replicate) for replicate in (1, 2, -1, -2, -3)]
        sets = [set(patients[np.concatenate([d.train, d.validation])]) for d in found]
        assert len(set.union(*sets)) == sum(map(len, sets)) > 0
    one, two = (Job(SOURCE, replicate=r).generator("source") for r in (1, -1))
    networks = [CXR.source_network(rng, 0.05) for rng in (one, two)]
    assert bytes_of(networks[0]) != bytes_of(networks[1])
    assert {job.kind for job in study.jobs_of(-1)} == {SOURCE, PILOT}
