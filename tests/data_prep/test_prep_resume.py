"""Preparing at size: little memory, and nothing done twice after a run was killed."""

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from full_disk import files_of_at_most, nothing

from data_prep import collect, reading, shenzhen, workfolder
from data_prep.__main__ import main
from data_prep.options import Options
from data_prep.workfolder import Refused, WorkFolder
from ums.data.prepared import load_prepared
from ums.data.rows import Rows

ROOT = Path(__file__).resolve().parents[2]
SIZE = 16


@pytest.fixture
def raw(tmp_path):
    return fill(tmp_path / "raw", 12)


def fill(raw, n, side=20):
    """A Shenzhen set of `n` images, two without a mask, one broken, one twice."""
    for folder in ("CXR_png", "mask"):
        (raw / folder).mkdir(parents=True)
    for i in range(n):
        image = np.random.default_rng(min(i, n - 2)).integers(0, 256, (side, side), np.uint8)
        name = f"CHNCXR_{i:04d}_{i % 2}"
        assert cv2.imwrite(str(raw / "CXR_png" / f"{name}.png"), image)
        if i > 1:
            mask = (np.indices(image.shape)[1] > i % side).astype(np.uint8) * 255
            assert cv2.imwrite(str(raw / "mask" / f"{name}_mask.png"), mask)
    (raw / "CXR_png" / "CHNCXR_0005_1.png").write_bytes(b"broken")
    return raw


def arguments(raw, out="out"):
    return ["shenzhen", str(raw), str(raw.parent / out), "--size", str(SIZE)]


def shenzhen_set(raw):
    """The arguments of `prepare`."""
    listing = shenzhen.list_shenzhen(raw)
    return listing, raw.parent / "out", Options(size=SIZE), shenzhen.ABOUT


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Stopped(BaseException):
    """Not an error of the input: as Ctrl-C, or a kill, where the run can still be looked at."""


@pytest.fixture
def reads(monkeypatch):
    """The names of the images that are read, in order; after `reads.limit`, the run stops."""

    class Names(list):
        limit = 10**6

    names, lock, real = Names(), threading.Lock(), reading._read

    def read(item, size, colour):
        with lock:
            if len(names) >= names.limit:
                raise Stopped
            names.append(item.image.name)
        return real(item, size, colour)

    monkeypatch.setattr(reading, "_read", read)
    return names


def test_after_a_stop_nothing_is_read_twice_and_the_bytes_are_the_same(raw, reads):
    main(arguments(raw, "whole"))
    reads.clear()
    reads.limit = 4
    with pytest.raises(Stopped):
        main(arguments(raw))
    assert not (raw.parent / "out").exists() and (raw.parent / ".out.work").is_dir()
    reads.limit = 100
    assert main(arguments(raw)) == 0
    assert sorted(reads) == sorted(p.name for p in (raw / "CXR_png").iterdir())
    assert content(raw.parent / "out") == content(raw.parent / "whole")
    assert not (raw.parent / ".out.work").exists()


def test_a_file_changed_meanwhile_is_read_again(raw, reads):
    reads.limit = 4
    with pytest.raises(Stopped):
        main(arguments(raw))
    path = raw / "CXR_png" / reads[0]
    image = np.full((30, 20), 99, np.uint8)
    image[0, 0] = 98
    assert cv2.imwrite(str(path), image)
    (raw / "mask" / f"{path.stem}_mask.png").unlink(missing_ok=True)
    reads.limit = 100
    main(arguments(raw))
    made = load_prepared(raw.parent / "out")
    assert reads.count(path.name) == 2
    assert set(np.unique(made.images[made.ids.tolist().index(path.stem)])) <= {98, 99}


@pytest.mark.parametrize("change", ["size", "code"])
def test_what_another_size_or_code_made_is_not_used(raw, reads, change, monkeypatch):
    reads.limit = 4
    with pytest.raises(Stopped):
        main(arguments(raw))
    reads.clear()
    reads.limit = 100
    if change == "code":
        monkeypatch.setattr(workfolder, "_code", lambda: "other")
    main([*arguments(raw)[:-1], "8" if change == "size" else str(SIZE)])
    assert len(reads) == 12


@pytest.mark.parametrize(
    "error",
    [
        UnicodeEncodeError("utf-8", "P\udce9", 1, 2, "surrogates not allowed"),
        *(ValueError("a mistake of ours"), OSError("the drive is gone"), MemoryError(), KeyError()),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_failure_after_reading_loses_what_was_read(raw, reads, error, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(collect, "save_prepared", nothing(error))
        collect.prepare(*shenzhen_set(raw))
    assert len(reads) == 12 and (raw.parent / ".out.work").is_dir()
    collect.prepare(*shenzhen_set(raw))
    assert len(reads) == 12 and sorted(os.listdir(raw.parent)) == ["out", "raw"]


def test_a_refusal_and_a_failure_before_anything_was_read_leave_nothing(raw, monkeypatch):
    for path in (raw / "CXR_png").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(Refused, match="no usable image"):
        collect.prepare(*shenzhen_set(raw))
    monkeypatch.setenv("UMS_THREADS", "none")
    with pytest.raises(ValueError, match="UMS_THREADS"):
        collect.prepare(*shenzhen_set(raw))
    assert os.listdir(raw.parent) == ["raw"]


@pytest.mark.parametrize("fits", [5, 0.5, 0])
def test_a_full_disk_is_named_and_what_was_read_before_stays(raw, reads, fits, capsys):
    with files_of_at_most(max(100, int(fits * SIZE * SIZE))):
        assert main(arguments(raw)) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(rf"error: cannot write {raw.parent}/.out.work/\S+: File too large", said)
    finished = int(fits) if (raw.parent / ".out.work").exists() else 0
    reads.clear()
    assert main(arguments(raw)) == 0
    assert len(reads) == 12 - finished and content(raw.parent / "out").keys() >= {"images.npy"}


BYTES = np.zeros((SIZE, SIZE), np.uint8)


@pytest.mark.parametrize(
    ("image", "mask", "found"),
    [
        (BYTES.astype(np.uint16), None, r"images .* found uint16 of shape \(16, 16\)"),
        (
            np.zeros((SIZE, SIZE, 3), np.uint8),
            None,
            r"images .* found uint8 of shape \(16, 16, 3\)",
        ),
        (BYTES[:, :8], None, r"images .* shape \(16, 16\), found uint8 of shape \(16, 8\)"),
        (BYTES, BYTES > 0, "masks .* found bool"),
        (BYTES, BYTES[..., None], r"masks .* \(16, 16, 1\)"),
        (BYTES.astype(np.float32), BYTES, "images .* found float32"),
    ],
)
def test_what_breaks_a_decoders_contract_is_named_and_never_kept(tmp_path, image, mask, found):
    with WorkFolder(tmp_path / "out", SIZE) as work:
        with pytest.raises(ValueError, match=f"^film.png 3 5: {found}"):
            work.add("film.png 3 5\nmask.png 1 2", image, mask, (20, 20))
        assert work.outcomes == {} and work.add("b", BYTES, None, (20, 20)).image == 0


def test_images_are_kept_whatever_the_order_of_their_bytes(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    with WorkFolder(tmp_path / "out", SIZE, colour=True) as work:
        for key, image in (("a", grey), ("b", grey[::-1]), ("c", np.asfortranarray(grey))):
            work.add(key, image, None, (SIZE, SIZE))
        kept = np.array(work.array("images"))
    assert (kept == [grey, grey[::-1], grey]).all()


@pytest.mark.parametrize("damage", ["half a line", "lost pixels"])
def test_what_a_crash_left_half_written_is_read_again(raw, reads, damage):
    main(arguments(raw, "whole"))
    reads.clear()
    reads.limit = 4
    with pytest.raises(Stopped):
        main(arguments(raw))
    work = raw.parent / ".out.work"
    path = work / ("journal.jsonl" if damage == "half a line" else "images.raw")
    path.write_bytes(path.read_bytes()[:-5])
    reads.limit = 100
    main(arguments(raw))
    assert len(reads) == 13
    assert content(raw.parent / "out") == content(raw.parent / "whole")


def test_a_row_that_was_lost_and_written_again_is_found_again(raw, reads, monkeypatch):
    monkeypatch.setenv("UMS_THREADS", "1")
    for limit in (4, 8):
        reads.limit = limit
        with pytest.raises(Stopped):
            main(arguments(raw))
        if limit == 4:
            path = raw.parent / ".out.work" / "images.raw"
            path.write_bytes(path.read_bytes()[:-5])
    reads.limit = 100
    assert main(arguments(raw)) == 0 and len(reads) == 13


@pytest.mark.parametrize("torn", [b'["half a li', b"\0" * 50, b"\0\n[1, 2]\n"])
def test_a_journal_torn_by_a_crash_serves_again_and_again(raw, reads, torn):
    for limit in (4, 8):
        reads.limit = limit
        with pytest.raises(Stopped):
            main(arguments(raw))
        with open(raw.parent / ".out.work" / "journal.jsonl", "ab") as file:
            file.write(torn)
    reads.limit = 100
    assert main(arguments(raw)) == 0 and len(reads) == 12


def test_a_second_run_of_the_same_folder_is_refused(raw, capsys):
    with WorkFolder(raw.parent / "out", SIZE):
        assert main(arguments(raw)) == 2
    assert f"another run is at work in {raw.parent / 'out'}: wait" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ENOSYS", "EOPNOTSUPP", "ENOLCK"])
def test_a_drive_without_locks_is_said_and_used(raw, name, monkeypatch, capsys):
    error = OSError(getattr(errno, name), os.strerror(getattr(errno, name)))
    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", nothing(error))
    assert main(arguments(raw)) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "lock" in line]
    assert said == [f"{raw.parent / 'out'} cannot be locked ({error}): start no second run in it"]
    assert sorted(os.listdir(raw.parent)) == ["out", "raw"]


def test_the_number_of_processors_does_not_change_the_bytes(raw, monkeypatch):
    for threads in ("1", "5"):
        monkeypatch.setenv("UMS_THREADS", threads)
        main(arguments(raw, threads))
    assert content(raw.parent / "1") == content(raw.parent / "5")


def test_strict_names_the_first_bad_file_whatever_the_threads(raw, monkeypatch, capsys):
    monkeypatch.setenv("UMS_THREADS", "6")
    (raw / "CXR_png" / "CHNCXR_0002_0.png").write_bytes(b"")
    for _ in range(5):
        assert main([*arguments(raw), "--strict"]) == 2
        assert "CHNCXR_0002_0.png" in capsys.readouterr().err
    assert os.listdir(raw.parent) == ["raw"]


def test_only_the_images_being_read_are_in_memory(raw, monkeypatch):
    """At any time no more images are alive than there are threads."""
    alive, most, lock, real = 0, 0, threading.Lock(), reading._read
    monkeypatch.setenv("UMS_THREADS", "3")

    def read(item, size, colour):
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        try:
            return real(item, size, colour)
        finally:
            with lock:
                alive -= 1

    monkeypatch.setattr(reading, "_read", read)
    given, save = {}, collect.save_prepared

    def keep(out, content, **options):
        given.update(vars(content))
        return save(out, content, **options)

    monkeypatch.setattr(collect, "save_prepared", keep)
    main(arguments(raw))
    assert most <= 3 and isinstance(given["images"], Rows) and isinstance(given["masks"], Rows)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_killed_it_goes_on_and_ends_with_the_same_bytes(tmp_path):
    raw = fill(tmp_path / "raw", 150, side=500)  # time enough for the kill
    command = [sys.executable, "-m", "data_prep", *arguments(raw)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "UMS_THREADS": "1"}
    journal = tmp_path / ".out.work" / "journal.jsonl"
    process = subprocess.Popen(command, env=environment, stdout=-3, stderr=-3)
    while process.poll() is None and not (
        journal.exists() and journal.read_bytes().count(b"\n") > 10
    ):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL and not (tmp_path / "out").exists()
    main(arguments(raw))
    main(arguments(raw, "whole"))
    assert content(tmp_path / "out") == content(tmp_path / "whole")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("the drive is gone")])
@pytest.mark.parametrize("where", ["_recover", "_holds"])
def test_a_failure_while_resuming_loses_nothing(raw, reads, error, where, monkeypatch):
    reads.limit = 4
    with pytest.raises(Stopped):
        main(arguments(raw))
    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(WorkFolder, where, nothing(error))
        collect.prepare(*shenzhen_set(raw))
    reads.limit = 100
    assert main(arguments(raw)) == 0 and len(reads) == 12


def test_a_moment_without_memory_is_no_refusal(raw, monkeypatch, capsys):
    fails, real = iter([True]), cv2.imdecode
    with monkeypatch.context() as patch:
        patch.setattr(
            cv2, "imdecode", lambda *a: nothing(MemoryError())() if next(fails, 0) else real(*a)
        )
        assert main(arguments(raw)) == 2
    assert "not enough memory" in capsys.readouterr().err
    assert main(arguments(raw)) == 0
    assert len(load_prepared(raw.parent / "out").about["skipped"]) == 2
