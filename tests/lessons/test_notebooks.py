"""The students' copies hold no answer, and are what the sources make; links lead where they say."""

import json
import re

import pytest
from sources import SOURCES

from lessons.holes import BEGIN, END, solution_lines
from lessons.notebooks import LESSONS, ROOT, resolve_links, student_path

RUBRICS = ("01", "02", "03", "04", "05", "06", "07", "08", "t1", "t2", "t3", "t4")
"""Lessons and tasks whose questions have a cell each, followed by the answer with its points."""

TRIVIAL = 12
"""Shorter lines (`return x`, `else:`) may stand elsewhere in a lesson too."""


def student_cells(lesson):
    return json.loads(student_path(SOURCES[lesson]).read_text(encoding="utf-8"))["cells"]


def test_lessons_are_numbered_without_a_gap_and_each_has_its_copy():
    assert sorted(SOURCES) == [path.stem for path in sorted(LESSONS.glob("*.ipynb"))]
    assert len({lesson[:2] for lesson in SOURCES}) == len(SOURCES)


@pytest.mark.parametrize("lesson", SOURCES)
def test_student_copy_holds_no_line_of_a_solution_and_no_marker(lesson):
    text = "\n".join("".join(cell["source"]) for cell in student_cells(lesson))
    lines = set(map(str.strip, text.split("\n")))
    solution = solution_lines(SOURCES[lesson].read_text(encoding="utf-8"))
    assert len(solution) >= 2
    assert [line for line in solution if line in lines and len(line) > TRIVIAL] == []
    assert BEGIN not in text and END not in text
    assert re.search(r"raise NotImplementedError\(|^\w+ = None  # replace", text, flags=re.M)


@pytest.mark.parametrize("lesson", SOURCES)
def test_student_copy_holds_no_answer_cell_and_no_output(lesson):
    source = SOURCES[lesson].read_text(encoding="utf-8")
    assert re.search(r'^# %% \[markdown\] tags=\["solution"(, "rubric")?\]$', source, flags=re.M)
    for cell in student_cells(lesson):
        assert "solution" not in cell["metadata"].get("tags", [])
        assert "**Answer" not in "".join(cell["source"])
        assert not cell.get("outputs") and cell.get("execution_count") is None


QUESTION = re.compile(r"^# \*\*Question (\d)\.\*\*", flags=re.M)
ANSWER = re.compile(r"^# \*\*Answer (\d) \((\d) points\)\.\*\*(.*?)(?=^# %%|\Z)", flags=re.M | re.S)


@pytest.mark.parametrize("lesson", [lesson for lesson in SOURCES if lesson[:2] in RUBRICS])
def test_every_question_has_an_answer_whose_points_add_up(lesson):
    source = SOURCES[lesson].read_text(encoding="utf-8")
    answers = ANSWER.findall(source)
    assert QUESTION.findall(source) == [number for number, _, _ in answers] != []
    for _, points, text in answers:
        given = re.findall(r"\((\d)(?:, for [^)]*)?\)", text)
        assert sum(map(int, given)) == int(points)


@pytest.mark.parametrize("lesson", SOURCES)
def test_student_copy_is_what_the_source_makes(lesson):
    pytest.importorskip("jupytext")
    from lessons.notebooks import student_text

    kept = student_path(SOURCES[lesson]).read_text(encoding="utf-8")
    assert student_text(SOURCES[lesson]) == kept, "run: python -m lessons build"


def test_link_leads_to_the_line_of_the_definition():
    text = resolve_links("[b](ums/ops/dense.py:dense_backward)", LESSONS / "solved", "a.py")
    path, line = re.fullmatch(r"\[b\]\(\.\./\.\./(.+)#L(\d+)\)", text).groups()
    lines = (ROOT / path).read_text(encoding="utf-8").split("\n")
    assert lines[int(line) - 1].startswith("def dense_backward(")


def test_link_leads_to_methods_and_named_values_too():
    text = "[a](ums/layer.py:Layer.backward) [b](ums/data/normalisation.py:BACKGROUND) [c](ums/source.py)"
    resolved = resolve_links(text, LESSONS, "a.py")
    linked = r"\[a\]\(../ums/layer.py#L\d+\) \[b\]\(../ums/data/normalisation.py#L\d+\)"
    assert re.fullmatch(linked + r" \[c\]\(../ums/source.py\)", resolved)


@pytest.mark.parametrize("target", ["ums/ops/dense.py:no_such", "ums/no_such.py"])
def test_link_that_leads_nowhere_is_refused(target):
    with pytest.raises(ValueError, match=r"a\.py links to .*no_such"):
        resolve_links(f"[text]({target})", LESSONS, "a.py")
