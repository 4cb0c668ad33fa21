"""Tables of a page: how each value is written, as text and as JSON."""

import json

import numpy as np
import pytest
from made_tables import FIVE, HIGHER, small_table

from ums.experiments.report.tables import Column, Table, formatted
from ums.experiments.results.scores import Estimate
from ums.experiments.results.verdicts import Contrast, Verdict
from ums.metrics.significance import Interval

SINGLE = Contrast(-0.25, Interval(np.nan, np.nan), Interval(np.nan, np.nan), 1, 0.05)


@pytest.mark.parametrize(
    ("value", "pattern", "expected"),
    [
        (0.8734, "{:.3f}", "0.873"),
        (np.float64(0.8734), "", "0.873"),
        (np.int64(1573506), "", "1,573,506"),
        (1573506, "{:,d}", "1,573,506"),
        (8.11, "{:.1f} min", "8.1 min"),
        (np.float32(0.5), "{:.2f}", "0.50"),
        (-0.25, "{:.2f}", "−0.25"),
        (None, "{:.3f}", "–"),
        (float("nan"), "{:.3f}", "–"),
        (float("inf"), "{:.1f} dB", "∞ dB"),
        ("p < 0.05", "{:.3f}", "p < 0.05"),
        (0.256, "{:.0%}", "26 %"),
        (Verdict.OPEN, "{:.3f}", "open"),
        (HIGHER, "{:+.2f}", "+0.25 [+0.06, +0.44] ✓"),
        (HIGHER, "", "+0.250 [+0.062, +0.438] ✓"),
        (SINGLE, "", "−0.250"),
        (FIVE, "{:.3f}", "0.300 ± 0.158 [0.200, 0.400]"),
        (FIVE, "{:+.1f}", "+0.3 ± 0.2 [+0.2, +0.4]"),
        (Estimate(FIVE.values), "{:.1f}", "0.3 ± 0.2"),
        (Estimate([0.5], 0.25, 0.75), "{:.2f}", "0.50 [0.25, 0.75]"),
        (Estimate([0.5, float("nan")], 0.25, 0.75), "{:.2f}", "–"),
    ],
)
def test_a_value_is_written_by_its_columns_pattern(value, pattern, expected):
    assert formatted(value, pattern) == expected


def test_text_puts_the_papers_figures_beside_ours():
    lines = small_table().text().splitlines()
    assert lines[0] == "Lungs"
    assert lines[2].split() == ["Method", "F", "Time"]
    assert lines[3].split() == ["ours", "paper"]
    assert lines[5] == "Joint   0.873 ± 0.017   0.90  12.3 min"
    assert lines[6] == "Other               –      –         –"


def test_a_column_without_a_number_of_the_paper_is_not_doubled():
    shown = [(column.name, source) for column, source in small_table().layout()]
    assert shown == [("Method", ""), ("F", "ours"), ("F", "paper"), ("Time", "")]


def test_a_table_without_the_papers_figures_has_one_header_line():
    lines = small_table(paper_rows=None, note="A note.").text().splitlines()
    assert lines[3].startswith("------")
    assert lines[-1] == "A note."


def test_a_misspelt_column_is_refused():
    with pytest.raises(ValueError, match="table-3: no column named f"):
        small_table(rows=[{"f": 1}, {}])


def test_json_holds_the_numbers_of_estimates_and_contrasts_and_a_verdicts_word():
    rows = [{"Here": Verdict.HOLDS, "F": FIVE}, {"Here": HIGHER, "F": Estimate([np.float64(0.5)])}]
    table = Table("claims", "Claims", ["Here", Column("F", "{:.3f}")], rows)
    first, second = json.loads(json.dumps(table.to_dict(), allow_nan=False))["rows"]
    values = [0.1, 0.2, 0.3, 0.4, 0.5]
    numbers = {"mean": 0.3, "sd": pytest.approx(0.025**0.5), "values": values}
    assert first == {"Here": "holds", "F": numbers | {"low": 0.2, "high": 0.4}}
    nothing = {"sd": None, "low": None, "high": None}
    assert second["F"] == {"mean": 0.5, "values": [0.5], **nothing}
    assert second["Here"] == {
        "mean": 0.25, "low": 0.0625, "high": 0.4375, "trainings low": 0.125, "trainings high": 0.375,
        "replicates": 5, "margin": 0.05, "verdict": "holds",
    }  # fmt: skip
