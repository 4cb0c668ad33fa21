"""What the checks of all lessons share: a failing one says one thing clearly, a passing one one line.

A check is a function of the student's answers, named as the notebook names them:

    @check
    def dense_backward(dense_backward):
        \"\"\"dx, dw and db agree with central differences.\"\"\"
        ...

It returns, or it raises; `require` and `as_array` raise `CheckFailed`. In a notebook that is shown
without a traceback.
"""

import functools
import inspect
import sys
import traceback
from pathlib import Path

import numpy as np

LIBRARIES = ("data_prep", "lessons", "ums")


class CheckFailed(AssertionError):
    """An answer is wrong; the message says in what, and where to look."""

    status, colour = "failed", 31

    def _render_traceback_(self):  # what IPython shows instead of a traceback
        return [f"\x1b[{self.colour};1m{self.status}\x1b[0m  {self}"]


class NotWritten(CheckFailed):
    """The hole is still there."""

    status, colour = "not written", 33


def require(condition, message):
    """Raise `CheckFailed` with `message` unless `condition` holds."""
    if not condition:
        raise CheckFailed(message)


def as_array(value, name, shape, dtype=None):
    """`value`, once it is sure to be an array of this shape, without NaN (and of this dtype)."""
    if value is None:
        raise CheckFailed(f"{name} is None: does the function return it?")
    if not hasattr(value, "shape"):
        raise CheckFailed(f"{name} must be an array {shape}, got {type(value).__name__}")
    require(value.shape == shape, f"{name} must have the shape {shape}, got {value.shape}")
    if dtype is not None:
        require(value.dtype == dtype, f"{name} must be {np.dtype(dtype)}, got {value.dtype}")
    require(np.isfinite(value).all(), f"{name} holds values that are infinite or not a number")
    return value


def check(function):
    """Make a check of a function that raises where an answer is wrong; its docstring is what holds
    where none is."""

    @functools.wraps(function)
    def run(*answers):
        failure = _failure(function, answers)
        if failure is not None:
            raise failure
        _say_passed(function)

    run.is_check = True
    return run


def checks_of(module):
    """The checks a module defines, {name: function}, in order."""
    return {name: f for name, f in vars(module).items() if getattr(f, "is_check", False)}


def _is_librarys(value):
    """Whether a function or class is defined in the library or in the lessons."""
    module = getattr(value, "__module__", None)
    return isinstance(module, str) and module.partition(".")[0] in LIBRARIES


def refuse_calls(answer, *names):
    """Raise `CheckFailed` where an answer calls a function of these names, which does its work."""
    for name in {*names} & _names(answer):
        raise CheckFailed(f"{name} does the work of this function, which is to do without it")


def _names(answer):
    """The names of what an answer's code takes from outside, attributes too."""
    codes, names = [getattr(answer, "__code__", None)], set()
    for code in codes:  # it grows by the functions inside
        names |= {*getattr(code, "co_names", ())}
        codes += [part for part in getattr(code, "co_consts", ()) if inspect.iscode(part)]
    return names


def _failure(function, answers):
    """What is wrong with the answers, as a `CheckFailed`; None where nothing is."""
    try:
        for name, answer in zip(inspect.signature(function).parameters, answers, strict=False):
            if answer is None:
                raise NotImplementedError(f"{name} is not written yet")
            _require_own(answer)
            _require_no_namesake(name, answer)
        function(*answers)
    except CheckFailed as failure:
        return failure.with_traceback(None)
    except NotImplementedError as hole:
        return NotWritten(str(hole) or "there is a hole where your lines should be")
    except AssertionError as error:  # ums.gradcheck says by itself what is wrong and where
        return CheckFailed(str(error) or f"it stopped with AssertionError{_place(error)}")
    except KeyboardInterrupt:
        return CheckFailed("stopped before it came to an end: is there an endless loop?")
    except Exception as error:
        return CheckFailed(f"it stopped with {type(error).__name__}: {error}{_place(error)}")
    return None


def _require_own(answer):
    """Raise `CheckFailed` for a function or class that is defined in the library."""
    defined = answer
    for _ in range(4):  # what partials and wrappers are made of
        defined = getattr(defined, "func", None) or getattr(defined, "__wrapped__", defined)
    if callable(answer) and _is_librarys(defined):
        origin = f"{defined.__module__}.{getattr(defined, '__qualname__', defined)}"
        raise CheckFailed(f"this is the library's {origin}, not an answer of your own")


def _require_no_namesake(name, answer):
    """Raise `CheckFailed` for an answer that calls the library's function of its name, or of a longer one."""
    used = _names(answer)
    places = [getattr(answer, "__globals__", {})]
    for place in places:  # it grows by the modules that the answer names
        found = [value for key, value in place.items() if key in used]
        known = {id(one) for one in places}
        places += [vars(v) for v in found if inspect.ismodule(v) and id(vars(v)) not in known]
        for value in found:
            named = inspect.isfunction(value) and value.__name__.startswith(name)
            if named and _is_librarys(value):
                raise CheckFailed(
                    f"{value.__name__} is the library's, and this function is to be yours"
                )


def _place(error):
    """Where in the student's own cell an error arose. No file holds a cell's code."""
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if not Path(frame.filename).is_file()]
    cells = [frame for frame in outside if not frame.filename.endswith((".pyx", ".pxd"))]
    if not cells:
        return " (does it take the arguments that the text names, and return what it asks for?)"
    return f"\n   in {cells[-1].name}, line {cells[-1].lineno} of its cell: {cells[-1].line or ''}"


def _say_passed(function):
    text = f"{function.__name__}: {' '.join((function.__doc__ or '').split())}"
    in_notebook = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)() is not None
    # A notebook shows the terminal's colours.
    print(f"\x1b[32;1mpassed\x1b[0m  {text}" if in_notebook else f"passed  {text}")
