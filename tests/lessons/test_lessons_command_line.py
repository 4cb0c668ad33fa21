"""The lessons' command goes on after a file that cannot be used, names it and exits with 1."""

import io
import json
import os

import pytest

from lessons import __main__ as command
from lessons import running
from lessons.notebooks import sources
from lessons.running import Result

POSIX = pytest.mark.skipif(os.name == "nt", reason="links, pipes and names of bytes")
PASSED = [Result("a_check", "passed", "")]


@pytest.fixture
def scored(monkeypatch):
    """The notebooks that were scored, without running any."""
    done = []
    monkeypatch.setattr(command, "score", lambda path, timeout: done.append(path.name) or PASSED)
    return done


def test_output_may_go_to_any_stream(scored, tmp_path, monkeypatch):
    hand_in(tmp_path, "a.ipynb")
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert command.main(["score", str(tmp_path)]) == 0 and scored == ["a.ipynb"]


def hand_in(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")


# ---------------------------------------------------------------------------- what is scored


@POSIX
def test_notebooks_are_found_at_any_depth_and_behind_links_once(tmp_path, scored):
    hand_in(tmp_path, "in/b.ipynb", "in/deep/er/a.ipynb", "in/.ipynb_checkpoints/b.ipynb")
    hand_in(tmp_path, "elsewhere/c.ipynb", "in/notes.txt")
    os.symlink(tmp_path / "elsewhere", tmp_path / "in" / "linked")
    os.symlink(tmp_path / "in", tmp_path / "in" / "deep" / "back")
    assert command.main(["score", str(tmp_path / "in"), str(tmp_path / "in" / "b.ipynb")]) == 0
    assert sorted(scored) == ["a.ipynb", "b.ipynb", "c.ipynb"]


def test_failing_check_is_no_error_of_the_command(tmp_path, monkeypatch, capsys):
    failing = [Result("a_check", "failed", "wrong\nthere")]
    monkeypatch.setattr(command, "score", lambda *_: failing)
    assert command.main(["score", str(tmp_path / "a.ipynb")]) == 0
    out, err = capsys.readouterr()
    assert "a.ipynb: 0 of 1 checks passed\n  failed        a_check: wrong" in out and not err


@pytest.mark.parametrize(
    "error",
    [ValueError("no notebook"), OSError(5, "input/output error"), RuntimeError("kernel died"),
     AttributeError("'list' has no 'get'"), KeyError("name"), RecursionError(), MemoryError()],
    ids=repr,
)  # fmt: skip
def test_others_are_scored_after_any_error_and_the_exit_status_tells(
    error, tmp_path, monkeypatch, capsys
):
    def score(path, timeout):
        if path.name == "b.ipynb":
            raise error
        return PASSED

    monkeypatch.setattr(command, "score", score)
    hand_in(tmp_path, "a.ipynb", "b.ipynb", "c.ipynb")
    assert command.main(["score", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert "a.ipynb: 1 of 1" in out and "c.ipynb: 1 of 1" in out
    assert f"{tmp_path / 'b.ipynb'}: " in out and "Traceback" not in out + err
    assert err == f"error: 1 of 3 failed: {tmp_path / 'b.ipynb'}\n"


def dangling(folder):
    os.symlink(folder / "gone", folder / "bad.ipynb")


def pipe(folder):
    os.mkfifo(folder / "bad.ipynb")


def kept(text):
    return lambda folder: (folder / "bad.ipynb").write_bytes(text)


def lesson(**metadata):
    cells = metadata.pop("cells", [])
    return kept(
        json.dumps({"cells": cells, "metadata": {"ums_lesson": "02_x"} | metadata}).encode()
    )


BAD = {
    "a folder": lambda folder: (folder / "bad.ipynb").mkdir(),
    "a dangling link": dangling,
    "a pipe": pipe,
    "empty": kept(b""),
    "no JSON": kept(b"not a notebook"),
    "a list": kept(b"[]"),
    "null": kept(b"null"),
    "nested deep": kept(b"[" * 100_000),
    "no text": kept(b"\xff\x00" * 5_000),
    "no metadata": kept(b'{"cells": []}'),
    "a number for a lesson": lesson(ums_lesson=2),
    "no such lesson": lesson(ums_lesson="99_x"),
    "a path for a lesson": lesson(ums_lesson="../x"),
    "cells that are none": lesson(cells=[1]),
    "a cell without text": lesson(cells=[{"cell_type": "code"}]),
    "another language": lesson(language_info={"name": "R"}),
    "another language's kernel": lesson(kernelspec={"name": "ir", "language": "julia"}),
}


@POSIX
@pytest.mark.parametrize("what", BAD)
def test_file_that_cannot_be_scored_gets_one_line_that_names_it(what, tmp_path, capsys):
    BAD[what](tmp_path)
    assert command.main(["score", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out.count("\n") == 1 and str(tmp_path / "bad.ipynb") in out and len(out) < 400
    assert err.startswith("error: 1 of 1 failed")


def test_path_that_is_not_there_and_folder_without_a_notebook_are_named(tmp_path, scored, capsys):
    hand_in(tmp_path, "a.ipynb", "empty/notes.txt")
    paths = [str(tmp_path / name) for name in ("gone.ipynb", "empty", "a.ipynb")]
    assert command.main(["score", *paths]) == 1
    assert scored == ["a.ipynb"] or scored == ["gone.ipynb", "a.ipynb"]
    assert paths[1] in capsys.readouterr().err


@POSIX
def test_name_that_is_no_text_is_printed(tmp_path, scored, capsys):
    path = tmp_path / os.fsdecode(b"x_\xff.ipynb")
    path.write_text("{}")
    assert command.main(["score", str(tmp_path)]) == 0
    assert "x_\\udcff.ipynb: 1 of 1" in capsys.readouterr().out


# ---------------------------------------------------------------------------- build and solve


@pytest.mark.parametrize(("name", "function"), [("build", "student_text"), ("solve", "solve")])
def test_other_lessons_are_made_after_one_that_fails(name, function, tmp_path, monkeypatch, capsys):
    made = []

    def make(source):
        if source.stem.startswith("02"):
            raise ValueError("a marker is wrong")
        made.append(source.stem[:2])
        return (command.ROOT / "x.ipynb", 1.0) if name == "solve" else "text"

    monkeypatch.setattr(command, function, make)
    monkeypatch.setattr(command, "student_path", lambda source: command.ROOT / f"{source.stem}.nb")
    monkeypatch.setattr(command.Path, "write_text", lambda *_, **__: None)
    assert command.main([name, "1", "2", "3"]) == 1
    assert made == ["01", "03"]
    out, err = capsys.readouterr()
    assert f"{sources(['2'])[0]}: a marker is wrong" in out
    assert err == f"error: 1 of 3 failed: {sources(['2'])[0]}\n"


def test_lesson_that_is_none_is_refused_before_any_is_made(capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["build", "77"])
    assert stopped.value.code == 2
    assert "no lesson 77" in capsys.readouterr().err


def test_missing_package_is_named_and_ends_the_command(monkeypatch, capsys):
    def solve(source):
        raise ModuleNotFoundError("No module named 'nbclient'")

    monkeypatch.setattr(command, "solve", solve)
    with pytest.raises(SystemExit) as stopped:
        command.main(["solve", "1", "2"])
    assert stopped.value.code == 2
    assert "requirements/lessons.txt" in capsys.readouterr().err


# ---------------------------------------------------------------------------- what runs


def test_reading_takes_the_text_of_the_cells_of_code_alone(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": "a text"},
        {"cell_type": "code", "source": ["x = 1\n", "y = 2"], "metadata": 3, "outputs": "spoilt"},
        {"cell_type": "code", "source": "z = 3"},
    ]
    lesson(cells=cells, kernelspec=[1], language_info="python")(tmp_path)
    found = running._read(tmp_path / "bad.ipynb")
    assert found == ("lesson_02", ["", "x = 1\ny = 2", "z = 3"])


@pytest.mark.parametrize("seconds", ["0", "-3", "soon"])
def test_time_for_a_cell_is_at_least_a_second(seconds, capsys):
    with pytest.raises(SystemExit):
        command.main(["score", "any.ipynb", "--timeout", seconds])
    assert "argument --timeout" in capsys.readouterr().err
