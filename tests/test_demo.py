"""The page to try a model, driven in a browser without a window."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_predictions import CPU, film, small_model, written

import ums
from ums.models import save_model
from ums.predictions import predict_image

pytest.importorskip("gradio")
sync_api = pytest.importorskip("playwright.sync_api")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
if BROWSER is None:
    pytest.skip("no browser", allow_module_level=True)


@pytest.fixture(scope="module")
def model():
    about = {"title": "chest X-rays"}
    classes = {"lungs": None, "abnormality": ("normal", "abnormal")}
    return small_model(np.random.default_rng(0), about=about, **classes)


@pytest.fixture(scope="module")
def address(model, tmp_path_factory):
    """Where the command serves the page."""
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, model.networks, model.about)
    command = [sys.executable, "-W", "ignore", "-m", "ums", "demo", "--model", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(Path(ums.__file__).parents[1])}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    yield server.stdout.readline().split(": the page")[0]
    server.kill()
    server.communicate()


@pytest.fixture(scope="module")
def page(address):
    """The page in a browser, and all addresses that it asked for."""
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


def test_page_is_for_this_computer_alone(address, page):
    assert address.startswith("http://127.0.0.1:")
    own = re.compile(r"(https?://(127\.0\.0\.1|localhost)[:/]|data:|blob:)")
    assert page[1] and [url for url in page[1] if not own.match(url)] == []
