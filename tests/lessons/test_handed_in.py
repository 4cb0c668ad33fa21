"""What is read from a notebook without running it: its answers' statements, signs for a teacher, copies."""

import json
import os

import pytest

from lessons.handed_in import definitions, parse, read
from lessons.signs import fingerprint, signs

pytest.importorskip("IPython")

POSIX = pytest.mark.skipif(os.name == "nt", reason="links, pipes and names of bytes")


def needed(names, *cells):
    return [statement.text for statement in definitions(parse(cells)[0], names)]


# ------------------------------------------------------------------------------- reading


def dangling(folder):
    os.symlink(folder / "gone", folder / "bad.ipynb")


def pipe(folder):
    os.mkfifo(folder / "bad.ipynb")


def kept(text):
    return lambda folder: (folder / "bad.ipynb").write_bytes(text)


def lesson(**metadata):
    cells = metadata.pop("cells", [])
    return kept(
        json.dumps({"cells": cells, "metadata": {"ums_lesson": "02_x"} | metadata}).encode()
    )


BAD = {
    "a folder": lambda folder: (folder / "bad.ipynb").mkdir(),
    "a dangling link": dangling,
    "a pipe": pipe,
    "empty": kept(b""),
    "no JSON": kept(b"not a notebook"),
    "a list": kept(b"[]"),
    "null": kept(b"null"),
    "nested deep": kept(b"[" * 100_000),
    "no text": kept(b"\xff\x00" * 5_000),
    "no metadata": kept(b'{"cells": []}'),
    "a number for a lesson": lesson(ums_lesson=2),
    "no such lesson": lesson(ums_lesson="99_x"),
    "a path for a lesson": lesson(ums_lesson="../x"),
    "cells that are none": lesson(cells=[1]),
    "a cell without text": lesson(cells=[{"cell_type": "code"}]),
    "another language": lesson(language_info={"name": "R"}),
    "another language's kernel": lesson(kernelspec={"name": "ir", "language": "julia"}),
}


@POSIX
@pytest.mark.parametrize("what", BAD)
def test_file_that_cannot_be_scored_is_named_in_a_line(what, tmp_path):
    BAD[what](tmp_path)
    with pytest.raises(ValueError, match=r"^[^\n]*bad\.ipynb[^\n]*$") as error:
        read(tmp_path / "bad.ipynb")
    assert len(str(error.value)) < 400


def test_reading_takes_the_text_of_the_cells_of_code_alone(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": "a text"},
        {"cell_type": "code", "source": ["x = 1\n", "y = 2"], "metadata": 3, "outputs": "spoilt"},
        {"cell_type": "code", "source": "z = 3"},
    ]
    lesson(cells=cells, kernelspec=[1], language_info="python")(tmp_path)
    assert read(tmp_path / "bad.ipynb") == ("02_x", ["", "x = 1\ny = 2", "z = 3"])


# --------------------------------------------------------------------- what answers need


def test_answer_brings_what_it_uses_and_nothing_else():
    cells = (
        "import numpy as np\nimport os",
        "slow = train()",
        "SCALE = 2\ntable = {}\ntable['a'] = 1",
        "def helper(x):\n    return np.abs(x) * SCALE",
        "check.answer(None)\nplot(helper)",
        "def answer(slow):\n    return helper(slow) + table['a']",
    )
    table = ["SCALE = 2", "table = {}", "table['a'] = 1"]
    assert needed({"answer"}, *cells) == ["import numpy as np", *table, cells[3], cells[5]]


def test_lines_after_a_hole_ask_for_nothing():
    hole = "def f(x):\n    raise NotImplementedError('f')\n    return dx"
    assert needed({"f"}, "dx = slow()", hole) == [hole]
    assert needed({"f"}, "dx = slow()", hole.replace("raise", "y = ")) != [hole]


def test_last_definition_comes_last_and_a_decorator_belongs_to_it():
    first, second = "def f():\n    return 1", "@wrap\ndef f():\n    return 2"
    assert needed({"f"}, first, "def wrap(g):\n    return g", second)[-1] == second
    assert needed({"f"}, first, second)[0] == first


def test_cell_that_is_no_python_is_named_and_magics_are_none():
    parsed, unread = parse(["%matplotlib inline\nx = 1", "def f(:\n  pass", "!ls"])
    assert [number for number, *_ in parsed] == [1, 3]
    assert len(unread) == 1 and unread[0].startswith("cell 2 is no Python")


# ---------------------------------------------------------------------------------- signs

GIVEN = [
    "import numpy as np\nfrom ums.ops import bce",
    "def f(x):\n    raise NotImplementedError('f')",
]


def signs_of(*cells):
    return signs(parse(cells)[0], parse(GIVEN)[0])


def test_given_lines_and_plain_answers_are_no_sign():
    assert signs_of(*GIVEN, "import math\n\ndef f(x):\n    return np.sum(x) * math.pi") == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("from ums.ops import dense_backward", "takes ums.ops.dense_backward"),
        ("import ums.ops as o", "takes ums.ops"),
        ("import torch", "imports torch"),
        ("import sys", "imports sys"),
        ("from lessons import checking", "takes lessons.checking"),
        ("exec(text)", "uses exec"),
        ("np.allclose = print", "changes np.allclose"),
        ("g.__globals__['require'] = print", "uses .__globals__"),
        ("frame.f_back", "uses .f_back"),
        ("class A:\n    def __eq__(self, other):\n        return True", "defines __eq__"),
        ("class A(np.ndarray):\n    pass", "defines a kind of array"),
        ("p = '../lessons/source/02_backward.py'", "names '../lessons/source"),
        ("!cat x", "uses get_ipython"),
    ],
)
def test_sign_names_its_cell_and_what_it_is(line, what):
    found = signs_of(*GIVEN, line)
    assert any(sign.startswith("cell 3, line ") and what in sign for sign in found), found


LONG = """def f(dy, cache):
    '''A text.'''
    x, w = cache
    dx = dy @ w.T
    dw = x.T @ dy
    db = dy.sum(axis=0)
    total = dx.sum()
    if total > 0:
        dx = dx + 0
    return dx, dw, db"""
RENAMED = (
    LONG.replace("dx", "first").replace("'''A text.'''", "# mine\n    pass").replace("total", "t")
)


def test_copy_is_the_same_under_other_names_comments_and_layout():
    given = parse(GIVEN)[0]
    original, lines = fingerprint(parse([*GIVEN, LONG])[0], given)
    assert fingerprint(parse([RENAMED, *GIVEN])[0], given) == (original, lines) and lines == 10
    other = LONG.replace("axis=0", "axis=1")
    assert fingerprint(parse([other])[0], given)[0] != original


def test_few_lines_are_no_copy():
    assert fingerprint(parse(["def f(x):\n    return x"])[0], parse(GIVEN)[0]) == (None, 1)
