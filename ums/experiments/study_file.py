"""The file ``study.json``: what was run, and the names of its records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ums.data import Prepared
from ums.experiments.jobs import SOURCE
from ums.experiments.names import STUDY_FILE, tasks_of
from ums.experiments.settings import described
from ums.experiments.store import Store, made_by, plain
from ums.experiments.study import Study
from ums.files import write_whole
from ums.reading import with_digest


def write_study(
    out: Path, name: str, about: dict[str, Any], files: dict[str, list[str]], store: Store
) -> None:
    """Write the file that names a study and its records.

    Args:
        out: The folder of the page, that of the store or one in it.
        name: The study's name, which decides what page is made.
        about: What was run.
        files: Part of the study -> file names of its records.
        store: Where the records are.
    """
    up = [".."] * len(out.relative_to(store.folder).parts)
    folder = Path(*up, store.records_folder.name).as_posix()
    content = {"study": name, "about": plain(about), "records": folder, "jobs": files}
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / STUDY_FILE, (json.dumps(with_digest(content), indent=1) + "\n").encode())


def described_run(study: Study) -> dict[str, Any]:
    """What was run, for the page: data, settings, device, versions."""
    pool = study.pool(SOURCE)
    data = {"Source images": described_set(study.datasets.source, f"{len(pool.rows)} to draw from")}
    for group in study.datasets.groups:
        tested = {len(task.test.rows) for task in group.tasks}
        title = tasks_of(group.name).capitalize()
        to_draw = f"{len(group.pool)} to draw from"
        data[f"{title}, training set"] = described_set(group.train_set, to_draw)
        data[f"{title}, test set"] = described_set(group.test_set, f"{max(tested)} for testing")
    height, width, *channels = study.datasets.source.images.shape[1:]
    data["Image size"] = f"{height} x {width}, {'RGB' if channels else 'grey'}"
    return {
        "title": study.modality.title,
        "source task": study.modality.source_task,
        "denoises baseline": study.modality.denoises_baseline,
        "data": data,
        "settings": described(study.settings),
        "seed": study.settings.seed,
        "device": study.run.device.name,
        "made by": made_by(),
        "source trained": study.settings.source_steps > 0,
    }


def described_set(prepared: Prepared, counts: str) -> str:
    """Where the images of a set come from, how many there are, and how much of them is black."""
    source = prepared.about.get("source", prepared.folder.name)
    text = f"{source}: {len(prepared)} images ({counts})"
    if pixels := prepared.about.get("pixels"):
        text += f"; {pixels['dark']:.0%} of the pixels at most {pixels['dark_at_most']}"
    return text
