"""The section on heat maps: where the networks of a task look, beside a control."""

from __future__ import annotations

from typing import Any

import numpy as np

from ums.experiments.names import CONTROL, SCRATCH, SINGLE, STRATEGIES
from ums.experiments.report.page import Figure, Section
from ums.experiments.report.pictures import heat_map_panel
from ums.experiments.report.tables import Column, Table
from ums.experiments.report.words import LABELS
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.scores import Estimate

DRAWN = (*STRATEGIES, SINGLE, SCRATCH, CONTROL)
EMPTY = "empty"
"""The measure that says whether a map is 0 everywhere; without it, shares that are not there do."""


def heat_map_section(group: GroupResults, images: str) -> Section:
    """The heat maps of the first replicate (Fig. 7), and the measures of all maps.

    ``images`` says where they come from.
    """
    blocks: list[Table | Figure] = [heat_map_table(group)]
    if "heat maps images" in group.pictures:
        blocks.append(_panel(group))
    text = (
        f"Heat maps of the positive class of {group.heat_map_cases['task']} show which places raise the "
        "score. Whether that is the disease is another question: a head that learned shuffled labels has "
        f"heat maps too, and they are shown here as a control. {images}"
    )
    return Section("Heat maps", text, blocks)


def _panel(group: GroupResults) -> Figure:
    """Images with the maps that were kept; the shares are those of the first kind of map."""
    kept, area = group.pictures, group.heat_map_cases["area"]
    arms = [arm for arm in DRAWN if f"heat maps {arm}" in kept]
    images, first = kept["heat maps images"], next(iter(area))
    shown = range(len(images))
    measures = {arm: next(iter(group.heat_maps[arm].values())) for arm in arms}
    return heat_map_panel(
        images,
        {LABELS[arm]: kept[f"heat maps {arm}"] for arm in arms},
        {name: kept[f"heat maps in {name}"] for name in area},
        [f"positive {i + 1}" for i in shown],
        {LABELS[arm]: found[first][0][shown] for arm, found in measures.items()},
        name=f"heat-maps-{group.name}",
    )


def heat_map_table(group: GroupResults) -> Table:
    """The measures of each arm's maps, and the difference of each from the control's."""
    area: dict[str, float] = group.heat_map_cases["area"]
    rows: list[dict[str, Any]] = []
    columns: dict[str, str] = {"Arm": "", "Map": "", _heading(EMPTY, area): "{:.0%}"}
    for arm in (arm for arm in LABELS if arm in group.heat_maps):
        for kind, found in group.heat_maps[arm].items():
            row: dict[str, Any] = {"Arm": LABELS[arm], "Map": kind or "class map"}
            row[_heading(EMPTY, area)] = Estimate(_empty(found))
            for measure in found:
                heading = _heading(measure, area)
                measured = group.of_heat_maps(arm, kind, measure)
                row[heading] = group.estimated(measured)
                columns.setdefault(heading, "")
                if arm != CONTROL and CONTROL in group.heat_maps and measure != EMPTY:
                    control = group.of_heat_maps(CONTROL, kind, measure)
                    row[f"{heading}, less control"] = group.estimated(measured - control)
                    columns.setdefault(f"{heading}, less control", "{:+.3f}")
            rows.append(row)
    even = {h: share for name, share in area.items() if (h := _heading(name, area)) in columns}
    rows.append({"Arm": "A map that is the same everywhere"} | even)
    patients = len(np.unique(group.heat_map_cases["patients"]))
    note = (
        f"Over the positive images of {group.test_name} that have masks, of {patients} patients, and over "
        "replicates, with the 95 % interval over other trainings and other patients. Empty: the share of "
        "images in which no place speaks for the class, which the other columns leave out. Inside: the "
        "share of the map's mass, to be read beside that of a map that is the same everywhere; a smaller "
        "one means that the network looks elsewhere. Less control: the difference from the head that "
        "learned shuffled labels."
    )
    title = f"Where the {group.heat_map_cases['task']} networks look"
    if all(list(maps) == [""] for maps in group.heat_maps.values()):
        del columns["Map"]
        rows = [{k: v for k, v in row.items() if k != "Map"} for row in rows]
    made = [Column(name, pattern) for name, pattern in columns.items()]
    return Table(f"heat-maps-{group.name}", title, made, rows, note=note)


def _heading(measure: str, area: dict[str, float]) -> str:
    return f"Inside the {measure}" if measure in area else measure.capitalize()


def _empty(measures: dict[str, np.ndarray]) -> np.ndarray:
    """(R,) share of the images that have no map, as recorded or as the first measure tells."""
    first = next(iter(measures.values()))
    return np.asarray(measures.get(EMPTY, np.isnan(first)).mean(axis=1))
