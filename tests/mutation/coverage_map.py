"""Which tests run which lines: measured for one test file at a time, and looked up for a mutant.

What a fixture of a module or session runs counts for every test that uses it, not only for the first,
and what a process runs that a test started counts for that test.
"""

import ast
import json
import os
import re
import sys
from collections import defaultdict
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import coverage
import pytest

SETTINGS = """[run]
source = {source}
data_file = {data}
parallel = true
context = ${{MUTANTS_CONTEXT}}
disable_warnings = no-data-collected, module-not-imported, module-not-measured
"""
BUDGET = 60  # seconds of processor that the tests of one mutant take at most, without it
COSTLY = 0.05  # seconds of shared fixtures from which on the tests of a file are kept together


class Noting:
    """Tells coverage which test or shared fixture runs, and notes their seconds."""

    def __init__(self, measuring: coverage.Coverage):
        self.measuring, self.seconds, self.fixtures, self.failed = measuring, {}, {}, set()
        self.stack, self.elsewhere = [""], 0.0

    @contextmanager
    def within(self, name: str):
        self.enter([*self.stack, name])
        begin, before = sum(os.times()[:4]), self.elsewhere
        yield
        whole = sum(os.times()[:4]) - begin
        self.seconds[name] = round(whole - (self.elsewhere - before), 3)
        self.elsewhere = before + whole
        self.enter(self.stack[:-1])

    def enter(self, stack: list[str]) -> None:
        self.stack, os.environ["MUTANTS_CONTEXT"] = stack, stack[-1]
        self.measuring.switch_context(stack[-1])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        for module in list(sys.modules.values()):
            if (getattr(module, "__file__", None) or "").startswith(os.getcwd()):
                for value in list(vars(module).values()):  # so that all tests run what they need
                    getattr(value, "cache_clear", int)()
        with self.within(item.nodeid):
            result = yield
        known = item._fixtureinfo.name2fixturedefs
        used = [known[name][-1] for name in item.fixturenames if name in known]
        self.fixtures[item.nodeid] = [f"{f}" for f in map(shared_name, used) if f]
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        if name := shared_name(fixturedef):
            with self.within(name):
                return (yield)
        return (yield)

    def pytest_runtest_logreport(self, report):
        if report.failed or report.skipped:
            self.failed.add(report.nodeid)


def shared_name(fixture: pytest.FixtureDef) -> str:
    """A name of a fixture that tests share; empty for others."""
    return "" if fixture.scope == "function" else f"fixture {fixture.baseid}::{fixture.argname}"


def measure(file: str, packages: tuple[str, ...], out: Path) -> int:
    """Run a test file in the current folder, a checkout; write what its tests run as JSON.

    It holds ``tests`` (test -> own seconds, seconds of shared fixtures) and ``lines`` (file -> line ->
    tests). Tests that fail or are skipped are left out.
    """
    here, start = Path.cwd(), out.with_suffix(".start")
    start.mkdir(exist_ok=True)
    (start / "sitecustomize.py").write_text("import coverage\ncoverage.process_startup()\n")
    source = "".join(f"\n    {here / package}" for package in packages)
    settings = start / "settings.ini"
    settings.write_text(SETTINGS.format(source=source, data=start / "data"), encoding="utf-8")
    os.environ |= {"MUTANTS_CONTEXT": "", "COVERAGE_PROCESS_START": str(settings)}
    os.environ["PYTHONPATH"] = f"{start}:{here}"
    measuring = coverage.Coverage(config_file=str(settings), messages=False)
    measuring.start()
    noting = Noting(measuring)
    status = int(pytest.main([file, "-q", "-p", "no:cacheprovider"], plugins=[noting]))
    measuring.stop()
    measuring.save()
    measuring.combine()
    passed = {test: used for test, used in noting.fixtures.items() if test not in noting.failed}
    users, seconds = defaultdict(set), noting.seconds
    for test, fixtures in passed.items():
        for name in (test, *fixtures):
            users[name].add(test)
    shared = {test: sum(seconds.get(name, 0) for name in used) for test, used in passed.items()}
    data, lines = measuring.get_data(), {}
    for path in (path for path in data.measured_files() if Path(path).is_relative_to(here)):
        of_line = {
            line: sorted(set().union(*(users[context] for context in contexts)))
            for line, contexts in data.contexts_by_lineno(path).items()
        }
        lines[Path(path).relative_to(here).as_posix()] = of_line
    tests = {test: [seconds[test], shared[test]] for test in passed}
    (start / "made").write_text(json.dumps({"tests": tests, "lines": lines}), encoding="utf-8")
    (start / "made").replace(out)
    return 0 if status in (0, 1, 5) else status


class CoverageMap:
    """What all test files run.

    Args:
        checkout: The folder of the source.
        packages: Its packages that were measured.
        parts: Files that :func:`measure` wrote.
    """

    def __init__(self, checkout: Path, packages: tuple[str, ...], parts: list[Path]):
        self.checkout, self.packages, self.tests = checkout, packages, {}
        self.lines = defaultdict(lambda: defaultdict(list))
        for part in parts:
            found = json.loads(part.read_text(encoding="utf-8"))
            self.tests |= found["tests"]
            for file, of_line in found["lines"].items():
                for line, tests in of_line.items():
                    self.lines[file][int(line)] += tests

    def tests_for(self, file: str, line: int) -> tuple[list[str], float]:
        """The tests that run a line, and their seconds.

        Outside functions: those that run what uses the name that it defines, or whose file mentions it.
        Of a default: those that run its function, or whose file mentions that or its class.
        If there are none: those that run anything of the file, or whose own file has a like name.
        """
        of_line, names = self.lines[file], set()
        tests = {
            t
            for place, lines in self._places(file, line, names)
            for n in lines
            for t in self.lines[place][n]
        }
        tests |= {t for t in self.tests if names & self._words(t.split("::")[0])}
        tests = tests or {t for tests in of_line.values() for t in tests}
        return self._in_order(tests or {t for t in self.tests if Path(file).stem[:7] in t})

    def _places(self, file: str, line: int, names: set[str]) -> list[tuple[str, set[int]]]:
        """Lines that execute a line or, outside functions, use what it defines, whose ``names`` it adds."""
        around = [
            node
            for node in ast.walk(self._tree(file))
            if isinstance(node, ast.stmt) and node.lineno <= line <= node.end_lineno
        ]
        functions = [n for n in around if isinstance(n, ast.FunctionDef)]
        if functions and line < functions[-1].body[0].lineno:  # a default
            classes = [n for n in around if isinstance(n, ast.ClassDef)]
            names.add((classes or functions)[-1].name)
            return [(file, set(range(functions[-1].body[0].lineno, functions[-1].end_lineno + 1)))]
        if functions:
            first, body = around[-1].lineno, getattr(around[-1], "body", None)
            last = body[0].lineno - 1 if body else around[-1].end_lineno
            return [(file, set(range(first, max(first, last) + 1)))]
        inside = [n for node in around for n in ast.walk(node)]
        names |= {
            n.id
            for n in inside
            if isinstance(getattr(n, "ctx", None), ast.Store) and hasattr(n, "id")
        }
        names |= {node.name for node in around if isinstance(node, ast.ClassDef)}
        return [
            (path, set().union(*(of_name.get(name, ()) for name in names)))
            for path, of_name in self._mentions().items()
        ]

    @cache  # noqa: B019
    def _words(self, file: str) -> set[str]:
        path = self.checkout / file
        return set(re.findall(r"\w+", path.read_text(encoding="utf-8"))) if path.exists() else set()

    @cache  # noqa: B019
    def _tree(self, file: str) -> ast.Module:
        return ast.parse((self.checkout / file).read_text(encoding="utf-8"))

    @cache  # noqa: B019
    def _mentions(self) -> dict[str, dict[str, set[int]]]:
        """File -> name -> the lines that mention it."""
        found = {}
        for path in (
            p for package in self.packages for p in (self.checkout / package).rglob("*.py")
        ):
            file = path.relative_to(self.checkout).as_posix()
            of_name = found[file] = defaultdict(set)
            for node in ast.walk(self._tree(file)):
                for field in ("id", "attr", "arg"):
                    if isinstance(name := getattr(node, field, None), str):
                        of_name[name].add(node.lineno)
        return found

    def _in_order(self, tests: set[str]) -> tuple[list[str], float]:
        """Quick tests first, then those that share costly fixtures, file by file; within the budget."""
        files = {test: test.split("::")[0] for test in tests}
        whole = {test: sum(self.tests[test]) for test in tests}
        kept, paid, spent = [], set(), 0.0
        for test in sorted(tests, key=lambda t: (self.tests[t][1] > COSTLY, whole[t], t)):
            own, shared = self.tests[test]
            spent += own + (0 if (files[test], shared) in paid else shared)
            paid.add((files[test], shared))
            if kept and spent > BUDGET:
                break
            kept.append(test)
        costly = [files[t] for t in kept if self.tests[t][1] > COSTLY]
        order = list(dict.fromkeys(costly))
        kept.sort(key=lambda t: order.index(files[t]) if self.tests[t][1] > COSTLY else -1)
        return kept, spent
