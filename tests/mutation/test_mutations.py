"""Mutants are made of what a test should pin down, and judged by tests that pass without them."""

import json
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


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("f(a, help='x')", {"pass"}),
        ("zip(a, b, strict=True)", {"zip(b, a, strict=True)", "pass"}),
        ("dumps(a, ensure_ascii=False)", {"pass"}),
        ("x = field(default_factory=dict)", set()),
        ("ax.plot(a, lw=2, xlim=b + c)", {"pass"}),
        ("x = {'ms': 6, 'font.size': 9}", set()),
        ("from matplotlib.figure import Figure\nx = [0.3, f(2.5)]", set()),
    ],
)
def test_help_form_and_looks_are_neither_changed_nor_dropped(source, expected):
    assert mutants(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import matplotlib\nx = 2", {"import matplotlib\nx = 3", "import matplotlib\nx = 1"}),
        ("x = {'level': 2}", {"x = {'level': 3}", "x = {'level': 1}"}),
        ("x = 0.5", {"x = 1.0", "x = 0.25"}),
        ("x = ax.bar(label=a)", {"x = ax.bar()"}),
    ],
)
def test_what_is_shown_is_not_taken_for_its_looks(source, expected):
    assert mutants(source) == expected


def test_a_sample_is_the_beginning_of_a_larger_one_and_follows_its_seed():
    root = Path(__file__).parents[2]
    few, more, other = (sample(root, ("ums/ops",), n, seed) for n, seed in ((3, 0), (9, 0), (9, 1)))
    assert few == more[:3] and len(set(more)) == 9 and not set(more) & set(other)
    for mutant in more:
        line = (root / mutant.file).read_text(encoding="utf-8").splitlines()[mutant.line - 1]
        assert line.strip() == mutant.before != mutant.after


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    """The module of the campaign, at work in an empty folder."""
    pytest.importorskip("coverage")
    pytest.importorskip("resource")  # not on Windows
    import campaign

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(campaign, "RESULTS", tmp_path / "results.jsonl")
    return campaign


@pytest.mark.parametrize(
    ("status", "log", "expected"),
    [
        (1, "", "killed"),
        (2, "", "killed"),
        (4, "ImportError while loading conftest", "killed"),
        (3, "", "error"),
        (4, "", "error"),
        (5, "", "error"),
        (70, "", "error"),
    ],
)
def test_only_tests_that_fail_and_imports_kill(status, log, expected, campaign):
    Path("log.txt").write_text(log, "utf-8")
    assert campaign.outcome_of(status, slow=False) == expected


def test_killers_that_fail_without_a_mutant_are_found_and_their_results_dropped(campaign):
    Path("test_a.py").write_text(
        "def test_x(): assert 0\ndef test_y(): pass\ndef test_z(): assert 0", "utf-8"
    )
    names = {f"test_a.py::test_{letter}" for letter in "xyz"}
    failed = campaign.failing(names)
    assert failed == names - {"test_a.py::test_y"}
    rows = [json.dumps({"by": name}) + "\n" for name in ("", *sorted(names))]
    campaign.RESULTS.write_text("".join(rows), "utf-8")
    campaign.forget(failed)
    assert campaign.RESULTS.read_text() == rows[0] + rows[2]


def test_a_line_outside_functions_meets_the_tests_that_mention_its_name(tmp_path):
    coverage_map = pytest.importorskip("coverage_map")
    for name, text in {"ums/a.py": "LEAST = 2\n", "t.py": "a.LEAST", "u.py": "LEASTWISE"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    covered = coverage_map.CoverageMap(tmp_path, ("ums",), [])
    covered.tests = {"t.py::test": [1, 0], "u.py::test": [1, 0]}
    assert covered.tests_for("ums/a.py", 1)[0] == ["t.py::test"]


@pytest.mark.parametrize("source", ["class Halves:\n  def __init__(self,\n    n=2):\n    self.n = n",
                                    "def halves(\n  n=2,\n  k=3):\n    return k"])  # fmt: skip
def test_a_default_meets_the_tests_that_mention_its_function_or_class(source, tmp_path):
    coverage_map = pytest.importorskip("coverage_map")
    for name, text in {"ums/a.py": source, "t.py": "halves Halves", "u.py": "n k self"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    covered = coverage_map.CoverageMap(tmp_path, ("ums",), [])
    covered.tests = {"t.py::test": [1, 0], "u.py::test": [1, 0]}
    assert covered.tests_for("ums/a.py", 3 if "class" in source else 2)[0] == ["t.py::test"]
