"""Holes in a lesson's source: what a student writes, between two markers.

The markers are those of nbgrader and otter-grader. A hole inside a function leaves its name, arguments and
docstring, which say what is to be written. A hole outside every function leaves only the names of
the functions and classes to write: the task's text says what they are.
"""

import ast
import re

BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"


def cut(text, where="the text"):
    """`text` of Python with every solution replaced by a line that raises NotImplementedError, or,
    outside a function, by `name = None` for each public function and class that it defines.

    Raises `ValueError`, naming `where` and the line, for markers that do not pair up, an empty
    solution, or a hole outside a function that defines nothing.
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
        indentation = line[: len(line) - len(line.lstrip())]
        name = _function_around(kept)
        if name is not None:
            kept.append(f'{indentation}raise NotImplementedError("{name} is not written yet")')
        elif names := _defined("\n".join(hole)):
            kept += [f"{name} = None  # replace this line by your own" for name in names]
        else:
            raise ValueError(
                f"{where}, line {number}: a hole outside a function must define one, or a class"
            )
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


def _defined(text):
    """The public functions and classes that a text of Python defines."""
    body = ast.parse(text).body
    names = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return [name for name in names if not name.startswith("_")]


def _function_around(lines):
    """The name of the function whose body these lines of Python end in, or None."""
    for line in reversed(lines):
        if found := re.match(r"\s*def (\w+)", line):
            return found[1]
        if line and not line.startswith((" ", ")", "#")):
            return None
    return None
