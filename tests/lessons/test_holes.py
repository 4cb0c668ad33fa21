"""What is cut out of a lesson's source, and what is refused."""

import pytest

from lessons.holes import BEGIN, END, cut, solution_lines
from lessons.notebooks import sources

CELL = f"""def double(x):
    \"\"\"Twice x.\"\"\"
    if x:
        {BEGIN}
        y = x + x

        return y
        {END}
    return 0"""


def test_solution_becomes_one_line_at_its_own_depth():
    assert cut(CELL).split("\n") == [
        "def double(x):",
        '    """Twice x."""',
        "    if x:",
        '        raise NotImplementedError("double is not written yet")',
        "    return 0",
    ]


def test_solution_outside_a_function_leaves_the_names_of_what_is_to_be_written():
    defined = "class Layer:\n    pass\n\n\ndef _help():\n    pass\n\n\ndef g():\n    pass"
    text = f"{BEGIN}\n{defined}\n{END}"
    assert cut(text).split("\n") == [
        "Layer = None  # replace this line by your own",
        "g = None  # replace this line by your own",
    ]


def test_solution_lines_are_those_between_the_markers():
    assert solution_lines(CELL) == ["y = x + x", "return y"]


def test_students_write_at_least_600_lines_over_the_course():
    texts = [source.read_text(encoding="utf-8") for source in sources()]
    lines = [line for text in texts for line in solution_lines(text)]
    assert sum(not line.startswith("#") for line in lines) >= 600


def test_text_without_holes_stays_as_it_is():
    assert cut("a = 1\n\nb = 2\n") == "a = 1\n\nb = 2\n"


def test_hole_is_named_by_the_function_whose_arguments_take_several_lines():
    text = f"def f(\n    x,\n):\n    {BEGIN}\n    return x\n    {END}"
    assert 'raise NotImplementedError("f is not written yet")' in cut(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"def f():\n    {BEGIN}\n    return 1", "has no"),
        (f"def f():\n    return 1\n    {END}", "line 3"),
        (f"def f():\n    {BEGIN}\n    {BEGIN}\n    return 1\n    {END}", "line 3"),
        (f"def f():\n    {BEGIN}\n    {END}", "line 3"),
        (f"def f():\n    return 1\n\n\nx = 2\n{BEGIN}\ny = 1\n{END}", "must define"),
    ],
    ids=["not closed", "not opened", "opened twice", "empty", "outside a function"],
)
def test_wrong_markers_are_refused_by_line(text, message):
    with pytest.raises(ValueError, match=f"(?s)a.py.*{message}"):
        cut(text, "a.py")
