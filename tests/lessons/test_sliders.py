"""A picture with sliders: what is shown with ipywidgets, without it, and in an executed copy."""

import base64
import sys
from types import SimpleNamespace

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("IPython")

import IPython.display
import matplotlib.pyplot as plt

from lessons import sliders


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, and the values that the figure is drawn with."""
    found = SimpleNamespace(displayed=[], drawn=[])
    monkeypatch.delenv("LESSON_STILL", raising=False)
    monkeypatch.setattr(
        IPython.display, "display", lambda what, **options: found.displayed.append((what, options))
    )

    def draw(width, height):
        found.drawn.append((width, height))
        plt.figure(figsize=(1, 1))

    found.slide = lambda: sliders.slide(draw, "a text", width=(1, 5, 2), height=(0, 9, 4))
    yield found
    assert plt.get_fignums() == []


def test_executed_copy_shows_one_picture_with_its_text(shown, monkeypatch):
    monkeypatch.setenv("LESSON_STILL", "1")
    shown.slide()
    ((picture, _),) = shown.displayed
    assert shown.drawn == [(2, 4)] and picture.data.startswith(b"\x89PNG")
    assert picture.alt == "a text"


def test_missing_ipywidgets_leaves_one_picture(shown, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    shown.slide()
    assert shown.drawn == [(2, 4)] and len(shown.displayed) == 1


def test_live_notebook_redraws_and_a_page_made_from_it_has_the_first_picture(shown, monkeypatch):
    widgets = pytest.importorskip("ipywidgets")
    boxes = []
    made = widgets.interactive

    def watched(f, **moved):
        assert plt.get_fignums() == []  # the box would show an open figure, too
        boxes.append(made(f, **moved))
        return boxes[-1]

    monkeypatch.setattr(widgets, "interactive", watched)
    shown.slide()
    bundle, options = shown.displayed[-1]
    assert options["raw"] and "application/vnd.jupyter.widget-view+json" in bundle
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"] == options["metadata"]["image/png"]["alt"] == "a text"
    boxes[0].children[0].value = 5
    assert shown.drawn[0] == (2, 4) and shown.drawn[-1] == (5, 4)
