"""The lessons' command goes on after a file that cannot be used, names it and exits with 1."""

import io
import os

import pytest

from lessons import __main__ as command
from lessons.notebooks import sources
from lessons.scoring import Result, Score

POSIX = pytest.mark.skipif(os.name == "nt", reason="links and names of bytes")
PASSED = [Result("a_check", "passed", "")]


@pytest.fixture
def scored(monkeypatch):
    """The notebooks that were scored, without running any; those named "bad" are none."""
    done = []

    def score_all(paths, limits, processes):
        for path in paths:
            done.append(path.name)
            error = f"{path} is no notebook" if path.stem == "bad" else ""
            yield Score(path, "02_x", PASSED, error=error)

    monkeypatch.setattr(command, "score_all", score_all)
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
    failing = Score(
        tmp_path / "a.ipynb", "02_x", [Result("a_check", "failed", "wrong\nthere")], ["a sign"]
    )
    monkeypatch.setattr(command, "score_all", lambda *_: [failing])
    assert command.main(["score", str(tmp_path / "a.ipynb"), "--out", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert "a.ipynb: 0 of 1 points\n  failed        a_check: wrong" in out and not err
    assert f"to look at: {tmp_path / 'a.ipynb'}: a sign" in out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "scores.csv",
        "scores.json",
        "feedback",
    }


def test_file_that_cannot_be_scored_is_named_and_the_exit_status_tells(tmp_path, scored, capsys):
    hand_in(tmp_path, "a.ipynb", "bad.ipynb", "c.ipynb")
    assert command.main(["score", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert "a.ipynb: 1 of 1" in out and "c.ipynb: 1 of 1" in out
    assert f"{tmp_path / 'bad.ipynb'} is no notebook\n" in out
    assert err == f"error: 1 of 3 failed: {tmp_path / 'bad.ipynb'}\n"


def test_folder_without_a_notebook_is_scored_as_itself(tmp_path, scored):
    hand_in(tmp_path, "a.ipynb", "empty/notes.txt")
    paths = [str(tmp_path / name) for name in ("gone.ipynb", "empty", "a.ipynb")]
    assert command.main(["score", *paths]) == 0 and scored == ["gone.ipynb", "empty", "a.ipynb"]


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

    def make(source, threads=None):
        if source.stem.startswith("02"):
            raise ValueError("a marker is wrong")
        made.append(source.stem[:2])
        return (tmp_path / "x.ipynb", 1.0) if name == "solve" else "text"

    monkeypatch.setattr(command, function, make)
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "student_path", lambda source: tmp_path / f"{source.stem}.nb")
    assert command.main([name, "1", "2", "3"]) == 1
    assert made == ["01", "03"]
    out, err = capsys.readouterr()
    assert f"{sources(['2'])[0]}: a marker is wrong" in out
    assert err == f"error: 1 of 3 failed: {sources(['2'])[0]}\n"


def test_build_leaves_a_notebook_that_someone_has_worked_in_unless_forced(
    tmp_path, monkeypatch, capsys
):
    pytest.importorskip("jupytext")
    path = tmp_path / "02_backward.ipynb"
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "student_path", lambda source: path)
    assert command.main(["build", "2"]) == 0
    made = path.read_text(encoding="utf-8")
    assert command.main(["build", "2"]) == 0
    for old, new in (("use_style()", "mine()"), ('"outputs": []', '"outputs": [{}]')):
        path.write_text(made.replace(old, new, 1), encoding="utf-8")
        assert command.main(["build", "2"]) == 1
        assert "someone has worked in it" in capsys.readouterr().out
        assert path.read_text(encoding="utf-8") == made.replace(old, new, 1)
    assert command.main(["build", "2", "--force"]) == 0
    assert path.read_text(encoding="utf-8") == made


def test_start_writes_copies_to_work_in_and_keeps_those_that_are_there(tmp_path, monkeypatch):
    pytest.importorskip("jupytext")
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "WORK", tmp_path / "work")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "02_backward.ipynb").write_text("mine")
    assert command.main(["start", "2", "3"]) == 0
    assert (tmp_path / "work" / "02_backward.ipynb").read_text() == "mine"
    assert "NotImplementedError" in (tmp_path / "work" / "03_convolution.ipynb").read_text(
        encoding="utf-8"
    )


def test_lesson_that_is_none_is_refused_before_any_is_made(capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["build", "77"])
    assert stopped.value.code == 2
    assert "no lesson 77" in capsys.readouterr().err


def test_lessons_side_by_side_have_a_thread_each(tmp_path, monkeypatch):
    threads_of = {}

    def solve(source, threads):
        threads_of[source.stem[:2]] = threads
        return tmp_path / "x.ipynb", 1.0

    monkeypatch.setattr(command, "solve", solve)
    monkeypatch.setattr(command, "ROOT", tmp_path)
    assert command.main(["solve", "1", "2", "--processes", "2"]) == 0
    assert command.main(["solve", "3"]) == 0
    assert threads_of == {"01": 1, "02": 1, "03": None}


def test_missing_package_is_named_and_ends_the_command(monkeypatch, capsys):
    def solve(source, threads):
        raise ModuleNotFoundError("No module named 'nbclient'")

    monkeypatch.setattr(command, "solve", solve)
    with pytest.raises(SystemExit) as stopped:
        command.main(["solve", "1", "2"])
    assert stopped.value.code == 2
    assert "requirements/lessons.txt" in capsys.readouterr().err


# ---------------------------------------------------------------------------- limits


@pytest.mark.parametrize("seconds", ["0", "-3", "soon"])
def test_time_for_a_check_is_at_least_a_second(seconds, capsys):
    with pytest.raises(SystemExit):
        command.main(["score", "any.ipynb", "--timeout", seconds])
    assert "argument --timeout" in capsys.readouterr().err


def test_release_into_what_is_a_lesson_is_refused(capsys):
    with pytest.raises(SystemExit) as end:
        command.main(["release", "2"])
    assert end.value.code == 2 and "release OUT 2" in capsys.readouterr().err
