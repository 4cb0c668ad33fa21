"""What a student wrote is kept in files that stand alone, and what cannot be kept is refused."""

import numpy as np
import pytest
from kept_answers import notebook, numbers, solutions
from sources import SOURCES, code_cells

from lessons.own import keep, kept, own_code
from lessons.own_places import NAMES
from lessons.own_source import NotKept, text_of
from ums import ops


@pytest.fixture
def answers():
    return solutions()


def test_kept_answers_stand_alone_and_run_in_the_library(answers, tmp_path, capsys):
    folder = tmp_path / "own"
    keep(answers["im2col"], answers["conv2d"], answers["col2im"], folder=folder)
    keep(answers["batchnorm_forward"], answers["batchnorm_backward"], folder=folder)
    assert "conv2d.py (new), in place of the library's conv2d_forward" in capsys.readouterr().out
    keep(answers["batchnorm_forward"], folder=folder)
    assert "batchnorm_forward.py (replaces the earlier one)" in capsys.readouterr().out
    assert {n: k.lesson for n, k in kept(folder).items()} == {
        "batchnorm_backward": "lesson_04", "batchnorm_forward": "lesson_04",
        "col2im": "lesson_03", "conv2d": "lesson_03", "im2col": "lesson_03",
    }  # fmt: skip
    expected = numbers()
    with own_code(folder=folder) as running:
        assert len(running) == 5
        np.testing.assert_allclose(numbers(), expected, rtol=2e-3, atol=2e-5)
    told = (
        "running with your batchnorm_backward, batchnorm_forward (lesson 4); col2im, conv2d, im2col"
    )
    assert told in capsys.readouterr().out


def test_answers_of_the_tasks_can_be_kept(answers, tmp_path):
    keep(answers["AveragingBatchNorm"], folder=tmp_path)
    keep(answers["AdamW"], answers["fit"], folder=tmp_path)
    found = kept(tmp_path)
    assert {name: one.lesson for name, one in found.items()} == {
        "AdamW": "lesson_t2", "AveragingBatchNorm": "lesson_t1", "fit": "lesson_t2",
    }  # fmt: skip
    assert "BATCH = 16" in (tmp_path / "fit.py").read_text()
    assert found["AveragingBatchNorm"].answer(3).statistics().keys() == {
        "running_mean", "running_var", "batches",
    }  # fmt: skip


def test_every_answer_that_has_a_place_is_kept_by_a_cell_of_its_lesson(answers, tmp_path):
    cells = [cell.strip() for lesson in SOURCES for cell in code_cells(lesson)]
    kept_together = [c[5:-1].split(", ") for c in cells if c.startswith("keep(")]
    assert sorted(name for names in kept_together for name in names) == sorted(NAMES)
    for names in kept_together:
        if answers.keys() >= set(names):  # all but those of tasks 4 and 5
            keep(*(answers[name] for name in names), folder=tmp_path)


def test_answer_edited_into_a_wrong_one_no_longer_runs(answers, tmp_path):
    keep(answers["bce"], folder=tmp_path)
    path = tmp_path / "bce.py"
    path.write_text(
        path.read_text() + "\nright = bce\n\n\ndef bce(z, t):\n    return right(z, 1 - t)\n"
    )
    before = ops.bce
    with (
        pytest.raises(NotKept, match="the check of bce does not pass: "),
        own_code(folder=tmp_path),
    ):
        pass
    assert ops.bce is before
    path.write_text("def bce(:")
    with pytest.raises(NotKept, match=r"bce.py cannot be run: SyntaxError.*or delete it"):
        kept(tmp_path)


CELL = """
import numpy as np
import numpy.linalg
from os.path import join as joined
from ums.ops import mse
from lessons.checks import lesson_06 as check

SCALE = 2.0
films = np.zeros(3)

def unused():
    return films

def helper(x, scale=SCALE):
    return np.abs(x) * scale + len(joined("a", "b"))

def bce(logits, target):
    return helper(logits).sum() + mse(logits, target)[0], numpy.linalg.norm(logits)

def dice(logits, target):
    return films, logits

def bce_dice(logits, target):
    return clipped(logits), logits

def outer():
    def categorical_cross_entropy(logits, labels):
        return logits
    return categorical_cross_entropy

categorical_cross_entropy = outer()
moved = lambda before, after: set()
"""


def test_source_comes_with_imports_constants_and_functions_in_their_order():
    text = text_of(notebook(CELL)["bce"])
    namespace = {}
    exec(text, namespace)
    assert namespace["bce"](np.ones(2), np.ones(2))[0] == 10.0
    assert text.index("SCALE = 2.0") < text.index("def helper") < text.index("def bce")
    assert "films" not in text and "from os.path" not in text.replace("from posixpath", "")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "name what is to be kept"),
        (("moved",), "<lambda> has no place in the library; these have: im2col"),
        (("SCALE",), "only functions and classes can be kept, got float"),
        (("unused",), "unused has no place in the library"),
        (("bce",), "the check of bce does not pass: .*shape"),
        (("bce_dice",), "the check of bce_dice does not pass: .*clipped"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_written(tmp_path, names, message):
    cell = notebook(CELL)
    with pytest.raises(NotKept, match=message) as refusal:
        keep(*(cell[name] for name in names), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert refusal.value._render_traceback_()[0].endswith(str(refusal.value))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dice", r"dice uses films, of the notebook \(ndarray\): make it an argument of dice"),
        ("bce_dice", "bce_dice uses clipped, which its notebook does not define"),
        ("categorical_cross_entropy", "no source of categorical_cross_entropy: define it by def"),
    ],
)
def test_source_that_cannot_stand_alone_is_refused(name, message):
    with pytest.raises(NotKept, match=message):
        text_of(notebook(CELL)[name])


def test_check_that_needs_another_answer_asks_for_it(answers, tmp_path):
    with pytest.raises(NotKept, match=r"check of col2im needs im2col too: keep\(im2col, col2im\)"):
        keep(answers["col2im"], folder=tmp_path)


def test_nothing_kept_is_said(tmp_path):
    with pytest.raises(NotKept, match="nothing is kept in"), own_code(folder=tmp_path):
        pass
    with (
        pytest.raises(NotKept, match=r"bce is not in .*; there are: none"),
        own_code("bce", folder=tmp_path),
    ):
        pass
