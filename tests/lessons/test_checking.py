"""What a student sees of a check."""

from functools import partial, wraps

import numpy as np
import pytest

import ums.metrics.significance
from lessons.checking import CheckFailed, NotWritten, as_array, check, refuse_calls, require
from ums import ops
from ums.gradcheck import GradientError


@check
def three(three):
    """it is 3."""
    require(three() == 3, "not 3: count again")


def no_gradient():
    raise GradientError("the gradient of input 'x' is wrong")


def hole():
    raise NotImplementedError("three is not written yet")


def test_passing_check_says_what_holds(capsys):
    assert three(lambda: 3) is None
    assert capsys.readouterr().out == "passed  three: it is 3.\n"


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda: 4, CheckFailed, "^not 3: count again$"),
        (no_gradient, CheckFailed, "^the gradient of input 'x' is wrong$"),
        (hole, NotWritten, "^three is not written yet$"),
        (lambda: {}["a"], CheckFailed, "stopped with KeyError: 'a'"),
        (lambda: np.random.default_rng(0).poisson(-1.0), CheckFailed, r"NaN \(does it"),
    ],
)
def test_failing_check_says_one_thing(answer, error, message):
    with pytest.raises(error, match=message) as failure:
        three(answer)
    shown = failure.value._render_traceback_()
    assert len(shown) == 1 and str(failure.value) in shown[0] and error.status in shown[0]
    assert failure.value.__cause__ is None and failure.value.__context__ is None


def test_crash_names_the_function_and_line_of_the_cell():
    namespace = {}
    exec(compile("def mine():\n    y = 1\n    return y / 0", "<cell>", "exec"), namespace)
    with pytest.raises(CheckFailed, match=r"ZeroDivisionError.*\n.*in mine, line 3 of its cell"):
        three(namespace["mine"])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "dx is None: does the function return it"),
        ([1.0, 2.0], "got list"),
        (np.zeros(3), r"must have the shape \(2,\), got \(3,\)"),
        (np.zeros(2, int), "must be float64, got int64"),
        (np.array([0, np.nan]), "not a number"),
    ],
)
def test_what_is_no_such_array_is_named(value, message):
    with pytest.raises(CheckFailed, match=message):
        as_array(value, "dx", (2,), np.float64)


def test_answer_that_is_none_is_said_to_be_not_written():
    with pytest.raises(NotWritten, match="three is not written yet"):
        three(None)


@pytest.mark.parametrize("wrap", [lambda f: f, partial, lambda f: wraps(partial(f))(lambda: 3)])
def test_function_of_the_library_is_no_answer_however_it_is_wrapped(wrap):
    with pytest.raises(CheckFailed, match=r"the library's ums\.ops\.losses\.bce, not an answer"):
        three(wrap(ops.bce))
    three(wrap(lambda: 3))


def test_answer_that_calls_the_librarys_function_of_its_name_is_refused():
    @check
    def holm(holm):
        """any answer will do."""

    with pytest.raises(CheckFailed, match="holm is the library's, and this"):
        holm(lambda p: [ums.metrics.significance.holm(p) for _ in range(1)])
    holm(lambda p: ums.metrics.significance.mcnemar(p, p))


def test_refused_names_are_found_in_functions_inside():
    with pytest.raises(CheckFailed, match="loops does the work"):
        refuse_calls(lambda x: [loops(y) for y in x], "loops")  # noqa: F821
    refuse_calls(lambda loops: loops, "loops")
