"""Whole studies from the command line, and what they leave, for the tests of the studies."""

import json
import shutil

from small_tuning import Trainings

from ums.derived import HIRES_CAM, OCCLUSION, heat_map, lung_pooling, map_measures
from ums.experiments import cxr, evaluation, group_pictures, runner
from ums.experiments.__main__ import main
from ums.finetuning import Tuned
from ums.training import History

OPTIONS = ["--replicates", "2", "--width", "0.1", "--labels", "20", "--source-images", "20"]
OPTIONS += ["--source-steps", "4", "--steps", "4", "--evaluations", "2", "--rate", "0.001"]
OPTIONS += ["--batch", "8", "--processes", "1", "--device", "cpu", "--quiet"]


def quicken(patch):
    """Leave out what takes long in a study and is tested by itself: estimates, filters, maps, fits."""
    patch.setattr(runner, "_seconds", lambda _, __, todo: dict.fromkeys(todo, 1.0))
    patch.setattr(cxr, "DENOISED_AT_MOST", {"test": 2, "validation": 1})
    patch.setattr(group_pictures, "SHOWN", 2)
    patch.setattr(evaluation, "OCCLUDED", 1)
    patch.setattr(evaluation, "CURVES", 1)
    patch.setattr(map_measures, "CURVE_STEPS", 2)
    patch.setitem(heat_map.METHODS, OCCLUSION, heat_map.METHODS[HIRES_CAM])
    patch.setattr(lung_pooling, "PENALTIES", lung_pooling.PENALTIES[-1:])


def run(name, folders, out, *more):
    """The exit code of a study with small settings; later options replace earlier ones."""
    return main([name, str(folders), "--out", str(out), *OPTIONS, *more])


def tables(out, without=()):
    """Name -> rows of the tables that were written, less some columns."""
    written = json.loads((out / "tables.json").read_text())["tables"]
    return {
        table["name"]: [
            {name: value for name, value in row.items() if name not in without}
            for row in table["rows"]
        ]
        for table in written
    }


def short(name):
    """A job's name without its seed, which is 0 in all tests."""
    return name.replace("-seed0", "")


def jobs_in(folder, suffix):
    """Short name of a job -> its file of weights or its record."""
    return {short(path.stem.rpartition("-")[0]): path for path in folder.glob(f"*.{suffix}")}


def records_alone(finished, folder, page="."):
    """Copy the records of a study and the file that names them, and nothing else."""
    shutil.copytree(finished / "records", folder / "records")
    (folder / page).mkdir(exist_ok=True)
    shutil.copy(finished / page / "study.json", folder / page)
    return folder / page


def leave_out_training(monkeypatch):
    """Leave out all training: networks stay as they were made."""
    Trainings(monkeypatch)
    source = History([1.0], [1.0])
    monkeypatch.setattr(cxr, "train_denoising", lambda network, *_: Tuned(network, source, 1.0, 1))


def error_line(capsys):
    """The one line that an error prints."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]
