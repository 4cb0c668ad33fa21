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


def mass(one, other):
    return [{"CAM": {"mass inside the lungs": values}} for values in (one, other)]


MASS = "Mass inside the lungs"


def test_shares_are_means_over_images_and_beside_them_stands_the_area():
    group = group_with({"independent": mass(MORE, LESS), CONTROL: mass([0.5] * 5, [0.5] * 5)})
    ours, control, even = heat_map_table(group, "CAM").rows
    assert ours["Arm"] == "Independent"
    assert ours[MASS].values == pytest.approx([np.mean(MORE), np.mean(LESS)])
    less = ours[f"{MASS}, less control"]
    assert less.values == pytest.approx([np.mean(MORE) - 0.5, np.mean(LESS) - 0.5])
    assert f"{MASS}, less control" not in control
    assert even == {"Arm": "A map that is the same everywhere", MASS: 0.3}


def test_control_of_fewer_replicates_stands_beside_those_that_it_has():
    group = group_with({"independent": mass(MORE, LESS), CONTROL: mass(LESS, LESS)[:1]})
    ours = heat_map_table(group, "CAM").rows[0]
    assert len(ours[MASS].values) == 2
    less = ours[f"{MASS}, less control"]
    assert less.values == pytest.approx([np.mean(MORE) - np.mean(LESS)])


def test_images_without_a_map_are_left_out_of_shares():
    group = group_with({"independent": mass([NAN, 0.2, 0.4, NAN, 0.6], LESS)})
    row = heat_map_table(group, "CAM").rows[0]
    assert row[MASS].values[0] == pytest.approx(0.4) and f"{MASS}, less control" not in row


def test_each_method_has_a_table_of_whatever_was_measured():
    kinds = {
        "CAM": {"empty": [0, 1, 0, 0, 0], "pointing at the lungs": [1, 0, 0, 0, 0]},
        "occlusion": {"deletion": [0.25, 0.5]},
    }
    section = heat_map_section(group_with({"independent": [kinds] * 2}), "")
    cam, occlusion = section.tables
    assert [c.name for c in cam.columns] == ["Arm", "Empty", "Pointing at the lungs"]
    assert cam.rows[0]["Empty"].mean == pytest.approx(0.2) and "Over 5 positive" in cam.note
    assert cam.rows[1]["Pointing at the lungs"] == 0.3  # as often as a place lies there
    assert [c.name for c in occlusion.columns] == ["Arm", "Deletion"]
    assert occlusion.rows[0]["Deletion"].mean == pytest.approx(0.375)
    assert "Over 2 positive" in occlusion.note and occlusion.title.endswith(": occlusion")


def test_maps_that_are_drawn_are_the_first_replicates_with_their_shares(monkeypatch):
    group = group_with({"independent": mass(MORE, LESS), CONTROL: mass(LESS, MORE)})
    pictures = {f"heat maps {arm}, CAM": arm for arm in ("independent", CONTROL, "joint-scratch")}
    group.pictures = pictures | {"heat maps images": "ab", "heat maps in lungs": "masks"}
    drawn = []

    def draw(*given, name):
        drawn.append(given)
        return SimpleNamespace(caption="")

    monkeypatch.setattr(heat_maps, "heat_map_panel", draw)
    heat_map_section(group, "Images.")
    images, maps, masks, titles, inside = drawn[0]
    assert (images, masks, titles) == ("ab", {"lungs": "masks"}, ["positive 1", "positive 2"])
    assert maps == {LABELS["independent"]: "independent", LABELS[CONTROL]: CONTROL}
    assert [values.tolist() for values in inside.values()] == [MORE[:2], LESS[:2]]


def test_section_says_where_its_images_come_from_and_needs_no_picture():
    section = heat_map_section(group_with({"independent": mass(MORE, LESS)}), "Images: here.")
    assert "Images: here." in section.text and not section.figures
