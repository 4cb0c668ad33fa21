"""The models that a study leaves: whose networks, chosen by validation losses alone."""

import json

import numpy as np
import pytest
from small_sets import SMALL, save_all, small_study
from small_tuning import Trainings

from ums.data import load_prepared
from ums.data.typical import typical
from ums.experiments.cxr import CXR
from ums.experiments.jobs import MODELS, TUNE, Job
from ums.experiments.model_files import best_arm, best_replicate
from ums.experiments.names import ALTERNATING, CONTROL, DIVERSE, OWN_EPOCH, SEPARATE, SINGLE
from ums.models import load_model


def record(replicate, **losses):
    tasks = {task: {"history": {"validation": list(values)}} for task, values in losses.items()}
    return {"job": {"replicate": replicate}, "tasks": tasks}


def test_replicate_with_the_lowest_mean_loss_is_chosen():
    one, two = record(1, a=[3.0, 1.0, 2.0], b=[4.0]), record(2, a=[2.0], b=[2.5])
    assert best_replicate([one, two]) is two  # (1 + 4) / 2 against (2 + 2.5) / 2
    assert best_replicate([one, record(2, a=[2.0], b=[3.5])]) is one


def test_arm_with_the_lowest_losses_relative_to_the_others_is_chosen():
    # task a has large losses, so that their plain mean would choose "one"
    one = [[record(1, a=[100.0], b=[3.0])]]
    two = [[record(1, a=[110.0], b=[1.0])]]
    assert best_arm({"one": one, "two": two}) == "two"
    # a replicate that one arm lacks does not count
    assert best_arm({"one": one, "two": [[*two[0], record(2, a=[900.0], b=[900.0])]]}) == "two"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A study of which all jobs are done, with its networks' random weights as they were drawn."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        Trainings(patch)
        datasets = CXR.layout.load(save_all(folder / "sets", side=16))
        arms = (ALTERNATING, SINGLE, SEPARATE, CONTROL)
        study = small_study(CXR, datasets, folder / "out", arms=arms)
        for job in study.jobs():
            study.focus(job.replicate)
            study.record(job)
        yield study, folder / "out" / "models"


def test_every_arm_that_takes_images_as_they_are_has_a_model(written):
    _, folder = written
    assert {path.name for path in folder.iterdir()} == {ALTERNATING, SINGLE, "use.json"}


def test_model_has_the_networks_of_one_replicate_for_every_task(written):
    study, folder = written
    model = load_model(folder / ALTERNATING)
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 1)).astype(np.float32)
    for group in study.datasets.groups:
        for task in group.tasks:
            about = model.about["tasks"][task.name]
            job = Job(TUNE, group.name, ALTERNATING, about["replicate"], seed=SMALL.seed)
            tuned = study.tuning(group.name, job.replicate).tune(job)[task.name]
            expected = tuned.networks[OWN_EPOCH](x)
            np.testing.assert_array_equal(model.networks[task.name](x), expected)
    assert set(model.networks) == {t.name for g in study.datasets.groups for t in g.tasks}


def test_manifest_says_what_it_was_trained_and_tested_on(written):
    study, folder = written
    model, group = load_model(folder / SINGLE), study.datasets.group(DIVERSE)
    about = model.about["tasks"]["abnormality"]
    assert about["classes"] == ["normal", "abnormal"] and about["scores"]["measure"] == "MCC"
    assert about["scores"]["low"] <= about["scores"]["value"] <= about["scores"]["high"]
    draw = study.draw(DIVERSE, about["replicate"])
    known = np.intersect1d(draw.train, group.task("abnormality").train.rows)
    assert about["images"] == len(known)
    assert model.about["input"] == {"size": 16, "channels": 1, "background": 8}
    assert model.about["settings"] and model.about["arm"] == SINGLE


def test_what_training_images_are_like_is_of_the_images_that_were_drawn(written):
    study, folder = written
    model = load_model(folder / SINGLE)
    drawn = []
    for group in study.datasets.groups:
        replicate = model.about["tasks"][group.tasks[0].name]["replicate"]
        images = load_prepared(group.train_set.folder).images
        drawn.append(images[study.draw(group.name, replicate).train])
    assert model.about["training images"] == json.loads(json.dumps(typical(np.concatenate(drawn))))


def test_record_names_the_model_to_use(written):
    study, folder = written
    (job,) = (job for job in study.jobs() if job.kind == MODELS)
    record = study.record(job)
    assert record["models"] == [ALTERNATING, SINGLE] or record["models"] == [SINGLE, ALTERNATING]
    assert load_model(folder.parent).about["arm"] == record["use"]
