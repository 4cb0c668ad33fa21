"""The protocol: which networks are trained, on what, once; what each is tested on; what it is kept by."""

from dataclasses import fields, replace

import numpy as np
import pytest
from small_sets import children, hospital, note_computed
from ums.experiments.cxr_sets import (
    ABNORMALITY,
    DIVERSE,
    LUNGS,
    SIMILAR,
    diverse_part,
    similar_part,
)
from ums.experiments.results.heat_maps import HeatMaps
from ums.experiments.stages import Stages

from ums.backend import Device
from ums.data import normalise
from ums.data.augment import Augmentation
from ums.experiments import cxr
from ums.experiments import runner as protocol
from ums.experiments.runner import (
    CONTROL,
    HELD_OUT,
    STRATEGIES,
    TEST,
    PartStudy,
    folds_of,
)
from ums.experiments.settings import Settings
from ums.finetuning import Tuned
from ums.networks import denoising_autoencoder, parameter_count
from ums.training import History, Training

CPU = Device(np, "CPU")
SMALL = Settings(
    folds=2,
    width=0.05,
    source_epochs=1,
    epochs=1,
    classifier_epochs=1,
    batch=8,
    joint_weights="equal",
    augment=False,
    progress=False,
)
OF_A_FOLD = {
    DIVERSE: ["independent-lungs", "independent-abnormality", "alternating", "joint",
              "separate-lungs", "separate-abnormality", "control-abnormality"],
    SIMILAR: [f"{strategy}-{pair}" for strategy in ("independent", "separate")
              for pair in ("bacterial-normal", "viral-normal", "bacterial-viral")]
             + ["alternating", "joint"],
}  # fmt: skip
TUNERS = ("tune_independently", "tune_alternately", "tune_jointly", "train_separately")


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    target, test = (hospital(folder / f"{n}", n, side=16) for n in (1, 2))
    return {
        DIVERSE: diverse_part(target, test),
        SIMILAR: similar_part(children(folder / "3", 3, side=16)),
    }


def study(part, out, settings=SMALL, key=None):
    """A study on a source that has seen a little, the same each time."""
    rng = np.random.default_rng(5)
    source = denoising_autoencoder(rng, width=settings.width)
    for array in source.state_dict().values():
        if array.ndim == 1:
            array += rng.uniform(0, 0.5, array.shape).astype(np.float32)
    stages = Stages(out, settings.seed)
    networks = cxr.networks_of(part, Tuned(source, History(), 0.0, 0), settings, CPU)
    one = PartStudy(part, networks, settings, CPU, stages, key or {"sets": "a"})
    one.autoencoder = source
    return one


def stages_of(out):
    return sorted(path.name.rpartition("-")[0] for path in out.iterdir())


def stage_names(name, folds=2):
    return sorted(f"{name}-fold{i + 1}-{rest}" for i in range(folds) for rest in OF_A_FOLD[name])


@pytest.fixture
def computed(monkeypatch):
    """The names of the stages that are computed, as they are."""
    return note_computed(monkeypatch)


def scores_of(outcome):
    """Everything that was scored, as bytes."""
    found = {
        (strategy, where, task, name): values.tobytes()
        for strategy, places in outcome.tested.items()
        for where, tasks in places.items()
        for task, tested in tasks.items()
        for name, values in tested.values.items()
    }
    if outcome.heat:
        for strategy, inside in outcome.heat.inside.items():
            found |= {("heat", strategy, name): v.tobytes() for name, v in inside.items()}
    return found


def histories_of(outcome):
    return {
        (strategy, task): [(c.history.train, c.history.validation, c.trainable) for c in costs]
        for strategy, tasks in outcome.costs.items()
        for task, costs in tasks.items()
    }


@pytest.fixture(scope="module")
def finished(parts, tmp_path_factory):
    """Part -> (study, outcome, folder of stages) of a whole run, to be left as they are."""
    done = {}
    for name, part in parts.items():
        out = tmp_path_factory.mktemp(name)
        one = study(part, out)
        done[name] = one, one.run(), out
    return done


EACH_PART = pytest.mark.parametrize("name", [DIVERSE, SIMILAR])


# ---------------------------------------------------------------------------- stages


@EACH_PART
def test_there_is_a_stage_for_each_fold_strategy_and_task(name, finished):
    assert stages_of(finished[name][2]) == stage_names(name)


def spied(monkeypatch, look):
    """``look(function's name, arguments)`` before each training."""

    def watched(name, original):
        def tune(*arguments, **more):
            look(name, arguments)
            return original(*arguments, **more)

        return tune

    for name in TUNERS:
        monkeypatch.setattr(protocol, name, watched(name, getattr(protocol, name)))


def tasks_in(arguments):
    return next(a for a in arguments if isinstance(a, list))


def untrained(monkeypatch):
    """Leave out all training: networks stay as they were made."""

    def tune(*arguments, **more):
        tasks = tasks_in(arguments)
        history = History([1.0], [1.0], cosines={task.name: [0.0] for task in tasks})
        return {task.name: Tuned(task.head, history, 0.0, 1) for task in tasks}

    for name in TUNERS:
        monkeypatch.setattr(protocol, name, tune)


@EACH_PART
def test_each_network_is_trained_once_and_on_a_second_run_none(name, parts, tmp_path, monkeypatch):
    trainings = []
    spied(monkeypatch, lambda function, arguments: trainings.append(function))
    study(parts[name], tmp_path).run()
    tasks, control = len(parts[name].tasks), name == DIVERSE
    expected = {"tune_independently": 2 * (tasks + control), "train_separately": 2 * tasks}
    expected |= {"tune_alternately": 2, "tune_jointly": 2}
    assert {f: trainings.count(f) for f in TUNERS} == expected
    trainings.clear()
    study(parts[name], tmp_path).run()
    assert trainings == []


@EACH_PART
def test_second_run_takes_every_stage_and_scores_the_same(name, parts, finished, computed):
    _, before, out = finished[name]
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    after = study(parts[name], out).run()
    assert computed == []
    assert scores_of(after) == scores_of(before)
    assert histories_of(after) == histories_of(before)
    costs = [
        [c.seconds for t in o.costs.values() for k in t.values() for c in k]
        for o in (before, after)
    ]
    assert costs[0] == costs[1]
    assert {path.name: path.read_bytes() for path in out.iterdir()} == files


@EACH_PART
def test_run_with_some_stages_gone_ends_as_if_none_were(name, parts, finished, tmp_path, computed):
    _, before, out = finished[name]
    kept = [n for k, n in enumerate(stage_names(name)) if k % 3]
    for path in out.iterdir():
        if path.name.rpartition("-")[0] in kept:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    after = study(parts[name], tmp_path).run()
    assert sorted([*computed, *kept]) == stage_names(name)
    assert scores_of(after) == scores_of(before)
    assert histories_of(after) == histories_of(before)


EVERYTHING = OF_A_FOLD[DIVERSE]
CLASSIFIERS = [name for name in EVERYTHING if "abnormality" in name]
# field of the settings -> (another value, which of the diverse part's stages are trained again)
CHANGES = {
    "folds": (3, EVERYTHING),
    "width": (0.06, EVERYTHING),
    "source_epochs": (2, EVERYTHING),
    "epochs": (2, [name for name in EVERYTHING if name not in CLASSIFIERS]),
    "classifier_epochs": (2, CLASSIFIERS),
    "batch": (7, EVERYTHING),
    "learning_rate": (0.01, EVERYTHING),
    "patience": (3, EVERYTHING),
    "joint_weights": ("1,2", ["joint"]),
    "stop_by": ("first", ["alternating", "joint"]),
    "augment": (True, EVERYTHING),
    "dark": (20, EVERYTHING),
    "statistics": ("target", EVERYTHING),
    "labels": (0.7, EVERYTHING),
    "seed": (1, EVERYTHING),
    "progress": (True, []),
}


def test_every_setting_is_looked_at_below():
    assert set(CHANGES) == {field.name for field in fields(Settings)}


@pytest.mark.parametrize("setting", CHANGES)
def test_stage_of_another_setting_is_never_taken(setting, parts, tmp_path, monkeypatch, computed):
    untrained(monkeypatch)
    value, again = CHANGES[setting]
    for settings in (SMALL, replace(SMALL, **{setting: value})):
        computed.clear()
        study(parts[DIVERSE], tmp_path, settings).run()
    folds = range(1, 1 + settings.folds)
    assert sorted(computed) == sorted(f"diverse-fold{i}-{n}" for i in folds for n in again)


def test_tasks_tuned_together_may_stop_by_the_first_alone():
    histories = [History(validation=[2.0, 1.0]), History(validation=[1.0, 3.0])]
    assert Settings().criterion()(histories) == (0.5 + 3) / 2
    assert Settings(stop_by="first").criterion()(histories) == 0.5


@EACH_PART
def test_stage_of_other_data_is_never_taken(name, parts, tmp_path, monkeypatch, computed):
    untrained(monkeypatch)
    for sets in ("a", "b"):
        study(parts[name], tmp_path, key={"sets": sets}).run()
    assert sorted(computed) == sorted(2 * stage_names(name))


@pytest.mark.parametrize("setting", ["epochs", "classifier_epochs"])
def test_similar_tasks_are_tuned_together_for_a_classifiers_epochs(
    setting, parts, tmp_path, monkeypatch, computed
):
    untrained(monkeypatch)
    for settings in (SMALL, replace(SMALL, **{setting: 2})):
        study(parts[SIMILAR], tmp_path, settings).run()
    again = 2 if setting == "classifier_epochs" else 1
    assert sorted(computed) == sorted(again * stage_names(SIMILAR))


def test_parts_and_folds_are_started_differently(finished):
    """Two folds' heads, and two strategies', begin from random numbers of their own."""
    first = set()
    for name, (one, _, _) in finished.items():
        for stage in stage_names(name):
            first.add(one.stages.rng(stage).integers(2**62))
    assert len(first) == 2 * (7 + 8)


# ---------------------------------------------------------------------------- what is learned


class Trainings(list):
    """(function, its arguments) of every training that a run would do, and does not."""

    def __init__(self, monkeypatch):
        super().__init__()
        untrained(monkeypatch)
        spied(monkeypatch, lambda name, arguments: self.append((name, arguments)))

    def tasks(self, name=None):
        return [t for n, a in self if name in (None, n) for t in tasks_in(a)]


def halved(denoiser, images, *arguments, **more):
    """Stands in for the denoiser."""
    return np.asarray(images) // 2


@EACH_PART
def test_only_the_baseline_learns_from_denoised_images(name, parts, tmp_path, monkeypatch):
    trainings = Trainings(monkeypatch)
    monkeypatch.setattr(cxr, "denoise", halved)
    study(parts[name], tmp_path).run()
    raw = np.asarray(parts[name].learn.images)
    assert all(len(arguments) == 2 for n, arguments in trainings if n == "train_separately")
    for function in TUNERS:
        expected = raw // 2 if function == "train_separately" else raw
        assert trainings.tasks(function)
        for task in trainings.tasks(function):
            np.testing.assert_array_equal(task.train.inputs, expected)
            np.testing.assert_array_equal(task.validation.inputs, expected)


@EACH_PART
def test_only_the_baseline_is_tested_on_denoised_images(name, parts, tmp_path, monkeypatch):
    untrained(monkeypatch)
    monkeypatch.setattr(cxr, "denoise", halved)
    networks, given = {}, []

    def tune(self, strategy, i, original=PartStudy.tune):
        tuned = original(self, strategy, i)
        networks.update({t.network: strategy for t in tuned})
        return tuned

    monkeypatch.setattr(PartStudy, "tune", tune)

    def watched(original):
        def score(network, images, *arguments):
            given.append((networks.get(network, CONTROL), images.max(axis=(1, 2))))
            return original(network, images, *arguments)

        return score

    for score in ("score_masks", "score_classes", "maps_of_class_1"):
        monkeypatch.setattr(protocol, score, watched(getattr(protocol, score)))
    study(parts[name], tmp_path).run()
    assert {strategy for strategy, _ in given} >= set(STRATEGIES)
    for strategy, highest in given:  # every image has a disc of 180
        assert (highest < 128).all() if strategy == "separate" else (highest > 150).all()


@EACH_PART
def test_every_training_has_the_rows_of_its_fold(name, parts, tmp_path, monkeypatch):
    trainings = Trainings(monkeypatch)
    one = study(parts[name], tmp_path)
    one.run()
    for function in TUNERS:
        tasks = trainings.tasks(function)
        for i, half in enumerate((tasks[: len(tasks) // 2], tasks[len(tasks) // 2 :])):
            for task in half:
                own = next(t for t in parts[name].tasks if t.name in task.name)
                for rows, examples in (
                    (one.folds[i].train, task.train),
                    (one.folds[i].validation, task.validation),
                ):
                    assert set(examples.rows) == set(rows) & set(own.learn.rows)


@pytest.mark.parametrize("labels", [1.0, 0.5])
def test_fewer_labels_thin_out_what_is_learned_from_alone(labels, parts, tmp_path):
    settings, part = replace(SMALL, labels=labels, batch=4), parts[DIVERSE]
    few, all_ = (folds_of(part, s, Stages(tmp_path, 0)) for s in (settings, SMALL))
    for ours, whole in zip(few, all_, strict=True):
        assert ours.validation.tolist() == whole.validation.tolist()
        assert ours.held_out.tolist() == whole.held_out.tolist()
        assert set(ours.train) <= set(whole.train)
        assert len(ours.train) == labels * len(whole.train)


@pytest.mark.parametrize("augment", [True, False])
def test_augmentation_reaches_what_is_learned_from_and_nothing_else(
    augment, parts, tmp_path, monkeypatch
):
    trainings = Trainings(monkeypatch)
    study(parts[DIVERSE], tmp_path, replace(SMALL, augment=augment)).run()
    for _, arguments in trainings:
        (rng,) = (a.rng for a in arguments if isinstance(a, Training))
        for task in tasks_in(arguments):
            assert task.validation.augment is None
            if augment:  # from the generator that a checkpoint keeps
                assert isinstance(task.train.augment, Augmentation)
                assert task.train.augment.rng is rng
            else:
                assert task.train.augment is None


def test_darkness_reaches_training_and_tests(parts, tmp_path, monkeypatch):
    trainings = Trainings(monkeypatch)
    one = study(parts[DIVERSE], tmp_path, replace(SMALL, dark=70))
    outcome = one.run()
    images = parts[DIVERSE].learn.images
    for task in trainings.tasks():
        ours, plain = task.train.prepare(images[:3]), normalise(images[:3])
        np.testing.assert_array_equal(ours, normalise(images[:3], background=70))
        assert abs(ours - plain).max() > 0.1
    (network,) = (t.network for t in one.tune("independent", 0)[1:])
    logits = network.forward(normalise(parts[DIVERSE].test.images, background=70), keep=False)
    found = outcome.tested["independent"][TEST][ABNORMALITY].values["logits"][0]
    np.testing.assert_allclose(found, logits, atol=1e-4)


def test_control_learns_as_many_of_each_label_but_shuffled(parts, tmp_path, monkeypatch):
    trainings = Trainings(monkeypatch)
    true = parts[DIVERSE].tasks[1].learn.targets.copy()
    study(parts[DIVERSE], tmp_path).run()
    controls = [t for t in trainings.tasks() if CONTROL in t.name]
    assert len(controls) == 2
    for task in controls:
        assert np.bincount(task.train.targets).tolist() == np.bincount(true).tolist()
        assert task.train.targets is task.validation.targets
        assert 12 < (task.train.targets == true).sum() < 36  # of 48; half of them by chance
    assert (controls[0].train.targets != controls[1].train.targets).any()
    others = [t for t in trainings.tasks() if ABNORMALITY in t.name and CONTROL not in t.name]
    assert len(others) == 8
    for task in others:
        assert task.train.targets.tolist() == task.validation.targets.tolist() == true.tolist()
    assert parts[DIVERSE].tasks[1].learn.targets.tolist() == true.tolist()


def test_control_is_shuffled_among_the_labelled_alone(parts, tmp_path, monkeypatch):
    abnormal = np.where(np.arange(96) % 12 < 4, -1, np.arange(96) // 12 % 2)
    target = hospital(tmp_path / "target", n=96, side=16, labels={"abnormal": abnormal})
    part = diverse_part(target, parts[DIVERSE].test)
    trainings = Trainings(monkeypatch)
    study(part, tmp_path / "out").run()
    for task in trainings.tasks():
        if CONTROL in task.name:
            assert (task.train.targets == -1).tolist() == (abnormal == -1).tolist()
            assert not np.isin(task.train.rows, np.flatnonzero(abnormal == -1)).any()


# ---------------------------------------------------------------------------- what is tested


@EACH_PART
def test_networks_are_scored_on_the_held_out_rows_of_their_own_fold(name, finished):
    one, outcome, _ = finished[name]
    for strategy in STRATEGIES:
        for task in one.part.tasks:
            tested = outcome.tested[strategy][HELD_OUT][task.name]
            for values in tested.values.values():
                for i, fold in enumerate(one.folds):
                    asked = np.isin(task.learn.rows, fold.held_out)
                    seen = np.isfinite(values[i]).reshape(len(asked), -1)
                    assert (seen == asked[:, None]).all()
                assert (np.isfinite(values).sum(axis=0) == 1).all()


@EACH_PART
def test_every_network_is_scored_on_the_whole_test_set(name, finished):
    one, outcome, _ = finished[name]
    for strategy in STRATEGIES:
        for task in one.part.tasks:
            for values in outcome.tested[strategy][TEST][task.name].values.values():
                assert values.shape[:2] == (2, len(task.test.rows)) and np.isfinite(values).all()


@EACH_PART
def test_cases_have_their_own_patients_and_labels(name, finished):
    one, outcome, _ = finished[name]
    for task in one.part.tasks:
        for where, labelled in ((HELD_OUT, task.learn), (TEST, task.test)):
            tested, rows = outcome.tested["joint"][where][task.name], labelled.rows
            assert tested.patients.tolist() == labelled.prepared.patients[rows].tolist()
            if task.kind == "segmentation":
                assert tested.labels is None
            else:
                assert tested.labels.tolist() == labelled.targets[rows].tolist()


@pytest.mark.parametrize("strategy", STRATEGIES)
@EACH_PART
def test_scores_are_those_of_the_trained_networks(name, strategy, finished):
    one, outcome, _ = finished[name]
    for i in (0, 1):
        for task, tuned in zip(one.part.tasks, one.tune(strategy, i), strict=True):
            raw = strategy != "separate"
            images = one.part.test.images if raw else one.cleaned("test")
            x = normalise(np.asarray(images)[task.test.rows])
            y = tuned.network.forward(x, keep=False)
            tested = outcome.tested[strategy][TEST][task.name].values
            if task.kind == "segmentation":
                right = (y[..., 0] > 0) == (task.test.targets[task.test.rows] > 0)
                np.testing.assert_allclose(
                    tested["Accuracy"][i], right.mean(axis=(1, 2)), atol=0.01
                )
            else:
                np.testing.assert_allclose(tested["logits"][i], y, atol=1e-4)


def test_masks_are_the_first_folds(finished):
    one, outcome, _ = finished[DIVERSE]
    for strategy in STRATEGIES:
        masks = outcome.masks[strategy][LUNGS]
        tested = outcome.tested[strategy][TEST][LUNGS].values["Accuracy"]
        right = (masks == (one.part.test.masks > 0)).mean(axis=(1, 2))
        np.testing.assert_allclose(tested[0], right)
    assert not any(finished[SIMILAR][1].masks.values())


# ---------------------------------------------------------------------------- what is kept


def bytes_of(network):
    return {name: value.tobytes() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("changes", [{}, {"augment": True}, {"statistics": "target"}])
@EACH_PART
def test_no_strategy_changes_the_source(name, changes, parts, tmp_path):
    one = study(parts[name], tmp_path, replace(SMALL, **changes))
    before = [bytes_of(n) for n in (one.networks.encoder, one.autoencoder)]
    one.run()
    assert [bytes_of(n) for n in (one.networks.encoder, one.autoencoder)] == before


def test_strategies_but_the_independent_move_the_encoder_of_their_networks(finished):
    one, _, _ = finished[DIVERSE]
    source = bytes_of(one.networks.encoder)
    for strategy in ("independent", "alternating", "joint"):
        lungs, abnormality = (bytes_of(t.network.layers[0]) for t in one.tune(strategy, 0))
        assert lungs == abnormality  # one encoder for all tasks
        assert (lungs == source) == (strategy == "independent")


def test_costs_are_of_every_fold_and_of_what_learned(finished):
    one, outcome, _ = finished[DIVERSE]
    encoder = parameter_count(one.networks.encoder.freeze(False))
    for strategy, tasks in outcome.costs.items():
        assert list(tasks) == [LUNGS, ABNORMALITY]
        for task, costs in tasks.items():
            make = (one.networks.models if strategy == "separate" else one.networks.heads)[task]
            parameters = parameter_count(make(np.random.default_rng(0)))
            assert [c.trainable for c in costs] == [parameters] * 2
            assert {c.shared for c in costs} == {
                encoder if strategy in ("alternating", "joint") else 0
            }
            assert all(c.seconds > 0 and len(c.history.train) == 1 for c in costs)


def test_heat_maps_are_of_abnormal_test_images_with_masks(parts, tmp_path, monkeypatch):
    untrained(monkeypatch)
    whole = parts[DIVERSE].test
    has_mask = np.arange(48) % 6 > 0
    test = hospital(
        tmp_path / "test",
        2,
        side=16,
        has_mask=has_mask,
        masks=whole.masks * has_mask[:, None, None],
    )
    part = diverse_part(parts[DIVERSE].learn, test)
    heat = study(part, tmp_path / "out").run().heat
    rows = [k for k in range(48) if k // 12 % 2 and k % 6]
    assert heat.rows.tolist() == rows
    np.testing.assert_array_equal(heat.lungs, test.masks[rows] > 0)
    np.testing.assert_array_equal(heat.opacities, test.opacities[rows] > 0)
    assert list(heat.inside) == [*STRATEGIES, CONTROL]
    for inside in heat.inside.values():
        assert {mask: values.shape for mask, values in inside.items()} == {
            "lungs": (2, len(rows)), "opacity": (2, len(rows)),
        }  # fmt: skip
        found = inside["opacity"] <= inside["lungs"]  # the spots lie in the lungs
        assert (found | np.isnan(inside["lungs"])).all()
    assert all(maps.shape == (4, 16, 16) for maps in heat.shown.values())


def test_maps_shown_are_the_first_folds_and_shares_stand_with_their_fold():
    lungs = np.zeros((6, 4, 4), bool)
    lungs[:, :2] = True
    heat = HeatMaps(np.arange(6), lungs, None)
    upper, lower = np.ones((6, 4, 4)), np.ones((6, 4, 4))
    upper[:, 2:], lower[:, :2] = 0, 0
    heat.add("joint", 1, 2, lower)
    heat.add("joint", 0, 2, upper)
    assert heat.inside["joint"]["lungs"].tolist() == [[1] * 6, [0] * 6]
    np.testing.assert_array_equal(heat.shown["joint"], upper[:4])


@pytest.mark.parametrize("without", ["opacities", "abnormal images"])
def test_heat_maps_without_opacities_or_anything_to_show(without, parts, tmp_path, monkeypatch):
    untrained(monkeypatch)
    changes = {
        "opacities": {"opacities": None},
        "abnormal images": {"labels": {"abnormal": np.zeros(48, int)}},
    }
    test = hospital(tmp_path / "test", side=16, **changes[without])
    one = study(diverse_part(parts[DIVERSE].learn, test), tmp_path / "out")
    heat = one.run().heat
    if without == "opacities":
        assert {tuple(inside) for inside in heat.inside.values()} == {("lungs",)}
    else:
        assert heat is None and not any(CONTROL in name for name in stages_of(tmp_path / "out"))


def test_similar_tasks_have_no_heat_maps(finished):
    assert finished[SIMILAR][1].heat is None


def test_fold_that_cannot_fill_a_batch_is_named(parts, tmp_path):
    text = r"/1: \d+ images to learn the lungs task from in fold 1 of 2 cannot fill a batch of 25$"
    with pytest.raises(ValueError, match=text):
        folds_of(parts[DIVERSE], replace(SMALL, batch=25), Stages(tmp_path, 0))


@EACH_PART
def test_only_some_strategies_can_be_run(name, parts, tmp_path, monkeypatch):
    untrained(monkeypatch)
    outcome = study(parts[name], tmp_path).run(("independent", "separate"))
    assert outcome.strategies == ("independent", "separate")
    assert set(outcome.tested) == {"independent", "separate"}
    assert not any("joint" in n or "alternating" in n for n in stages_of(tmp_path))
