"""A study's page in memory, for the tests of the studies: its rows, and what its figures show."""

import numpy as np
import pytest
from small_sets import PICTURES

from ums.experiments.names import CLASSIFICATION, LOGITS, OWN_EPOCH, TEST
from ums.experiments.report import PAGES, answer, style
from ums.experiments.report.page import Figure


class Page:
    """The page of a study; ``sheets`` has the name of each figure and its sheet, which is not rendered."""

    def __init__(self, study):
        self.study, self.sheets = study, {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(style, "finished", self._drawn)
            patch.setattr(answer, "published", lambda name: None)  # it stands beside any study
            self.report = PAGES[study.name](study)

    def _drawn(self, sheet, name, kind, caption, alt):
        self.sheets[name] = sheet
        return Figure(name, PICTURES[kind], caption, alt)

    @property
    def contents(self):
        """Title of each section -> names of its tables and figures."""
        return {s.title: [block.name for block in s.blocks] for s in self.report.sections}

    def rows(self, table, **row):
        """The rows of a table that have these values."""
        (found,) = (each for each in self.report.tables if each.name == table)
        return [each for each in found.rows if row.items() <= each.items()]

    def row(self, table, **row):
        """The only such row."""
        (found,) = self.rows(table, **row)
        return found

    def scores(self, group, arm, task, epoch=OWN_EPOCH, where=TEST, part=""):
        """Mean IoU, or MCC, of each replicate's record."""
        records = self.study.parts[part]
        cases = records.one("cases", group)["tasks"][task]
        found = [r["tasks"][task][epoch][where] for r in records.of("tune", group, arm)]
        if cases["kind"] != CLASSIFICATION:
            return np.array([np.mean(scores["IoU"]) for scores in found])
        return np.array([mcc(cases[where]["label"], scores[LOGITS]) for scores in found])

    def difference(self, group, better, worse, task, **how):
        """Mean paired difference of two arms over the replicates that both have."""
        a, b = (self.scores(group, arm, task, **how) for arm in (better, worse))
        both = min(len(a), len(b))
        return (a[:both] - b[:both]).mean()


def mcc(labels, logits):
    """The correlation of true and predicted classes, each as columns of 0 and 1 (Gorodkin 2004)."""
    classes = np.eye(np.shape(logits)[1])
    x, y = (classes[each] for each in (labels, np.argmax(logits, axis=1)))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale = np.sqrt((x * x).sum() * (y * y).sum())
    return (x * y).sum() / scale if scale else 0.0


def is_drawn(sheet):
    """Whether a figure has axes, all with a picture that is not of one colour, or with marks."""
    axes = [ax for ax in sheet.axes if ax.axison or ax.images]
    return bool(axes) and all(map(_shows, axes))


def _shows(ax):
    if ax.images:
        return any(np.ptp(image.get_array()) > 0 for image in ax.images)
    lines = [line for line in ax.lines if line.get_transform() is ax.transData]  # none across it
    return bool(ax.collections) or any(np.isfinite(line.get_xydata()).any() for line in lines)
