"""A small chest X-ray study that runs with what a student has kept, and the page that says so.

The same study runs with the library alone as well, and the page sets the losses of both side by side.
"""

import shutil
from pathlib import Path

from data_prep.cxr import made_before
from data_prep.options import Options
from data_prep.synthetic_sets import Sizes, plan, prepare_parts
from lessons.own import described, kept, own_code
from lessons.own_places import NAMES
from ums.experiments import runner
from ums.experiments.cxr import CXR
from ums.experiments.jobs import SOURCE, TUNE
from ums.experiments.names import ALTERNATING, DIVERSE, JOINT, SCRATCH, SINGLE
from ums.experiments.report import PAGES
from ums.experiments.report.page import Section
from ums.experiments.report.tables import Column, Table
from ums.experiments.report.words import ARMS as WORDS
from ums.experiments.results.records import read_study
from ums.experiments.settings import Settings

ARMS = (SCRATCH, SINGLE, ALTERNATING, JOINT)
SIDE = 32
SETTINGS = Settings(
    replicates=1, width=0.25, labels=40, source_images=80, source_steps=60, steps=60, evaluations=3,
    batch=8, rate=3e-3,
)  # fmt: skip
"""A minute on one core with the library; what students write takes a little longer."""

TEXT = (
    "In this run a student's code stood in the library's place: {places}. The table gives the lowest "
    "validation loss of each training, and that of the same run with the library alone. Where an answer "
    "computes what the library computes, the two agree but for rounding, which grows from step to step. "
    "Where an answer draws other random numbers or is a method of its own, they differ."
)


def study(folder, prepared=None, only=(), settings=SETTINGS, side=SIDE):
    """Run the study with the kept answers and without them, and write the page.

    Args:
        folder: The folder of the kept answers; results go to ``study/`` in it, the page last.
        prepared: A folder that ``python -m data_prep cxr`` made; by default synthetic images are drawn.
        only: Names of the answers to run; all that are kept, where there are none.
        settings: Settings of the study.
        side: Of the synthetic images, in pixels.

    Returns:
        The path of the page.

    Raises:
        NotKept: There is no answer to run, or one no longer passes its check.
        ValueError: The study cannot be run on these images.
    """
    out = Path(folder, "study")
    with own_code(*only, folder=folder) as chosen:
        pass  # what cannot run is refused before anything is drawn
    if prepared is None:
        prepared = _synthetic(out / "prepared", settings, side)
    print("first with the library alone, to compare", flush=True)
    alone = _run(Path(prepared), out / "library", settings)
    shutil.rmtree(out / "own", ignore_errors=True)  # records do not know whose code made them
    with own_code(*only, folder=folder):
        own = _run(Path(prepared), out / "own", settings)
    report = PAGES[own.name](own)
    run = {name: one for name, one in kept(folder).items() if name in chosen}
    whose = described(run).replace("your", "a student's", 1)
    report.summary.insert(0, f"This study ran with {whose}, in place of the library's.")
    places = "; ".join(f"{name} in place of {NAMES[name]}" for name in run)
    text = TEXT.format(places=places)
    report.sections.insert(0, Section("Whose code ran", text, [_table(own, alone)]))
    report.run = {"Code": whose} | report.run
    return report.write(out / "own")


def _synthetic(folder, settings, side):
    sizes = Sizes(settings.source_images, settings.labels, settings.replicates)
    for role in ("source", "target", "test"):
        about, parts = plan(role, sizes, settings.seed)
        options = Options(size=side, seed=settings.seed, overwrite=True)
        if made_before(folder / role, about | {"size": side}) is None:
            prepare_parts(folder / role, parts, about["hospital"], options, about)
    return folder


def _run(prepared, out, settings):
    """Run what is not done of the study in a folder, in this process, and read its records."""
    runner.study_of.cache_clear()  # it holds networks that other code has trained
    # No networks to use: a layer of a student's own cannot be built from a description.
    place = runner.Place(CXR, prepared, (DIVERSE,), out, "cpu", progress=False, models=False)
    runner.run(place, runner.parts_of(settings, ARMS, (), 1))
    return read_study(out)


def _losses(records):
    """(training, task) -> its lowest validation loss, replicate after replicate."""
    found = {}
    for record in records.parts[""].records:
        job = record["job"]
        if job["kind"] == SOURCE:
            found.setdefault(("Source", "denoising"), []).append(record)
        elif job["kind"] == TUNE:
            for name, task in record["tasks"].items():
                found.setdefault((WORDS[job["arm"]][0], name), []).append(task)
    return {key: [min(r["history"]["validation"]) for r in all_] for key, all_ in found.items()}


def _table(own, alone):
    columns = ["Training", "Task", "With own code", "With the library", "Relative difference"]
    rows, library = [], _losses(alone)
    for key, losses in _losses(own).items():
        for mine, theirs in zip(losses, library[key], strict=True):
            values = (*key, mine, theirs, abs(mine - theirs) / max(abs(theirs), 1e-12))
            rows.append(dict(zip(columns, values, strict=True)))
    shown = [
        *columns[:2],
        *(Column(c, "{:.6f}") for c in columns[2:4]),
        Column(columns[4], "{:.1e}"),
    ]
    return Table("own-code", "Lowest validation losses", shown, rows)
