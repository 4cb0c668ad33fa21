"""The students' copies hold no answer, and are what the sources make; links lead where they say."""

import ast
import json
import re

import pytest
from sources import SOURCES, code_cells

from lessons.holes import BEGIN, END, solution_lines
from lessons.links import ROOT, holds_answer, resolve_links, without_links
from lessons.notebooks import LESSONS, PLACE, is_changed, student_path

RUBRICS = (*(f"{number:02}" for number in range(1, 13)), "t1", "t2", "t3", "t4", "t5")
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
    said, path, line = re.fullmatch(r"\[b \(line (\d+)\)\]\(\.\./\.\./(.+)#L(\d+)\)", text).groups()
    assert said == line
    lines = (ROOT / path).read_text(encoding="utf-8").split("\n")
    assert lines[int(line) - 1].startswith("def dense_backward(")


def test_link_leads_to_methods_and_named_values_too():
    text = "[a](ums/layer.py:Layer.backward) [b](ums/data/normalisation.py:BACKGROUND) [c](ums/source.py)"
    resolved = resolve_links(text, LESSONS, "a.py")
    linked = r"\[a .*?\]\(../ums/layer.py#L\d+\) \[b .*?\]\(../ums/data/normalisation.py#L\d+\)"
    assert re.fullmatch(linked + r" \[c\]\(../ums/source.py\)", resolved)


def test_link_to_a_file_with_an_answer_still_to_be_written_is_left_out():
    text = "[sigmoid_forward](ums/ops/activations.py:sigmoid_forward), [the loss](ums/ops/losses.py:bce)"
    resolved = resolve_links(text, LESSONS, "a.py", ["sigmoid_backward", "bce_dice"])
    assert resolved == without_links(text) == "`sigmoid_forward`, the loss"
    assert "](../ums/ops/activations.py#L" in resolve_links(text, LESSONS, "a.py", ["moved"])
    assert holds_answer(ROOT / "ums/finetuning/weighting.py", "gradnorm_gradient")


@pytest.mark.parametrize("lesson", SOURCES)
def test_no_link_before_a_hole_opens_the_answers_file(lesson):
    to_write = []
    for cell in reversed(student_cells(lesson)):
        text = "".join(cell["source"])
        for path in re.findall(r"\]\(\.\./([\w/]+\.py)", text):
            assert [name for name in to_write if holds_answer(ROOT / path, name)] == []
        if cell["cell_type"] == "code":
            holes = re.findall(r'Error\("(\w+) is not|^(\w+) = None  # replace', text, flags=re.M)
            to_write += [inside or outside for inside, outside in holes]


@pytest.mark.parametrize("lesson", SOURCES)
def test_each_answer_of_the_source_has_a_place_in_the_students_copy(lesson):
    source = SOURCES[lesson].read_text(encoding="utf-8")
    text = "\n".join("".join(cell["source"]) for cell in student_cells(lesson))
    places = len(PLACE.findall(text)) + text.count("**Your answer")
    assert places >= len(re.findall(r'^# %% \[markdown\] tags=\["solution"', source, flags=re.M))


def labelled_lines(node, looped=False):
    """The calls under a node of Python that draw a line with a label: (call, is it in a loop?)."""
    for child in ast.iter_child_nodes(node):
        draws = getattr(getattr(child, "func", None), "attr", "") in DRAWS
        if draws and any(keyword.arg == "label" for keyword in child.keywords):
            yield child, looped
        yield from labelled_lines(child, looped or isinstance(child, ast.For))


DRAWS = {"plot", "semilogx", "semilogy", "loglog"}


@pytest.mark.parametrize("lesson", SOURCES)
def test_no_two_lines_of_a_picture_are_told_apart_by_colour_alone(lesson):
    for cell in code_cells(lesson):
        looks = []
        for call, looped in labelled_lines(ast.parse(cell)):
            given = {k.arg: ast.unparse(k.value) for k in call.keywords}
            text = [a.value for a in call.args if isinstance(a, ast.Constant)]
            last = ast.unparse(call.args[-1]) if looped else ""
            look = (*text, last, given.get("marker"), given.get("linestyle"))
            looks.append((ast.unparse(call.func), look))
            many = looped and not isinstance(ast.parse(given["label"]).body[0].value, ast.Constant)
            assert not (many and text), f"{ast.unparse(call)}: all lines of the loop look alike"
        assert len(set(looks)) == len(looks), cell


def test_notebook_counts_as_changed_by_any_cell_that_was_written(tmp_path):
    content = json.loads(student_path(next(iter(SOURCES.values()))).read_text(encoding="utf-8"))
    path = tmp_path / "a.ipynb"

    def changed():
        path.write_text(json.dumps(content), encoding="utf-8")
        return is_changed(path)

    assert not changed()
    content["cells"].append(
        {"cell_type": "markdown", "id": "7", "source": ["mine"], "metadata": {}}
    )
    assert changed()
    path.write_text("{")
    with pytest.raises(ValueError, match="is no notebook"):
        is_changed(path)


@pytest.mark.parametrize("target", ["ums/ops/dense.py:no_such", "ums/no_such.py"])
def test_link_that_leads_nowhere_is_refused(target):
    with pytest.raises(ValueError, match=r"a\.py links to .*no_such"):
        resolve_links(f"[text]({target})", LESSONS, "a.py")
