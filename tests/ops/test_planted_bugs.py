"""A gradient check that cannot fail proves nothing: it must reject each bug planted in an op."""

import importlib

import pytest
from planted_bugs import (
    BUGS,
    LOSSES,
    OPS,
    OPTIMIZER_BUGS,
    check_op,
    check_optimizer,
    module_of,
    mutant,
)

from ums.gradcheck import GradientError

CASES = [pytest.param(op, *bug[1:], id=f"{op}-{bug[0]}") for op in BUGS for bug in BUGS[op]]
OPTIMIZER_CASES = [
    pytest.param(name, *bug[1:], id=f"{name}-{bug[0]}")
    for name in OPTIMIZER_BUGS
    for bug in OPTIMIZER_BUGS[name]
]


@pytest.mark.parametrize(("op", "snippet", "replacement"), CASES)
def test_gradient_check_rejects_planted_bug(op, snippet, replacement, tiny_tiles, monkeypatch):
    monkeypatch.setenv("UMS_THREADS", "1")
    with pytest.raises(GradientError, match="is wrong"):
        check_op(op, mutant(module_of(op), snippet, replacement))


@pytest.mark.parametrize("op", BUGS)
def test_same_check_accepts_the_op_without_the_bug(op, tiny_tiles, monkeypatch):
    monkeypatch.setenv("UMS_THREADS", "1")
    snippet = BUGS[op][0][1]
    errors = check_op(op, mutant(module_of(op), snippet, snippet))
    assert max(errors.values()) < 1e-6


def test_every_op_and_loss_has_at_least_three_bugs():
    assert BUGS.keys() == OPS.keys() | LOSSES.keys()
    assert min(len(bugs) for bugs in BUGS.values()) >= 3
    assert all(new != old for bugs in BUGS.values() for _, old, new in bugs)


@pytest.mark.parametrize("snippet", ["not in the source", "return"])
def test_snippet_that_is_not_there_exactly_once_fails_loudly(snippet):
    with pytest.raises(LookupError, match="instead of once"):
        mutant("ums.ops.dense", snippet, "")


@pytest.mark.parametrize(("name", "snippet", "replacement"), OPTIMIZER_CASES)
def test_hand_computed_steps_reject_wrong_optimizer(name, snippet, replacement):
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_optimizer(name, mutant("ums.optimizers", snippet, replacement))


@pytest.mark.parametrize("name", OPTIMIZER_BUGS)
def test_hand_computed_steps_accept_the_optimizer(name):
    check_optimizer(name, importlib.import_module("ums.optimizers"))
