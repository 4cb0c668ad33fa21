"""What runs on Windows, as far as that can be tried without one: see like_windows.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="needs Linux's /proc")


SYNTHETIC = ("synthetic", "--images", "20", "--size", "32")


def run(program, *arguments):
    """The output of a program in a process that is like one on Windows."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "experiments")])
    environment = os.environ | {"PYTHONPATH": paths, "MPLBACKEND": "agg"}
    command = [sys.executable, "-c", f"import like_windows, sys\n{program}", *map(str, arguments)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_lessons_and_every_module_start():
    program = """
import importlib, pkgutil, re
import data_prep, lessons, ums
for package in (data_prep, lessons, ums):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not re.search("__main__$|[.]source", module.name):
            importlib.import_module(module.name)
import json
from pathlib import Path
paths = sorted(Path(sys.argv[1]).glob("*.ipynb"))
for path in paths:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    exec("".join(next(cell for cell in cells if cell["cell_type"] == "code")["source"]), {})
print(len(paths))
"""
    assert int(run(program, ROOT / "lessons")) >= 12


def test_sets_are_prepared_and_replaced(tmp_path):
    (tmp_path / "raw").mkdir()
    for i in range(4):
        image = np.random.default_rng(i).integers(0, 256, (20, 20), np.uint8)
        assert cv2.imwrite(str(tmp_path / "raw" / f"{i}.png"), image)
    program = """
from data_prep.__main__ import main
small = ["--size", "32", "--overwrite"]
for _ in range(2):
    assert main(["unlabelled", sys.argv[1] + "/raw", sys.argv[1] + "/films", *small]) == 0
    assert main(["synthetic", sys.argv[1] + "/drawn", "--images", "20", *small]) == 0
assert main(["echo", sys.argv[1] + "/echo", "--images", "120", "--patients", "20", "--size", "32"]) == 0
"""
    run(program, tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["drawn", "echo", "films", "raw"]


def test_a_set_that_is_open_is_not_replaced_and_the_message_says_why(tmp_path):
    program = """
from data_prep import look
look.summary_plot = lambda *_: b""
from data_prep.__main__ import main
from ums.data import load_prepared
assert main(sys.argv[1:]) == 0
open_set = load_prepared(sys.argv[-1])
sys.stderr = sys.stdout
assert main([*sys.argv[1:], "--overwrite"]) == 2 and len(open_set.images) == 20
"""
    said = run(program, *SYNTHETIC, tmp_path / "a").splitlines()[-1]
    assert (
        f"{tmp_path / 'a'} cannot be moved" in said and "does a program have its files open" in said
    )
    run(
        "from data_prep.__main__ import main; assert main(sys.argv[1:]) == 0",
        *SYNTHETIC,
        tmp_path / "a",
        "--overwrite",
    )
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("home", [None, "/proc/none"])
def test_a_container_without_a_home_is_enough(home, tmp_path):
    program = """import pwd, sys
def unknown(*_):
    raise KeyError("uid not found")
pwd.getpwuid = unknown
from data_prep.__main__ import main
sys.exit(main(sys.argv[1:]))"""
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"} | (
        {"HOME": home} if home else {}
    )
    command = [sys.executable, "-c", program, *SYNTHETIC, str(tmp_path / "a b")]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert os.listdir(tmp_path) == ["a b"]


def test_a_study_runs_and_finds_what_it_kept(tmp_path):
    program = """
from small_sets import echoes
from ums.experiments import __main__ as command
command.write_report = lambda folder: ("page", "tables")
echoes(sys.argv[1] + "/prepared/source", 0, n=120)
small = ["--trials", "1", "--epochs", "1", "--width", "0.05", "--device", "cpu", "--quiet"]
arguments = ["search", sys.argv[1] + "/prepared", "--out", sys.argv[1] + "/out", *small]
assert command.main(arguments) == 0
command.search.train_task = None  # nothing is trained again
assert command.main(arguments) == 0
"""
    assert "1/1 kernel" in run(program, tmp_path)
    assert json.loads((tmp_path / "out" / "study.json").read_text(encoding="utf-8"))
