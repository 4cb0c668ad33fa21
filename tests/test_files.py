"""Files that are there whole or not at all."""

import os

import pytest
from full_disk import FULL, nothing

from ums.files import PARTIAL, write_whole


@pytest.mark.parametrize("content", [b"new", lambda file: file.write(b"new")])
def test_file_is_replaced_by_bytes_or_by_what_a_function_writes(content, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old and longer")
    write_whole(path, content)
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]


def test_failure_leaves_the_previous_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", nothing(FULL))
    with pytest.raises(OSError, match=f"cannot write {path}: No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_temporary_file_bears_the_number_of_the_process(tmp_path):
    seen = []
    write_whole(tmp_path / "a.txt", lambda file: seen.append(os.path.basename(file.name)))
    assert seen == [f"a.txt.{os.getpid()}{PARTIAL}"]
