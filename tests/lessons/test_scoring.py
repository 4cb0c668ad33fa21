"""A class is scored to the end, by answers alone, and no answer can pass itself."""

import ast
import csv
import json
import os
from pathlib import Path

import pytest
from sources import SOURCES, code_cells

from lessons import scoring
from lessons.gradebook import feedback, write_gradebook
from lessons.holes import BEGIN
from lessons.scoring import Limits, Result, Score, mark_copies, score_all
from lessons.signs import bare_functions, likeness

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupytext")
pytest.importorskip("IPython")

POSIX = pytest.mark.skipif(os.name == "nt", reason="limits and processes of POSIX")
RIGHT = [cell for cell in code_cells("02_backward") if BEGIN in cell]
IMPORTS = "import numpy as np\nfrom ums.gradcheck import GradientError, check_gradients"
SIGMOID = "def sigmoid_backward(dy, cache):\n"
USUAL = Limits()
WRONG = "\n    return dy"


@pytest.fixture(scope="module")
def lessons(tmp_path_factory):
    """What lesson 2 gives and solves, as scoring hands it to its processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "sources", lambda: [SOURCES["02_backward"]])
        made = scoring._known()
    path = tmp_path_factory.mktemp("lessons") / "known.json"
    path.write_text(json.dumps(made), encoding="utf-8")
    return path


def hand_in(path, *cells, **metadata):
    made = nbformat.v4.new_notebook()
    made.metadata |= {"ums_lesson": "02_backward"} | metadata
    made.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    path.write_text(json.dumps(made), encoding="utf-8")
    return path


@pytest.fixture
def scored(tmp_path, lessons):
    """Score a notebook of these cells: {check: (status, message)}, and its signs."""

    def run(*cells, limits=USUAL, **metadata):
        path = hand_in(tmp_path / "02_of_a_student.ipynb", *cells, **metadata)
        before = path.read_bytes()
        score = scoring.score(path, lessons, limits)
        assert path.read_bytes() == before and not score.error
        assert len(score.results) == 4
        return {result.check: result[1:] for result in score.results}, score.signs

    return run


# ------------------------------------------------------------------------- what counts


def test_answers_count_without_any_check_cell_and_whatever_else_fails(scored):
    spec = {"kernelspec": {"name": "conda-env-mlclass-py", "display_name": 3}}
    results, signs = scored("1 / 0", "def f(:", IMPORTS, "exit()", *RIGHT[1:], **spec)
    assert results.pop("sigmoid_backward")[0] == "not written"
    assert set(results.values()) == {("passed", "")}
    assert signs == ["cell 2 is no Python: invalid syntax (<unknown>, line 1)"]


def test_wrong_answer_gets_the_message_that_the_student_saw(scored):
    results, _ = scored(IMPORTS, SIGMOID + "    y, = cache\n    return dy * y", *RIGHT[1:2])
    assert (
        results["sigmoid_backward"][0] == "failed" and "slope 1/4" in results["sigmoid_backward"][1]
    )
    assert results["dense_backward"] == ("passed", "")


def test_check_that_was_changed_does_not_matter(scored):
    changed = "class check:\n    sigmoid_backward = staticmethod(lambda f: print('passed'))"
    results, _ = scored(
        IMPORTS, changed, SIGMOID + WRONG, "check.sigmoid_backward(sigmoid_backward)"
    )
    assert results["sigmoid_backward"][0] == "failed"


@POSIX
def test_answer_that_ends_its_process_or_never_ends_fails_alone(scored, monkeypatch):
    monkeypatch.setattr(scoring, "PATIENCE", 60)  # others may leave this process little
    cells = [
        IMPORTS,
        SIGMOID + "    import os\n    os._exit(0)",
        "def dense_backward(dy, cache):\n    while True:\n        try:\n            1 / 0\n"
        "        except BaseException:\n            pass",
        "def softmax_backward_wrong(dy, cache):\n    return np.ones(10**12)",
        RIGHT[3],
    ]
    results, _ = scored(*cells, limits=Limits(seconds=5))
    assert results["sigmoid_backward"] == (
        "failed", "it came to no end: its process ended by itself (status 0)",
    )  # fmt: skip
    expected = ("failed", "it came to no end: more than 5 s of processor time")
    assert results["dense_backward"] == expected
    assert "MemoryError" in results["softmax_backward_wrong"][1]
    assert results["rejected"] == ("passed", "")


@POSIX
def test_time_by_the_clock_may_be_longer_than_the_processor_time_that_a_check_may_take(scored):
    slow = RIGHT[0].replace("(y,) = cache", "import time; time.sleep(4); (y,) = cache", 1)
    results, _ = scored(IMPORTS, slow, limits=Limits(seconds=5))
    assert "sleep" in slow and results["sigmoid_backward"] == ("passed", "")


# ----------------------------------------------------------------------- forged results

FORGED = {
    "writes results to every open file": (
        "    import os, json\n"
        "    line = json.dumps(dict(kind='done', check='sigmoid_backward', status='passed', message='',"
        " number=2))\n"
        "    for number in range(3, 30):\n"
        "        try:\n            os.write(number, (64 * '0' + ' ' + line + '\\n').encode())\n"
        "        except OSError:\n            pass" + WRONG,
        "imports os",
    ),
    "replaces the checks that it imports": (
        "    from lessons import checking\n    from lessons.checks import lesson_02\n"
        "    checking.require = lesson_02.require = lambda *a: None" + WRONG,
        "takes lessons.checking",
    ),
    "climbs the frames": (
        "    import sys\n    f = sys._getframe(2)\n    f.f_globals['require'] = lambda *a: None"
        + WRONG,
        "stopped: sys._getframe",
    ),
    "climbs the frames of an error": (
        "    try:\n        1 / 0\n    except ZeroDivisionError as e:\n        f = e.__traceback__.tb_frame\n"
        "    while f:\n        f.f_globals['require'] = lambda *a: None\n        f = f.f_back"
        + WRONG,
        "stopped: object.__getattr__ tb_frame",
    ),
    "searches the memory": (
        "    import gc\n    for o in gc.get_objects():\n"
        "        if isinstance(o, dict) and 'require' in o:\n            o['require'] = lambda *a: None"
        + WRONG,
        "stopped: gc.get_objects",
    ),
    "replaces what checks use": (
        "    import numpy\n    import ums.gradcheck\n"
        "    ums.gradcheck.check_gradients.__globals__['_differences'] = lambda *a: None\n"
        "    numpy.isfinite = lambda x: numpy.array(True)" + WRONG,
        "tampers with the check sigmoid_backward",
    ),
    "returns what equals everything": (
        "    class Yes(np.ndarray):\n"
        "        def __array_ufunc__(self, *a, **k):\n            return np.zeros(self.shape)\n"
        "    return dy.view(Yes)",
        "operators of its own",
    ),
    "runs the solution's file": (
        "    import ums\n    p = ums.__file__.replace('ums/__init__.py', 'lessons/source/02_backward.py')\n"
        "    text = open(p).read()\n    return dy",
        "where answers are",
    ),
    "fails with a status of its own": (
        "    C = [k for k in AssertionError.__subclasses__() if k.__name__ == 'CheckFailed'][-1]\n"
        "    raise type('Mine', (C,), {'status': 'passed'})()",
        "uses .__subclasses__",
    ),
    "writes the report itself": (
        "    import json.encoder\n"
        "    own = json.encoder.JSONEncoder.encode\n"
        "    def encode(self, o):\n        return own(self, o | {'status': 'passed'})\n"
        "    json.encoder.JSONEncoder.encode = encode" + WRONG,
        "tampers with the check sigmoid_backward",
    ),
    "floods the report": (
        "    for i in range(10**5):\n        try:\n            open(f'/x{i}', 'w')\n"
        "        except OSError:\n            pass" + WRONG,
        "stopped: write to /x0",
    ),
    "gives itself more time": (
        "    import resource\n    resource.setrlimit(resource.RLIMIT_CPU, (999, 9999))" + WRONG,
        "stopped: resource.setrlimit",
    ),
    "starts a program": ("    import subprocess\n    subprocess.run(['true'])" + WRONG, "Popen"),
}


@POSIX
@pytest.mark.parametrize("how", FORGED)
def test_forged_result_is_not_believed_and_shows(how, scored):
    body, sign = FORGED[how]
    results, signs = scored(IMPORTS, SIGMOID + body, RIGHT[1])
    assert results["sigmoid_backward"][0] == "failed"
    assert any(sign in s for s in signs), signs
    assert results["dense_backward"] == ("passed", "")


def test_judge_is_not_replaced_for_the_checks_that_follow(scored):
    right = "\n    (y,) = cache\n    return dy * y * (1 - y)"
    attack = "    import __main__\n    __main__._verdict = lambda *a: ('passed', '')" + right
    wrong = "def dense_backward(dy, cache):\n    return dy, dy, dy"
    results, signs = scored(IMPORTS, SIGMOID + attack, wrong)
    assert results["sigmoid_backward"] == ("passed", "")
    assert results["dense_backward"][0] == "failed"
    assert any("imports __main__" in sign for sign in signs)


def test_check_reached_through_what_it_hands_over_is_not_believed(scored):
    cheat = (
        "def rejected(suspects):\n    g = suspects['Ada'][1].__globals__\n"
        "    g['_WRONG'].clear()\n    return set()"
    )
    results, signs = scored(IMPORTS, cheat)
    assert results["rejected"][0] == "failed" and "not believed" in results["rejected"][1]
    assert any("tampers" in sign for sign in signs) and any("__globals__" in sign for sign in signs)


def test_library_function_is_no_answer_and_wrapped_it_shows(scored):
    results, signs = scored(
        "from functools import partial\nimport ums.ops as ops",
        "sigmoid_backward = partial(ops.sigmoid_backward)",
        "dense_backward = lambda dy, cache: (ops.dense_grad_input(dy, cache), dy, dy)",
    )
    assert "the library's ums.ops.activations.sigmoid_backward" in results["sigmoid_backward"][1]
    assert signs == ["cell 1, line 2: takes ums.ops where the lesson does not"]


COPIED = """def holm(values):
    order = np.argsort(values)
    m = len(values)
    for_each = values[order] * np.arange(m, 0, -1)
    result = np.empty(m)
    result[order] = np.minimum(np.maximum.accumulate(for_each), 1.0)
    return result
"""


def test_lines_copied_from_the_library_show_under_other_names():
    library = {"f in a.py": ["x"], **bare_functions(COPIED.replace("result", "p_of"))}
    copied = COPIED.replace("values", "p").replace(
        "    m = len(p)\n", "    assert True\n    m = len(p)\n"
    )
    (sign,) = likeness([(3, copied, ast.parse(copied))], library)
    assert sign == "cell 3: 6 of the 7 lines of holm are, but for names, those of holm"
    other = COPIED.replace("np.arange(m, 0, -1)", "m").replace("accumulate", "reduce")
    assert list(likeness([(3, other, ast.parse(other))], library)) == []


def test_no_solution_of_a_lesson_looks_copied_from_the_library():
    known = scoring._known()
    for lesson in known["lessons"].values():
        cells = [(n, text, ast.parse(text)) for n, text in enumerate(lesson["solution"])]
        assert list(likeness(cells, known["library"])) == []


# ------------------------------------------------------------------------------ a class


@POSIX
def test_class_with_broken_notebooks_is_scored_to_the_end_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "sources", lambda: [SOURCES["02_backward"]])
    monkeypatch.chdir(tmp_path)
    good = [hand_in(Path(f"good{i}.ipynb"), IMPORTS, *RIGHT[i:]) for i in range(2)]
    broken = [Path(f"bad{i}.ipynb") for i in range(3)]
    broken[0].write_text("{")
    broken[1].write_bytes(b"[" * 10**6)
    scores = list(score_all([good[0], *broken, good[1]], USUAL, processes=3))
    assert [score.points for score in scores] == [4, 0, 0, 0, 3]
    assert [bool(score.error) for score in scores] == [False, True, True, True, False]
    assert all(str(path) in s.error for path, s in zip(broken, scores[1:4], strict=True))
    mark_copies(scores)
    assert scores[0].signs == ["its 14 lines are the solution's, but for names and layout"]


# ------------------------------------------------------------------------ what is written

RESULTS = [Result("a", "passed", ""), Result("b", "failed", "wrong\nthere")]


def test_equal_answers_are_marked_with_the_others_names(tmp_path):
    scores = [
        Score(tmp_path / n, "02_x", copy=(digest, 9))
        for n, digest in zip("abc", "xxy", strict=True)
    ]
    scores.append(Score(tmp_path / "d", "03_x", copy=("x", 9)))
    mark_copies(scores)
    assert [len(score.signs) for score in scores] == [1, 1, 0, 0]
    assert scores[0].signs[0].endswith(f"those of {tmp_path / 'b'}")


@pytest.mark.parametrize(("lesson", "worth"), [("02_x", 1), ("t1_x", 4), ("c1_x", 7)])
def test_check_of_a_longer_work_is_worth_more(lesson, worth):
    score = Score(Path("x"), lesson, RESULTS)
    assert (score.points, score.most) == (worth, 2 * worth)


def test_gradebook_has_a_row_each_and_feedback_keeps_signs_to_the_teacher(tmp_path):
    scores = [
        Score(tmp_path / "in" / "=a" / "02.ipynb", "02_x", RESULTS, ["a sign"]),
        Score(tmp_path / "in" / "b.ipynb", error="b.ipynb is no notebook"),
    ]
    write_gradebook(scores, tmp_path / "out")
    with open(tmp_path / "out" / "scores.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["points"] for row in rows] == ["1", ""] and rows[0]["notebook"] == "'=a/02.ipynb"
    full = json.loads((tmp_path / "out" / "scores.json").read_text(encoding="utf-8"))
    assert full[0]["signs"] == ["a sign"] and full[0]["checks"][1]["message"] == "wrong\nthere"
    page = (tmp_path / "out" / "feedback" / "=a" / "02.ipynb.md").read_text(encoding="utf-8")
    assert "1 of 2 points" in page and "wrong" in page and "a sign" not in page
    assert "no notebook" in feedback(scores[1])
