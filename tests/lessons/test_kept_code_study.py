"""The small study runs with what a student kept, and its page says so."""

import argparse
import json

import pytest
from kept_answers import notebook
from sources import program

from lessons import own_study
from lessons.own import keep
from lessons.own_command import add_study
from lessons.own_places import exchanges
from lessons.own_source import NotKept
from ums.experiments.settings import Settings

TINY = Settings(
    replicates=1, width=0.05, labels=8, source_images=20, source_steps=2, steps=2, evaluations=1,
    batch=4, rate=1e-3,
)  # fmt: skip


def test_study_runs_with_kept_code_and_its_page_says_whose(tmp_path, monkeypatch):
    monkeypatch.setattr(own_study, "ARMS", ("scratch", "joint"))
    answers = notebook(program("06_losses"), "<06>")
    keep(answers["bce"], folder=tmp_path)
    with open(tmp_path / "bce.py", "a", encoding="utf-8") as file:
        file.write(f"\nright = bce\n\n\ndef bce(z, t):\n    open({str(tmp_path / 'used')!r}, 'w')")
        file.write(".close()\n    return right(z, t)\n")
    page = own_study.study(tmp_path, settings=TINY, side=32)
    assert (tmp_path / "used").is_file()
    assert page == tmp_path / "study" / "own" / "report.html"
    assert "This study ran with a student&#39;s bce (lesson 6)" in page.read_text(encoding="utf-8")
    told = json.loads((page.parent / "tables.json").read_text(encoding="utf-8"))
    rows = told["tables"][0]["rows"]
    assert told["run"]["Code"] == "a student's bce (lesson 6)"
    assert [row["Task"] for row in rows] == ["denoising", *["lungs", "abnormality"] * 2]
    assert max(row["Relative difference"] for row in rows) < 1e-3
    library = (tmp_path / "study" / "library" / "study.json").read_text(encoding="utf-8")
    assert "student" not in library


def test_study_runs_with_a_layer_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setattr(own_study, "ARMS", ("scratch", "joint"))
    keep(notebook(program("t1_layer"), "<t1>")["AveragingBatchNorm"], folder=tmp_path)
    page = own_study.study(tmp_path, settings=TINY, side=32)
    assert "a student&#39;s AveragingBatchNorm (task 1)" in page.read_text(encoding="utf-8")


def test_command_says_that_nothing_is_kept(tmp_path):
    parser = argparse.ArgumentParser()
    add_study(parser.add_subparsers())
    options = parser.parse_args(["study", "--own", str(tmp_path), "--only", "bce", "dice"])
    assert options.only == ["bce", "dice"]
    with pytest.raises(NotKept, match=r"bce is not in .*; there are: none"):
        options.run(options)
    assert list(tmp_path.iterdir()) == []


def test_answers_with_one_place_are_refused_together():
    answers = dict.fromkeys(["batchnorm_forward", "batchnorm_backward", "AveragingBatchNorm"], max)
    with pytest.raises(
        ValueError, match=r"one place, the batch norm: .* --only AveragingBatchNorm"
    ):
        exchanges(answers)
