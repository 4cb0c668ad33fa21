"""The table of where networks look: the shares of each strategy, tested against the control by patient."""

from types import SimpleNamespace

import numpy as np
import pytest

from ums.experiments.names import CONTROL
from ums.experiments.report.group import LABELS
from ums.experiments.report.heat_maps import _table

pytestmark = pytest.mark.usefixtures("few_resamples")
NAN = np.nan
CONTROLS = np.full((2, 5), 0.5)


def row_of(shares, patients=range(5), control=CONTROLS):
    """The first strategy's row, and the last of the table, for shares (k, n) of its maps."""
    labels = {"independent": LABELS["independent"], CONTROL: "shuffled"}
    maps = {"independent": np.array(shares), CONTROL: control}
    group = SimpleNamespace(
        name="diverse",
        test_name="the test set",
        heat_map_cases={"patients": list(patients), "area": {"lungs": 0.3}, "task": "abnormality"},
        heat_maps={arm: {"lungs": values} for arm, values in maps.items()},
    )
    rows = _table(group, labels, 0).rows
    assert "p, lungs" not in rows[1]  # the control has nothing to be tested against
    return rows[0], rows[-1]


MORE, LESS = [0.55, 0.6, 0.7, 0.8, 0.9], [0.1, 0.2, 0.3, 0.2, 0.1]


@pytest.mark.parametrize(
    ("shares", "p"),
    [
        ([MORE, MORE], 2 / 2**5),  # of 32 ways to give signs only two are as extreme
        ([LESS, LESS], 2 / 2**5),
        ([[0.5] * 5] * 2, 1),  # as the control's, though not 0
        ([[0.375] * 5, [0.625] * 5], 1),  # folds that cancel
        ([[NAN, *MORE[1:]], [NAN, *MORE[1:]]], 2 / 2**4),
        ([[NAN] * 5] * 2, None),
    ],
)
def test_shares_are_tested_against_those_of_the_control(shares, p):
    row, _ = row_of(shares)
    assert row["p, lungs"] == (p if p is None else pytest.approx(p))


def test_images_of_one_patient_are_tested_together():
    assert row_of([MORE, MORE], patients=[0, 0, 0, 1, 1])[0]["p, lungs"] == pytest.approx(2 / 2**2)


def test_shares_are_the_means_of_the_folds_and_beside_them_stands_the_area():
    row, even = row_of([MORE, LESS])
    assert row["Inside the lungs"].folds == pytest.approx([np.mean(MORE), np.mean(LESS)])
    assert even["Inside the lungs"] == 0.3 and "same everywhere" in even["Strategy"]
