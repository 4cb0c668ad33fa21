"""What a course hands out: no student bundle holds an answer, and what teachers get is complete."""

import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from sources import SOURCES, checks

from lessons.checking import CheckFailed
from lessons.holes import BEGIN, END, solution_lines

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupytext")

from lessons import teachers  # noqa: E402
from lessons.graders import nbgrader_notebook, otter_notebook, stated_points  # noqa: E402
from lessons.notebooks import SETUP, asked  # noqa: E402
from lessons.release import release, write_students  # noqa: E402

TRIVIAL = 12
"""Shorter lines (`return x`, `else:`) may stand elsewhere too."""

LESSONS = list(SOURCES.values())


@pytest.fixture(scope="module")
def students(tmp_path_factory):
    return write_students(tmp_path_factory.mktemp("release") / "students", LESSONS)


def texts(folder):
    """{path: text} of what a student reads: notebooks cell by cell, and all that is not the library."""
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).parts[0] not in ("ums", "data_prep"):
            text = path.read_text(encoding="utf-8")
            if path.suffix == ".ipynb":
                text = "\n".join("".join(c["source"]) for c in json.loads(text)["cells"])
            yield path.relative_to(folder).as_posix(), text


def test_students_get_no_line_of_a_solution(students):
    found = dict(texts(students))
    for source in LESSONS:
        solution = [
            n for n in solution_lines(source.read_text(encoding="utf-8")) if len(n) > TRIVIAL
        ]
        lines = set(map(str.strip, found[f"lessons/{source.stem}.ipynb"].split("\n")))
        assert solution and not lines.intersection(solution)
        assert len(found) > len(LESSONS)


def test_students_get_the_versions_that_the_release_was_made_with(students):
    from importlib.metadata import version

    lines = (students / "requirements" / "tested.txt").read_text(encoding="utf-8").split()
    assert f"numpy=={version('numpy')}" in lines and len(lines) > 8


def test_students_get_no_source_solved_copy_test_answer_or_marker(students):
    parts = {part for path in students.rglob("*") for part in path.relative_to(students).parts}
    assert not parts & {"source", "solved", "tests", "wrong_answers", "__pycache__", "release.py"}
    for name, text in texts(students):
        assert "BEGIN SOLUTION" not in text and "**Answers" not in text, name


def test_start_page_leads_to_every_notebook_and_links_lead_somewhere(students):
    start = (students / "START.md").read_text(encoding="utf-8")
    stems = re.findall(r"^\| \[.+\]\(lessons/(\w+)\.ipynb\) \| \d+ \|$", start, flags=re.M)
    assert sorted(stems) == sorted(source.stem for source in LESSONS)
    keys = [stem.partition("_")[0] for stem in stems]
    assert keys.index("04") < keys.index("t1") < keys.index("05") < keys.index("c1")
    for path in (students / "lessons").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for cell in cells:
            if cell["cell_type"] == "markdown":
                links = re.findall(r"(?<!!)\[[^\[\]]*\]\(([^()\s:]+)\)", "".join(cell["source"]))
                for address in links:
                    target = path.parent / address.partition("#")[0]
                    assert target.exists(), (path.name, address)


def test_students_library_has_all_that_notebooks_import(students):
    for name, text in texts(students):
        if name.endswith((".ipynb", ".py")):
            for module in re.findall(r"^(?:from|import) (lessons(?:\.\w+)*)", text, flags=re.M):
                path = students / module.replace(".", "/")
                assert path.is_dir() or path.with_suffix(".py").is_file(), (name, module)
    needed = (students / "requirements.txt").read_text(encoding="utf-8").split("\n")
    assert "-r requirements/core.txt" in needed and "-r requirements/lessons.txt" in needed
    for name in (line.removeprefix("-r ") for line in needed if line):
        assert (students / name).is_file()
    assert (students / "lessons" / "setup.py").is_file()


def test_git_ignores_what_students_write(students, tmp_path):
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    shutil.copy(students / ".gitignore", tmp_path)
    written = ["lessons/own/bce.py", "lessons/02_backward.ipynb", "work/02_backward.ipynb"]
    asked = subprocess.run(
        ["git", "check-ignore", *written, "lessons/checking.py"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert asked.stdout.split() == written


def test_students_folder_has_the_command_of_the_study(students, tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "lessons", "study", "--own", str(tmp_path)],
        cwd=students, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 2 and f"error: nothing is kept in {tmp_path}" in run.stderr


@pytest.mark.parametrize("source", LESSONS, ids=list(SOURCES))
def test_graders_copies_have_the_points_of_each_check(source):
    lesson = source.stem
    worth = 7 if lesson.startswith("c") else 4 if lesson.startswith("t") else 1
    cells = nbgrader_notebook(source).cells
    marks = [cell.metadata["nbgrader"] for cell in cells if "nbgrader" in cell.metadata]
    tests = [mark for mark in marks if mark["grade"] and not mark["solution"]]
    assert [mark["grade_id"] for mark in tests] == [f"check-{name}" for name in checks(lesson)]
    assert len({mark["grade_id"] for mark in marks}) == len(marks)
    assert all(mark["points"] == worth for mark in tests)
    raw = [c.source for c in otter_notebook(source, ["ums"]).cells if c.cell_type == "raw"]
    assert [
        n for text in raw for n in re.findall(rf"name: (\w+)\npoints: {worth}\n", text)
    ] == list(checks(lesson))
    assert "  - ums" in raw[0] and sum("BEGIN TESTS" in text for text in raw) == len(tests)


def test_check_of_nbgrader_is_the_lessons_own_whatever_the_name_stands_for():
    cells = nbgrader_notebook(SOURCES["02_backward"]).cells
    marked = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell.source for cell in cells}
    replaced = SimpleNamespace(rejected=lambda answer: None)
    with pytest.raises(CheckFailed):
        exec(marked["check-rejected"], {"check": replaced, "rejected": lambda suspects: set()})


@pytest.mark.parametrize("key", ["c1", "c2"])
def test_points_of_a_capstone_add_up_to_100(key):
    (source,) = (source for source in LESSONS if source.stem.startswith(key))
    marks = [cell.metadata.get("nbgrader", {}) for cell in nbgrader_notebook(source).cells]
    assert sum(mark.get("points", 0) for mark in marks) == 100
    worth = re.search(r"Scoring gives (\d+) points for each", teachers.grading(source))[1]
    assert f"{worth} for each of" in teachers.grading(source)


def test_teachers_get_rubric_questions_and_answers():
    page = teachers.grading(SOURCES["02_backward"])
    assert "`rejected`: every wrong backward pass is found" in page
    assert page.index("## Think") < page.index("**Answer")


RUBRIC = """# %% [markdown]
# # A title
#
# Text.

# %%
def f():
    # BEGIN SOLUTION
    return 1
    # END SOLUTION

# %% [markdown]
# ## Think
#
# 1. Why?

# %% [markdown] tags=["rubric"]
# Three points for a reason.
"""


def test_rubric_of_the_source_takes_the_usual_ones_place_and_is_in_no_student_copy(tmp_path):
    from lessons.notebooks import student_text

    source = tmp_path / "02_made.py"
    source.write_text(RUBRIC, encoding="utf-8")
    page = teachers.grading(source)
    assert "Three points" in page and "Two points" not in page
    copy = student_text(source)
    assert "Three points" not in copy and "Your answer.**" in copy
    source.write_text(
        RUBRIC.replace("1. Why?", "**1.** Why?\n#\n# *your answer:*"), encoding="utf-8"
    )
    assert "Your answer.**" not in student_text(source)


@pytest.mark.parametrize(
    ("text", "answered", "questions"),
    [
        ("## Think\n\n1. Why?\n2. How?", False, 2),
        ("## Think\n\nBelow each question.", False, 0),
        ("**2.** Why?\n\n*your answer:*", True, 1),
        ("Text.\n\n**Think.** Why?", False, 1),
        ("1. A list\n\n*your guess:*", False, 0),
        ("3. Why?", True, 1),
        ("Why?", True, 1),
    ],
)
def test_questions_are_counted(text, answered, questions):
    cells = [nbformat.v4.new_markdown_cell(text), nbformat.v4.new_markdown_cell("x")]
    cells[1].metadata["tags"] = ["solution", "rubric"] if answered else []
    assert asked(*cells) == questions and asked(cells[1], None) == 0


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("**Answer 1 (3 points).** It moves (1).", 3),
        ("**Answer 1** (3 points). It moves (1 point).", 3),
        ("*Checks, 56 points.* 7 each.\n\n*Report, 15 points.* 3\n\n*Statistics, 5 points.*", 20),
        ("**Answers.**\n\n1. Because of 3 points.", 0),
    ],
)
def test_points_that_an_answer_states_are_added(text, points):
    assert stated_points(text) == points


def test_teachers_copies_and_slides_do_not_speak_of_the_checkout(tmp_path, monkeypatch):
    pytest.importorskip("nbconvert")
    source = SOURCES["02_backward"]
    monkeypatch.setattr(teachers, "SOLVED", tmp_path)
    nbformat.write(teachers.solved_notebook(source), tmp_path / f"{source.stem}.ipynb")
    folder = teachers.write_teachers(tmp_path / "teachers", [source])
    slides = (folder / "slides" / f"{source.stem}.slides.html").read_text(encoding="utf-8")
    solved = (folder / "solved" / f"{source.stem}.ipynb").read_text(encoding="utf-8")
    assert "START.md" in solved and "START.md" not in slides
    assert not any("git clone" in text or "make lessons" in text for text in (slides, solved))
    assert "<title>2 What must a backward pass return?" in slides


def test_slides_show_a_picture_without_its_code_and_a_check_without_its_verdict():
    pytest.importorskip("nbconvert")
    drawn = nbformat.v4.new_output("display_data", {"image/png": "iVBORw0KGgo="})
    said = nbformat.v4.new_output("stream", text="passed  f: it is right")
    cells = [
        nbformat.v4.new_markdown_cell("# A lesson"),
        nbformat.v4.new_code_cell("import numpy as np"),
        nbformat.v4.new_code_cell("plt.plot(x)", outputs=[drawn]),
        nbformat.v4.new_markdown_cell("**Look.** It rises."),
        nbformat.v4.new_code_cell("check.f(f)", outputs=[said]),
        nbformat.v4.new_code_cell("x = 3"),
    ]
    page = teachers.slides(nbformat.v4.new_notebook(cells=cells))
    slides = page[page.index('<div class="slides">') :]
    assert "iVBORw0KGgo=" in slides and "plot" not in slides
    assert "check" in slides and "passed" not in slides
    assert [slides.count(text) for text in ("<section", '"fragment"')] == [4, 2]


def test_slides_begin_at_headings_and_hold_no_answers_and_no_solutions():
    pytest.importorskip("nbconvert")
    cells = [
        nbformat.v4.new_markdown_cell("# A lesson\n\ntext"),
        nbformat.v4.new_markdown_cell(SETUP),
        nbformat.v4.new_code_cell("import numpy as np"),
        nbformat.v4.new_code_cell(f"def f():\n    {BEGIN}\n    return 12345\n    {END}"),
        nbformat.v4.new_markdown_cell("**Look.** A picture.\n\n## A part"),
        nbformat.v4.new_markdown_cell("the answers", metadata={"tags": ["solution"]}),
    ]
    page = teachers.slides(nbformat.v4.new_notebook(cells=cells))
    slides = page[page.index('<div class="slides">') :]
    assert (
        slides.count("<section") == 2 + 3
    )  # two that go to the right, one of them with another below
    assert "A part" in slides and "f is not written yet" in slides and "scroll" in page
    assert not any(text in slides for text in ("the answers", "12345", "hosted notebook", "numpy"))
    assert "12345" in cells[3].source


def test_lessons_that_are_out_of_date_are_solved_side_by_side_with_a_thread_each(
    tmp_path, monkeypatch
):
    pytest.importorskip("nbconvert")
    asked = []

    def solve(source, threads):
        asked.append((source.stem, threads))
        nbformat.write(teachers.solved_notebook(source), tmp_path / source.name)
        return tmp_path / source.name, 1.0

    monkeypatch.setattr(teachers, "SOLVED", tmp_path / "none")
    monkeypatch.setattr(teachers, "solve", solve)
    teachers.write_teachers(tmp_path / "teachers", LESSONS[:2], processes=2)
    assert sorted(asked) == [(source.stem, 1) for source in LESSONS[:2]]


def test_release_takes_a_solved_copy_that_is_up_to_date_and_no_folder_that_is_not_empty(
    tmp_path, monkeypatch
):
    pytest.importorskip("nbconvert")
    source = SOURCES["02_backward"]
    solved = teachers.solved_notebook(source)
    assert "](../../ums/ops/" in nbformat.writes(solved)
    monkeypatch.setattr(teachers, "SOLVED", tmp_path / "solved")
    monkeypatch.setattr(teachers, "solve", lambda *_: pytest.fail("solved once more"))
    (tmp_path / "solved").mkdir()
    nbformat.write(solved, tmp_path / "solved" / "02_backward.ipynb")
    made = dict(release(tmp_path / "out", [source]))
    assert list(made) == ["students", "nbgrader", "otter", "teachers"]
    files = {p.relative_to(made["teachers"]).as_posix() for p in made["teachers"].rglob("*.*")}
    assert files == {
        "solved/02_backward.ipynb", "slides/02_backward.slides.html", "grading/02_backward.md",
    }  # fmt: skip
    text = (made["teachers"] / "solved" / "02_backward.ipynb").read_text(encoding="utf-8")
    links = re.findall(r"\]\((\.\./[^)#]+)", text)
    assert len(links) > 3
    assert all((made["teachers"] / "solved" / link).exists() for link in links)
    with pytest.raises(FileExistsError, match="not empty"):
        list(release(tmp_path / "out", [source]))
