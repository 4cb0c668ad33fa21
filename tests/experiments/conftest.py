"""Fixtures that the tests of the experiments share."""

import pytest

from ums.experiments import cxr, evaluation, runner
from ums.experiments.results import scores


@pytest.fixture(scope="module", autouse=True)
def quick():
    """What takes long and is tested by itself: estimates of time, maps of many images, filters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "_seconds", lambda _, __, todo: dict.fromkeys(todo, 1.0))
        patch.setattr(cxr, "DENOISED_AT_MOST", {"test": 2, "validation": 1})
        patch.setattr(evaluation, "OCCLUDED", 1)
        patch.setattr(evaluation, "CURVES", 1)
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
