"""Every check of every lesson accepts the solution and rejects planted wrong answers and the hole."""

import pytest
from sources import (
    SOURCES,
    answers,
    changed,
    checks,
    messages,
    program,
    right_answers,
    with_holes,
    wrong_answers,
)

from lessons.checking import CheckFailed, NotWritten
from lessons.holes import solution_lines

CHECKS = [(lesson, name) for lesson in SOURCES for name in checks(lesson)]
WRONG = [
    pytest.param(lesson, name, *wrong[1:], id=f"{lesson}-{name}-{wrong[0]}")
    for lesson in SOURCES
    for name, wrongs in wrong_answers(lesson).items()
    for wrong in wrongs
]
RIGHT = [
    pytest.param(lesson, name, *right[1:], id=f"{lesson}-{name}-{right[0]}")
    for lesson in SOURCES
    for name, rights in right_answers(lesson).items()
    for right in rights
]
MESSAGES = [
    pytest.param(lesson, name, wrong, said, id=f"{lesson}-{name}-{wrong}")
    for lesson in SOURCES
    for name, of_check in messages(lesson).items()
    for wrong, said in of_check.items()
]


@pytest.mark.parametrize(("lesson", "name"), CHECKS)
def test_check_accepts_the_solution(lesson, name, capsys):
    check = checks(lesson)[name]
    check(*answers(lesson, check, program(lesson)))
    assert f"passed  {name}: " in capsys.readouterr().out


@pytest.mark.parametrize(("lesson", "name", "piece", "replacement"), RIGHT)
def test_check_accepts_a_right_answer_that_is_written_in_another_way(
    lesson, name, piece, replacement
):
    check = checks(lesson)[name]
    check(*answers(lesson, check, changed(lesson, piece, replacement)))


@pytest.mark.parametrize(("lesson", "name", "wrong", "said"), MESSAGES)
def test_message_says_what_is_wrong_with_an_answer(lesson, name, wrong, said):
    check = checks(lesson)[name]
    (pieces,) = [w[1:] for w in wrong_answers(lesson)[name] if w[0] == wrong]
    with pytest.raises(CheckFailed, match=said):
        check(*answers(lesson, check, changed(lesson, *pieces)))


@pytest.mark.parametrize(("lesson", "name", "piece", "replacement"), WRONG)
def test_check_rejects_wrong_answer_and_keeps_the_right_one_to_itself(
    lesson, name, piece, replacement
):
    check = checks(lesson)[name]
    with pytest.raises(CheckFailed) as failure:
        check(*answers(lesson, check, changed(lesson, piece, replacement)))
    assert failure.type is CheckFailed
    message = str(failure.value).partition("\n   in ")[0]  # after it, the student's own line
    long_lines = [line for line in solution_lines(program(lesson)) if len(line) > 12]
    assert [line for line in long_lines if line in message] == []


@pytest.mark.parametrize(("lesson", "name"), CHECKS)
def test_check_says_that_the_hole_is_not_written(lesson, name):
    check = checks(lesson)[name]
    with pytest.raises(NotWritten, match="is not written yet"):
        check(*answers(lesson, check, with_holes(lesson)))


@pytest.mark.parametrize("lesson", SOURCES)
def test_every_check_has_at_least_two_wrong_answers(lesson):
    assert checks(lesson)
    assert wrong_answers(lesson).keys() == checks(lesson).keys()
    assert min(len(wrongs) for wrongs in wrong_answers(lesson).values()) >= 2


def test_piece_that_is_not_there_exactly_once_fails_loudly():
    lesson = next(iter(SOURCES))
    with pytest.raises(LookupError, match="0 times instead of once"):
        changed(lesson, "no such line", "")
