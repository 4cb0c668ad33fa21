"""The book that `make book` left in build/book, in a browser that reaches nothing but its files."""

import os
import shutil
from pathlib import Path

import pytest

from lessons.book.check import faults

SITE = Path(os.environ.get("BOOK", Path(__file__).parents[2] / "build" / "book")) / "html"
PAGES = (
    "index",
    "syllabus",
    "notation",
    "glossary",
    "results",
    "lessons/02_backward",
    "lessons/05_shrink_and_grow",
    "api/ums.ops.conv",
    "_modules/ums/ops/conv",
)
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
CONTRAST = """() => {
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map((v) => v / 255)
      .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const text = luminance(getComputedStyle(document.querySelector("article p")).color);
  const page = luminance(getComputedStyle(document.body).backgroundColor);
  return [page, (Math.max(text, page) + 0.05) / (Math.min(text, page) + 0.05)];
}"""
"""The page's luminance, and the contrast of text with it (WCAG 2, section 1.4.3)."""

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(not SITE.is_dir(), reason="needs the book: make book")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"no browser: {error}")
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Open a page of the book; `visit.requests` are the addresses that it asked for."""
    contexts = []

    def open_page(name, query="", **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("request", lambda request: open_page.requests.append(request.url))
        page.goto(f"{(SITE / f'{name}.html').as_uri()}{query}")
        page.wait_for_function("!window.MathJax || window.MathJax.startup?.promise")
        page.evaluate("window.MathJax?.startup?.promise")
        return page

    open_page.requests = []
    yield open_page
    for context in contexts:
        context.close()


def test_no_link_is_broken_no_picture_without_a_text_and_nothing_comes_from_outside():
    assert faults(SITE) == []


@pytest.mark.parametrize("name", PAGES)
def test_mathematics_and_pictures_are_shown_and_nothing_is_asked_of_other_servers(name, visit):
    page = visit(name)
    assert [url for url in visit.requests if not url.startswith(("file:", "data:"))] == []
    assert page.locator("mjx-merror").count() == 0
    assert not {"\\frac", "\\partial", "\\texttt"} & set(page.inner_text("article").split())
    if name.startswith(("lessons", "notation")):
        assert page.locator("mjx-container").count() > 20
    sizes = page.eval_on_selector_all("article img", "all => all.map(i => i.naturalWidth)")
    assert all(sizes)


@pytest.mark.parametrize("name", PAGES)
def test_a_narrow_window_shows_the_whole_width(name, visit):
    page = visit(name, viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_the_light_and_in_the_dark(scheme, visit):
    luminance, contrast = visit("lessons/02_backward", color_scheme=scheme).evaluate(CONTRAST)
    assert (luminance < 0.1) == (scheme == "dark") and contrast >= 7


def test_the_search_finds_words_of_lessons_terms_and_functions(visit):
    for word, found in (
        ("tangent", "lessons/02_backward.html"),
        ("GradNorm", "glossary.html"),
        ("im2col", "api/ums.ops.conv.html"),
    ):
        page = visit("search", f"?q={word}")
        page.wait_for_selector(f"#search-results a[href*='{found}']")
