"""The Makefile: what a user gives arrives as it is, and no part of it is run; so do paths with spaces."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKE = shutil.which(os.environ.get("GNU_MAKE", "make"))
pytestmark = pytest.mark.skipif(MAKE is None or os.name == "nt", reason="needs make and a shell")

PYTHON = """#!{python} -S
import json, os, sys
given = [sys.argv[1:], os.environ.get("PYTHONPATH"), os.getcwd()]
open({log!r}, "a").write(json.dumps(given) + "\\n")
"""
"""In place of an environment's Python: it notes what arrives."""

NASTY = {
    "quotes": 'a"; touch x; "',
    "semicolon": "32; touch x",
    "single quotes": "it's; touch x; echo 'a'",
    "backquotes": "`touch x`",
    "dollar": "$(touch x) ${HOME} $$ $HOME $@",
    "make's": "$(shell touch x)$(DATA)$(error no)${shell touch x}",
    "spaces": "two  words and\ta tab",
    "signs": "a&touch x|b>x<y#z*?[a]~{b,c}(d)!e\\f%g:h=i,j",
    "letters": "ärzte/π",
}


@pytest.fixture
def make(tmp_path):
    """Run make in a copy of the checkout whose path has spaces; the argument lists that arrive."""
    checkout, log = tmp_path / "a checkout's $HOME", tmp_path / "log"
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / "requirements").mkdir()
    for name in ("Makefile", "requirements.txt", "requirements/core.txt"):
        shutil.copy(ROOT / name, checkout / name)
    python = checkout / ".venv" / "bin" / "python"
    python.write_text(PYTHON.format(python=sys.executable, log=str(log)), encoding="utf-8")
    python.chmod(0o755)
    for name in ("ready", "lessons-ready"):
        (checkout / ".venv" / name).touch()

    def run(*arguments, environment=None, code=0):
        log.unlink(missing_ok=True)
        clean = {n: v for n, v in os.environ.items() if n in ("PATH", "LANG", "LC_ALL")}
        command = [MAKE, *arguments]
        environment = clean | (environment or {})
        ended = subprocess.run(
            command, cwd=checkout, env=environment, capture_output=True, text=True, encoding="utf-8"
        )
        assert (ended.returncode != 0) == (code != 0), ended.stderr
        assert not list(tmp_path.rglob("x")), "a part of what was given was run"
        run.error = ended.stderr
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        run.given = [json.loads(line) for line in lines]
        return [arrived for arrived, _, _ in run.given]

    run.checkout = checkout
    return run


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
@pytest.mark.parametrize("where", ["command line", "environment"])
def test_what_is_given_arrives_as_it_is(text, where, make):
    given = dict.fromkeys(("DATA", "SIZE", "OUT", "PREPARED", "WIDTH"), text)
    if where == "environment":
        prepare, study = make("reproduce-cxr", environment=given)
    else:
        prepare, study = make("reproduce-cxr", *(f"{n}={v}" for n, v in given.items()))
    data = [f"--size={text}", "--seed=0", f"--data={text}"]
    assert prepare == ["-m", "data_prep", "cxr", text, *data]
    options = [f"--out={text}", "--seed=0", "--device=auto", "--replicates=2", f"--width={text}"]
    options += ["--level-replicates=2", "--source-images=1000"]
    assert study == ["-m", "ums.experiments", "cxr", text, *options]


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_lists_are_cut_into_words_and_nothing_else(text, make):
    words = text.split()
    assert make("reproduce-echo", f"TASKS={text}")[1][-len(words) - 1 :] == ["--groups", *words]
    for name in ("ARMS", "FACTORS"):
        study = make("reproduce-echo", f"{name}={text}")[1]
        assert study[-len(words) - 1 :] == [f"--{name.lower()}", *words]
    assert make("lessons-solved", f"LESSON={text}") == [["-m", "lessons", "solve", *words]]
    assert make("bench", f"BENCH={text}") == [["tests/benchmarks/bench.py", *words]]
    assert make("lessons", f"JUPYTER={text}")[1][-len(words) :] == words


@pytest.mark.parametrize("name", ["VENV", "PY", "PYTHON", "UNKNOWN", "DEVICE", "TRIALS"])
@pytest.mark.parametrize("text", ["$(shell touch x)", "`touch x`; touch x; '"])
def test_no_variable_whatever_its_name_is_run(name, text, make):
    code = 2 if name in ("VENV", "PY") else 0  # there is no such environment
    make("search-echo", "test", f"{name}={text}", *["PYTHON=false"] * (name == "VENV"), code=code)
    make("help", f"{name}={text}")


@pytest.mark.parametrize("name", ["DATA", "SIZE", "PREPARED", "PYTHON"])
def test_a_line_break_is_refused_and_nothing_after_it_run(name, make):
    if name == "PYTHON":  # then it is used
        (make.checkout / ".venv" / "ready").unlink()
    assert make("reproduce-cxr", f"{name}=a\ntouch x\n'", code=2) == []
    assert "there is a line break in" in make.error


def test_the_options_of_every_study_arrive(make):
    assert [call[1:4] for call in make("search-echo", "TRIALS=2", "DATA=my screens")] == [
        ["data_prep", "echo-folder", "my screens"],
        ["ums.experiments", "search", "prepared/echo-own-96"],
    ]
    prepare, study = make("reproduce-cxr-full", "PILOT=2")
    sizes = ["--images=8000", "--labels=500", "--replicates=5"]
    assert prepare[3:] == ["prepared/cxr-synthetic-256", "--size=256", "--seed=0", *sizes]
    assert {"--pilot=2", "--width=1", "--steps=3000", "--out=results/cxr-full"} < set(study)
    prepare, study = make("reproduce-cxr", "LABELS=90", "LEVELS=3", "FACTORS=hospital labels")
    labels = ["--labels=90", "--labels=500"]  # enough for the largest level, the last counts
    assert prepare[6:] == ["--images=1000", *labels, "--replicates=2", "--other=3"]
    assert {"--labels=90", "--level-replicates=3", "--source-images=1000"} < set(study)
    prepare, study = make("reproduce-cxr", "FACTORS=labels source")
    assert "--labels=500" in prepare and not any("--labels" in option for option in study)
    given = {"IMAGES": "9", "LABELS": "9", "REPLICATES": "2", "OUT": "mine"}
    prepare, study = make("reproduce-echo", environment=given)
    assert prepare[-2:] == ["--images=9", "--replicates=2"] and study[4] == "--out=mine"
    assert make("data")[0][1:] == ["data_prep", "get", "raw"]
    assert make("book")[-1][1:] == ["lessons.book"]
    book = make("book", "SOLVED=1", "REPOSITORY=me/mine")
    assert book[-1][1:] == ["lessons.book", "--solved", "--repository=me/mine"]


def test_the_checkout_is_on_pythons_path_before_ones_own(make):
    make("test", environment={"PYTHONPATH": "/my own", "PYTHONSAFEPATH": "1"})
    ((_, path, folder),) = make.given
    assert path == f"{folder}:/my own" and Path(folder) == make.checkout
    make("test")
    assert make.given[0][1] == folder


def test_an_environment_elsewhere_is_used(make, tmp_path):
    elsewhere = tmp_path / "my environments" / "ums's"
    shutil.copytree(make.checkout / ".venv", elsewhere)
    shutil.rmtree(make.checkout / ".venv")
    assert [run[:2] for run in make("test", f"VENV={elsewhere}")] == [["-m", "pytest"]]


def test_changed_requirements_are_installed_again(make):
    for path in (make.checkout / ".venv").glob("*ready"):
        os.utime(path, (0, 0))
    installed = make("lessons", f"PYTHON={make.checkout}/.venv/bin/python")
    assert [call[1] for call in installed[1:]] == [
        *("venv", "pip", "pip", "lessons.setup", "lessons", "jupyterlab")
    ]
    assert len(make("lessons")) == 2


def test_help_lists_every_command_and_the_variables(make):
    make("help")
    command = [MAKE, "-s"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(
        f"\n{name} " in f"\n{text}" for name in ("reproduce-cxr", "lessons", "DATA", "PYTHON")
    )
