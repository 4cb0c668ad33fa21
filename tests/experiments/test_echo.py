"""The Doppler echo study: its groups, networks and records, on tiny made-up screens."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from pages import Page, is_drawn, mcc
from scipy.spatial.distance import cdist
from small_sets import CPU, SMALL, echoes, small_place, small_study

from ums.data import Normalisation, rows
from ums.data.normalisation import normalise
from ums.experiments import echo, runner
from ums.experiments.arms import ARMS
from ums.experiments.echo import (
    ECHO,
    ENVELOPE,
    FLOW,
    QUALITY,
    as_grey,
    flow_examples,
    nearest_neighbours,
)
from ums.experiments.items import Part
from ums.experiments.jobs import PICTURES, SOURCE, SOURCE_TEST, TUNE, Job
from ums.experiments.names import (
    CLASSIFICATION,
    DIVERSE,
    INDEPENDENT,
    LOGITS,
    OWN_EPOCH,
    SEPARATE,
    SIMILAR,
    SINGLE,
    SOURCE_HEAD,
    TEST,
)
from ums.experiments.record_files import read_arrays
from ums.experiments.replicates import Draw
from ums.experiments.report.words import LABELS
from ums.experiments.results import read_study
from ums.experiments.settings import Settings
from ums.experiments.testing import cases_of
from ums.layers import Sequential
from ums.networks import parameter_count

SETTINGS = replace(SMALL, width=0.25, batch=4, background=-1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Source and target, to be left as they are."""
    folder = tmp_path_factory.mktemp("prepared")
    for seed, name in enumerate(("source", "target")):
        echoes(folder / name, seed)
    return folder


@pytest.fixture
def own_folders(folders, tmp_path):
    """Folders that a test may spoil."""
    return shutil.copytree(folders, tmp_path / "prepared")


@pytest.fixture(scope="module")
def datasets(folders):
    return ECHO.layout.load(folders)


# ---------------------------------------------------------------------------- groups of tasks


def test_diverse_tasks_have_the_images_that_have_what_they_ask_for(datasets):
    group = datasets.group(DIVERSE)
    target, test = group.train_set, group.train_set.splits == "test"
    known = target.labels["quality"] >= 0
    expected = {ENVELOPE: np.ones(72, bool), QUALITY: known, FLOW: np.ones(72, bool)}
    assert [task.name for task in group.tasks] == [ENVELOPE, QUALITY, FLOW]
    for task in group.tasks:
        assert task.train.rows.tolist() == np.flatnonzero(expected[task.name] & ~test).tolist()
        assert task.test.rows.tolist() == np.flatnonzero(expected[task.name] & test).tolist()
    assert [task.classes for task in group.tasks[1:]] == [2, 3]
    assert group.pool.tolist() == np.flatnonzero(~test).tolist()


def test_similar_tasks_are_the_three_pairs_of_flows(datasets):
    group = datasets.group(SIMILAR)
    flow = group.train_set.labels["flow"]
    for task, (first, second) in zip(group.tasks, [(0, 1), (0, 2), (1, 2)], strict=True):
        rows = np.concatenate([task.train.rows, task.test.rows])
        assert set(flow[rows]) == {first, second}
        assert (task.train.targets[rows] == (flow[rows] == first)).all()
    assert [task.title for task in group.tasks] == ["MV vs MA", "MV vs TR", "MA vs TR"]


def spoilt_by(name, **changes):
    return lambda folder: (
        shutil.rmtree(folder / name),
        echoes(folder / name, ("source", "target").index(name), **changes),
    )


N, SIDE = 72, 32
DRAW = Draw(np.arange(5), np.arange(6, 8))
SPOILT = {
    "grey": (spoilt_by("target", images=np.zeros((N, SIDE, SIDE), np.uint8)), "one size"),
    "sides": (lambda f: [spoilt_by(n, side=36)(f) for n in ("source", "target")], "multiples of 8"),
    "no flow": (spoilt_by("target", labels={"quality": np.zeros(N, int)}), "no column 'flow'"),
    "no quality": (spoilt_by("target", labels={"flow": np.zeros(N, int)}), "no column 'quality'"),
    "other flow": (
        spoilt_by("target", labels={"flow": np.full(N, 3), "quality": np.zeros(N, int)}),
        "flow must be from 0 to 2",
    ),
    "no masks": (spoilt_by("target", masks=None), "no envelope"),
    "no test": (spoilt_by("target", splits=["train"] * N), "test part"),
    "patients of the source": (
        spoilt_by("target", patients=[f"{k // 48}-{k // 2}" for k in range(N)]),
        "target: the source learns labels, .*/source has 0-0 too",
    ),
    "no source": (
        lambda f: (
            shutil.rmtree(f / "source"),
            spoilt_by(
                "target", splits=[("train", "validation", "test")[k // 2 % 3] for k in range(N)]
            )(f),
        ),
        "the source learns labels, .*/target has 1-0 too",
    ),
    "no target": (
        lambda f: shutil.rmtree(f / "target"),
        "holds no target; .*data_prep echo .*from a checkout",
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_folders_that_do_not_fit_are_refused_with_what_is_wrong(what, own_folders):
    spoil, message = SPOILT[what]
    spoil(own_folders)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        ECHO.layout.load(own_folders)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"quality": np.zeros(N, int)}, "source/table.csv has no column 'flow'"),
        (
            {"flow": np.where(np.arange(N) % 12 < 10, np.arange(N) // 12 % 3, -1)},
            "source: no image with a flow in split 'test'",
        ),
    ],
)
def test_source_without_flows_is_refused_before_it_is_trained(labels, message, own_folders):
    spoilt_by("source", labels=labels)(own_folders)
    datasets = ECHO.layout.load(own_folders)
    with pytest.raises(ValueError, match=message):
        small_study(ECHO, datasets, own_folders / "out", SETTINGS)


def test_source_learns_from_images_of_known_flow_alone(own_folders):
    flow = np.where(np.arange(N) % 5, np.arange(N) // 12 % 3, -1)
    spoilt_by("source", labels={"flow": flow})(own_folders)
    source = ECHO.layout.load(own_folders).source
    for split in ("train", "validation", "test"):
        examples = flow_examples(source, split, Normalisation(-1))
        assert (
            examples.rows.tolist()
            == np.flatnonzero((source.splits == split) & (flow >= 0)).tolist()
        )
        assert examples.targets.tolist() == flow.tolist()


# ---------------------------------------------------------------------------- networks


def networks_of(group, width):
    """An untrained source and what a group's tasks are built from."""
    source = ECHO.source_network(np.random.default_rng(1), width)
    return source, ECHO.networks(group, source, Settings(width=width), CPU)


def test_networks_have_the_papers_parameter_counts(datasets, rng):
    source, networks = networks_of(datasets.group(DIVERSE), 1.0)
    assert parameter_count(source) == 460_115  # Tables 8 and 10
    models = {name: parameter_count(make(rng)) for name, make in networks.models.items()}
    assert models == {ENVELOPE: 786_497, QUALITY: 1_573_506, FLOW: 1_573_506 + 513}
    whole = parameter_count(Sequential(networks.encoder, networks.heads[ENVELOPE](rng)))
    assert whole == 786_497 + 2 * 9 * 8  # two channels more to begin with


def test_heads_fit_the_encoder_and_models_the_grey_images(datasets, rng):
    for group in datasets.groups:
        _, networks = networks_of(group, 0.25)
        screens = group.train_set.images[:2]
        features = networks.encoder.forward(normalise(screens))
        for task in group.tasks:
            shape = (2, SIDE, SIDE, 1) if task.name == ENVELOPE else (2, task.classes)
            assert networks.heads[task.name](rng).forward(features).shape == shape
            grey = normalise(networks.clean(screens))
            assert networks.models[task.name](rng).forward(grey).shape == shape


def test_baseline_sees_the_luminance():
    screens = np.array([[[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 10, 10]]]], np.uint8)
    worked = np.rint(255 * np.array([0.299, 0.587, 0.114])).tolist()  # ITU-R BT.601
    assert as_grey(screens).tolist() == [[[*worked, 10]]]


def test_screens_are_never_turned(rng):
    augmentation = ECHO.augmentation(rng)
    assert augmentation.angle == 0 < augmentation.zoom and augmentation.rng is rng


# ---------------------------------------------------------------------------- a small run


@pytest.fixture(scope="module")
def finished(folders, tmp_path_factory):
    """A replicate of some arms, to be left as it is."""
    place = small_place(ECHO, folders, tmp_path_factory.mktemp("echo"))
    part = Part(replace(SETTINGS, replicates=1), (SEPARATE, SINGLE, INDEPENDENT, SOURCE_HEAD))
    runner.run(place, {"": part}, report=lambda _: None)
    return runner.study_of(place, part)


def record_of(study, group, arm):
    return study.record(Job(TUNE, group, arm, 1))


@pytest.mark.parametrize("name", [DIVERSE, SIMILAR])
def test_source_head_has_the_source_s_own_logits_for_what_it_knows(name, finished):
    group, source = finished.datasets.group(name), finished.source(1).network
    found = record_of(finished, name, SOURCE_HEAD)["tasks"]
    flow = {"MV": 0, "MA": 1, "TR": 2}
    columns = {FLOW: [0, 1, 2]}
    if name == SIMILAR:  # the first of a pair is class 1
        pairs = {task.name: task.name.split("-") for task in group.tasks}
        columns = {task: [flow[second], flow[first]] for task, (first, second) in pairs.items()}
    assert found.keys() == columns.keys()
    for task, own in columns.items():
        images = group.test_set.images[group.task(task).test.rows]
        y = source.forward(normalise(images, background=-1), keep=False)[:, own]
        assert list(found[task]) == [OWN_EPOCH] and list(found[task][OWN_EPOCH]) == [TEST]
        np.testing.assert_allclose(found[task][OWN_EPOCH][TEST][LOGITS], y, atol=1e-4)


def test_source_head_is_tested_on_patients_that_no_source_has_seen(finished):
    group = finished.datasets.group(DIVERSE)
    tested = group.test_set.patients[group.task(FLOW).test.rows]
    assert not set(tested) & set(finished.source_set.patients)


def test_baseline_s_images_are_grey_and_all_others_screens(finished, monkeypatch):
    for name in (DIVERSE, SIMILAR):
        tuning = finished.tuning(name, 1)
        for arm in ARMS:
            shape = tuning.images(ARMS[arm], "test_set", np.arange(2)).shape
            assert shape == (2, SIDE, SIDE) + (() if arm == SEPARATE else (3,))
    assert tuning._cleaned.shape == (N, SIDE, SIDE)


def test_every_network_is_scored_on_every_case(finished):
    for name in (DIVERSE, SIMILAR):
        group = finished.datasets.group(name)
        for arm in (SEPARATE, SINGLE, INDEPENDENT):
            for task in group.tasks:
                scores = record_of(finished, name, arm)["tasks"][task.name][OWN_EPOCH][TEST]
                assert {len(values) for values in scores.values()} == {len(task.test.rows)}
                if task.kind == CLASSIFICATION:
                    assert np.shape(scores[LOGITS])[1] == task.classes
                assert list(cases_of(group, task)) == [TEST]  # nothing else is put aside


def test_pictures_are_of_the_recommendations_of_the_independent_heads(finished):
    job = Job(PICTURES, DIVERSE, replicate=1)
    path = finished.run.store.record_path(job.name, finished.key(job))
    arrays, group = read_arrays(path, finished.record(job)), finished.datasets.group(DIVERSE)
    rows = np.intersect1d(group.task(FLOW).test.rows, group.task(QUALITY).test.rows)
    shown = group.test_set.images[rows[arrays["recommendations case"]]]
    assert len(shown) and np.array_equal(arrays["recommendations images"], shown)
    assert arrays[f"outlines {SEPARATE}"].shape == (4, SIDE, SIDE)
    assert f"outlines {SOURCE_HEAD}" not in arrays and f"outlines {SINGLE}" not in arrays


def test_source_is_tested_on_its_test_patients_beside_the_nearest_of_the_others(finished):
    source, draw = finished.source_set, finished.draw("source", 1)
    test = np.flatnonzero(source.splits == "test")
    flat, flow = source.images.reshape(N, -1).astype(float), source.labels["flow"]
    nearest = flow[draw.train][cdist(flat[test], flat[draw.train]).argmin(axis=1)]
    record = finished.record(Job(SOURCE_TEST, replicate=1))
    assert (
        record["nearest neighbour"] == nearest.tolist() and record["label"] == flow[test].tolist()
    )
    assert record["trained on"] == len(draw.train) < (source.splits != "test").sum()
    y = finished.source(1).network.forward(
        normalise(source.images[test], background=-1), keep=False
    )
    np.testing.assert_allclose(record[LOGITS], y, atol=1e-4)


# ---------------------------------------------------------------------------- the page


@pytest.fixture(scope="module")
def page(finished):
    """The page of the small run."""
    return Page(read_study(finished.run.store.folder))


COLUMNS = {
    (DIVERSE, ENVELOPE): "Envelope segmentation, IoU",
    (DIVERSE, QUALITY): "Image quality, MCC",
    (DIVERSE, FLOW): "Flow, MCC",
    (SIMILAR, "MV-MA"): "MV vs MA, MCC",
    (SIMILAR, "MV-TR"): "MV vs TR, MCC",
    (SIMILAR, "MA-TR"): "MA vs TR, MCC",
}
CONTENTS = {
    "When does sharing pay?": ["contrasts", "contrasts"],  # a figure and its table
    "The paper's claims": ["claims", "headlines"],
    "The arms": ["arms"],
    "The source: flow": ["source", "source-examples", "training-source"],
    "Tasks with diverse annotations": [
        "diverse-test", "table-7-segmentation", "table-7-classification", "outlines",
    ],
    "Derived: recommendation": [
        "recommendation", "recommendation-tables", "recommendation-causes", "recommendations",
    ],
    "Cost: diverse tasks": ["diverse-arms", "table-8", "crossover-diverse"],
    "Training: diverse tasks": ["training-diverse"],
    "Tasks with similar annotations": ["similar-test", "table-9-classification"],
    "Cost: similar tasks": ["similar-arms", "table-10", "crossover-similar"],
    "Training: similar tasks": ["training-similar"],
}  # fmt: skip


def test_page_has_its_sections_in_their_order_each_with_its_tables_and_figures(page):
    assert list(page.contents.items()) == list(CONTENTS.items())


def test_no_figure_is_empty(page):
    assert len(page.sheets) == 10
    assert not [name for name, sheet in page.sheets.items() if not is_drawn(sheet)]


@pytest.mark.parametrize(("group", "task"), COLUMNS)
def test_scores_on_the_page_are_those_of_the_records(group, task, page):
    for arm in (SEPARATE, SINGLE, INDEPENDENT, SOURCE_HEAD):
        row, column = page.row(f"{group}-test", Arm=LABELS[arm]), COLUMNS[group, task]
        if arm == SOURCE_HEAD and task in (ENVELOPE, QUALITY):
            assert column not in row  # what the source was not trained for
        else:
            np.testing.assert_allclose(row[column].values, page.scores(group, arm, task), atol=1e-9)


@pytest.mark.parametrize(
    ("question", "better", "worse"),
    [("Freezing", INDEPENDENT, SINGLE), ("A new head", INDEPENDENT, SOURCE_HEAD)],
)
def test_contrasts_on_the_page_are_the_differences_of_the_records(question, better, worse, page):
    row = page.row("contrasts", Question=question)
    for (group, task), column in COLUMNS.items():
        if worse == SOURCE_HEAD and task in (ENVELOPE, QUALITY):
            assert column not in row
        else:
            assert row[column].mean == pytest.approx(page.difference(group, better, worse, task))


def test_source_stands_beside_what_needs_no_network(page, finished):
    record = finished.record(Job(SOURCE_TEST, replicate=1))
    label = np.array(record["label"])
    for method, logits in (
        ("Source", np.array(record[LOGITS])),
        ("Nearest neighbour, by pixels", np.eye(3)[record["nearest neighbour"]]),
        ("The commonest flow", np.eye(3)[[record["commonest"]] * len(label)]),
    ):
        row = page.row("source", Method=method)
        assert row["MCC"].mean == pytest.approx(mcc(label, logits))
        assert row["Accuracy"].mean == pytest.approx((logits.argmax(axis=1) == label).mean())


@pytest.mark.parametrize("arm", [SEPARATE, SINGLE, INDEPENDENT])
def test_recommendation_follows_from_the_logits_of_both_heads(arm, page, finished):
    """To be excluded are tricuspid regurgitations (2) of poor quality (0)."""
    group = finished.datasets.group(DIVERSE)
    tests = [group.task(name).test for name in (FLOW, QUALITY)]
    known = np.intersect1d(*(test.rows for test in tests))
    chances = []
    for name, test in zip((FLOW, QUALITY), tests, strict=True):
        scores = record_of(finished, DIVERSE, arm)["tasks"][name][OWN_EPOCH][TEST][LOGITS]
        z = np.exp(np.array(scores)[np.isin(test.rows, known)])
        chances.append(z / z.sum(axis=1, keepdims=True))
    labels = group.test_set.labels
    truth = (labels["flow"][known] == 2) & (labels["quality"][known] == 0)
    rules = {
        "P(TR) P(poor) > 1/2": chances[0][:, 2] * chances[1][:, 0] > 0.5,
        "both likeliest": (chances[0].argmax(axis=1) == 2) & (chances[1].argmax(axis=1) == 0),
    }
    for rule, excluded in rules.items():
        row = page.row("recommendation", Arm=LABELS[arm], **{"Excluded where": rule})
        assert row["Sensitivity"].mean == pytest.approx(excluded[truth].mean())
        assert row["Specificity"].mean == pytest.approx((~excluded)[~truth].mean())
        expected = mcc(truth.astype(int), np.eye(2)[excluded.astype(int)])
        assert row["MCC"].mean == pytest.approx(expected)


@pytest.mark.parametrize("name", [DIVERSE, SIMILAR])
def test_costs_on_the_page_are_those_of_the_records(name, page, finished):
    """The source counts on the side of the heads alone: the baseline has no denoiser."""
    source = finished.record(Job(SOURCE, replicate=1))["seconds"] / 60
    table = {DIVERSE: "table-8", SIMILAR: "table-10"}[name]
    for arm, whole, of in (
        (INDEPENDENT, "Shared source (flow) and heads", source),
        (SEPARATE, "All models", 0),
    ):
        tasks = record_of(finished, name, arm)["tasks"].values()
        minutes = sum(task["seconds"] for task in tasks) / 60
        assert page.row(f"{name}-arms", Arm=LABELS[arm])["Minutes"] == pytest.approx(minutes)
        assert page.row(table, Part=whole)["Minutes"] == pytest.approx(minutes + of)


# ---------------------------------------------------------------------------- the source's test


def test_nearest_neighbours_are_scipys(rng):
    images, of = (rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8) for n in (30, 12))
    flat = (a.reshape(len(a), -1).astype(float) for a in (of, images))
    assert nearest_neighbours(images, of).tolist() == cdist(*flat).argmin(axis=1).tolist()


def test_nearest_neighbours_are_looked_for_part_by_part(rng, monkeypatch):
    images, seen = rng.integers(0, 256, (10, 8, 8, 3), dtype=np.uint8), []
    monkeypatch.setattr(rows, "PART_BYTES", 3 * images[0].nbytes)
    as_points = echo._as_points
    monkeypatch.setattr(echo, "_as_points", lambda a: seen.append(len(a)) or as_points(a))
    assert nearest_neighbours(images, images[::-2]).tolist() == [9, 7, 5, 3, 1]
    assert seen == [5, 3, 3, 3, 1]


@pytest.mark.parametrize(("n", "wrong"), [(6, 1), (20, 2), (20, 18), (3, 3)])
def test_examples_are_up_to_eight_and_none_is_shown_twice(n, wrong, datasets, monkeypatch):
    splits = np.where(np.isin(np.arange(N), 3 * np.arange(n)), "test", "train")
    source = replace(datasets.source, splits=splits)
    flow = source.labels["flow"][splits == "test"]
    predicted = (flow + (np.arange(n) < wrong)) % 3
    monkeypatch.setattr(echo, "predict", lambda *_: np.eye(3)[predicted])
    record, pictures = ECHO.test_source(None, source, DRAW, ECHO.defaults, CPU)
    shown, few = pictures["shown"], min(4, wrong)
    assert (predicted == flow)[shown].tolist() == [False] * few + [True] * min(8 - few, n - wrong)
    assert len(set(shown.tolist())) == len(shown)
    assert (pictures["images"] == source.images[splits == "test"][shown]).all()
    assert record["logits"].tolist() == np.eye(3)[predicted].tolist()
