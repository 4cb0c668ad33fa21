"""A small table with the paper's numbers, and values to fill tables with."""

import numpy as np

from ums.experiments.report.tables import Column, Table
from ums.experiments.results.scores import Estimate
from ums.experiments.results.verdicts import Contrast
from ums.metrics.significance import Interval

FIVE = Estimate(np.array([0.1, 0.2, 0.3, 0.4, 0.5]), 0.2, 0.4)
HIGHER = Contrast(0.25, Interval(0.125, 0.375), Interval(0.0625, 0.4375), 5, 0.05)


def small_table(**changes):
    settings = {
        "name": "table-3",
        "title": "Lungs",
        "columns": ["Method", "F", Column("Time", "{:.1f} min")],
        "rows": [
            {"Method": "Joint", "F": Estimate([0.861, 0.885]), "Time": 12.345},
            {"Method": "Other"},
        ],
        "paper_rows": [{"F": 0.9}, {}],
    }
    return Table(**{**settings, **changes})
