"""Published records: reduced ones that say the same, and the results page that is written from them."""

import lzma
from dataclasses import replace

import numpy as np
import pytest
from made_records import jobs_of, study_of

from ums.experiments.names import ALTERNATING, DIVERSE, JOINT, ONE_ENCODER, SIMILAR, SINGLE
from ums.experiments.report.results import PAGE, results_page
from ums.experiments.report.sections import build
from ums.experiments.results import published as module
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.published import FOLDER, publish, published

ARMS = (SINGLE, ALTERNATING, JOINT)


@pytest.fixture(scope="module")
def study():
    parts = {"": jobs_of(DIVERSE, ARMS) | jobs_of(SIMILAR, ARMS)}
    level = jobs_of(DIVERSE, ARMS, perfect=(JOINT,))
    level = {replace(job, seed=1): record for job, record in level.items()}  # files of its own
    return study_of(parts | {"labels: 50 labels": level})


@pytest.fixture
def folder(study, tmp_path):
    publish(study, tmp_path / "cxr.json.xz")
    return tmp_path


def test_published_records_give_the_contrasts_of_all_records_rounded(study, folder):
    read = published("cxr", folder)
    assert (read.name, read.about, list(read.parts)) == (study.name, study.about, list(study.parts))
    for part, names in {"": (DIVERSE, SIMILAR), "labels: 50 labels": (DIVERSE,)}.items():
        for name in names:
            ours, theirs = (GroupResults(of.parts[part], name) for of in (read, study))
            for task in theirs.tasks:
                a, b = (each.contrast(JOINT, SINGLE, task.name) for each in (ours, theirs))
                np.testing.assert_allclose([a.mean, *a.both], [b.mean, *b.both], atol=2e-3)
                assert a.replicates == b.replicates


def test_published_is_what_results_need_and_of_levels_test_scores_alone(folder):
    of_level, of_main = (
        published("cxr", folder).parts[part].of("tune", DIVERSE, JOINT)[0]["tasks"]["lungs"]
        for part in ("labels: 50 labels", "")
    )
    assert of_main["own epoch"].keys() == {"test", "held-out"}
    assert of_main["own epoch"]["test"].keys() == {"IoU", "Accuracy"}
    assert ONE_ENCODER not in of_main and of_main["history"].keys() == {"validation", "seconds"}
    assert of_level["own epoch"].keys() == {"test"} and "history" not in of_level
    assert of_level["own epoch"]["test"].keys() == {"IoU"}


def test_nothing_is_published_under_another_name_and_damage_is_named(folder):
    assert published("echo", folder) is None
    path = folder / "cxr.json.xz"
    text = lzma.decompress(path.read_bytes()).replace(b'"seed":0', b'"seed":1', 1)
    for content in (lzma.compress(text), path.read_bytes()[:-40]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"cxr\.json\.xz cannot be read"):
            published("cxr", folder)


def test_page_of_a_study_has_the_published_contrasts_beside_its_own(study, folder, monkeypatch):
    from ums.experiments.report import cxr

    tables = {}
    for where in (folder, folder / "none"):
        monkeypatch.setattr(module.published, "__defaults__", (where,))
        report = build(study_of({"": jobs_of(DIVERSE, ARMS)}), cxr.TEXT, None)
        tables[where] = {table.name: table for table in report.tables}
    assert "published-contrasts" not in tables[folder / "none"]
    beside = tables[folder]["published-contrasts"]
    whole = GroupResults(study.parts[""], SIMILAR).contrast(JOINT, SINGLE, "viral-normal")
    (row,) = (row for row in beside.rows if row["Question"] == "Sharing, joint")
    assert row["Viral vs normal, MCC"].mean == pytest.approx(whole.mean, abs=1e-3)
    assert len(tables[folder]["contrasts"].columns) == 4


def test_every_number_of_the_results_page_is_that_of_the_published_records():
    assert PAGE.read_text(encoding="utf-8") == results_page()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json.xz")), ids=lambda path: path.name)
def test_every_published_study_is_small_and_has_replicates(path):
    study = published(path.name.removesuffix(".json.xz"))
    assert path.stat().st_size < 15e6
    for name in study.parts[""].groups:
        assert GroupResults(study.parts[""], name).replicates > 1
