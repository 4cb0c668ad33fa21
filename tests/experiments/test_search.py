"""The hyperparameter search: what is tried, what is scored on what, and searches that are stopped."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.special import log_softmax
from small_sets import CPU, blank, note_computed
from study_runs import error_line, records_alone, short

from data_prep.writing import Content, save_prepared
from ums.data import Examples
from ums.data.normalisation import normalise
from ums.experiments import search
from ums.experiments.__main__ import main
from ums.experiments.jobs import generator
from ums.experiments.report import search as page
from ums.experiments.results import read_study
from ums.experiments.run import Run
from ums.experiments.search import Search, SearchSettings
from ums.experiments.search_space import GRID, PAPERS_CHOICE, SPACE, Choice, trial_of
from ums.experiments.settings import Settings
from ums.experiments.store import Store
from ums.layers import Conv2D, Dropout
from ums.optimizers import SGD, Adam, RMSprop
from ums.reading import read_verified, with_digest
from ums.training import TrainingDiverged

QUICK = SearchSettings(trials=3, epochs=2, width=0.05)
SPLITS = ("train",) * 14 + ("validation",) * 3 + ("test",) * 3


def screens(folder, n=100, side=16, **changes):
    """Colour images of three flows, bright in another third each; five images of each patient."""
    rng, flow = np.random.default_rng(0), np.arange(n) % 3
    images = rng.integers(0, 60, (n, side, side, 3), dtype=np.uint8)
    for kind, rows in enumerate(np.array_split(np.arange(side), 3)):
        images[np.ix_(flow == kind, rows)] += 120
    columns = {
        "images": images,
        "ids": [f"{k}" for k in range(n)],
        "patients": [f"p{k // 5}" for k in range(n)],
        "splits": [SPLITS[k // 5 % 20] for k in range(n)],
        "labels": {"flow": flow},
        "about": {"source": "made up"},
    }
    return save_prepared(folder, Content(**columns | changes))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A prepared folder named as the command wants it, to be left as it is."""
    return screens(tmp_path_factory.mktemp("prepared") / "source")


pytestmark = pytest.mark.usefixtures("few_resamples")


def a_search(source, folder, settings=QUICK, every=60.0):
    return Search(source, settings, Run(Settings(), CPU, Store(folder, every), progress=False))


def searched(source, folder, settings=QUICK, every=60.0):
    """The trials' records and the best one's test, of a whole search that leaves them in a folder."""
    search.run(a_search(source, folder, settings, every), folder)
    parts = read_study(folder).parts
    return list(parts["trials"].records), parts["test"].records[0]


def numbers_of(found):
    """All that a search ends with, but for the time it took."""
    return [
        {name: value for name, value in record.items() if name not in ("seconds", "key")}
        for record in (*found[0], found[1])
    ]


@pytest.fixture(scope="module")
def uninterrupted(source, tmp_path_factory):
    return searched(source, tmp_path_factory.mktemp("whole"))


# ---------------------------------------------------------------------------- what is tried


def test_grid_is_the_papers_ranges_without_repetition():
    every = SearchSettings(trials=162).choices(np.random.default_rng(0))
    assert len(set(every)) == 3 * 2 * 3 * 3 * 3 == len(GRID)
    for setting, values in SPACE.items():
        counts = Counter(getattr(choice, setting) for choice in every)
        assert counts == dict.fromkeys(values, 162 // len(values))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"trials": 0}, "trials must be 1 to 162, got 0"),
        ({"trials": 163}, "trials must be 1 to 162, got 163"),
        ({"background": 255}, "background must be a grey level below 255, or -1, got 255"),
        ({"background": -2}, "background must be a grey level below 255, or -1, got -2"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        SearchSettings(**wrong)


def test_papers_choice_comes_first_and_the_rest_in_an_order_of_the_seeds():
    few, many, others = (
        SearchSettings(trials=n).choices(np.random.default_rng(seed))
        for n, seed in [(5, 0), (20, 0), (5, 1)]
    )
    assert few[0] == others[0] == PAPERS_CHOICE == Choice(3, 2, 0.5, "Adam", 16)
    assert many[:5] == few and others != few


@pytest.mark.parametrize(
    ("choice", "kind", "rate"),
    [
        (Choice(5, 3, 0.1, "SGD", 32), SGD, 1e-2),
        (Choice(7, 2, 0.3, "RMSprop", 64), RMSprop, 1e-3),
        (PAPERS_CHOICE, Adam, 1e-3),
    ],
)
def test_trial_trains_the_network_that_was_chosen(
    choice, kind, rate, source, tmp_path, monkeypatch
):
    seen = []
    learn = search.train_task

    def noted(task, training):
        fit = training.settings
        seen.extend([task.optimizer(task.head.parameters(), fit.learning_rate), fit.batch])
        for examples, split in ((task.train, "train"), (task.validation, "validation")):
            assert examples.rows.tolist() == np.flatnonzero(source.splits == split).tolist()
        return learn(task, training)

    monkeypatch.setattr(search, "train_task", noted)
    one = a_search(source, tmp_path, replace(QUICK, trials=162))
    (job,) = (job for job, tried in one.jobs().items() if tried == choice)
    network, _ = one.trained(job, choice)
    convolutions = [layer for layer in network.leaves() if isinstance(layer, Conv2D)]
    assert {c.w.value.shape[:2] for c in convolutions} == {(choice.kernel, choice.kernel)}
    assert [c.dilation for c in convolutions] == [1] * 3 + [choice.dilation] * 3
    assert [d.rate for d in network.leaves() if isinstance(d, Dropout)] == [choice.dropout]
    optimizer, batch = seen
    assert (type(optimizer), optimizer.learning_rate, batch) == (kind, rate, choice.batch)
    assert getattr(optimizer, "momentum", 0.9) == 0.9
    parameters = one.record(job, choice)["parameters"]
    assert parameters == sum(p.value.size for p in network.parameters())


# ---------------------------------------------------------------------------- what is scored


def test_scores_are_those_of_the_kept_network_on_the_validation_split(source, tmp_path):
    one = a_search(source, tmp_path)
    job, choice = next(iter(one.jobs().items()))
    record, (network, _) = one.record(job, choice), one.trained(job, choice)
    rows = source.splits == "validation"
    logits = network.forward(normalise(source.images[rows], background=-1)).astype(np.float64)
    flow = source.labels["flow"][rows]
    loss = -log_softmax(logits, axis=1)[np.arange(len(flow)), flow].mean()
    assert record["loss"] == pytest.approx(loss, rel=1e-5)
    assert record["accuracy"] == np.mean(logits.argmax(axis=1) == flow)
    predicted, true = np.eye(3)[logits.argmax(axis=1)], np.eye(3)[flow]
    covariance = np.mean(predicted * true) - np.mean(predicted.mean(0) * true.mean(0))
    spread = [np.mean(a * a) - np.mean(a.mean(0) ** 2) for a in (predicted, true)]
    expected = covariance / np.sqrt(np.prod(spread)) if np.prod(spread) > 0 else 0
    assert record["mcc"] == pytest.approx(expected)
    assert record["label"] == flow.tolist() and len(record["logits"]) == len(flow)


def test_test_split_is_met_once_by_the_best_alone(source, tmp_path, monkeypatch):
    asked, scores = [], Search.scores

    def noted(self, network, split):
        asked.append((split, network))
        return scores(self, network, split)

    monkeypatch.setattr(Search, "scores", noted)
    records, test = searched(source, tmp_path)
    assert [split for split, _ in asked] == ["validation"] * 3 + ["test"]
    best = int(np.argmin([record["loss"] for record in records]))
    weights = asked[best][1].state_dict()
    assert all(np.array_equal(a, weights[name]) for name, a in asked[-1][1].state_dict().items())
    rows = source.splits == "test"
    assert test["label"] == source.labels["flow"][rows].tolist()
    assert test["patient"] == source.patients[rows].tolist()
    assert test["accuracy"] == np.mean(np.argmax(test["logits"], axis=1) == test["label"])


# ---------------------------------------------------------------------------- stopped and diverged


class Stopped(Exception):
    """Stands in for whatever ends a process."""


@pytest.fixture
def stop_at(monkeypatch):
    """Raise :class:`Stopped` when n batches have been made from now on."""
    original = Examples.batch

    def begin(n):
        made = []

        def batch(*arguments):
            made.append(arguments)
            if len(made) > n:
                raise Stopped
            return original(*arguments)

        monkeypatch.setattr(Examples, "batch", batch)

    return begin


@pytest.mark.parametrize(("batches", "epochs"), [(3, 0), (9, 1), (12, 0), (14, 0), (17, 1)])
def test_search_that_was_stopped_ends_with_the_same_numbers(
    batches, epochs, source, tmp_path, uninterrupted, stop_at, capsys
):
    stop_at(batches)
    with pytest.raises(Stopped):
        searched(source, tmp_path, every=0)
    stop_at(np.inf)
    assert numbers_of(searched(source, tmp_path, every=0)) == numbers_of(uninterrupted)
    assert capsys.readouterr().out.count(f"continues after epoch {epochs}") == (epochs > 0)


def test_longer_search_takes_what_is_there(source, tmp_path, uninterrupted, monkeypatch):
    searched(source, tmp_path, replace(QUICK, trials=2))
    computed = note_computed(monkeypatch)
    found = searched(source, tmp_path)
    third = Choice(**found[0][2]["choice"]).name
    assert [*map(short, computed.weights)] == [third] and short(computed.records[0]) == third
    assert numbers_of(found) == numbers_of(uninterrupted)


@pytest.mark.parametrize(
    "change", [{"epochs": 1}, {"width": 0.06}, {"background": 8}, {"patience": 1}, {"seed": 1}]
)
def test_trials_of_other_settings_are_not_taken(change, source, tmp_path, monkeypatch):
    computed, one = note_computed(monkeypatch), replace(QUICK, trials=1)
    for settings in (one, replace(one, **change), one):
        searched(source, tmp_path, settings)
    assert len(computed.weights) == 2 and len(computed.records) == 4  # the trial and its test


def diverge(monkeypatch, *names):
    train = search.train_task

    def perhaps(task, *rest):
        if not names or task.name in names:
            raise TrainingDiverged(f"{task.name}: the training loss is nan")
        return train(task, *rest)

    monkeypatch.setattr(search, "train_task", perhaps)


def test_diverged_trial_is_recorded_and_does_not_end_the_search(source, tmp_path, monkeypatch):
    lost = QUICK.choices(generator(0, "order"))[1]
    diverge(monkeypatch, lost.name)
    found = searched(source, tmp_path)
    trials = [trial_of(number, record) for number, record in enumerate(found[0], start=1)]
    assert [np.isfinite(trial.loss) for trial in trials] == [True, False, True]
    assert trials[1].diverged == f"{lost.name}: the training loss is nan"
    monkeypatch.undo()  # what diverged once does so again: it is not tried anew
    assert numbers_of(searched(source, tmp_path)) == numbers_of(found)
    table = page.trials_table(trials, 15)
    assert table.rows[-1]["Mark"] == "diverged" and "–" in table.text()


def test_search_in_which_everything_diverged_is_an_error(source, tmp_path, monkeypatch, capsys):
    diverge(monkeypatch)
    arguments = ["--trials", "2", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(["search", str(source.folder.parent), *arguments]) == 2
    assert "error: all 2 trials diverged; the first: kernel3-" in error_line(capsys)
    assert not (tmp_path / "out" / "report.html").exists()


# ---------------------------------------------------------------------------- the page


@pytest.fixture
def out(source, tmp_path, few_resamples, monkeypatch):
    """The folder of a search from the command line."""
    monkeypatch.setattr(Figure, "savefig", blank)
    arguments = ["--trials", "3", "--epochs", "2", "--width", "0.05", "--device", "cpu", "--quiet"]
    out = tmp_path / "out"
    assert main(["search", str(source.folder.parent), "--out", str(out), *arguments]) == 0
    return out


def test_command_leaves_a_page_with_every_trial_by_rank(out, uninterrupted):
    assert {path.name for path in out.iterdir()} - {".lock"} == {
        "report.html", "tables.txt", "tables.json", "figures", "study.json", "weights", "records",
    }  # fmt: skip
    trials, tested = json.loads((out / "tables.json").read_text())["tables"]
    rows, (records, test) = trials["rows"], uninterrupted
    assert [row["Loss"] for row in rows] == sorted(record["loss"] for record in records)
    assert "best" in rows[0]["Mark"]
    assert [row["No."] for row in rows if "paper" in row["Mark"]] == [1]
    for measure, value in (("Accuracy", test["accuracy"]), ("MCC", test["mcc"])):
        found = tested["rows"][0][measure]
        assert found["mean"] == value and found["low"] <= value <= found["high"]
    text = (out / "report.html").read_text()
    assert "15 images of 3 patients" in text
    assert "made up: 100 images (70 train, 15 validation, 15 test)" in text


def test_page_is_made_from_records_alone(out, tmp_path):
    folder = records_alone(out, tmp_path / "alone")
    assert main(["report", str(folder)]) == 0
    assert (folder / "tables.json").read_bytes() == (out / "tables.json").read_bytes()


def test_search_whose_best_was_not_tested_is_not_finished(out, capsys):
    study = read_verified(out / "study.json")
    del study["jobs"]["test"]
    (out / "study.json").write_text(json.dumps(with_digest(study)))
    assert main(["report", str(out)]) == 2
    assert "not finished" in error_line(capsys)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {"quality": [0] * 100}}, "source/table.csv has no column 'flow'"),
        ({"labels": {"flow": [3] + [0] * 99}}, "source/table.csv: flow must be from 0 to 2"),
        ({"labels": {"flow": [0] * 84 + [-1] * 16}}, "no image with a flow in split 'test'"),
        ({"labels": {"flow": [-1] * 7 + [0] * 93}}, "source: 63 training images cannot fill"),
        ({"side": 20}, "images must be RGB and their sides multiples of 8"),
        ({"images": np.zeros((100, 16, 16), np.uint8)}, "source: images must be RGB"),
        ({"splits": ["train"] * 100}, "source: no image with a flow in split 'validation'"),
        (
            {"splits": ["train"] * 60 + ["validation"] * 20 + ["test"] * 20},
            "source: 60 training images cannot fill a batch of 64",
        ),
    ],
)
def test_folder_that_cannot_be_used_is_named(changes, message, tmp_path, capsys):
    screens(tmp_path / "source", **changes)
    assert main(["search", str(tmp_path), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 2
    assert message in error_line(capsys)


@pytest.mark.parametrize(("trials", "epochs"), [("0", "1"), ("163", "1"), ("1", "0")])
def test_numbers_out_of_range_are_refused(trials, epochs, source, tmp_path, capsys):
    arguments = ["--trials", trials, "--epochs", epochs, "--out", str(tmp_path / "out")]
    assert main(["search", str(source.folder.parent), *arguments]) == 2
    assert "must be" in error_line(capsys) and not (tmp_path / "out").exists()
