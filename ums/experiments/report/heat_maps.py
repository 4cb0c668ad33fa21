"""The section on heat maps: where the networks of a task look, beside a control."""

from __future__ import annotations

from typing import Any

import numpy as np

from ums.experiments.names import CONTROL
from ums.experiments.report.group import LABELS
from ums.experiments.report.page import Section
from ums.experiments.report.pictures import heat_map_panel
from ums.experiments.report.tables import Column, Table, formatted_p
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.scores import estimated, sign_flips


def heat_map_section(group: GroupResults, seed: int) -> Section:
    """The heat maps of the first fold (Fig. 7), and how much of all maps lies inside the masks."""
    labels = LABELS | {CONTROL: "Independent, shuffled labels"}
    kept = group.pictures
    images, first = kept["heat maps images"], next(iter(group.heat_map_cases["area"]))
    task = group.heat_map_cases["task"]
    panel = heat_map_panel(
        images,
        {label: kept[f"heat maps {arm}"] for arm, label in labels.items()},
        {name: kept[f"heat maps in {name}"] for name in group.heat_map_cases["area"]},
        [f"positive {i + 1}" for i in range(len(images))],
        {label: group.heat_maps[arm][first][0][: len(images)] for arm, label in labels.items()},
        name=f"heat-maps-{group.name}",
    )
    text = (
        f"Heat maps (Grad-CAM of the positive class of {task}, with the networks at inference) show which "
        "places raise the score. Whether that is the disease is another question: a head that learned "
        "shuffled labels has heat maps too, and they are shown here as a control."
    )
    return Section("Heat maps", text, [_table(group, labels, seed), panel])


def _table(group: GroupResults, labels: dict[str, str], seed: int) -> Table:
    """Shares of the maps inside each mask, tested against the control."""
    rng, patients = np.random.default_rng([seed, 7]), np.array(group.heat_map_cases["patients"])
    area: dict[str, float] = group.heat_map_cases["area"]
    rows: list[dict[str, Any]] = []
    for arm, label in labels.items():
        row: dict[str, Any] = {"Strategy": label}
        for name in area:
            inside = group.heat_maps[arm][name].T  # (n, k)
            row[f"Inside the {name}"] = estimated(_mean_of_folds, (inside,), patients, rng)
            if arm != CONTROL:
                change = inside - group.heat_maps[CONTROL][name].T
                known = ~np.isnan(change).all(axis=1)
                change = np.nanmean(change[known], axis=1)
                p = sign_flips(change, patients[known], rng) if len(change) else None
                row[f"p, {name}"] = p
        rows.append(row)
    even = {f"Inside the {name}": share for name, share in area.items()}
    rows.append({"Strategy": "A map that is the same everywhere"} | even)
    columns: list[str | Column] = ["Strategy"]
    for name in area:
        columns += [f"Inside the {name}", Column(f"p, {name}", formatted_p)]
    note = (
        f"Share of the map's mass, mean over the {len(patients)} positive images of {group.test_name} that "
        "have masks, and over folds; images in which no place speaks for the class are left out. p: "
        "two-sided sign-flip test by patient against the head that learned shuffled labels, not corrected. "
        "A share below that of a map that is the same everywhere means that the network looks elsewhere."
    )
    title = f"Where the {group.heat_map_cases['task']} networks look"
    return Table(f"heat-maps-{group.name}", title, columns, rows, note=note)


def _mean_of_folds(values: np.ndarray) -> np.ndarray:
    """Each fold's mean of (n, k) values that are not NaN; NaN, without a warning, where all are."""
    return np.asarray(np.ma.masked_invalid(values).mean(axis=0).filled(np.nan))
