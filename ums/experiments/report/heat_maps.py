"""The section on heat maps: where the networks of a task look, beside a control."""

from __future__ import annotations

from typing import Any

import numpy as np

from ums.experiments.names import CONTROL, SCRATCH, SINGLE, STRATEGIES
from ums.experiments.report.page import Section
from ums.experiments.report.pictures import heat_map_panel
from ums.experiments.report.tables import Column, Table
from ums.experiments.report.words import LABELS
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.scores import Estimate

DRAWN = (*STRATEGIES, SINGLE, SCRATCH, CONTROL)
EMPTY = "empty"
"""The measure of a map that is 0 everywhere, recorded or told by shares that are not there."""


def heat_map_section(group: GroupResults, images: str) -> Section:
    """The heat maps of the first replicate (Fig. 7), and the measures of all maps.

    ``images`` says where they come from.
    """
    blocks: list[Any] = [heat_map_table(group)]
    if "heat maps images" in group.pictures:
        blocks.append(_panel(group))
    text = (
        f"Heat maps of the positive class of {group.heat_map_cases['task']} show which places raise the "
        "score. Whether that is the disease is another question: a head that learned shuffled labels has "
        f"heat maps too, and they are shown here as a control. {images}"
    )
    return Section("Heat maps", text, blocks)


def _panel(group: GroupResults) -> Any:
    kept, area = group.pictures, group.heat_map_cases["area"]
    arms = [arm for arm in DRAWN if f"heat maps {arm}" in kept]
    images, first = kept["heat maps images"], next(iter(area))
    shown = range(len(images))
    inside = {}
    for arm in arms:
        measures = next(iter(group.heat_maps[arm].values()))
        inside[LABELS[arm]] = next(v for m, v in measures.items() if m.endswith(first))[0][shown]
    return heat_map_panel(
        images,
        {LABELS[arm]: kept[f"heat maps {arm}"] for arm in arms},
        {name: kept[f"heat maps in {name}"] for name in area},
        [f"positive {i + 1}" for i in shown],
        inside,
        name=f"heat-maps-{group.name}",
    )


def heat_map_table(group: GroupResults) -> Table:
    """The measures of each arm's maps, and the difference of each from the control's."""
    area: dict[str, float] = group.heat_map_cases["area"]
    rows: list[dict[str, Any]] = []
    measures: dict[str, None] = {}
    for arm in (arm for arm in LABELS if arm in group.heat_maps):
        for kind, found in group.heat_maps[arm].items():
            row: dict[str, Any] = {"Arm": LABELS[arm]} | ({"Map": kind} if kind else {})
            for measure in found:
                row[measure] = group.estimated(group.of_heat_maps(arm, kind, measure))
                if arm != CONTROL and measure != EMPTY and CONTROL in group.heat_maps:
                    row[_less(measure)] = _less_control(group, arm, kind, measure)
            row.setdefault(EMPTY, Estimate(_empty(found)))
            measures |= dict.fromkeys(found)
            rows.append(row)
    even = {m: a for m in measures for name, a in area.items() if m.endswith(name)}
    rows.append({"Arm": "A map that is the same everywhere"} | even)
    columns: list[str | Column] = ["Arm"]
    columns += ["Map"] if any("Map" in row for row in rows) else []
    columns += [Column(EMPTY, "{:.0%}")]
    for measure in (m for m in measures if m != EMPTY):
        columns += [measure]
        columns += [Column(_less(measure), "{:+.3f}")] if _less(measure) in rows[0] else []
    patients = len(np.unique(group.heat_map_cases["patients"]))
    note = (
        f"Over the positive images of {group.test_name} that have masks, of {patients} patients, and over "
        "replicates, with the 95 % interval over other trainings and other patients. Empty: the share of "
        "images in which no place speaks for the class, which the other columns leave out. A column with "
        "the name of a mask is the share of the map's mass inside it, to be read beside that of a map that "
        "is the same everywhere; a smaller one means that the network looks elsewhere. Less control: the "
        "difference from the head that learned shuffled labels."
    )
    title = f"Where the {group.heat_map_cases['task']} networks look"
    return Table(f"heat-maps-{group.name}", title, columns, rows, note=note)


def _less(measure: str) -> str:
    return f"{measure}, less control"


def _less_control(group: GroupResults, arm: str, kind: str, measure: str) -> Estimate:
    ours, control = (group.of_heat_maps(a, kind, measure) for a in (arm, CONTROL))
    return group.estimated(ours - control)


def _empty(measures: dict[str, np.ndarray]) -> np.ndarray:
    """(R,) share of the images that have no map."""
    values = next(iter(measures.values()))
    return np.asarray(np.isnan(values).mean(axis=1))
