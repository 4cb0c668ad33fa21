"""A check's own parts are compared with what they were, and values that deceive are seen."""

import types

import numpy as np
import pytest

from lessons import guard


@pytest.fixture
def module():
    made = types.ModuleType("lessons.checks.made")
    exec(
        "NAMES = ['a']\ndef require(x):\n    assert x\nclass Kind:\n    def f(self): pass",
        vars(made),
    )
    made.require.__module__ = made.Kind.__module__ = made.__name__
    return made


def replace(module):
    module.require = print


def rebind(module):
    module.NAMES = []


def method(module):
    module.Kind.f = print


def code(module):
    module.require.__code__ = (lambda x: None).__code__


@pytest.mark.parametrize("change", [replace, rebind, method, code])
def test_change_of_a_check_is_found(change, module):
    pristine = guard.Pristine([module], ())
    pristine.verify(deep=True)
    change(module)
    with pytest.raises(guard.Tampered, match=r"(require|NAMES|f) was changed"):
        pristine.verify()


def test_change_inside_a_value_is_found_when_looking_deep(module):
    pristine = guard.Pristine([module], ())
    module.NAMES.append("b")
    pristine.verify()
    with pytest.raises(guard.Tampered, match="values"):
        pristine.verify(deep=True)


def test_change_of_what_checks_use_is_found(module, monkeypatch):
    pristine = guard.Pristine([module], ("numpy",))
    monkeypatch.setattr(np, "isfinite", print)
    with pytest.raises(guard.Tampered, match=r"numpy.*\.isfinite was changed"):
        pristine.verify()


def test_value_with_operators_of_its_own_deceives_at_any_depth():
    known = guard.known_kinds()

    class Yes(np.ndarray):
        def __sub__(self, other):
            return np.zeros(1)

    class Plain:
        def __init__(self):
            self.x = 1

    yes = np.zeros(2).view(Yes)
    assert all(
        guard.deceives(v, known) for v in (yes, [yes], {"a": (1, yes)}, np.array([yes, 1], object))
    )
    plain = (np.zeros(2), [1, 2.0], {"a": None}, "x", Plain(), np.float32(1), {1}, iter(()))
    assert not any(guard.deceives(value, known) for value in plain)
