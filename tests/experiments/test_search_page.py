"""The search's page: the order of trials, sentences, and the picture with its marks and axes."""

from types import SimpleNamespace

import numpy as np
import pytest

from ums.experiments.report import search as page
from ums.experiments.report import search_plot, style
from ums.experiments.report.search_plot import trials_figure
from ums.experiments.search_space import GRID, PAPERS_CHOICE, Choice, Trial, ranked


def trial_with(number, loss, choice=PAPERS_CHOICE):
    if np.isnan(loss):
        return Trial(number, choice, 1, diverged="its loss is nan")
    return Trial(number, choice, 1, loss, 0.5, 0.0)


def test_lowest_loss_comes_first_and_of_equals_the_first_and_what_diverged_last():
    trials = [trial_with(i, loss) for i, loss in enumerate([np.nan, 0.5, 0.25, 0.25], start=1)]
    assert [trial.number for trial in ranked(trials)] == [3, 4, 2, 1]


def test_interval_of_the_best_follows_the_seed():
    rng = np.random.default_rng(0)
    record = {"patient": np.arange(30) // 3, "label": rng.integers(3, size=30)}
    record["logits"] = rng.normal(size=(30, 3))
    first, again, other = (
        page.test_table(trial_with(1, 0.5), record, seed).rows for seed in (1, 1, 2)
    )
    assert first == again != other


def test_best_is_shown_with_its_settings_and_its_scores_on_the_test_split():
    record = {"patient": np.arange(30) // 3, "label": np.arange(30) % 3}
    record["logits"] = np.eye(3)[record["label"]]
    record["logits"][0] = [0, 1, 0]  # one of the 30 is wrong
    table = page.test_table(trial_with(1, 0.5), record, 1)
    (row,) = table.rows
    settings = {name.capitalize(): value for name, value in PAPERS_CHOICE._asdict().items()}
    assert (
        list(row)
        == [*settings, "Loss", "Accuracy", "MCC"]
        == [column.name for column in page.COLUMNS]
    )
    assert settings.items() <= row.items() and row["Loss"] == 0.5
    assert row["Accuracy"].mean == 29 / 30 and 0.9 < row["MCC"].mean < 1
    assert "30 images of 10 patients" in table.note


def test_table_of_trials_has_scores_of_those_alone_that_converged():
    trials = [trial_with(i, loss) for i, loss in enumerate([0.5, np.nan, 0.25], start=1)]
    trials = [trial._replace(epochs=7, seconds=90.0, parameters=12) for trial in trials]
    trials[2] = trials[2]._replace(choice=GRID[5], accuracy=0.75, mcc=0.25)
    table = page.trials_table(trials, 48)
    assert [row["No."] for row in table.rows] == [3, 1, 2]
    assert [row["Mark"] for row in table.rows] == ["best", "paper", "paper, diverged"]
    assert {row["Param."] for row in table.rows} == {12}
    best, *_, lost = table.rows
    found = [best[name] for name in ("Loss", "Accuracy", "MCC", "Epochs", "Min.")]
    assert found == [0.25, 0.75, 0.25, 7, 1.5] and not {"Loss", "Epochs", "Min."} & {*lost}
    assert "accuracy of 0.750 on 48 independent images has a standard error of 0.062," in table.note


def test_summary_counts_the_trials_that_diverged():
    trials = [trial_with(i, loss) for i, loss in enumerate([0.5, np.nan, np.nan], start=1)]
    lines = page.summary_lines(trials, trials[0]._replace(accuracy=0.75, mcc=0.5))
    assert lines[1:3] == ["That is the paper's choice.", "Trials that diverged: 2."]
    lines = page.summary_lines(trials[::-1], trials[0]._replace(accuracy=0.75, mcc=0.5))
    assert len(lines) == 3 and lines[1] == "Trials that diverged: 2."  # the paper's among them


def test_summary_names_the_best_and_the_papers_place():
    trials = [trial_with(i + 1, loss, GRID[i]) for i, loss in enumerate([0.5, 0.25])]
    test = trials[1]._replace(accuracy=0.75, mcc=0.5)
    lines = page.summary_lines(trials, test)
    best = "Lowest validation loss: 3 x 3 kernels, dilation 2, dropout 0.1, SGD"
    assert lines[0].startswith(best)
    assert "number 2 of 2" in lines[1] and "accuracy 0.750, MCC 0.500" in lines[2]
    assert page.summary_lines(trials[:1], test)[1] == "That is the paper's choice."


def test_page_says_of_what_it_is_and_how_many_trials_and_images_there_were(monkeypatch):
    best, shown = trial_with(2, 0.25, GRID[1]), []
    records = [{"label": [0, 1, 1], "patient": ["a", "b", "b"]} for _ in range(2)]
    parts = {name: SimpleNamespace(records=records) for name in ("trials", "test")}
    records[0] |= {"loss": 0.125, "accuracy": 0.75, "mcc": 0.5}
    trials = iter([trial_with(1, 0.5), best])
    monkeypatch.setattr(page, "trial_of", lambda number, record: next(trials))
    monkeypatch.setattr(page, "test_table", lambda *given: shown.append(given) or "tested")
    monkeypatch.setattr(page, "run_information", lambda study: "run")
    about = {"rates": {"Adam": 0.001}, "seed": 7}
    report = page.build(SimpleNamespace(parts=parts, about=about))
    assert "hyperparameters" in report.title and "random search" in report.subtitle
    trials, test = report.sections
    assert f"2 of the {len(GRID)} combinations" in trials.text and "Adam 0.001, SGD" in trials.text
    assert "3 images of 2 patients" in trials.text and test.blocks == ["tested"]
    assert [block.name for block in trials.blocks] == ["search", "trials"]
    tested = best._replace(loss=0.125, accuracy=0.75, mcc=0.5)
    assert shown == [(tested, records[0], 7)] and "accuracy 0.750" in report.summary[-1]
    del parts["test"]
    with pytest.raises(FileNotFoundError, match="not finished; run it again"):
        page.build(SimpleNamespace(parts=parts, about=about))


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


def test_alternative_text_names_marks_and_means():
    text = trials_figure(tried(*LOSSES)).alt
    assert "4 trials (best: trial 3, 0.250; paper's choice: trial 1, 0.500; diverged: 1)" in text
    assert "kernel 0.625, 0.250, none; dilation 0.500, none; " in text
    assert "optimizer 0.750, 0.375, none; batch 0.500, none, none." in text


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


def test_axis_of_the_losses_says_so(monkeypatch):
    drawn, finished = [], style.finished
    monkeypatch.setattr(
        style, "finished", lambda *given: drawn.append(given[0]) or finished(*given)
    )
    trials_figure(tried(*LOSSES))
    assert drawn[0].get_supylabel() == "Validation loss"
