"""Mutants are made of what a test should pin down, and of nothing else."""

from pathlib import Path

import pytest
from mutations import applied, edits, sample


def mutants(source):
    return {applied(edit, source) for edit in edits(source)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", {"x = a <= b", "x = a > b"}),
        ("x = a + 'é' - c", {"x = a - 'é' - c", "x = a + 'é' + c"}),
        ("x = a and not b", {"x = a or not b", "x = a and b"}),
        ("n = 2", {"n = 3", "n = 1"}),
        ("x = f(a, k=b)", {"x = f(a)"}),
        ("x = f(a, b)", {"x = f(b, a)", "x = f(a)"}),
        ("x = a[i:j]", {"x = a[:j]", "x = a[i:]"}),
        ("x = min(a)", {"x = max(a)"}),
        ("x += y", {"x -= y", "x = y", "pass"}),
        ("raise ValueError('a' + b)", {"pass"}),
        ("x = a if b else c", {"x = a if (not (b)) else c"}),
    ],
)
def test_a_line_becomes(source, expected):
    assert mutants(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""A text of 2 lines."""',
        "import a, b",
        "print(1 + 2)",
        "x: int | None",
        "@f(1)\ndef g(x: a | b) -> c | d: ...",
        "def __repr__(self):\n    return 1 + 2",
        "f(help=1)",
    ],
)
def test_nothing_is_made_of_what_only_informs(source):
    assert all(len(changed) < len(source) for changed in mutants(source))


def test_a_sample_is_the_beginning_of_a_larger_one_and_follows_its_seed():
    root = Path(__file__).parents[2]
    few, more, other = (sample(root, ("ums/ops",), n, seed) for n, seed in ((3, 0), (9, 0), (9, 1)))
    assert few == more[:3] and len(set(more)) == 9 and not set(more) & set(other)
    for mutant in more:
        line = (root / mutant.file).read_text(encoding="utf-8").splitlines()[mutant.line - 1]
        assert line.strip() == mutant.before != mutant.after
