"""What the book is made of: the plan, links, chapters without solutions, and the crawl of its pages."""

import base64
import json
import re

import pytest
from sources import SOURCES

from lessons.book.check import faults
from lessons.book.links import documented, in_book
from lessons.book.plan import read_plan
from lessons.book.reference import write_reference
from lessons.holes import solution_lines
from lessons.notebooks import LESSONS

PLAN = read_plan()
PLACES = {part.key: place for place, part in enumerate(PLAN.parts)}

# ---------------------------------------------------------------------------------- the plan


def test_every_lesson_and_task_has_a_place_in_the_plan():
    assert {lesson.partition("_")[0] for lesson in SOURCES} <= set(PLACES)


@pytest.mark.parametrize("part", PLAN.parts, ids=lambda part: part.key)
def test_nothing_comes_before_what_it_needs(part):
    assert all(PLACES[key] < PLACES[part.key] for key in part.needs)


@pytest.mark.parametrize("count", [12, 6])
def test_the_weeks_follow_the_order_of_the_plan_and_none_is_empty_or_too_full(count):
    weeks = PLAN.weeks(count)
    order = list(dict.fromkeys(part.key for parts in weeks.values() for part in parts))
    assert order == sorted(order, key=PLACES.get)
    minutes = [PLAN.load(parts) for parts in weeks.values()]
    assert len(minutes) == count and min(minutes) >= 60 and max(minutes) <= 300
    assert sum(minutes) == (PLAN.minutes if count == 12 else PLAN.minutes_without_capstone)


def test_six_weeks_leave_out_the_capstones_alone():
    six = [part.key for parts in PLAN.weeks(6).values() for part in parts]
    assert six == [key for key in PLACES if not key.startswith("c")]


def test_the_map_of_the_readme_has_the_weeks_of_the_plan():
    text = (LESSONS / "README.md").read_text(encoding="utf-8")
    weeks = re.findall(r"^\| \[\w+\]\((\w+?)_\w+\.ipynb\) .*\| ([\d-]+) \|$", text, flags=re.M)
    assert len(weeks) >= 12
    assert dict(weeks).items() <= {part.key: part.week for part in PLAN.parts}.items()


# ---------------------------------------------------------------------------------- links


@pytest.mark.parametrize(
    ("link", "page"),
    [
        ("ums/ops/dense.py:dense_backward", "api/ums.ops.dense.html#ums.ops.dense.dense_backward"),
        ("ums/layer.py:Layer.freeze", "api/ums.layer.html#ums.layer.Layer.freeze"),
        ("ums/ops/pooling.py", "api/ums.ops.pooling.html"),
        ("ums/gradcheck.py:_differences", "_modules/ums/gradcheck.html"),
        ("ums/experiments/RESULTS.md", "results.html"),
        ("lessons/02_backward.ipynb", "lessons/02_backward.html"),
    ],
)
def test_a_link_to_the_library_leads_to_the_page_of_the_book(link, page):
    assert in_book(f"see [this]({link}).", up="../") == (
        f'see <a class="reference internal" href="../{page}">this</a>.'
    )


def test_a_file_without_a_page_is_linked_on_the_web_or_told():
    text = "[plant bugs](tests/planted_bugs.py:BUGS)"
    assert in_book(text) == "plant bugs (`tests/planted_bugs.py`)"
    url = "https://github.com/me/mine/blob/HEAD/tests/planted_bugs.py"
    assert in_book(text, repository="me/mine") == f"[plant bugs]({url})"


@pytest.mark.parametrize(
    "text", ["[a](other.md)", "![a](README.md)", "f[x](y)", "[a](https://b.c)"]
)
def test_other_links_and_pictures_stay_as_they_are(text):
    assert in_book(text) == text


def test_the_reference_shows_what_is_public_and_has_a_docstring():
    names = documented("ums/gradcheck.py")
    assert "check_gradients" in names and not any(name.startswith("_") for name in names)
    assert "MARGINS" in documented("ums/experiments/results/verdicts.py")


def test_the_reference_has_a_page_for_every_module(tmp_path):
    names = write_reference(tmp_path)
    assert {"ums", "ums.ops.conv", "ums.experiments.results.verdicts", "data_prep.cxr"} <= set(
        names
    )
    assert not any(name.endswith("__main__") for name in names)
    assert sorted(f"{name}.rst" for name in names) == sorted(p.name for p in tmp_path.iterdir())
    assert "   ums.ops.dense\n" in (tmp_path / "ums.ops.rst").read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------- chapters

SOURCE = '''# %% [markdown]
# # 1 A lesson

# %%
def twice(x):
    """Twice x."""
    # BEGIN SOLUTION
    return 2 * x + 0 * 12345
    # END SOLUTION


# %% [markdown] tags=["solution"]
# **Answers.** It is 12345.
'''


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A lesson and its executed copy, with one picture: (source, write the chapter)."""
    pytest.importorskip("jupytext")
    import jupytext
    import nbformat

    from lessons.book import chapters

    source = tmp_path / "01_made.py"
    source.write_text(SOURCE, encoding="utf-8")
    ran = jupytext.reads(SOURCE, fmt="py:percent")
    png = base64.b64encode(b"a picture").decode()
    data, metadata = {"image/png": png, "text/html": "<img>"}, {"image/png": {"alt": "A [curve]"}}
    ran.cells[1].outputs = [nbformat.v4.new_output("display_data", data=data, metadata=metadata)]
    ran.cells.insert(1, nbformat.v4.new_markdown_cell("how to open it"))
    nbformat.write(ran, tmp_path / "01_made.ipynb")
    monkeypatch.setattr(chapters, "SOLVED", tmp_path)

    def write(**options):
        edition = chapters.Edition(**options)
        return nbformat.writes(chapters.chapter(source, tmp_path, edition))

    return source, write


def test_the_public_chapter_has_the_hole_and_the_outputs(made, tmp_path):
    text = made[1]()
    assert "12345" not in text and "twice is not written yet" in text
    assert "![A \\\\[curve\\\\]](01_made-1.png)" in text
    assert (tmp_path / "01_made-1.png").read_bytes() == b"a picture"
    assert "download" in text and "Colab" not in text


def test_the_teachers_chapter_has_the_solution_and_the_answers(made):
    text = made[1](solved=True)
    assert text.count("12345") == 2 and "do not publish" in text


def test_badges_name_the_repository(made):
    text = made[1](repository="me/mine")
    assert "github/me/mine/blob/gh-pages/notebooks/01_made.ipynb" in text
    assert "gh/me/mine/HEAD?urlpath=lab/tree/lessons/01_made.ipynb" in text


def test_an_executed_copy_of_another_source_is_refused(made):
    source, write = made
    source.write_text(SOURCE.replace("12345", "54321"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"01_made\.ipynb was not made of this 01_made\.py"):
        write()
    assert "image" not in write(draft=True)


def test_a_slider_is_told_and_a_picture_without_a_text_is_found(made, tmp_path):
    from nbformat.v4 import new_output

    from lessons.book.chapters import SLIDER, Pictures
    from lessons.book.check import UNTOLD

    pictures = Pictures(tmp_path, "02_made")
    widget = new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}})
    assert pictures.replaced(widget).data == {"text/markdown": SLIDER}
    bare = pictures.replaced(new_output("display_data", {"image/png": ""}))
    assert bare.data == {"text/markdown": f"![{UNTOLD}](02_made-1.png)"}


@pytest.mark.parametrize("lesson", SOURCES)
def test_no_public_chapter_holds_a_solution(lesson, tmp_path):
    pytest.importorskip("jupytext")
    from lessons.book.chapters import Edition, chapter

    cells = chapter(SOURCES[lesson], tmp_path, Edition(draft=True)).cells
    lines = {line.strip() for cell in cells for line in cell.source.split("\n")}
    solution = solution_lines(SOURCES[lesson].read_text(encoding="utf-8"))
    assert [line for line in solution if line in lines and len(line) > 12] == []
    assert not any("**Answers" in line for line in lines)


def test_a_downloaded_notebook_fetches_the_course_only_where_a_repository_is_known():
    pytest.importorskip("nbformat")
    from lessons.book.chapters import downloadable

    text = (LESSONS / "02_backward.ipynb").read_text(encoding="utf-8")
    assert downloadable(text, None) == text
    cells = json.loads(downloadable(text, "me/mine"))["cells"]
    assert "https://github.com/me/mine.git" in "".join(cells[1]["source"])
    assert len(cells) == len(json.loads(text)["cells"]) + 1


# ---------------------------------------------------------------------------------- the crawl

GOOD = '<img src="a.png" alt="A curve"><a href="b.html#here">b</a><a href="https://c.d">c</a>'


@pytest.fixture
def site(tmp_path):
    """Write a site of two pages, the first of which has this text; its folder."""
    (tmp_path / "_static").mkdir()
    (tmp_path / "a.png").touch()
    (tmp_path / "b.html").write_text('<p id="here">b</p>', encoding="utf-8")

    def write(text, css=""):
        (tmp_path / "index.html").write_text(text, encoding="utf-8")
        (tmp_path / "_static" / "a.css").write_text(css, encoding="utf-8")
        return tmp_path

    return write


def test_a_sound_site_has_no_faults(site):
    assert faults(site(GOOD)) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('<a href="c.html">', "index.html: a link that leads nowhere: c.html"),
        ('<a href="b.html#there">', "index.html: a link that leads nowhere: b.html#there"),
        ('<a href="#there">', "index.html: a link that leads nowhere: #there"),
        ('<img src="a.png">', "index.html: a picture without a text: a.png"),
        ('<script src="https://c.d/e.js">', "index.html: loads https://c.d/e.js"),
        ('<link rel="stylesheet" href="//c.d/e.css">', "index.html: loads //c.d/e.css"),
    ],
)
def test_each_kind_of_fault_is_found(text, fault, site):
    assert faults(site(text)) == [fault]


def test_what_a_style_sheet_loads_from_outside_is_found(site):
    assert faults(site(GOOD, "@import url('https://c.d/e.css')")) == [
        "_static/a.css: loads https://c.d/e.css"
    ]


# ---------------------------------------------------------------------------------- pictures


def test_a_picture_is_shown_with_its_text_in_the_image_itself(monkeypatch, capsys):
    display = pytest.importorskip("IPython.display")
    plt = pytest.importorskip("matplotlib.pyplot")
    from lessons.pictures import show

    plt.figure(figsize=(1, 1))
    show("IoU, falling")
    assert capsys.readouterr().out == "IoU, falling\n"  # outside a notebook
    assert not plt.get_fignums()

    shown = []
    monkeypatch.setattr(display, "display", shown.append)
    plt.figure(figsize=(1, 1))
    show('IoU < 1, "falling"')
    data, metadata = shown[0]._repr_mimebundle_()
    assert data["text/html"].startswith(
        '<img alt="IoU &lt; 1, &quot;falling&quot;" src="data:image/p'
    )
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert metadata == {"image/png": {"alt": 'IoU < 1, "falling"'}}
