"""Results of a study, computed from its records: scores, comparisons, verdicts on claims, costs."""

from ums.experiments.results.records import load, read_study

__all__ = ["load", "read_study"]
