"""The hyperparameter search: what is tried, what is scored on what, and searches that are stopped."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax
from small_sets import note_computed
from ums.experiments.stages import Stages

from data_prep.writing import Content, save_prepared
from ums.backend import Device
from ums.data import Examples
from ums.data.normalisation import normalise
from ums.experiments import search
from ums.experiments.report import search as search_report
from ums.experiments.report import search_plot, style
from ums.experiments.report.search_plot import trials_figure
from ums.experiments.results import scores
from ums.experiments.search import Search
from ums.experiments.search_space import (
    GRID,
    PAPERS,
    SPACE,
    Choice,
    Found,
    Settings,
    Trial,
    ranked,
)
from ums.layers import Conv2D, Dropout
from ums.optimizers import SGD, Adam, RMSprop
from ums.training import TrainingDiverged

CPU = Device(np, "CPU")
QUICK = Settings(trials=3, epochs=2, width=0.05, progress=False)
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


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(scores, "RESAMPLES", 50)


def a_search(source, folder, settings=QUICK, every=60.0):
    return Search(source, settings, CPU, Stages(folder, settings.seed, every))


def figures_of(found):
    """All that a search ends with, but for the time it took."""
    trials = [t._replace(seconds=0) for t in (*found.trials, found.test)]
    return str(trials), found.tested.values["logits"].tolist()  # NaN is not itself, but "nan" is


@pytest.fixture(scope="module")
def uninterrupted(source, tmp_path_factory):
    return a_search(source, tmp_path_factory.mktemp("whole")).run()


# ---------------------------------------------------------------------------- what is tried


def test_grid_is_the_papers_ranges_without_repetition():
    every = Settings(trials=162).choices(np.random.default_rng(0))
    assert len(set(every)) == 3 * 2 * 3 * 3 * 3 == len(GRID)
    for setting, values in SPACE.items():
        counts = Counter(getattr(choice, setting) for choice in every)
        assert counts == dict.fromkeys(values, 162 // len(values))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"trials": 0}, "trials must be 1 to 162, got 0"),
        ({"trials": 163}, "trials must be 1 to 162, got 163"),
        ({"dark": 255}, "background must be a grey level below 255, or -1, got 255"),
        ({"dark": -2}, "background must be a grey level below 255, or -1, got -2"),
    ],
)
def test_settings_that_no_trial_could_follow_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Settings(**wrong)


def test_papers_choice_comes_first_and_the_rest_in_an_order_of_the_seeds():
    few, many, others = (
        Settings(trials=n).choices(np.random.default_rng(seed))
        for n, seed in [(5, 0), (20, 0), (5, 1)]
    )
    assert few[0] == others[0] == PAPERS == Choice(3, 2, 0.5, "Adam", 16)
    assert many[:5] == few and others != few


@pytest.mark.parametrize(
    ("choice", "kind", "rate"),
    [
        (Choice(5, 3, 0.1, "SGD", 32), SGD, 1e-2),
        (Choice(7, 2, 0.3, "RMSprop", 64), RMSprop, 1e-3),
        (PAPERS, Adam, 1e-3),
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
    trial, network = a_search(source, tmp_path).trial(1, choice)
    convolutions = [layer for layer in network.leaves() if isinstance(layer, Conv2D)]
    assert {c.w.value.shape[:2] for c in convolutions} == {(choice.kernel, choice.kernel)}
    assert [c.dilation for c in convolutions] == [1] * 3 + [choice.dilation] * 3
    assert [d.rate for d in network.leaves() if isinstance(d, Dropout)] == [choice.dropout]
    optimizer, batch = seen
    assert (type(optimizer), optimizer.learning_rate, batch) == (kind, rate, choice.batch)
    assert getattr(optimizer, "momentum", 0.9) == 0.9
    assert trial.parameters == sum(p.value.size for p in network.parameters())


# ---------------------------------------------------------------------------- what is scored


def test_scores_are_those_of_the_kept_network_on_the_validation_split(source, tmp_path):
    trial, network = a_search(source, tmp_path).trial(1, PAPERS)
    rows = source.splits == "validation"
    logits = network.forward(normalise(source.images[rows], background=-1)).astype(np.float64)
    flow = source.labels["flow"][rows]
    loss = -log_softmax(logits, axis=1)[np.arange(len(flow)), flow].mean()
    assert trial.loss == pytest.approx(loss, rel=1e-5)
    assert trial.accuracy == np.mean(logits.argmax(axis=1) == flow)
    said, true = np.eye(3)[logits.argmax(axis=1)], np.eye(3)[flow]
    covariance = np.mean(said * true) - np.mean(said.mean(0) * true.mean(0))
    spread = [np.mean(a * a) - np.mean(a.mean(0) ** 2) for a in (said, true)]
    expected = covariance / np.sqrt(np.prod(spread)) if np.prod(spread) > 0 else 0
    assert trial.mcc == pytest.approx(expected)


def test_test_split_is_met_once_by_the_best_alone(source, tmp_path, monkeypatch):
    asked, score = [], Search.score

    def noted(self, network, split):
        asked.append((split, network))
        return score(self, network, split)

    monkeypatch.setattr(Search, "score", noted)
    found = a_search(source, tmp_path).run()
    assert [split for split, _ in asked] == ["validation"] * 3 + ["test"]
    told, tested = score(a_search(source, tmp_path), asked[-1][1], "test")
    assert found.test == ranked(found.trials)[0]._replace(**told)
    assert tested.labels.tolist() == source.labels["flow"][source.splits == "test"].tolist()
    assert tested.patients.tolist() == source.patients[source.splits == "test"].tolist()
    weights = asked[found.test.number - 1][1].state_dict()
    assert all(np.array_equal(a, weights[name]) for name, a in asked[-1][1].state_dict().items())


def trial_with(number, loss, choice=PAPERS):
    if np.isnan(loss):
        return Trial(number, choice, 1, diverged="its loss is nan")
    return Trial(number, choice, 1, loss, 0.5, 0.0)


def test_lowest_loss_comes_first_and_of_equals_the_first_and_what_diverged_last():
    trials = [trial_with(i, loss) for i, loss in enumerate([np.nan, 0.5, 0.25, 0.25], start=1)]
    assert [trial.number for trial in ranked(trials)] == [3, 4, 2, 1]


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


@pytest.mark.parametrize(("batches", "epochs"), [(3, 0), (9, 1), (12, 2), (14, 0), (17, 1)])
def test_search_that_was_stopped_ends_with_the_same_figures(
    batches, epochs, source, tmp_path, uninterrupted, stop_at, capsys
):
    stop_at(batches)
    with pytest.raises(Stopped):
        a_search(source, tmp_path, every=0).run()
    stop_at(np.inf)
    assert figures_of(a_search(source, tmp_path, every=0).run()) == figures_of(uninterrupted)
    assert capsys.readouterr().out.count(f"continues after epoch {epochs}") == (epochs > 0)


def test_longer_search_takes_what_is_there(source, tmp_path, uninterrupted, monkeypatch):
    a_search(source, tmp_path, replace(QUICK, trials=2)).run()
    made = []
    learn = search.train_task
    monkeypatch.setattr(
        search, "train_task", lambda task, *a: made.append(task.name) or learn(task, *a)
    )
    found = a_search(source, tmp_path).run()
    assert made == [found.trials[2].choice.name]
    assert figures_of(found) == figures_of(uninterrupted)


@pytest.mark.parametrize("change", [{"epochs": 1}, {"width": 0.06}, {"dark": 8}, {"patience": 1}])
def test_trials_of_other_settings_are_not_taken(change, source, tmp_path, monkeypatch):
    a_search(source, tmp_path, replace(QUICK, trials=1)).run()
    computed = note_computed(monkeypatch)
    before = len(list(tmp_path.iterdir()))
    a_search(source, tmp_path, replace(QUICK, trials=1, **change)).run()
    assert computed == [PAPERS.name] and len(list(tmp_path.iterdir())) == before + 1


def diverge(monkeypatch, *names):
    learn = search.train_task

    def perhaps(task, *rest):
        if not names or task.name in names:
            raise TrainingDiverged(f"{task.name}: the training loss is nan")
        return learn(task, *rest)

    monkeypatch.setattr(search, "train_task", perhaps)


def test_diverged_trial_is_recorded_and_does_not_end_the_search(source, tmp_path, monkeypatch):
    lost = QUICK.choices(Stages(tmp_path, 0).rng("order"))[1]
    diverge(monkeypatch, lost.name)
    found = a_search(source, tmp_path).run()
    assert [np.isfinite(trial.loss) for trial in found.trials] == [True, False, True]
    assert found.trials[1].diverged == f"{lost.name}: the training loss is nan"
    monkeypatch.undo()  # what diverged once does so again: it is not tried anew
    again = a_search(source, tmp_path).run()
    assert figures_of(again) == figures_of(found)
    table = search_report.trials_table(again.trials, 15)
    assert table.rows[-1]["Mark"] == "diverged" and "–" in table.text()


def test_search_in_which_everything_diverged_says_so(source, tmp_path, monkeypatch, capsys):
    diverge(monkeypatch)
    arguments = ["--trials", "2", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert search.main([str(source.folder.parent), *arguments]) == 2
    assert capsys.readouterr().err.startswith("error: all 2 trials diverged; the first: kernel3-")
    assert not (tmp_path / "out" / "report.html").exists()


# ---------------------------------------------------------------------------- the page


def test_command_leaves_a_page_with_every_trial_by_rank(source, tmp_path, uninterrupted):
    arguments = ["--trials", "3", "--epochs", "2", "--width", "0.05", "--device", "cpu", "--quiet"]
    out = tmp_path / "out"
    assert search.main([str(source.folder.parent), "--out", str(out), *arguments]) == 0
    assert {path.name for path in out.iterdir()} == {
        "report.html", "tables.txt", "tables.json", "figures", "stages",
    }  # fmt: skip
    trials, tested = json.loads((out / "tables.json").read_text())["tables"]
    rows, expected = trials["rows"], uninterrupted
    assert [row["Loss"] for row in rows] == sorted(t.loss for t in expected.trials)
    assert "best" in rows[0]["Mark"]
    assert [row["No."] for row in rows if "paper" in row["Mark"]] == [1]
    for measure, value in (("Accuracy", expected.test.accuracy), ("MCC", expected.test.mcc)):
        assert tested["rows"][0][measure]["mean"] == value
        assert tested["rows"][0][measure]["low"] <= value <= tested["rows"][0][measure]["high"]
    page = (out / "report.html").read_text()
    assert (
        "15 images of 3 patients" in page and "made up: 100 images (70 train, 15 validation" in page
    )


def test_interval_of_the_best_follows_the_seed():
    rng = np.random.default_rng(0)
    patients, labels = np.arange(30) // 3, rng.integers(3, size=30)
    tested = scores.tested_once(patients, labels, rng.normal(size=(30, 3)))
    found = Found([], trial_with(1, 0.5), tested)
    first, again, other = (search_report.tested_table(found, seed).rows for seed in (1, 1, 2))
    assert first == again != other


def test_summary_names_the_best_and_the_papers_place():
    trials = [trial_with(i + 1, loss, GRID[i]) for i, loss in enumerate([0.5, 0.25])]
    test = trials[1]._replace(accuracy=0.75, mcc=0.5)
    lines = search_report.summary_lines(Found(trials, test, None))
    assert lines[0].startswith(
        "Lowest validation loss: 3 x 3 kernels, dilation 2, dropout 0.1, SGD"
    )
    assert "number 2 of 2" in lines[1] and "accuracy 0.750, MCC 0.500" in lines[2]
    lines = search_report.summary_lines(Found(trials[:1], test, None))
    assert lines[1] == "That is the paper's choice."


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
def test_folder_that_cannot_serve_is_named(changes, message, tmp_path, capsys):
    screens(tmp_path / "source", **changes)
    assert search.main([str(tmp_path), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("trials", "epochs"), [("0", "1"), ("163", "1"), ("1", "0")])
def test_numbers_out_of_range_are_refused(trials, epochs, source, tmp_path, capsys):
    arguments = ["--trials", trials, "--epochs", epochs, "--out", str(tmp_path / "out")]
    assert search.main([str(source.folder.parent), *arguments]) == 2
    assert "must be" in capsys.readouterr().err and not (tmp_path / "out").exists()


# ---------------------------------------------------------------------------- the picture


def tried(*losses, kernels=(3, 5, 5, 3), optimizers=("Adam", "SGD", "Adam", "SGD")):
    """Trials that differ in kernel and optimizer; the first need not be the paper's."""
    return [
        trial_with(i, loss, Choice(kernel, 2, 0.5, optimizer, 16))
        for i, (loss, kernel, optimizer) in enumerate(
            zip(losses, kernels, optimizers, strict=True), start=1
        )
    ]


LOSSES = (0.5, np.nan, 0.25, 0.75)


@pytest.fixture
def axes(monkeypatch):
    """The axes of every sheet drawn, by title or, without one, label, as they are when it is saved."""
    drawn, finished = [], style.finished

    def noted(sheet, *rest):
        drawn.append({ax.get_title("left") or ax.get_xlabel(): ax for ax in sheet.axes})
        return finished(sheet, *rest)

    monkeypatch.setattr(style, "finished", noted)
    return drawn


def lines_of(ax):
    return [
        (np.round(line.get_xdata()).tolist(), list(line.get_ydata())) for line in ax.get_lines()
    ]


def test_every_trial_stands_at_its_values_with_means_and_marks(axes):
    trials_figure(tried(*LOSSES))
    assert list(axes[0]) == ["Kernel", "Dilation", "Dropout", "Optimizer", "Batch", "Trial"]
    kernel, optimizer, course = (axes[0][name] for name in ("Kernel", "Optimizer", "Trial"))
    dots, best, paper, diverged = lines_of(kernel)
    assert dots[0] == [0, 1, 1, 0] and dots[1][2:] == [0.25, 0.75] and np.isnan(dots[1][1])
    assert best == ([1], [0.25]) and paper == ([0], [0.5]) and diverged[0] == [1]
    bars = kernel.collections[0].get_segments()
    assert [float(bar[0, 1]) for bar in bars if len(bar)] == [0.625, 0.25]
    assert [label.get_text() for label in optimizer.get_xticklabels()] == ["SGD", "Adam", "RMSprop"]
    assert lines_of(course)[-1] == ([1, 2, 3, 4], [0.5, 0.5, 0.25, 0.25])
    assert lines_of(course)[0][0] == [1, 2, 3, 4]
    assert kernel.get_ylim() == optimizer.get_ylim() == course.get_ylim()


def test_alternative_text_of_the_search_tells_marks_and_means():
    told = trials_figure(tried(*LOSSES)).alt
    assert "4 trials (best: trial 3, 0.250; paper's choice: trial 1, 0.500; diverged: 1)" in told
    assert "kernel 0.625, 0.250, none; dilation 0.500, none; " in told
    assert "optimizer 0.750, 0.375, none; batch 0.500, none, none." in told


def test_papers_choice_that_diverged_is_not_marked(axes):
    figure = trials_figure(tried(np.nan, 0.5, 0.25, 0.75))
    assert "paper" not in figure.alt and "best: trial 3" in figure.alt
    assert len(axes[0]["Kernel"].get_lines()) == 3  # dots, best, diverged


@pytest.mark.parametrize("losses", [LOSSES, (0.5, 0.5, 0.25, 0.75), (np.nan, 0.5, 0.25, 0.75)])
def test_legend_explains_what_is_drawn_and_nothing_else(losses, monkeypatch):
    explained = []
    monkeypatch.setattr(style, "legend_below", lambda sheet, marks: explained.extend(marks))
    trials_figure(tried(*losses))
    absent = {"paper's choice"} if np.isnan(losses[0]) else set()
    absent |= set() if np.isnan(losses).any() else {"diverged"}
    assert explained == [mark for mark in search_plot.MARKS if mark not in absent]


def test_losses_far_apart_are_on_a_logarithmic_axis(axes):
    trials_figure(tried(0.1, 0.2, 0.3, 5.0))
    trials_figure(tried(0.1, 0.2, 0.3, 0.4))
    scales = [{ax.get_yscale() for ax in each.values()} for each in axes]
    assert scales == [{"log"}, {"linear"}]


def test_search_in_which_nothing_converged_is_not_drawn():
    with pytest.raises(RuntimeError, match="all 4 trials diverged; the first: its loss is nan"):
        trials_figure(tried(*[np.nan] * 4))
