"""Studies on several machines: shares of the jobs, and a Dask scheduler's workers, one of them killed."""

import os
import re
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_sets import SMALL, save_all, small_place

from ums.backend import choose_device
from ums.experiments import __main__ as command
from ums.experiments import cluster, runner
from ums.experiments.cxr import CXR
from ums.experiments.items import Item, Part, items_of, record_files, share_of
from ums.experiments.jobs import MODELS, PICTURES, SOURCE, TUNE
from ums.experiments.names import ALTERNATING, SCRATCH, SIMILAR, SINGLE
from ums.experiments.run import Run
from ums.experiments.store import Store

ARMS = (ALTERNATING, SCRATCH, SINGLE)
PART = Part(SMALL, ARMS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return save_all(tmp_path_factory.mktemp("sets"), side=16)


def numbers_in(folder):
    """Record -> its text without the times in it."""
    times = r'"(seconds|wall|digest)": (\[[^]]*\]|[^,]+)[,}]'
    paths = (folder / "records").glob("*.json")
    return {path.name: re.sub(times, "", path.read_text(encoding="utf-8")) for path in paths}


def weights_in(folder):
    return {path.name for path in (folder / "weights").glob("*.npz")}


@pytest.fixture(scope="module")
def alone(folders, tmp_path_factory):
    """What one process leaves."""
    place = small_place(CXR, folders, tmp_path_factory.mktemp("alone"), (SIMILAR,))
    runner.run(place, {"": PART}, report=lambda _: None)
    return place.out


def all_items(folders, out):
    study = runner.study_of(small_place(CXR, folders, out, (SIMILAR,)), PART)
    return items_of(study, PART, study.jobs())


# ------------------------------------------------------------------------ shares


@pytest.mark.parametrize("n", [1, 2, 4])
def test_shares_are_all_jobs_but_the_last_and_none_twice(n, folders, tmp_path):
    items = all_items(folders, tmp_path)
    shares = [share_of(items, k, n) for k in range(1, n + 1)]
    names = [file for share in shares for file in share]
    wanted = {file for file, item in items.items() if item.job.kind not in (PICTURES, MODELS)}
    assert len(names) == len(set(names)) and set(names) == wanted


def test_share_holds_the_source_of_what_needs_it(folders, tmp_path):
    items = all_items(folders, tmp_path)
    for k in (1, 2, 3):
        share = share_of(items, k, 3)
        for item in share.values():
            assert item.needs <= share.keys()
        kinds = {item.job.kind for item in share.values()}
        assert SOURCE in kinds or TUNE not in kinds or all(not i.needs for i in share.values())


def test_shares_have_about_as_many_steps(folders, tmp_path):
    items = all_items(folders, tmp_path)
    copies = {f"{k}{file}": Item(i.part, i.job, frozenset(f"{k}{n}" for n in i.needs))
              for k in range(6) for file, i in items.items()}  # fmt: skip
    tuned = [sum(i.job.kind == TUNE for i in share_of(copies, k, 3).values()) for k in (1, 2, 3)]
    assert max(tuned) - min(tuned) <= 3 and sum(tuned) == 6 * 6


def test_four_shares_and_a_last_run_leave_what_one_process_leaves(folders, alone, tmp_path):
    place, said = small_place(CXR, folders, tmp_path, (SIMILAR,)), []
    for k in (2, 1, 4, 3):
        runner.run(place, {"": PART}, report=lambda _: None, share=(k, 4))
    runner.run(place, {"": PART}, report=said.append)
    last = [line.split(" ")[1] for line in said if "/" in line.split(" ")[0]][-2:]
    assert last == ["similar-pictures-replicate1-seed0:", "models-seed0:"]
    assert numbers_in(tmp_path) == numbers_in(alone) and weights_in(tmp_path) == weights_in(alone)


def test_shares_work_side_by_side_but_not_beside_a_run_of_all(tmp_path):
    with Store(tmp_path, share=(1, 2)), Store(tmp_path, share=(2, 2)):
        for again in (None, (1, 2)):
            with (
                pytest.raises(OSError, match="another run is at work"),
                Store(tmp_path, share=again),
            ):
                pass
    with (
        Store(tmp_path),
        pytest.raises(OSError, match="another run"),
        Store(tmp_path, share=(1, 2)),
    ):
        pass
    with Store(tmp_path, share=(1, 2)):
        pass  # it is free again


@pytest.mark.parametrize("text", ["0/4", "5/4", "4", "a/b", "1/0", "/"])
def test_share_that_is_none_is_refused(text, capsys):
    with pytest.raises(SystemExit):
        command.main(["cxr", "nowhere", "--job", text])
    assert f"{text!r} is not K/N with K from 1 to N" in capsys.readouterr().err


def test_share_makes_no_page_and_says_what_is_next(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runner, "run", lambda *given: given)
    assert command.main(["cxr", str(folders), "--out", str(tmp_path), "--job", "2/4"]) == 0
    assert "without --job ends the study" in capsys.readouterr().out


# ------------------------------------------------------------------------ any device


def test_portable_keys_do_not_depend_on_the_device(folders, tmp_path, monkeypatch):
    names = {}
    for threads in ("1", "3"):
        monkeypatch.setenv("UMS_THREADS", threads)
        for portable in (False, True):
            run = Run(SMALL, choose_device("cpu"), Store(tmp_path), False, portable)
            study = runner.Study(CXR, CXR.layout.load(folders), run, ARMS)
            names[threads, portable] = record_files(study, study.jobs())
    assert names["1", True] == names["3", True]
    assert not set(names["1", False]) & set(names["3", False])


def test_process_that_would_write_another_record_is_refused(folders, tmp_path, monkeypatch):
    place = small_place(CXR, folders, tmp_path, (SIMILAR,))
    (file, item), *_ = all_items(folders, tmp_path).items()
    with pytest.raises(
        RuntimeError, match=r"would write similar-cases.*, not other\.json.*--portable"
    ):
        runner.run_item(place, item, "other.json")
    assert not list((tmp_path / "records").iterdir())
    runner.run_item(place, item, file)


# ------------------------------------------------------------------------ a scheduler


@pytest.fixture(scope="module")
def scheduler():
    """The address of a Dask scheduler with two workers, each with its process."""
    pytest.importorskip("distributed")
    here = Path(__file__).parent
    paths = [Path(runner.__file__).parents[2], here, here.parent]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    environment |= {"UMS_THREADS": os.environ.get("UMS_THREADS", ""), "PYTHONWARNINGS": "ignore"}

    def start(*arguments):
        given = [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]]
        return subprocess.Popen(given, env=environment, stderr=subprocess.PIPE, text=True)

    first = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    address = None
    while address is None:
        address = re.search(r"Scheduler at: +(tcp://\S+)", first.stderr.readline())
    threading.Thread(target=first.stderr.read, daemon=True).start()
    started = [
        start(
            "worker",
            address[1],
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--death-timeout",
            "20",
        )
        for _ in range(2)
    ]
    for process in started:
        threading.Thread(target=process.stderr.read, daemon=True).start()
    yield address[1], started
    for process in (*started, first):
        process.kill()
        process.communicate()


def test_workers_of_which_one_is_killed_leave_what_one_process_leaves(
    folders, alone, scheduler, tmp_path
):
    address, processes = scheduler
    place, said = small_place(CXR, folders, tmp_path, (SIMILAR,)), []

    def report(line):
        said.append(line)
        if line.startswith("3/"):  # in the middle of the study
            processes[0].kill()

    runner.run(place, {"": PART}, report=report, scheduler=address)
    assert processes[0].poll() is not None and processes[1].poll() is None
    found, expected = (
        {name: text for name, text in numbers_in(out).items() if "source-test" not in name}
        for out in (tmp_path, alone)  # this process tests a source on fewer images
    )
    assert found == expected and weights_in(tmp_path) == weights_in(alone)
    assert said[-1].startswith(f"{len(numbers_in(alone))}/")


def test_workers_of_several_threads_are_refused(monkeypatch):
    distributed = pytest.importorskip("dask.distributed")
    client = nullcontext(
        SimpleNamespace(scheduler_info=lambda n: {"workers": {"a": {"nthreads": 2}}})
    )
    monkeypatch.setattr(distributed, "Client", lambda address: client)
    with (
        pytest.raises(ValueError, match="each worker must have one thread"),
        cluster.workers("tcp://a"),
    ):
        pass


def test_scheduler_that_is_not_there_is_one_error(monkeypatch, tmp_path, folders):
    pytest.importorskip("distributed")
    import dask

    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        start = time.perf_counter()
        with pytest.raises(OSError), cluster.workers("tcp://127.0.0.1:9"):
            pass
        assert time.perf_counter() - start < 60
