"""Finished stages: computed once, read back equal, whole or not at all."""

import ast
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import ums.experiments.stages as module
from full_disk import FULL, half_a_file, nothing
from ums.experiments.stages import NOT_TRAINING, Stages, code_print, fingerprint

import ums
from data_prep.writing import Content, save_prepared

ARRAYS = {"0.w": np.arange(6, dtype=np.float32).reshape(2, 3), "1.b": np.array([0.1, np.pi])}
RECORD = {"history": {"train": [0.1, 1e-17], "n": 3}, "seconds": 1.25, "name": "é"}


class Computed:
    """A stage's work, which counts how often it was done."""

    def __init__(self, arrays=ARRAYS, record=RECORD, error=None):
        self.result, self.error, self.calls = (arrays, record), error, 0

    def __call__(self, checkpoint):
        self.calls += 1
        if self.error:
            raise self.error
        return self.result


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def prepared(folder, rng, **changes):
    images = rng.integers(0, 256, (4, 8, 8), dtype=np.uint8)
    columns = {
        "ids": list("abcd"),
        "patients": list("abcd"),
        "splits": ["train", "train", "validation", "test"],
        "labels": {"abnormal": [0, 1, 0, 1]},
        "masks": images % 2,
    }
    return save_prepared(folder, Content(images, **{**columns, **changes}))


# ---------------------------------------------------------------------------- once


def test_result_is_computed_once_and_read_back_equal(tmp_path):
    work = Computed()
    results = [Stages(tmp_path, 0).run("source", {"width": 1}, work) for _ in range(3)]
    assert work.calls == 1
    for arrays, record in results:
        assert record == RECORD and arrays.keys() == ARRAYS.keys()
        assert all(arrays[k].tobytes() == v.tobytes() for k, v in ARRAYS.items())
        assert all(arrays[k].dtype == v.dtype for k, v in ARRAYS.items())


@pytest.mark.parametrize(
    ("seed", "name", "key"),
    [(1, "source", {"width": 1}), (0, "head", {"width": 1}), (0, "source", {"width": 2}),
     (0, "source", {}), (0, "source", {"width": 1, "data": "x"})],
)  # fmt: skip
def test_another_seed_name_or_key_computes_again(seed, name, key, tmp_path):
    first, second = Computed(), Computed({"x": np.zeros(1)}, {"other": True})
    Stages(tmp_path, 0).run("source", {"width": 1}, first)
    arrays, _ = Stages(tmp_path, seed).run(name, key, second)
    assert second.calls == 1 and list(arrays) == ["x"]
    assert Stages(tmp_path, 0).run("source", {"width": 1}, second)[1] == RECORD


@pytest.mark.parametrize("package", [np, cv2])
def test_another_version_of_a_package_that_computes_computes_again(package, tmp_path, monkeypatch):
    work = Computed()
    Stages(tmp_path, 0).run("source", {}, work)
    monkeypatch.setattr(package, "__version__", "0.0.0")
    Stages(tmp_path, 0).run("source", {}, work)
    assert work.calls == 2


def test_other_code_computes_again(tmp_path, monkeypatch):
    work = Computed()
    for code in ("a", "a", "b"):
        monkeypatch.setattr(module, "code_print", lambda code=code: code)
        Stages(tmp_path, 0).run("source", {}, work)
    assert work.calls == 2


@pytest.fixture
def package(tmp_path):
    """A copy of the library's code, to be changed."""
    return shutil.copytree(Path(ums.__file__).parent, tmp_path / "ums")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("ops/fast/activations.py", "xp.maximum", "xp.minimum"),
        ("layers.py", "momentum: float = 0.9", "momentum: float = 0.5"),
        ("networks.py", "CXR_ENCODER = (64,", "CXR_ENCODER = (32,"),
        ("finetuning/joint.py", "def norms_and_cosines", "def norms_and_angles"),
        ("data/augment.py", "angle: float = 8.0", "angle: float = 9.0"),
        ("experiments/tasks.py", "VALIDATION_SHARE = 0.15", "VALIDATION_SHARE = 0.4"),
        ("experiments/cxr.py", "batch_norm=True", "batch_norm=False"),
        ("experiments/cxr_sets.py", '"abnormal"', '"normal"'),
        ("experiments/stages.py", "zlib.crc32", "zlib.adler32"),
        ("derived/recommendation.py", '("MV", "MA", "TR")', '("MV", "TR", "MA")'),
        ("metrics/classification.py", "(c * s - t @ p)", "(c * s)"),
    ],
)
def test_print_of_the_code_changes_with_what_trains(file, old, new, package):
    before = code_print(package)
    text = (package / file).read_text()
    assert old in text
    (package / file).write_text(text.replace(old, new))
    code_print.cache_clear()
    assert code_print(package) != before


@pytest.mark.parametrize("file", ["ops/conv.py", "training.py", "experiments/report/page.py"])
def test_print_of_the_code_stays_with_words_layout_and_pages(file, package):
    before = code_print(package)
    path = package / file
    text = (
        path.read_text().replace('"""', '"""Said otherwise. ', 1).replace("\n\n\n", "\n\n# why\n")
    )
    if file.endswith("page.py"):
        text += "\nMORE = 1\n"
    path.write_text(text)
    code_print.cache_clear()
    assert code_print(package) == before
    assert code_print() == before


TELLS = {
    "ablation.py": "ablation ablation_list command_line facts page part_tables",
    "cxr.py": "command_line cxr page scores:score_denoising",
    "echo.py": "command_line echo page",
    "runner.py": "heat_maps:HeatMaps heat_maps:heat_maps_of heat_maps:maps_of_class_1 scores:Tested "
    "scores:score_classes scores:score_masks",
    "search.py": "command_line scores:Tested scores:tested_once search",
    "search_space.py": "scores:Tested",
}
"""What code that trains takes from the rest of ``ums/experiments``: to test and to tell, after training."""


def imported(path):
    """(file in the package, name) of every import from it; the name is empty where a module is meant."""
    package = Path(ums.__file__).parent
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "ums":
            place = package.joinpath(*node.module.split(".")[1:])
            for alias in node.names:
                if (place / f"{alias.name}.py").is_file():
                    yield place / f"{alias.name}.py", ""
                else:
                    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
                    yield file, alias.name


def test_code_that_trains_takes_nothing_from_the_rest_but_what_tests_and_tells():
    package = Path(ums.__file__).parent
    rest = {path for pattern in NOT_TRAINING for path in package.glob(pattern)}
    by_name, found = (
        {package / "experiments/results" / f"{n}.py" for n in ("heat_maps", "scores")},
        {},
    )
    names_only = {package / "__init__.py"}
    for path in set(package.rglob("*.py")) - rest - names_only:
        there = {(file, name) for file, name in imported(path) if file in rest}
        told = {f.stem + (f":{name}" if f in by_name else "") for f, name in there}
        if told:
            assert {file.parent.name for file, _ in there} <= {"experiments", "report", "results"}
            found[path.name] = " ".join(sorted(told))
    assert found == TELLS


@pytest.mark.parametrize("pattern", NOT_TRAINING)
def test_every_file_said_not_to_train_is_there(pattern):
    assert list(Path(ums.__file__).parent.glob(pattern))


def test_order_of_the_key_does_not_matter(tmp_path):
    work = Computed()
    for key in ({"a": 1, "b": 2}, {"b": 2, "a": 1}):
        Stages(tmp_path, 0).run("source", key, work)
    assert work.calls == 1


def test_stage_file_holds_no_pickle_and_says_what_it_depends_on(tmp_path):
    Stages(tmp_path, 7).run("source", {"width": 1}, Computed())
    (name,) = files(tmp_path)
    with np.load(tmp_path / name, allow_pickle=False) as file:
        key = json.loads(str(file["__key__"]))
    told = {"code": code_print(), "numpy": np.__version__, "cv2": cv2.__version__}
    told |= {"width": 1, "stage": "source", "seed": 7}
    assert key == told


# ---------------------------------------------------------------------------- whole or not at all


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), MemoryError()])
def test_work_that_fails_leaves_no_file(error, tmp_path):
    stages = Stages(tmp_path / "new", 0)
    with pytest.raises(type(error)):
        stages.run("source", {}, Computed(error=error))
    assert files(tmp_path / "new") == []


INTERRUPTED = pytest.mark.parametrize(
    ("owner", "name", "failure"), [(np, "savez", half_a_file), (os, "replace", nothing)]
)


@INTERRUPTED
def test_full_disk_leaves_no_half_file_and_is_named(owner, name, failure, tmp_path, monkeypatch):
    monkeypatch.setattr(owner, name, failure(FULL))
    with pytest.raises(OSError, match=f"cannot write {tmp_path}/source-.*npz: No space left"):
        Stages(tmp_path, 0).run("source", {}, Computed())
    assert files(tmp_path) == []


@INTERRUPTED
def test_interrupted_write_is_never_taken_for_a_result(owner, name, failure, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owner, name, failure(KeyboardInterrupt()))
        Stages(tmp_path, 0).run("source", {}, Computed())
    assert not list(tmp_path.glob("*.npz"))
    work = Computed()
    Stages(tmp_path, 0).run("source", {}, work)
    assert work.calls == 1 and len(files(tmp_path)) == 1


@INTERRUPTED
def test_interrupted_write_leaves_nothing_behind(owner, name, failure, tmp_path, monkeypatch):
    monkeypatch.setattr(owner, name, failure(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        Stages(tmp_path, 0).run("source", {}, Computed())
    assert files(tmp_path) == []


@INTERRUPTED
def test_failed_write_harms_no_other_stage(owner, name, failure, tmp_path, monkeypatch):
    Stages(tmp_path, 0).run("source", {}, Computed())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(owner, name, failure(FULL))
    with pytest.raises(OSError, match="cannot write"):
        Stages(tmp_path, 0).run("source", {"other": 1}, Computed())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


DAMAGES = {
    "empty": lambda data: b"",
    "cut short": lambda data: data[: len(data) // 2],
    "its end missing": lambda data: data[:-1],
    "not a zip file": lambda data: b"x" * len(data),
    "a byte changed": lambda data: data.replace(np.float32(5).tobytes(), np.float32(6).tobytes()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_stage_is_computed_again(damage, tmp_path):
    Stages(tmp_path, 0).run("source", {}, Computed())
    (path,) = tmp_path.iterdir()
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    work = Computed()
    for _ in range(2):
        arrays, record = Stages(tmp_path, 0).run("source", {}, work)
        assert record == RECORD and np.array_equal(arrays["0.w"], ARRAYS["0.w"])
    assert work.calls == 1


# ---------------------------------------------------------------------------- checkpoints


class Stoppable:
    """Work in two halves; the first is kept in the checkpoint and in one part of it."""

    def __init__(self, stop=False):
        self.stop, self.loaded = stop, None

    def __call__(self, checkpoint):
        self.loaded, self.checkpoint = checkpoint.load(), checkpoint
        checkpoint.save({"half": np.ones(2)}, {"epochs": 1})
        checkpoint.part("lungs").save({}, {})
        if self.stop:
            raise KeyboardInterrupt
        return ARRAYS, RECORD


def stopped(folder, name="source", key=None, seed=0):
    with pytest.raises(KeyboardInterrupt):
        Stages(folder, seed).run(name, key or {"width": 1}, Stoppable(stop=True))


def test_stage_that_was_stopped_finds_its_checkpoint_and_leaves_none(tmp_path):
    stopped(tmp_path)
    assert len(files(tmp_path)) == 2
    work = Stoppable()
    Stages(tmp_path, 0).run("source", {"width": 1}, work)
    arrays, record = work.loaded
    assert arrays["half"].tolist() == [1, 1] and record == {"epochs": 1}
    (name,) = files(tmp_path)
    assert work.checkpoint.path.name == name.replace(".npz", ".checkpoint.npz")


@pytest.mark.parametrize(
    ("name", "key", "seed"),
    [("source", {"width": 2}, 0), ("source", {"width": 1}, 1), ("sourc", {"width": 1}, 0)],
)
def test_checkpoint_of_another_key_seed_or_name_is_not_used_and_stays(name, key, seed, tmp_path):
    stopped(tmp_path, name, key, seed)
    before = files(tmp_path)
    work = Stoppable()
    Stages(tmp_path, 0).run("source", {"width": 1}, work)
    assert work.loaded is None and set(before) < set(files(tmp_path))


def test_checkpoint_that_was_cut_short_is_said_and_not_used(tmp_path, capsys):
    stopped(tmp_path)
    (path,) = tmp_path.glob("*.checkpoint.npz")
    path.write_bytes(path.read_bytes()[:-100])
    work = Stoppable()
    assert Stages(tmp_path, 0).run("source", {"width": 1}, work)[1] == RECORD
    assert work.loaded is None and f"{path} cannot be read" in capsys.readouterr().out


def test_stage_killed_before_its_checkpoint_was_removed_is_finished(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module.Checkpoint, "remove", lambda self: None)
        Stages(tmp_path, 0).run("source", {}, Stoppable())
    assert len(files(tmp_path)) == 3
    work = Computed()
    assert Stages(tmp_path, 0).run("source", {}, work)[1] == RECORD
    assert work.calls == 0 and len(files(tmp_path)) == 1


def test_checkpoint_stays_when_the_result_cannot_be_written(tmp_path, monkeypatch):
    def compute(checkpoint):
        result = Stoppable()(checkpoint)
        monkeypatch.setattr(os, "replace", nothing(FULL))
        return result

    with pytest.raises(OSError, match="cannot write"):
        Stages(tmp_path, 0).run("source", {}, compute)
    assert len(list(tmp_path.glob("*.checkpoint*.npz"))) == len(files(tmp_path)) == 2


def test_seconds_between_checkpoints_are_handed_on(tmp_path):
    work = Stoppable()
    Stages(tmp_path, 0, every=7).run("a", {}, work)
    assert work.checkpoint.every == 7
    Stages(tmp_path, 0).run("b", {}, work)
    assert work.checkpoint.every == 60


# ---------------------------------------------------------------------------- the folder


def test_folder_is_made_with_its_parents(tmp_path):
    Stages(tmp_path / "a" / "b", 0)
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize(("below", "reason"), [("", "File exists"), ("deep", "Not a directory")])
def test_file_in_the_folders_place_is_named(below, reason, tmp_path):
    (tmp_path / "out").write_text("a file")
    folder = tmp_path / "out" / below
    with pytest.raises(OSError, match=f"cannot make the folder {folder}: {reason}"):
        Stages(folder, 0)
    assert (tmp_path / "out").read_text() == "a file"


def test_folder_without_write_permission_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *asked: False)  # root may write anywhere
    with pytest.raises(OSError, match=f"cannot write to the folder {tmp_path}$"):
        Stages(tmp_path, 0)


def test_folder_in_use_is_refused_to_another_run(tmp_path):
    with Stages(tmp_path, 0):
        other = Stages(tmp_path, 1)
        with pytest.raises(OSError, match=f"another run is at work in {tmp_path}: wait"), other:
            pass
    with other:  # free again
        pass


def test_folder_that_cannot_be_locked_is_used_and_said_to_be_open_to_others(
    tmp_path, monkeypatch, capsys
):
    def none_here(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(module.fcntl, "flock", none_here)
    with Stages(tmp_path, 0) as stages:
        assert stages.run("source", {}, Computed())[1] == RECORD
    told = capsys.readouterr().err
    assert (
        told
        == f"{tmp_path} cannot be locked (Function not implemented): start no second run in it\n"
    )


@pytest.mark.parametrize("end", ["sys.exit(1)", "os.kill(os.getpid(), 9)"])
def test_folder_is_free_after_a_run_however_it_ended(end, tmp_path):
    program = "import os, sys\nfrom ums.experiments.stages import Stages\n"
    program += f"with Stages({str(tmp_path)!r}, 0):\n    print('in', flush=True)\n    {end}"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.stdout == "in\n" and ended.returncode in (1, -9)
    with Stages(tmp_path, 0):
        pass


# ---------------------------------------------------------------------------- random numbers


def test_generator_depends_on_seed_and_name_only(tmp_path):
    def numbers(folder, seed, name):
        return Stages(tmp_path / folder, seed).rng(name).integers(2**62, size=3).tolist()

    first = numbers("a", 0, "source")
    assert first == numbers("b", 0, "source")
    others = [numbers("a", 1, "source"), numbers("a", 0, "noise"), numbers("a", 1, "noise")]
    assert len({tuple(x) for x in [first, *others]}) == 4


def test_generator_does_not_depend_on_the_stages_before(tmp_path):
    stages = Stages(tmp_path, 0)
    first = stages.rng("head").integers(2**62)
    stages.rng("source").normal(size=100)
    stages.run("source", {}, Computed())
    assert stages.rng("head").integers(2**62) == first


# ---------------------------------------------------------------------------- fingerprints


def test_fingerprint_is_of_the_contents_and_not_of_the_place(tmp_path):
    one, two = (prepared(tmp_path / name, np.random.default_rng(0)) for name in "ab")
    assert fingerprint(one) == fingerprint(two)


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": {"abnormal": [0, 1, 1, 1]}},
        {"splits": ["train", "validation", "validation", "test"]},
        {"masks": np.zeros((4, 8, 8), np.uint8)},
        {"masks": None},
    ],
)
def test_fingerprint_changes_with_any_content(changes, tmp_path):
    one = prepared(tmp_path / "a", np.random.default_rng(0))
    other = prepared(tmp_path / "b", np.random.default_rng(0), **changes)
    assert fingerprint(one) != fingerprint(other)


def test_fingerprint_changes_with_one_pixel(tmp_path):
    one = prepared(tmp_path / "a", np.random.default_rng(0))
    before = fingerprint(one)
    path = tmp_path / "a" / "images.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert fingerprint(one) != before
