"""The Doppler echo study: its groups, networks and page, on tiny made-up screens."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist
from small_sets import CPU, blank, echoes, small_study
from study_runs import error_line, jobs_in, records_alone, run, tables

from ums.data import Normalisation, rows
from ums.data.normalisation import normalise
from ums.experiments import echo, tuning
from ums.experiments.__main__ import main
from ums.experiments.echo import (
    ECHO,
    ENVELOPE,
    FLOW,
    QUALITY,
    as_grey,
    flow_examples,
    nearest_neighbours,
    sgd,
)
from ums.experiments.jobs import TUNE, Job
from ums.experiments.names import DIVERSE, SIMILAR, STRATEGIES
from ums.experiments.settings import Settings
from ums.finetuning import Task
from ums.layers import Parameter, Sequential
from ums.networks import parameter_count
from ums.optimizers import SGD, Adam

OPTIONS = ["--width", "0.25", "--batch", "4"]
TABLES = {
    "claims", "source", "recommendation", "recommendation-causes", "table-8", "table-10",
    "table-7-segmentation", "diverse-segmentation-held-out", "table-7-classification",
    "diverse-classification-held-out", "diverse-comparisons", "table-9-classification",
    "similar-classification-held-out", "similar-comparisons",
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("few_resamples")


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
def test_source_without_flows_is_refused_before_it_is_trained(labels, message, own_folders, capsys):
    spoilt_by("source", labels=labels)(own_folders)
    assert run("echo", own_folders, own_folders / "out") == 2
    assert message in error_line(capsys)
    assert not list((own_folders / "out").rglob("*.npz"))


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


def test_source_learns_from_its_train_split_and_stops_by_validation(
    datasets, tmp_path, monkeypatch
):
    seen, train = [], echo.train_task
    monkeypatch.setattr(
        echo, "train_task", lambda task, *rest: seen.append(task) or train(task, *rest)
    )
    assert small_study(ECHO, datasets, tmp_path).source.history.train
    for examples, split in ((seen[0].train, "train"), (seen[0].validation, "validation")):
        assert examples.rows.tolist() == np.flatnonzero(datasets.source.splits == split).tolist()


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


def test_screens_are_never_turned(datasets, rng):
    _, networks = networks_of(datasets.group(DIVERSE), 0.1)
    augmentation = networks.augment(rng)
    assert augmentation.angle == 0 < augmentation.zoom and augmentation.rng is rng


def test_joint_loss_has_the_optimizer_that_all_tasks_share_or_else_adam(datasets):
    for name, expected in ((SIMILAR, sgd), (DIVERSE, Adam)):
        tasks = datasets.group(name).tasks
        found = tuning.one_optimizer(
            [Task(task.name, None, None, None, None, task.optimizer) for task in tasks]
        )
        assert [(one.name, one.optimizer) for one in found] == [
            (task.name, expected) for task in tasks
        ]


def test_heads_learn_by_sgd_but_joint_and_separate_networks_by_adam(folders, tmp_path, monkeypatch):
    seen = {}

    def noted(name):
        original = getattr(tuning, name)

        def tune(*arguments, **more):
            tasks = next(a for a in arguments if isinstance(a, list))
            seen.setdefault(name, []).extend(task.optimizer for task in tasks)
            return original(*arguments, **more)

        return tune

    names = ("tune_independently", "tune_alternately", "tune_jointly", "train_separately")
    for name in names:
        monkeypatch.setattr(tuning, name, noted(name))
    study = small_study(ECHO, ECHO.layout.load(folders, [DIVERSE]), tmp_path)
    for arm in STRATEGIES:
        study.tuning(DIVERSE).tune(Job(TUNE, DIVERSE, arm, 1))
    own, adam = [Adam, sgd, sgd], [Adam] * 3
    assert [seen[name] for name in names] == [own, own, adam, adam]


def test_sgd_has_ten_times_the_rate_and_momentum():
    optimizer = sgd([Parameter(np.zeros(2))], 0.003)
    assert isinstance(optimizer, SGD)
    assert (optimizer.learning_rate, optimizer.momentum) == (pytest.approx(0.03), 0.9)


# ---------------------------------------------------------------------------- a whole run


@pytest.fixture(scope="module")
def finished(folders, tmp_path_factory, few_resamples):
    """The folder of one whole run, pictures and all, to be left as it is."""
    out = tmp_path_factory.mktemp("results") / "echo"
    assert run("echo", folders, out, *OPTIONS) == 0
    return out


def test_run_leaves_the_papers_tables_and_those_beside_them(finished):
    found = tables(finished)
    assert set(found) == TABLES
    assert not any("denoiser" in row["Part"] for row in found["table-8"])
    assert [row["Part"] for row in found["table-8"] if row["Approach"] == "Baseline"] == [
        "Envelope segmentation model", "Image quality model", "Flow model", "All models",
    ]  # fmt: skip


def test_run_leaves_a_page_with_its_pictures(finished):
    page = (finished / "report.html").read_text()
    for words in ("Doppler echo", "Nearest neighbour", "MV vs TR", "Derived: recommendation"):
        assert words in page
    pictures = {path.stem for path in (finished / "figures").iterdir()}
    for name in ("source-examples", "outlines", "recommendations", "recommendation-tables"):
        assert name in pictures
    assert len(jobs_in(finished / "weights", "npz")) == 1 + 2 * 2 * 4
    assert len(jobs_in(finished / "records", "json")) == 2 + 2 * (1 + 2 * 4 + 1)


def test_page_is_made_from_records_alone(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(Figure, "savefig", blank)
    folder = records_alone(finished, tmp_path)
    assert main(["report", str(folder)]) == 0
    assert (folder / "tables.json").read_bytes() == (finished / "tables.json").read_bytes()


def test_source_is_tested_on_its_test_patients_beside_the_nearest_of_the_others(finished, datasets):
    source = datasets.source
    train, test = (np.flatnonzero(source.splits == split) for split in ("train", "test"))
    flat, flow = source.images.reshape(N, -1).astype(float), source.labels["flow"]
    nearest = flow[train][cdist(flat[test], flat[train]).argmin(axis=1)]
    written = json.loads((finished / "tables.json").read_text())["tables"]
    table = next(table for table in written if table["name"] == "source")
    assert f"On {len(test)} images" in table["note"]
    assert f"trained on {len(train)} images" in table["note"]
    row = next(row for row in table["rows"] if row["Method"].startswith("Nearest"))
    assert row["Accuracy"]["mean"] == np.mean(nearest == flow[test])


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
    record, pictures = ECHO.test_source(None, source, ECHO.defaults, CPU)
    shown, few = pictures["shown"], min(4, wrong)
    assert (predicted == flow)[shown].tolist() == [False] * few + [True] * min(8 - few, n - wrong)
    assert len(set(shown.tolist())) == len(shown)
    assert (pictures["images"] == source.images[splits == "test"][shown]).all()
    assert record["logits"].tolist() == np.eye(3)[predicted].tolist()
