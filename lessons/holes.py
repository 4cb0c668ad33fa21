"""Holes in a lesson's source: what a student writes, between two markers.

The markers are those of nbgrader and otter-grader. A hole stands inside a function, so that the
function's name, arguments and docstring stay and say what is to be written.
"""

import re

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def cut(text, where="the text"):
    """`text` of Python with every solution replaced by a line that raises NotImplementedError.

    Raises `ValueError`, naming `where` and the line, for markers that do not pair up, an empty
    solution, or a hole outside a function.
    """
    kept, hole = [], None
    for number, line in enumerate(text.split("\n"), start=1):
        marker = line.strip()
        if marker not in (BEGIN, END):
            (kept if hole is None else hole).append(line)
            continue
        if (marker == BEGIN) == (hole is not None) or (marker == END and not any(hole)):
            raise ValueError(f"{where}, line {number}: {marker!r} closes or opens no solution")
        if marker == BEGIN:
            hole = []
            continue
        name = _function_around(kept)
        if name is None:
            raise ValueError(f"{where}, line {number}: a hole must stand inside a function")
        indentation = line[: len(line) - len(line.lstrip())]
        kept.append(f'{indentation}raise NotImplementedError("{name} is not written yet")')
        hole = None
    if hole is not None:
        raise ValueError(f"{where}: the last {BEGIN!r} has no {END!r}")
    return "\n".join(kept)


def solution_lines(text):
    """The lines that `cut` takes out, stripped, without blank ones."""
    inside, lines = False, []
    for line in map(str.strip, text.split("\n")):
        if line in (BEGIN, END):
            inside = line == BEGIN
        elif inside and line:
            lines.append(line)
    return lines


def _function_around(lines):
    """The name of the function whose body these lines of Python end in, or None."""
    for line in reversed(lines):
        if found := re.match(r"\s*def (\w+)", line):
            return found[1]
        if line and not line.startswith((" ", ")", "#")):
            return None
    return None
