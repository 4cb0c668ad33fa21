"""Holes in a lesson's source: what a student writes, between two markers.

A hole inside a function leaves its name, arguments and docstring, which say what is to be written. A hole
outside every function leaves only the names of the functions and classes to write: the task's text
says what they are. nbgrader and otter-grader know the same markers; `lessons.graders` adds what else
they need.
"""

import ast
import re
from typing import NamedTuple

BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"


class Hole(NamedTuple):
    """A solution's lines, the names it gives, and the lines that stand in its place."""

    solution: list[str]
    names: list[str]
    stub: list[str]


def pieces(text, where="the text"):
    """`text` of Python as a list of lines and, where there were solutions, of `Hole`s.

    Raises `ValueError`, naming `where` and the line, for markers that do not pair up, an empty
    solution, or a hole outside a function that defines nothing.
    """
    found, hole = [], None
    for number, line in enumerate(text.split("\n"), start=1):
        marker = line.strip()
        if marker not in (BEGIN, END):
            (found if hole is None else hole).append(line)
            continue
        if (marker == BEGIN) == (hole is not None) or (marker == END and not any(hole)):
            raise ValueError(f"{where}, line {number}: {marker!r} closes or opens no solution")
        if marker == BEGIN:
            hole = []
            continue
        found.append(_hole(found, hole, line[: len(line) - len(line.lstrip())]))
        if not found[-1].names:
            raise ValueError(
                f"{where}, line {number}: a hole outside a function must define one, or a class"
            )
        hole = None
    if hole is not None:
        raise ValueError(f"{where}: the last {BEGIN!r} has no {END!r}")
    return found


def cut(text, where="the text"):
    """`text` of Python with every solution replaced by a line that raises NotImplementedError, or,
    outside a function, by `name = None` for each public function and class that it defines.

    Raises `ValueError` as `pieces` does.
    """
    stubs = [piece.stub if isinstance(piece, Hole) else [piece] for piece in pieces(text, where)]
    return "\n".join(line for lines in stubs for line in lines)


def holes(text):
    """The `Hole`s of a text, in order."""
    return [piece for piece in pieces(text) if isinstance(piece, Hole)]


def solution_lines(text):
    """The lines that `cut` takes out, stripped, without blank ones."""
    return [line.strip() for hole in holes(text) for line in hole.solution if line.strip()]


def _hole(before, solution, indentation):
    lines = [
        line for piece in before for line in (piece.stub if isinstance(piece, Hole) else [piece])
    ]
    name = _function_around(lines)
    if name is not None:
        stub = f'{indentation}raise NotImplementedError("{name} is not written yet")'
        return Hole(solution, [name], [stub])
    names = _defined("\n".join(solution))
    return Hole(
        solution, names, [f"{name} = None  # replace this line by your own" for name in names]
    )


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
