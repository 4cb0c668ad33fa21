"""Answers from the lessons' sources, without Jupyter: the solution's, changed ones, the holes."""

import importlib
import inspect
import re
from functools import cache

from lessons.checking import checks_of
from lessons.holes import BEGIN, cut
from lessons.notebooks import checks_name, sources

SOURCES = {path.stem: path for path in sources()}


def checks(lesson):
    """The checks of the lesson "02_name", {name: function}."""
    return checks_of(importlib.import_module(f"lessons.checks.{checks_name(lesson)}"))


def wrong_answers(lesson):
    """{check: [(name, piece of the solution, replacement), ...]}; missing is nothing at all."""
    return _table(lesson, "WRONG")


def right_answers(lesson):
    """As `wrong_answers`: other ways to write the solution, which the checks must accept."""
    return _table(lesson, "RIGHT")


def messages(lesson):
    """{check: {name of a wrong answer: pattern that the check's message holds}}."""
    return _table(lesson, "MESSAGES")


def _table(lesson, name):
    try:
        module = importlib.import_module(f"wrong_answers.{checks_name(lesson)}")
    except ModuleNotFoundError:
        return {}
    return getattr(module, name, {})


def code_cells(lesson):
    """The source text of each cell of Python."""
    parts = re.split(r"^# %%(.*)$", SOURCES[lesson].read_text(encoding="utf-8"), flags=re.M)
    kinds_and_texts = zip(parts[1::2], parts[2::2], strict=True)
    return [text for kind, text in kinds_and_texts if "[markdown]" not in kind]


@cache
def program(lesson):
    """The lesson's first cell (its imports) and every cell with a solution."""
    first, *others = code_cells(lesson)
    return "\n".join([first, *(cell for cell in others if BEGIN in cell)])


def answers(lesson, check, text):
    """The arguments of a check, out of `text` executed: it names them as the notebook does."""
    namespace = {}
    exec(compile(text, f"<lesson {lesson}>", "exec"), namespace)
    return [namespace[name] for name in inspect.signature(check).parameters]


def changed(lesson, piece, replacement):
    """The program with one piece of it replaced; LookupError unless it is there exactly once."""
    count = program(lesson).count(piece)
    if count != 1:
        raise LookupError(f"lesson {lesson} holds this {count} times instead of once: {piece!r}")
    return program(lesson).replace(piece, replacement)


def with_holes(lesson):
    """The program as the student finds it."""
    return cut(program(lesson), lesson)
