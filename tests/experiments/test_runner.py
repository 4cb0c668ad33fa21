"""The loop that runs the jobs of a study that are not done, one after another or side by side."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from full_disk import nothing
from small_sets import CPU, SMALL, hospital, note_computed, save_all, small_place

from ums.experiments import items as items_module
from ums.experiments import runner, store
from ums.experiments.arms import ARMS, PRIMARY_ARMS
from ums.experiments.cxr import ABNORMALITY, CXR, LUNGS, ChestXRay
from ums.experiments.echo import ECHO
from ums.experiments.estimate import Time, measured, seconds_of
from ums.experiments.factors import FACTORS
from ums.experiments.items import Item, Part, items_of
from ums.experiments.jobs import CASES, PICTURES, PILOT, SOURCE, SOURCE_TEST, TUNE, Job
from ums.experiments.names import (
    DIVERSE,
    INDEPENDENT,
    JOINT,
    OWN_EPOCH,
    SCRATCH,
    SEPARATE_RAW,
    SIMILAR,
    SINGLE,
    TEST,
)
from ums.experiments.results import read_study
from ums.experiments.runner import parts_of, run_items
from ums.experiments.store import Store
from ums.experiments.study_file import described_set, write_study
from ums.reading import DIGEST

ARMS_RUN = (SEPARATE_RAW, SINGLE, JOINT)
ONE = replace(SMALL, replicates=1)
SECONDS = runner._seconds


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """All prepared folders, to be left as they are."""
    folder = save_all(tmp_path_factory.mktemp("prepared"), side=16)
    hospital(folder / "source-other", 7, side=16)
    return folder


@pytest.fixture(scope="module")
def finished(folders, tmp_path_factory):
    """The folder of a whole study of both groups, to be left as it is."""
    out = tmp_path_factory.mktemp("study")
    runner.run(small_place(CXR, folders, out), {"": Part(SMALL, ARMS_RUN)}, report=lambda _: None)
    return out


@pytest.fixture(autouse=True)
def fresh():
    """No study is taken from an earlier test."""
    runner.study_of.cache_clear()
    runner.datasets_of.cache_clear()


@pytest.fixture
def computed(monkeypatch):
    """The names of what stores compute, as they do."""
    return note_computed(monkeypatch)


def run(folders, out, parts=None, **more):
    """Run a study; returns what it said."""
    said = []
    parts = parts or {"": Part(SMALL, ARMS_RUN)}
    runner.run(small_place(CXR, folders, out), parts, report=said.append, **more)
    return said


def contents(folder):
    """Every file of a study but its lock, as bytes."""
    files = (p for p in Path(folder).rglob("*") if p.is_file() and p.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def records_in(folder):
    """File name -> every record, without its wall times and the digest in which they are."""
    found = {path.name: json.loads(path.read_text()) for path in folder.glob("records/*.json")}
    return {name: without_times(record) for name, record in found.items()}


def without_times(record):
    if isinstance(record, dict):
        own = {name: record[name] for name in record.keys() - {"seconds", DIGEST}}
        return {name: without_times(value) for name, value in own.items() if name != "wall"}
    return record


# ---------------------------------------------------------------------------- parts

LEVELS = {
    "labels: 50 labels": {"labels": 50},
    "labels: 500 labels": {"labels": 500},
    "source: no steps": {"source_steps": 0},
    "source: a fifth of the steps": {"source_steps": 300},
    "source: three times the steps": {"source_steps": 4500},
    "hospital: another hospital's": {"source_from": "other"},
    "background: all pixels count": {"background": -1},
}


def test_levels_change_what_their_labels_say_and_have_four_arms_and_replicates_of_their_own():
    main = CXR.defaults
    parts = parts_of(main, ARMS_RUN, FACTORS, 7)
    assert parts.pop("") == Part(main, ARMS_RUN)
    assert PRIMARY_ARMS == ("scratch", "single", "alternating", "joint")
    assert parts == {
        name: Part(replace(main, replicates=7, **changes), PRIMARY_ARMS)
        for name, changes in LEVELS.items()
    }
    assert list(parts_of(main, ARMS_RUN, FACTORS[2:3], 7)) == ["", "hospital: another hospital's"]


def test_level_at_which_the_study_itself_is_is_refused():
    with pytest.raises(ValueError, match=r"^background: all pixels count: the study itself is at"):
        parts_of(ECHO.defaults, ARMS_RUN, FACTORS[3:], 2)


def test_part_that_cannot_be_run_is_named_and_leaves_nothing(folders, tmp_path, computed):
    changed = replace(SMALL, batch=30)
    with pytest.raises(ValueError, match=r"^labels: few: .*/target: a replicate has 20 images"):
        run(folders, tmp_path, {"": Part(SMALL, ARMS_RUN), "labels: few": Part(changed, ARMS_RUN)})
    assert not computed.weights and not computed.records
    assert not [path for path in contents(tmp_path) if path != ".lock"]


def test_main_part_that_cannot_be_run_has_no_name(folders, tmp_path):
    with pytest.raises(ValueError, match=f"^{folders}/target: a replicate has 20 images"):
        run(folders, tmp_path, {"": Part(replace(SMALL, batch=30), ARMS_RUN)})


def test_levels_share_the_records_in_which_nothing_differs(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "run_items", lambda *_: None)
    parts = {"": Part(ONE, PRIMARY_ARMS)}
    for name, changes in (
        ("same", {}),
        ("labels", {"labels": 14}),
        ("source", {"source_steps": 8}),
    ):
        parts[name] = Part(replace(ONE, **changes), PRIMARY_ARMS)
    run(folders, tmp_path, parts)
    jobs = json.loads((tmp_path / "study.json").read_text())["jobs"]
    shared = {name: set(files) & set(jobs[""]) for name, files in jobs.items()}
    kinds = {n: {file.split("-replicate")[0] for file in files} for n, files in shared.items()}
    cases = {file for file in jobs[""] if "-cases-" in file}
    assert set(jobs["same"]) < set(jobs[""])  # but for the pictures
    assert kinds["labels"] == {"source", "source-test", *cases}
    assert kinds["source"] == {f"{group}-scratch" for group in (DIVERSE, SIMILAR)} | cases


def test_arms_beside_those_that_sharing_is_judged_by_may_have_fewer_replicates(folders, tmp_path):
    place = small_place(CXR, folders, tmp_path)
    settings = replace(SMALL, replicates=3, other_replicates=1)
    study = runner.study_of(place, Part(settings, (SEPARATE_RAW, SCRATCH, INDEPENDENT)))
    jobs = [(job.arm, job.replicate) for job in study.jobs() if job.kind == TUNE]
    assert dict(Counter(jobs)) == {
        **{(arm, 1): 2 for arm in (SEPARATE_RAW, SCRATCH, INDEPENDENT)},
        **{(SCRATCH, replicate): 2 for replicate in (2, 3)},
    }


# ---------------------------------------------------------------------------- what waits for what


@pytest.mark.parametrize(
    ("job", "other", "expected"),
    [
        (Job(SOURCE_TEST, replicate=1), Job(SOURCE, replicate=1), True),
        (Job(SOURCE_TEST, replicate=1), Job(SOURCE, replicate=2), False),
        (Job(TUNE, "a", SINGLE, 1), Job(SOURCE, replicate=1), True),
        (Job(TUNE, "a", "separate", 1), Job(SOURCE, replicate=1), True),
        (Job(TUNE, "a", SCRATCH, 1), Job(SOURCE, replicate=1), False),
        (Job(TUNE, "a", SINGLE, 1), Job(SOURCE_TEST, replicate=1), False),
        (Job(TUNE, "a", SINGLE, 1), Job(TUNE, "a", JOINT, 1), False),
        (Job(PILOT, "a", SINGLE, -1, 2), Job(SOURCE, replicate=-1), True),
        (Job(PILOT, "a", SCRATCH, -1, 2), Job(SOURCE, replicate=-1), False),
        (Job(PICTURES, "a", replicate=1), Job(TUNE, "a", SCRATCH, 1), True),
        (Job(PICTURES, "a", replicate=1), Job(TUNE, "a", SCRATCH, 2), False),
        (Job(CASES, "a"), Job(SOURCE, replicate=1), False),
        (Job(SOURCE, replicate=1), Job(SOURCE_TEST, replicate=1), False),
    ],
)
def test_job_needs_its_source_and_pictures_all_networks(job, other, expected):
    assert items_module.needs(job, other) == expected


def test_level_waits_for_the_source_that_it_has_in_common_with_the_main_part(
    folders, tmp_path, monkeypatch
):
    given = []
    monkeypatch.setattr(runner, "run_items", lambda place, items, *_: given.append(items))
    level = Part(replace(ONE, labels=17), PRIMARY_ARMS)
    run(folders, tmp_path, {"": Part(ONE, PRIMARY_ARMS), "labels": level})
    (items,) = given
    (source,) = (file for file, item in items.items() if item.job.kind == SOURCE)
    assert items[source].part.settings == ONE
    waiting = [item for item in items.values() if source in item.needs]
    assert {item.job.arm for item in waiting if item.part == level} == {*PRIMARY_ARMS} - {SCRATCH}
    assert all(item.needs <= items.keys() for item in items.values())


def test_every_job_comes_behind_those_it_needs(folders, tmp_path):
    study = runner.study_of(small_place(CXR, folders, tmp_path), Part(SMALL, tuple(ARMS)))
    before = set()
    for file, item in items_of(study, Part(SMALL, tuple(ARMS)), study.jobs()).items():
        assert item.needs <= before
        before.add(file)


class Pool:
    """In place of processes: of the jobs that run, the last that was begun is done first."""

    def __init__(self, needs):
        self.needs, self.running, self.done, self.most = needs, [], [], 0

    def __call__(self, processes, context, initializer):
        return nullcontext(self)

    def submit(self, function, place, item, file):
        assert self.needs[item.job.group] <= set(self.done)
        future = Future()
        self.running.append((future, item.job.group))
        self.most = max(self.most, len(self.running))
        return future

    def wait(self, running, return_when):
        future, name = self.running.pop()
        future.set_result(None)
        self.done.append(name)
        return SimpleNamespace(done={future})


def test_jobs_run_side_by_side_and_none_before_what_it_needs(tmp_path, monkeypatch):
    needs = {"a": "", "b": "a", "c": "a", "d": "", "e": "bcd", "f": ""}
    needs = {name: frozenset(others) for name, others in needs.items()}
    pool, said = Pool(needs), []
    monkeypatch.setattr(runner, "ProcessPoolExecutor", pool)
    monkeypatch.setattr(runner, "wait", pool.wait)
    items = {name: Item(None, Job(CASES, name), own) for name, own in needs.items()}
    run_items(small_place(CXR, tmp_path, tmp_path), items, 2, said.append)
    assert pool.most == 2 and pool.done == ["d", "f", "a", "c", "b", "e"]
    said = [line.split(" ")[1] for line in said[1:]]
    assert said == [f"{name}-cases-seed0:" for name in pool.done]


# ---------------------------------------------------------------------------- one after another


def test_second_run_computes_nothing_and_changes_no_file(finished, folders, computed):
    before = contents(finished)
    said = run(folders, finished)
    assert not computed.weights and not computed.records
    assert contents(finished) == before
    jobs = len(list(finished.glob("records/*.json")))
    assert said == [f"{finished}: {jobs} of {jobs} jobs are done"]


def test_run_with_some_jobs_gone_computes_those_alone_and_ends_as_before(
    finished, folders, tmp_path, computed
):
    before = contents(finished)
    names = sorted({Path(name).stem.rpartition("-")[0] for name in before if "/" in name})
    kept = names[::2]
    for name, content in before.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if path.stem.rpartition("-")[0] in kept:
            path.write_bytes(content)
    run(folders, tmp_path)
    assert sorted(computed.records) == sorted(set(names) - set(kept))
    assert set(computed.weights) <= set(names) - set(kept)
    assert contents(tmp_path).keys() == before.keys()
    assert records_in(tmp_path) == records_in(finished)


def test_more_replicates_keep_those_there_are(finished, folders, tmp_path, computed):
    for name, content in contents(finished).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    place = small_place(CXR, folders, tmp_path, (DIVERSE,))  # the other has blocks for two alone
    runner.run(place, {"": Part(replace(SMALL, replicates=3), ARMS_RUN)}, report=lambda _: None)
    assert computed.records.pop() == "models-seed0"
    assert computed.records and all("replicate3" in name for name in computed.records)


def test_failing_job_leaves_the_records_before_it_and_the_study_s_file(
    folders, tmp_path, monkeypatch
):
    monkeypatch.setattr("ums.experiments.tuning.tune_jointly", nothing(ValueError("no luck")))
    with pytest.raises(ValueError, match=r"^no luck$"):
        run(folders, tmp_path, {"": Part(ONE, ARMS_RUN)})
    names = {name.rpartition("-seed0")[0] for name in records_in(tmp_path)}
    assert names == {
        "diverse-cases", "similar-cases", "source-replicate1", "source-test-replicate1",
        "diverse-separate-raw-replicate1", "diverse-single-replicate1",
    }  # fmt: skip
    with pytest.raises(FileNotFoundError, match="not finished: 7 of 13 records are missing"):
        read_study(tmp_path)


def test_job_killed_between_its_weights_and_its_record_is_tested_again_and_not_trained(
    folders, tmp_path, monkeypatch, computed
):
    part, job = Part(ONE, (SCRATCH,)), Job(TUNE, DIVERSE, SCRATCH, 1)
    places = [small_place(CXR, folders, tmp_path / name) for name in "ab"]
    whole = runner.study_of(places[0], part).record(job)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(store, "write_whole", nothing(KeyboardInterrupt()))
        runner.study_of(places[1], part).record(job)
    assert not list(tmp_path.glob("b/records/*"))
    computed.clear()
    runner.study_of.cache_clear()
    runner.datasets_of.cache_clear()
    again = runner.study_of(places[1], part).record(job)
    assert computed.weights == [] and computed.records == [job.name]
    for task in (LUNGS, ABNORMALITY):
        assert again["tasks"][task][OWN_EPOCH] == whole["tasks"][task][OWN_EPOCH]


def test_jobs_are_told_when_they_are_done(folders, tmp_path, monkeypatch):
    part, said, times = Part(ONE, (SCRATCH,)), [], iter((0.0, 60.0, 90.0))
    place = small_place(CXR, folders, tmp_path)
    study = runner.study_of(place, part)
    jobs = [Job(CASES, DIVERSE), Job(CASES, SIMILAR), Job(SOURCE, replicate=1)]
    study.record(jobs[1])
    monkeypatch.setattr(runner, "run_item", lambda *_: None)
    monkeypatch.setattr(runner, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    run_items(place, items_of(study, part, jobs), report=said.append)
    assert said == [
        f"{tmp_path}: 1 of 3 jobs are done",
        "2 jobs will take about 0.0 hours",
        "1/2 diverse-cases-seed0: 1.0 minutes, about 1 to go",
        "2/2 source-replicate1-seed0: 1.5 minutes, about 0 to go",
    ]


def test_time_that_is_left_is_estimated_from_jobs_that_are_done_or_tried(
    folders, tmp_path, monkeypatch
):
    """A job of 4 steps took 8 seconds; others, of 8 steps, are tried."""
    monkeypatch.setattr(runner.estimate, "measured", lambda done: {("source", ""): Time(0, 2)})
    tried = {("tune", DIVERSE): Time(1, 3), ("cases", DIVERSE): Time(0, 0)}
    asked = []
    monkeypatch.setattr(runner.estimate, "tried", lambda _, kinds: asked.append(kinds) or tried)
    parts = [Part(replace(ONE, steps=steps), (SINGLE,)) for steps in (4, 8)]
    items = {
        "a": Item(parts[0], Job(SOURCE, replicate=1), frozenset()),
        "b": Item(parts[0], Job(SOURCE, replicate=2), frozenset()),
        "c": Item(parts[1], Job(TUNE, DIVERSE, SINGLE, 1), frozenset()),
        "d": Item(parts[1], Job(PILOT, DIVERSE, SINGLE, -1, 1), frozenset()),
    }
    todo = {name: items[name] for name in "bcd"}
    seconds = SECONDS(small_place(CXR, folders, tmp_path), items, todo)
    assert seconds == {"b": 4 * 2, "c": 1 + 8 * 3, "d": 1 + 8 * 3}
    assert asked == [{("tune", DIVERSE)}]


def test_arms_of_a_group_count_as_alike_in_proportion_to_their_steps(tmp_path):
    """Two arms took 4 and 8 seconds for 2 steps."""
    paths = []
    for number, (arm, wall) in enumerate([(SINGLE, 4.0), (JOINT, 8.0)]):
        store = Store(tmp_path)
        record = {"job": Job(TUNE, DIVERSE, arm, 1).to_dict(), "wall": wall}
        store.record(f"job{number}", {}, lambda record=record: (record, {}))
        paths.append((replace(ONE, steps=2), store.record_path(f"job{number}", {})))
    times = measured(paths)
    assert times == {("tune", DIVERSE): Time(0, 3.0)}
    pilot = Job(PILOT, DIVERSE, SCRATCH, -1, 1)
    assert seconds_of(replace(ONE, steps=10), pilot, times) == 30
    assert seconds_of(ONE, Job(TUNE, SIMILAR, SINGLE, 1), times) == 1


# ---------------------------------------------------------------------------- in processes


class Unlucky(ChestXRay):
    """Its last job fails, in whatever process."""

    def pictures(self, group, records):
        raise ValueError("no luck")


def test_jobs_in_processes_leave_what_they_leave_one_after_another(folders, tmp_path):
    parts, said = {"": Part(ONE, (SCRATCH, INDEPENDENT))}, []
    one, two = (small_place(CXR, folders, tmp_path / name, (SIMILAR,)) for name in "ab")
    with pytest.raises(ValueError, match=r"^no luck$"):
        runner.run(replace(one, modality=Unlucky()), parts, 2, said.append)
    assert not multiprocessing.active_children()
    runner.run(two, parts, 1, lambda _: None)
    found, expected = records_in(tmp_path / "a"), records_in(tmp_path / "b")
    assert len(found) >= 4 and found == {name: expected[name] for name in found}
    said.clear()
    runner.run(one, parts, 1, said.append)
    assert said[0] == f"{tmp_path / 'a'}: {len(found)} of 7 jobs are done"
    assert records_in(tmp_path / "a") == expected


WAITS = """
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from ums.experiments.runner import end_with_parent

if __name__ == "__main__":
    with ProcessPoolExecutor(1, get_context("spawn"), end_with_parent) as pool:
        pool.submit(time.sleep, 0).result()
        print(*pool._processes, flush=True)
        pool.submit(time.sleep, 600).result()
"""


def test_processes_end_with_the_one_that_started_them_whatever_ends_it(tmp_path):
    (tmp_path / "waits.py").write_text(WAITS)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, tmp_path / "waits.py"], stdout=subprocess.PIPE, env=environment, text=True
    ) as parent:
        started = parent.stdout.readline()
        parent.kill()
    with pytest.raises(ProcessLookupError):
        for _ in range(300):
            time.sleep(0.1)
            os.kill(int(started), 0)


# ---------------------------------------------------------------------------- what was run


def test_study_file_names_every_record_before_any_is_there(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "run_items", lambda *_: None)
    parts = {"": Part(SMALL, ARMS_RUN), "x: y": Part(replace(SMALL, steps=8), (SCRATCH,))}
    run(folders, tmp_path, parts)
    content = json.loads((tmp_path / "study.json").read_text())
    assert content["study"] == "cxr" and content["records"] == "records"
    for name, part in parts.items():
        study = runner.study_of(small_place(CXR, folders, tmp_path), part)
        jobs = study.jobs(main=not name)
        paths = [study.run.store.record_path(job.name, study.key(job)) for job in jobs]
        assert content["jobs"][name] == [path.name for path in paths]
        steps = content["about"]["parts"][name]["training steps of each task, in every arm"]
        assert steps == part.settings.steps
    with pytest.raises(FileNotFoundError, match="not finished"):
        read_study(tmp_path)


def test_records_of_a_run_are_read_part_by_part(finished):
    study = read_study(finished)
    (records,) = study.parts.values()
    assert study.name == "cxr" and records.arms(SIMILAR) == ARMS_RUN
    assert [r["job"]["replicate"] for r in records.of(TUNE, SIMILAR, JOINT)] == [1, 2]
    scores = records.of(TUNE, DIVERSE, JOINT)[0]["tasks"][LUNGS][OWN_EPOCH][TEST]
    assert np.shape(scores["IoU"]) == (48,)


def test_study_file_of_a_folder_below_finds_the_records_above(tmp_path):
    kept, out = Store(tmp_path), tmp_path / "below" / "it"
    write_study(out, "cxr", {"width": np.float64(1)}, {"": []}, kept)
    content = json.loads((out / "study.json").read_text())
    assert (out / content["records"]).resolve() == kept.records_folder.resolve()
    assert content["about"] == {"width": 1}


def test_study_file_says_what_was_run(finished):
    about = json.loads((finished / "study.json").read_text())["about"]
    assert about["device"].startswith(CPU.name) and about["seed"] == 0 and about["source trained"]
    assert about["data"]["Image size"] == "16 x 16, grey"
    expected = {
        "Source images": "48 images (40 to draw from)",
        "Diverse tasks, training set": "48 images (40 to draw from)",
        "Similar tasks, test set": "72 images (16 for testing)",
    }
    for name, text in expected.items():
        assert about["data"][name] == f"made up: {text}; 0% of the pixels at most 8"
    assert about["settings"]["images in a batch"] == SMALL.batch


@pytest.mark.parametrize(
    ("about", "source"), [({"source": "a hospital"}, "a hospital"), ({}, "folder")]
)
def test_images_come_from_their_source_or_else_their_folder(about, source):
    prepared = type("Set", (SimpleNamespace,), {"__len__": lambda self: 7})
    made = prepared(about=about, folder=Path("a/folder"))
    assert described_set(made, "7 test") == f"{source}: 7 images (7 test)"
