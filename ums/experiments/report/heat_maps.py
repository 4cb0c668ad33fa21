"""The section on heat maps: where the networks of a task look, beside a control."""

from __future__ import annotations

from typing import Any

from ums.experiments.names import CONTROL, SCRATCH, SINGLE, STRATEGIES
from ums.experiments.report.page import Figure, Section
from ums.experiments.report.pictures import heat_map_panel
from ums.experiments.report.tables import Column, Table
from ums.experiments.report.words import LABELS
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.jackknife import in_both

DRAWN = (*STRATEGIES, SINGLE, SCRATCH, CONTROL)
MASS, POINTING = "mass inside the ", "pointing at the "
"""Beginnings of the measures that are about a mask; a map that is the same everywhere has its area."""

MEASURED = (
    "Intervals are over other trainings and other patients. Empty: the share of images in which no place "
    "speaks for the class; they have no mass and point nowhere. Mass: the share of the map inside a mask; "
    "less control, the difference from the head that learned shuffled labels. Pointing: how often the "
    "highest value lies inside. Deletion and insertion: the area under the curve of the class's probability "
    "while the places with the highest values are blurred, or put back, first; the lower, or the higher, the "
    "better the map."
)


def heat_map_section(group: GroupResults, images: str) -> Section:
    """The heat maps of the first replicate (Fig. 7), and the measures of all maps.

    ``images`` says where they come from.
    """
    methods = dict.fromkeys(m for maps in group.heat_maps.values() for m in maps)
    blocks: list[Table | Figure] = [heat_map_table(group, method) for method in methods]
    blocks += [panel for method in methods if (panel := _panel(group, method))]
    text = (
        f"Heat maps of the positive class of {group.heat_map_cases['task']} show which places raise the "
        "score. Whether that is the disease is another question: a head that learned shuffled labels has "
        f"heat maps too, and they are shown here as a control. {images}\n\n{MEASURED}"
    )
    return Section("Heat maps", text, blocks)


def _panel(group: GroupResults, method: str) -> Figure | None:
    """Images with the maps of the first replicate, if they were kept."""
    kept, area = group.pictures, group.heat_map_cases["area"]
    maps = {arm: kept[name] for arm in DRAWN if (name := f"heat maps {arm}, {method}") in kept}
    if not maps:
        return None
    images, first = kept["heat maps images"], next(iter(area))
    inside = {arm: group.heat_maps[arm][method][MASS + first][0][: len(images)] for arm in maps}
    panel = heat_map_panel(
        images,
        {LABELS[arm]: shown for arm, shown in maps.items()},
        {name: kept[f"heat maps in {name}"] for name in area},
        [f"positive {i + 1}" for i in range(len(images))],
        {LABELS[arm]: shares for arm, shares in inside.items()},
        name=f"heat-maps-{group.name}-{method}",
    )
    panel.caption = f"{method}. {panel.caption}"
    return panel


def heat_map_table(group: GroupResults, method: str) -> Table:
    """The measures of each arm's maps by a method, and of their mass what it is beside the control's."""
    rows: list[dict[str, Any]] = []
    columns = {"Arm": ""}
    for arm in (arm for arm in LABELS if method in group.heat_maps.get(arm, {})):
        row: dict[str, Any] = {"Arm": LABELS[arm]}
        for measure in group.heat_maps[arm][method]:
            name, ours = measure.capitalize(), group.of_heat_maps(arm, method, measure)
            row[name] = group.estimated(ours)
            columns.setdefault(name, "{:.0%}" if measure == "empty" else "")
            if measure.startswith(MASS) and arm != CONTROL and CONTROL in group.heat_maps:
                control = group.of_heat_maps(CONTROL, method, measure)
                a, b = in_both(ours, control)
                row[f"{name}, less control"] = group.estimated(a - b, -1, 1)
                columns.setdefault(f"{name}, less control", "{:+.3f}")
        rows.append(row)
    even = {
        name.capitalize(): share
        for mask, share in group.heat_map_cases["area"].items()
        for name in (MASS + mask, POINTING + mask)
        if name.capitalize() in columns
    }
    rows.append({"Arm": "A map that is the same everywhere"} | even)
    measured = [of[method] for of in group.heat_maps.values() if method in of]
    counts = {len(values[0]) for measures in measured for values in measures.values()}
    few = f", what takes long over {min(counts)}" * (len(counts) > 1)
    note = f"Over {max(counts)} positive images of {group.test_name} that have masks{few}, and replicates."
    title = f"Where the {group.heat_map_cases['task']} networks look: {method}"
    made = [Column(name, pattern) for name, pattern in columns.items()]
    return Table(f"heat-maps-{group.name}-{method}", title, made, rows, note=note)
