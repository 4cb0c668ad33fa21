"""The arms of a study: ways to train networks for the tasks of a group.

They are made so that two of them differ in one thing, which a contrast isolates
(:mod:`ums.experiments.results.contrasts`).
"""

from __future__ import annotations

from dataclasses import dataclass

from ums.experiments.names import (
    ALTERNATING,
    CONTROL,
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


@dataclass(frozen=True)
class Arm:
    """One way to train networks for a group's tasks.

    Attributes:
        name: For jobs and records.
        from_source: Whether it starts from the trained source; otherwise all weights are random.
        moves: Whether the encoder learns with the heads.
        together: Whether all tasks share one encoder that learns.
        joint: Whether they do so by one joint loss; otherwise they take turns.
        own_models: Whether the networks are the baseline's, of another architecture than the source's.
        cleaned: Whether its images are cleaned as the baseline's are: denoised, or made grey.
        longer: Whether a task has as many steps as all tasks of the group together.
        shuffled: Whether the labels of the heat-map task, the only one, are shuffled.
    """

    name: str
    from_source: bool = True
    moves: bool = True
    together: bool = False
    joint: bool = False
    own_models: bool = False
    cleaned: bool = False
    longer: bool = False
    shuffled: bool = False

    @property
    def needs_source(self) -> bool:
        """Whether its networks or its images come from the trained source."""
        return self.from_source or self.cleaned

    def encoder_updates(self, steps: int, tasks: int) -> int:
        """How often the encoder that a task ends with is updated, of ``steps`` for each of its tasks."""
        if not self.moves:
            return 0
        return steps * tasks if self.longer or (self.together and not self.joint) else steps


ARMS = {
    arm.name: arm
    for arm in (
        Arm(SEPARATE, from_source=False, own_models=True, cleaned=True),
        Arm(SEPARATE_RAW, from_source=False, own_models=True),
        Arm(SCRATCH, from_source=False),
        Arm(JOINT_SCRATCH, from_source=False, together=True, joint=True),
        Arm(SINGLE),
        Arm(SINGLE_LONG, longer=True),
        Arm(INDEPENDENT, moves=False),
        Arm(ALTERNATING, together=True),
        Arm(JOINT, together=True, joint=True),
        Arm(CONTROL, moves=False, shuffled=True),
        Arm(SOURCE_HEAD, moves=False),
    )
}

PRIMARY_ARMS = (SCRATCH, SINGLE, ALTERNATING, JOINT)
"""What sharing is judged by, at every level of a factor."""
