"""The contrasts of a study: pairs of arms that differ in one thing, and how many there are in a family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ums.experiments.names import (
    ALTERNATING,
    INDEPENDENT,
    JOINT,
    JOINT_SCRATCH,
    SCRATCH,
    SEPARATE,
    SEPARATE_RAW,
    SINGLE,
    SINGLE_LONG,
    SOURCE_HEAD,
)
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.verdicts import Contrast


class Question(NamedTuple):
    """What a contrast isolates: the difference is that of ``better`` less ``worse``.

    The sharing of an encoder is the primary question: its contrasts on all tasks are to be right
    together. All others are secondary, with plain intervals.
    """

    name: str
    better: str
    worse: str
    text: str
    primary: bool = False


QUESTIONS = (
    Question(
        "sharing, alternating",
        ALTERNATING,
        SINGLE,
        "tasks that take turns at one encoder, against one task alone; both start from the source",
        True,
    ),
    Question(
        "sharing, joint",
        JOINT,
        SINGLE,
        "tasks with one joint loss on one encoder, against one task alone; both start from the source",
        True,
    ),
    Question(
        "sharing from scratch",
        JOINT_SCRATCH,
        SCRATCH,
        "tasks with one joint loss on one encoder, against one task alone; both from random weights",
    ),
    Question(
        "as many updates",
        ALTERNATING,
        SINGLE_LONG,
        "alternating, against one task alone whose encoder is updated as often",
    ),
    Question("pretraining", SINGLE, SCRATCH, "a start from the source, against random weights"),
    Question("freezing", INDEPENDENT, SINGLE, "a frozen encoder, against one that learns"),
    Question(
        "a new head",
        INDEPENDENT,
        SOURCE_HEAD,
        "a new head on the frozen source, against the head that the source was trained with",
    ),
    Question(
        "architecture",
        SCRATCH,
        SEPARATE_RAW,
        "the shared encoder's architecture, against the baseline's; both from random weights",
    ),
    Question(
        "cleaning",
        SEPARATE,
        SEPARATE_RAW,
        "the baseline on cleaned images, against the baseline on images as they are",
    ),
)


def family(groups: Sequence[GroupResults]) -> int:
    """The number of primary contrasts of a study, which are to be right together."""
    primary = sum(question.primary for question in QUESTIONS)
    return max(1, primary * sum(len(group.tasks) for group in groups))


def answer(
    group: GroupResults, question: Question, task: str, family: int, measure: str = ""
) -> Contrast | None:
    """A contrast on a task; None where one of its arms was not run, or not on this task."""
    if not all(group.has(arm, task) for arm in (question.better, question.worse)):
        return None
    size = family if question.primary else 1
    return group.contrast(question.better, question.worse, task, measure, size)
