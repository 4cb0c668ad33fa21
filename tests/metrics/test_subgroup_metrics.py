"""Groups of patients."""

import numpy as np

from ums.metrics.subgroups import age_groups


def test_ages_fall_into_groups_by_their_first_year():
    ages = np.array([-1, 0, 17, 18, 39, 40, 60, 101])
    expected = ["", "0-17", "0-17", "18-39", "18-39", "40-59", "60+", "60+"]
    assert age_groups(ages).tolist() == expected
    assert age_groups(ages[-2:], (65,)).tolist() == ["0-64", "65+"]
