"""Names and explanations of the arms and the factors, and parts of sentences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

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
    tasks_of,
)
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.verdicts import Verdict

ARMS = {
    INDEPENDENT: (
        "Independent",
        "A new head for each task on the source's encoder, which is frozen.",
    ),
    ALTERNATING: (
        "Alternating",
        "All tasks share the source's encoder, which goes on learning; they take turns at it.",
    ),
    JOINT: (
        "Joint",
        "All tasks share the source's encoder, which goes on learning by the weighted sum of their losses.",
    ),
    SEPARATE: (
        "Separate (baseline)",
        "The paper's baseline: a network of its own for each task, with random weights at the start, on "
        "images that are cleaned: denoised, or made grey.",
    ),
    SEPARATE_RAW: ("Separate, raw images", "The baseline's networks on the images as they are."),
    SCRATCH: (
        "Scratch",
        "One task alone with the shared encoder's architecture and head, from random weights.",
    ),
    JOINT_SCRATCH: ("Joint, scratch", "Joint with random weights in place of the source's."),
    SINGLE: ("Single", "One task alone on the source's encoder, which goes on learning."),
    SINGLE_LONG: (
        "Single, longer",
        "Single with as many updates of the encoder as alternating has, of all tasks together.",
    ),
    SOURCE_HEAD: ("Source's own head", "The trained source as it is, where it knows the task."),
    CONTROL: ("Control", "Independent, trained on shuffled labels: what a map shows by chance."),
}
"""Arm -> its name on the page, and what it is."""

LABELS = {arm: label for arm, (label, _) in ARMS.items()}

FROM_SOURCE = (INDEPENDENT, ALTERNATING, JOINT, SINGLE, SINGLE_LONG)
"""Arms that cost the source's training too."""

FACTORS = {
    "labels": (
        "Number of labels",
        "The fewer labelled images there are, the more a source that needed none should be worth. All "
        "arms train for as many steps, so that with few labels each image is seen more often.",
    ),
    "source": (
        "Length of the source's training",
        "An untrained source shows what the architecture alone does.",
    ),
    "hospital": (
        "Images of the source",
        "The source learns from as many images of the tasks' training hospital, of other patients, or of "
        "another hospital.",
    ),
    "background": (
        "Background in the normalisation",
        "An image's mean and standard deviation are taken over its foreground or over all pixels. Black "
        "borders and collimation differ between hospitals; if they count, they shift everything else.",
    ),
}
"""Factor -> its title, and why it is varied."""

NUMBER_OF_LABELS = "labelled images that a group of tasks is trained on"
"""The setting that the curve of benefit is drawn over, as records name it."""

OF_CLAIMS = {
    Verdict.HOLDS: ("holds", "hold"),
    Verdict.REFUTED: ("is refuted", "are refuted"),
    Verdict.NEGLIGIBLE: ("is negligible", "are negligible"),
    Verdict.OPEN: ("stays open", "stay open"),
}
"""Verdict -> what is said of one claim, and of several."""

OF_CONTRASTS = {
    Verdict.HOLDS: "scores higher in",
    Verdict.REFUTED: "scores lower in",
    Verdict.NEGLIGIBLE: "differs by less than the margin in",
    Verdict.OPEN: "is open in",
}
"""Verdict -> what is said of the first arm of contrasts, ahead of their number."""


def lowered(title: str) -> str:
    """A title inside a sentence; an abbreviation stays as it is."""
    return title if title[:2].isupper() else title[0].lower() + title[1:]


def listed(parts: Iterable[str]) -> str:
    """Parts as a list in a sentence: "a, b and c"; nothing if there are none."""
    *first, last = list(parts) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def claims_counted(verdicts: Iterable[Verdict]) -> str:
    """How many claims have each verdict that occurs: "2 hold, 1 is refuted and 7 stay open"."""
    counts = Counter(verdicts)
    return listed(f"{counts[v]} {OF_CLAIMS[v][counts[v] > 1]}" for v in OF_CLAIMS if counts[v])


def contrasts_counted(verdicts: Iterable[Verdict]) -> str:
    """What contrasts say of their first arm: "scores higher in 2 and is open in 8"."""
    counts = Counter(verdicts)
    return listed(f"{OF_CONTRASTS[v]} {counts[v]}" for v in OF_CONTRASTS if counts[v])


def percent(share: float) -> str:
    """Write a share such as 0.25 as ``25 %``, NaN as ``none``."""
    return "none" if math.isnan(share) else f"{100 * share:.0f} %"


def failed_trainings(groups: Sequence[GroupResults]) -> str:
    """In which arms a replicate has less than half of the median score of a segmentation, in words."""
    failed = []
    for group in groups:
        for task in (task for task in group.tasks if task.kind == "segmentation"):
            for arm in (arm for arm in group.runs if group.has(arm, task.name)):
                scores = np.array(group.measured(arm, task.name).values)
                if low := np.sum(scores < np.median(scores) / 2):
                    failed.append(f"{lowered(LABELS[arm])} ({low} of {len(scores)})")
    if not failed:
        return ""
    how = "with less than half of their arm's median score"
    return f"Trainings for a segmentation failed, {how}: {listed(failed)}."


def condition(groups: Sequence[GroupResults]) -> str:
    """For whom the intervals hold, where replicates share patients; otherwise nothing."""
    sharing = [group for group in groups if group.conditional and group.replicates > 1]
    if not sharing:
        return ""
    corrected = all(group.overlap for group in sharing)
    shares = dict.fromkeys(percent(group.shared_images) for group in sharing)
    how = f"share {listed(shares)} of their images"
    return (
        f"Replicates of the {tasks_of(listed(group.name for group in sharing))} {how} on average"
        f"{', for which the intervals are corrected' * corrected}: the intervals are conditional on these "
        "patients, and say little about training on others."
    )
