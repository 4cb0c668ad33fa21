"""nbgrader and otter-grader, the real ones, give the scores that our own scoring gives.

NBGRADER_PYTHON and OTTER_PYTHON name a Python that has each, with what the library needs. CLASS is how many
students hand in, 3 without it: all right, one answer wrong and the checks deleted, nothing written, and then
drawn ones.
"""

import copy
import csv
import json
import os
import subprocess

import numpy as np
import pytest
from sources import SOURCES, checks, code_cells, wrong_answers

from lessons.holes import BEGIN, END

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupytext")
pytest.importorskip("IPython")

from lessons.release import write_nbgrader, write_otter, write_students  # noqa: E402
from lessons.scoring import Limits, score_all  # noqa: E402

NBGRADER, OTTER = (os.environ.get(f"{tool}_PYTHON") for tool in ("NBGRADER", "OTTER"))
STUDENTS = int(os.environ.get("CLASS", "3"))
LESSONS = ["02_backward"] if STUDENTS <= 3 else ["02_backward", "03_convolution"]

pytestmark = pytest.mark.skipif(not (NBGRADER or OTTER), reason="neither grader is installed")


def classroom(lesson):
    """What each student wrote, {hole: text of its cell}, and the points it is worth."""
    rng = np.random.default_rng(int(lesson[:2]))
    wrong, names = wrong_answers(lesson), list(checks(lesson))
    for student in range(STUDENTS):
        drawn = rng.choice(["right", "wrong", "empty"], size=len(names), p=[0.6, 0.25, 0.15])
        kinds = [
            ["right"] * len(names),
            ["wrong", *["right"] * (len(names) - 1)],
            ["empty"] * len(names),
        ]
        kinds = dict(zip(names, kinds[student] if student < 3 else drawn, strict=True))
        texts = {}
        for name, kind in kinds.items():
            text = next(t for t in code_cells(lesson) if BEGIN in t and f"def {name}(" in t)
            if kind == "wrong":
                _, piece, replacement = wrong[name][rng.integers(len(wrong[name]))]
                text = text.replace(piece, replacement)
            if kind != "empty":
                kept = [line for line in text.split("\n") if line.strip() not in (BEGIN, END)]
                texts[name] = "\n".join(kept)
        yield texts, sum(kind == "right" for kind in kinds.values())


def filled(notebook, texts):
    """A student's notebook: the cell of each hole replaced."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        for name, text in texts.items():
            if f"def {name}(" in cell.source and "NotImplementedError" in cell.source:
                cell.source = text
    return notebook


def hand_in(student_copy, lesson, path):
    """Write everybody's notebook to path(number); their paths and what they are worth."""
    notebook = nbformat.read(student_copy, as_version=4)
    paths, points = [], []
    for number, (texts, worth) in enumerate(classroom(lesson)):
        paths.append(path(number))
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        handed_in = filled(notebook, texts)
        if number == 1:
            handed_in.cells = [
                cell for cell in handed_in.cells if "\ncheck." not in f"\n{cell.source}"
            ]
        nbformat.write(handed_in, paths[-1])
        points.append(worth)
    return paths, points


@pytest.fixture(scope="module")
def students(tmp_path_factory):
    return write_students(tmp_path_factory.mktemp("release") / "students", _sources())


def _sources():
    return [SOURCES[lesson] for lesson in LESSONS]


def command(python, folder, *arguments, library):
    path = os.pathsep.join([os.path.dirname(python), os.environ["PATH"]])  # nbgrader calls alembic
    environment = os.environ | {"PYTHONPATH": str(library), "UMS_THREADS": "1", "PATH": path}
    done = subprocess.run(
        [python, "-m", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def own_scores(paths, worth):
    """Our points. Those of the first three are known; a later one may build on a wrong answer."""
    scores = [score.points for score in score_all(paths, Limits(seconds=300))]
    assert scores[:3] == worth[:3] and all(s <= w for s, w in zip(scores, worth, strict=True))
    return scores


@pytest.mark.skipif(not NBGRADER, reason="nbgrader is not installed")
@pytest.mark.parametrize("lesson", LESSONS)
def test_nbgrader_and_our_own_scoring_agree(lesson, students, tmp_path):
    course = write_nbgrader(tmp_path / "course", [SOURCES[lesson]])
    command(NBGRADER, course, "nbgrader", "generate_assignment", lesson, library=students)
    student_copy = course / "release" / lesson / f"{lesson}.ipynb"
    assert "**Answers" not in student_copy.read_text(encoding="utf-8")
    path = lambda i: course / "submitted" / f"s{i:02}" / lesson / f"{lesson}.ipynb"  # noqa: E731
    handed_in = hand_in(student_copy, lesson, path)
    command(NBGRADER, course, "nbgrader", "autograde", lesson, library=students)
    command(NBGRADER, course, "nbgrader", "export", library=students)
    with open(course / "grades.csv", encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["student_id"])
    assert [float(row["score"] or 0) for row in rows] == own_scores(*handed_in)


@pytest.mark.skipif(not OTTER, reason="otter-grader is not installed")
@pytest.mark.parametrize("lesson", LESSONS)
def test_otter_and_our_own_scoring_agree(lesson, students, tmp_path):
    made = write_otter(tmp_path / "otter", [SOURCES[lesson]], OTTER) / "made" / lesson
    student_copy = made / "student" / f"{lesson}.ipynb"
    paths, worth = hand_in(student_copy, lesson, lambda i: tmp_path / str(i) / f"{lesson}.ipynb")
    (autograder,) = (made / "autograder").glob("*.zip")
    scores = []
    for path in paths:
        given = ("otter", "run", path.name, "-a", str(autograder), "-o", ".", "--no-logo")
        command(OTTER, path.parent, *given, library=tmp_path)
        results = json.loads((path.parent / "results.json").read_text(encoding="utf-8"))
        scores.append(sum(test.get("score", 0) for test in results["tests"]))
    assert scores == own_scores(paths, worth)
