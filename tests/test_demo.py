"""The page to try a model, driven in a browser without a window."""

import re
import shutil
import warnings
from importlib import import_module

import numpy as np
import pytest
from test_predictions import CPU, film, small_model, written

from ums.predictions import predict_image

pytest.importorskip("gradio")
sync_api, demo = pytest.importorskip("playwright.sync_api"), import_module("ums.demo")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
if BROWSER is None:
    pytest.skip("no browser", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore")  # a server of many libraries


@pytest.fixture(scope="module")
def model():
    about = {"title": "chest X-rays", "notice": "not for clinical use"}
    classes = {"lungs": None, "abnormality": ("normal", "abnormal")}
    return small_model(np.random.default_rng(0), about=about, **classes)


@pytest.fixture(scope="module")
def page(model):
    """The page in a browser, and the addresses outside this computer that it asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        address = demo.serve(model, CPU, wait=False)
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
            page, asked = browser.new_page(), []
            page.on("request", lambda request: asked.append(request.url))
            page.goto(address)
            yield page, asked
            browser.close()


def look(page, path):
    page.reload()
    page.set_input_files("input[type=file]", str(path))
    page.get_by_text(path.name).wait_for()
    page.get_by_role("button", name="Look").click()


def test_dropped_image_is_outlined_and_said_in_numbers(page, model, tmp_path, rng):
    path = written(tmp_path / "film.png", film(rng))
    look(page[0], path)
    chance = predict_image(model, path, CPU).probabilities["abnormality"][1]
    page[0].get_by_text(f"{chance:.4f}").first.wait_for()
    for name in ("outlines", "abnormality-map"):
        assert page[0].get_by_text(name).count()
    assert page[0].locator("img").count() >= 2
    assert "not for clinical use" in page[0].inner_text("body")


def test_file_that_is_no_image_is_named(page, tmp_path):
    path = tmp_path / "notes.png"
    path.write_bytes(b"nothing")
    look(page[0], path)
    page[0].get_by_text(re.compile(r"notes\.png: ")).first.wait_for()


def test_page_is_for_this_computer_alone(page):
    own = re.compile(r"(https?://(127\.0\.0\.1|localhost)[:/]|data:|blob:)")
    assert page[1] and [url for url in page[1] if not own.match(url)] == []
    assert demo.ADDRESS == "127.0.0.1"
