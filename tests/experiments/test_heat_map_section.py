"""The table of where networks look: the measures of each arm's maps, beside a control."""

from types import SimpleNamespace

import numpy as np
import pytest
from made_records import in_memory, jobs_of

from ums.experiments.jobs import TUNE, Job
from ums.experiments.names import CONTROL, DIVERSE
from ums.experiments.report import heat_maps
from ums.experiments.report.heat_maps import heat_map_section, heat_map_table
from ums.experiments.report.words import LABELS
from ums.experiments.results.groups import GroupResults

NAN = np.nan
MORE, LESS = [0.55, 0.6, 0.7, 0.8, 0.9], [0.1, 0.2, 0.3, 0.2, 0.1]


def group_with(maps):
    """Results of two replicates; maps are arm -> records of the two replicates."""
    jobs = jobs_of(DIVERSE, ("independent",))
    cases = next(iter(jobs.values()))
    cases["heat map"] = {"task": "abnormality", "patients": list(range(5)), "area": {"lungs": 0.3}}
    for arm, both in maps.items():
        for replicate, found in enumerate(both, start=1):
            job = Job(TUNE, DIVERSE, arm, replicate)
            jobs[job] = jobs.get(job, {"tasks": {}}) | {"heat map": found}
    return GroupResults(in_memory(jobs), DIVERSE)


def lungs(one, other):
    return [{"lungs": one}, {"lungs": other}]


def test_shares_are_means_over_images_and_beside_them_stands_the_area():
    group = group_with({"independent": lungs(MORE, LESS), CONTROL: lungs([0.5] * 5, [0.5] * 5)})
    ours, control, even = heat_map_table(group).rows
    assert ours["Arm"] == "Independent" and "Map" not in ours
    assert ours["Inside the lungs"].values == pytest.approx([np.mean(MORE), np.mean(LESS)])
    less = ours["Inside the lungs, less control"]
    assert less.values == pytest.approx([np.mean(MORE) - 0.5, np.mean(LESS) - 0.5])
    assert "Inside the lungs, less control" not in control
    assert even["Inside the lungs"] == 0.3 and "same everywhere" in even["Arm"]


def test_images_without_a_map_are_counted_and_left_out_of_shares():
    group = group_with({"independent": lungs([NAN, 0.2, 0.4, NAN, 0.6], LESS)})
    row = heat_map_table(group).rows[0]
    assert row["Empty"].values == pytest.approx([0.4, 0])
    assert row["Inside the lungs"].values[0] == pytest.approx(0.4)


def test_whatever_measures_there_are_have_a_column_and_each_kind_of_map_a_row():
    kinds = {
        "class map": {"lungs": LESS, "empty": [0, 1, 0, 0, 0], "deletion": MORE},
        "occlusion": {"lungs": MORE, "empty": [0] * 5},
    }
    table = heat_map_table(group_with({"independent": [kinds] * 2, CONTROL: [kinds] * 2}))
    rows = table.rows[:2]
    assert [row["Map"] for row in rows] == ["class map", "occlusion"]
    assert [row["Empty"].mean for row in rows] == pytest.approx([0.2, 0])
    assert rows[0]["Deletion"].mean == pytest.approx(np.mean(MORE)) and "Deletion" not in rows[1]
    assert [column.name for column in table.columns] == [
        "Arm", "Map", "Empty", "Inside the lungs", "Inside the lungs, less control", "Deletion",
        "Deletion, less control",
    ]  # fmt: skip
    assert rows[0]["Deletion, less control"].mean == 0


def test_maps_that_are_drawn_are_the_first_replicates_with_their_shares(monkeypatch):
    group = group_with({"independent": lungs(MORE, LESS), CONTROL: lungs(LESS, MORE)})
    pictures = {f"heat maps {arm}": arm for arm in ("independent", CONTROL, "joint-scratch")}
    group.pictures = pictures | {"heat maps images": "ab", "heat maps in lungs": "masks"}
    drawn = []
    monkeypatch.setattr(
        heat_maps, "heat_map_panel", lambda *given, name: drawn.append(given) or SimpleNamespace()
    )
    heat_map_section(group, "Images.")
    images, maps, masks, titles, inside = drawn[0]
    assert (images, masks, titles) == ("ab", {"lungs": "masks"}, ["positive 1", "positive 2"])
    assert maps == {LABELS["independent"]: "independent", LABELS[CONTROL]: CONTROL}
    assert [values.tolist() for values in inside.values()] == [MORE[:2], LESS[:2]]


def test_section_says_where_its_images_come_from_and_needs_no_picture():
    section = heat_map_section(group_with({"independent": lungs(MORE, LESS)}), "Images: here.")
    assert section.text.endswith("Images: here.") and not section.figures
