"""Files that are there whole or not at all, and what systems and network drives refuse."""

import errno
import io
import os
import platform
import re
import subprocess
import sys

import filelock
import pytest
from full_disk import FULL, nothing

from ums.files import PARTIAL, escape_unprintable, locked, reserve, sync, write_whole

REFUSED = ["EINVAL", "ENOSYS", "EOPNOTSUPP", "EACCES", "ENOTTY", "ENODEV"]


def refusal(name):
    return OSError(getattr(errno, name), os.strerror(getattr(errno, name)))


# ---------------------------------------------------------------------------- whole or not at all


@pytest.mark.parametrize("content", [b"new", lambda file: file.write(b"new")])
def test_file_is_replaced_by_bytes_or_by_what_a_function_writes(content, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old and longer")
    write_whole(path, content)
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failure_leaves_the_previous_file_and_nothing_beside_it(step, tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, step, nothing(FULL))
    with pytest.raises(OSError, match=re.escape(f"cannot write {path}: No space left")):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_temporary_file_bears_the_names_of_the_computer_and_the_process(tmp_path):
    seen = []
    write_whole(tmp_path / "a.txt", lambda file: seen.append(os.path.basename(file.name)))
    assert seen == [f"a.txt.{platform.node()}-{os.getpid()}{PARTIAL}"]


# ---------------------------------------------------------------------------- flushing


@pytest.mark.parametrize("name", REFUSED)
def test_a_drive_that_cannot_flush_is_written_to_all_the_same(name, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", nothing(refusal(name)))
    write_whole(tmp_path / "a.txt", b"new")
    sync(tmp_path / "a.txt")
    sync(tmp_path)
    assert (tmp_path / "a.txt").read_bytes() == b"new"


@pytest.mark.parametrize("content", [b"new", lambda file: file.write(b"new")])
def test_all_of_a_file_is_written_before_it_is_flushed(content, tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda handle: sizes.append(os.fstat(handle).st_size))
    write_whole(tmp_path / "a.txt", content)
    assert sizes[0] == 3


def test_a_system_that_opens_no_folder_flushes_the_files_in_it(tmp_path, monkeypatch):
    opened, flushed, real = os.open, [], os.fsync
    (tmp_path / "a.txt").write_bytes(b"a")

    def as_windows(path, flags, *more):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        assert flags & os.O_RDWR  # and it flushes only what may be written to
        return opened(path, flags, *more)

    monkeypatch.setattr(os, "open", as_windows)
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(real(handle)))
    for path in (tmp_path, tmp_path / "a.txt"):
        sync(path)
    assert len(flushed) == 1


@pytest.mark.parametrize("name", ["ENOSPC", "EIO", "EDQUOT"])
def test_what_is_wrong_with_the_disk_is_never_passed_over(name, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", nothing(refusal(name)))
    for step in (lambda: sync(tmp_path), lambda: write_whole(tmp_path / "a", b"")):
        with pytest.raises(OSError, match=re.escape(f"cannot write {tmp_path}")):
            step()


# ---------------------------------------------------------------------------- room on the disk


@pytest.mark.parametrize("how", ["", "absent", *REFUSED])
def test_room_is_reserved_whatever_the_system_can(how, tmp_path, monkeypatch):
    if how == "absent":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    elif how:
        monkeypatch.setattr(os, "posix_fallocate", nothing(refusal(how)), raising=False)
    monkeypatch.setattr("ums.files._CHUNK", 1000)
    reserve(tmp_path / "a", 2500)
    assert (tmp_path / "a").read_bytes() == bytes(2500)
    assert (
        os.stat(tmp_path / "a").st_blocks * 512 >= 2500
    )  # no hole, which a full disk could not fill


@pytest.mark.parametrize("fallocate", [True, False])
def test_a_disk_without_room_is_found_before_the_file_is_mapped(fallocate, tmp_path, monkeypatch):
    if fallocate:
        monkeypatch.setattr(os, "posix_fallocate", nothing(FULL), raising=False)
    else:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
        monkeypatch.setattr(os, "fsync", nothing(FULL))
    with pytest.raises(OSError, match=re.escape(f"cannot write {tmp_path / 'a'}: No")):
        reserve(tmp_path / "a", 10)


# ---------------------------------------------------------------------------- locks


@pytest.mark.parametrize("name", ["ENOSYS", "EOPNOTSUPP", "ENOLCK", "EIO"])
def test_a_drive_without_locks_is_said_once_and_used(name, tmp_path, monkeypatch, capsys):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", nothing(refusal(name)))
    for _ in range(2):
        with locked(tmp_path / "lock", tmp_path / "out"):
            pass
    said = capsys.readouterr().err
    assert said.startswith(f"{tmp_path / 'out'} cannot be locked (") and said.count("\n") == 1
    assert os.strerror(getattr(errno, name)) in said
    assert said.endswith("): start no second run in it\n") and os.listdir(tmp_path) == []


def test_a_second_run_is_refused_and_takes_nothing_from_the_first(tmp_path):
    lock, folder = tmp_path / "lock", tmp_path / "out"
    with locked(lock, folder):
        for _ in range(2):
            with pytest.raises(OSError, match=re.escape(f"at work in {folder}: wait")):
                with locked(lock, folder):
                    pass
    with locked(lock, folder):
        assert lock.exists()
    assert not lock.exists()


def test_folder_of_a_lock_is_made(tmp_path):
    lock = tmp_path / "new" / "deep" / "lock"
    with locked(lock, tmp_path):
        assert lock.exists()


def test_a_lock_file_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    denied = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "lock"))
    monkeypatch.setattr(filelock.FileLock, "acquire", nothing(denied))
    with pytest.raises(OSError, match=re.escape(f"denied: '{tmp_path / 'lock'}'")):
        with locked(tmp_path / "lock", tmp_path):
            pass


def test_the_lock_of_a_killed_run_is_free(tmp_path):
    program = "import os, sys\nfrom pathlib import Path\nfrom ums.files import locked\n"
    program += (
        "with locked(Path(sys.argv[1]), Path()):\n    print('in', flush=True)\n    os.abort()"
    )
    lock = tmp_path / "lock"
    ended = subprocess.run([sys.executable, "-c", program, str(lock)], capture_output=True)
    assert ended.stdout.strip() == b"in" and lock.exists()
    with locked(lock, tmp_path):
        pass


def test_a_missing_filelock_is_named_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "filelock", None)
    with pytest.raises(ModuleNotFoundError, match="python -m pip install filelock"):
        with locked(tmp_path / "lock", tmp_path):
            pass


# ---------------------------------------------------------------------------- text


@pytest.mark.parametrize("text", ["P\udce9rez", "\N{GREEK SMALL LETTER PI}", "\N{LUNGS}"])
def test_what_a_terminal_cannot_show_is_escaped(text, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    escape_unprintable()
    print(text, flush=True)
    assert stream.buffer.getvalue().decode() == ascii(text).strip("'") + "\n"
