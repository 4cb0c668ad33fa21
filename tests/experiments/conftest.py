"""Fixtures that the tests of the experiments share."""

import pytest
from study_runs import quicken

from ums.experiments.report import style
from ums.experiments.results import scores


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Studies without what takes long in them."""
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        yield


@pytest.fixture(scope="module")
def few_resamples():
    """Bootstrap intervals of few resamples, for a whole module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "RESAMPLES", 20)
        yield


@pytest.fixture
def no_page(monkeypatch):
    """Studies from the command line leave records and no page."""
    from ums.experiments import __main__ as command

    monkeypatch.setattr(command, "write_report", lambda folder: (folder, "the tables"))


@pytest.fixture
def sheets(monkeypatch):
    """Every sheet drawn, as it is when it is saved."""
    drawn, finished = [], style.finished
    monkeypatch.setattr(
        style, "finished", lambda *given: drawn.append(given[0]) or finished(*given)
    )
    return drawn
