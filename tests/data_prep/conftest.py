"""Preparing tiny sets, over and over, is tested without drawing each one's summary."""

import pytest

from data_prep import look


@pytest.fixture(autouse=True, scope="module")
def no_summary():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(look, "summary_plot", lambda *_: b"")
        yield
