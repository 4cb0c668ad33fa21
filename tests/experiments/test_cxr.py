"""The chest X-ray study from the command line, end to end on tiny made-up hospitals."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from small_sets import blank, save_all
from study_runs import jobs_in, leave_out_training, records_alone, run, tables

from ums.experiments import evaluation
from ums.experiments.__main__ import main

TABLES = {
    "diverse": ["table-3-segmentation", "diverse-segmentation-held-out", "table-3-classification",
                "diverse-classification-held-out", "diverse-comparisons", "heat-maps-diverse", "table-4"],
    "similar": ["table-5-classification", "similar-classification-held-out",
                "similar-comparisons", "table-6"],
}  # fmt: skip
SHARED = ["claims", "table-2", "denoising-filters"]

pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.fixture
def blank_pictures(monkeypatch):
    monkeypatch.setattr(Figure, "savefig", blank)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Four prepared folders, to be left as they are."""
    return save_all(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def finished(folders, tmp_path_factory, few_resamples):
    """The folder of one whole run, pictures and all, to be left as it is."""
    out = tmp_path_factory.mktemp("results") / "cxr"
    assert run("cxr", folders, out) == 0
    return out


# ---------------------------------------------------------------------------- what a run leaves

STRATEGIES = ("independent", "alternating", "joint", "separate")
TUNED = {
    f"{group}-fold{fold}-{arm}"
    for group, arms in (("diverse", (*STRATEGIES, "control")), ("similar", STRATEGIES))
    for fold in (1, 2)
    for arm in arms
}
OTHERS = {"source-test", *(f"{group}-{kind}" for group in TABLES for kind in ("cases", "pictures"))}


def test_run_leaves_a_page_tables_figures_weights_and_records(finished):
    assert {path.name for path in finished.iterdir()} - {".lock"} == {
        "report.html", "tables.txt", "tables.json", "figures", "study.json", "weights", "records",
    }  # fmt: skip
    assert set(jobs_in(finished / "weights", "npz")) == {"source", *TUNED}
    assert set(jobs_in(finished / "records", "json")) == {"source", *TUNED, *OTHERS}


def test_study_file_names_every_record_there_is_behind_those_it_needs(finished):
    study = json.loads((finished / "study.json").read_text())
    names = study["jobs"][""]
    assert sorted(names) == sorted(path.name for path in (finished / "records").glob("*.json"))
    kinds = [json.loads((finished / "records" / name).read_text())["job"]["kind"] for name in names]
    assert kinds[:4] == ["cases", "cases", "source", "source-test"]
    assert [i for i, kind in enumerate(kinds) if kind == "pictures"] == [4 + 10, 4 + 10 + 1 + 8]
    assert (study["study"], study["records"]) == ("cxr", "records")


def test_weights_and_records_leave_nothing_half_written(finished):
    names = [path.name for each in ("weights", "records") for path in (finished / each).iterdir()]
    assert not [name for name in names if "checkpoint" in name or "partial" in name]


def test_tables_are_those_of_the_paper_and_those_beside_them(finished):
    assert set(tables(finished)) == {*SHARED, *TABLES["diverse"], *TABLES["similar"]}


def test_page_shows_both_groups(finished):
    page = (finished / "report.html").read_text()
    for name in ("Hospital 1", "Hospital 2", "Children", "Lung segmentation", "Viral vs normal"):
        assert name in page
    pictures = {path.stem for path in (finished / "figures").iterdir()}
    for group in TABLES:
        assert f"folds-{group}" in pictures and f"crossover-{group}" in pictures
    assert page.count("data:image/") >= len(pictures) >= 10


def test_written_numbers_are_valid_json_without_nan(finished):
    def refuse(constant):
        raise AssertionError(constant)

    text = (finished / "tables.json").read_text()
    json.loads(text, parse_constant=refuse)
    assert '"nan' not in text.lower()


RANGES = {
    "Accuracy": (0, 1), "F-score": (0, 1), "IoU": (0, 1), "Two-class IoU": (0, 1), "MCC": (-1, 1),
    "AUC": (0, 1), "PSNR, noisy": (5, 60), "SSIM, noisy": (-1, 1), "PSNR": (5, 60),
    "SSIM": (-1, 1), "MS-SSIM": (0, 1), "Minutes": (0, 10), "Epochs": (1, 2), "p": (0, 1),
    "p, corrected": (0, 1), "Difference": (-2, 2), "Difference here": (-2, 2),
    "Inside the lungs": (0, 1), "Inside the opacity": (0, 1), "p, lungs": (0, 1),
}  # fmt: skip


def test_tables_hold_numbers_in_their_ranges(finished):
    checked = set()
    for rows in tables(finished).values():
        for name, value in (item for row in rows for item in row.items() if item[0] in RANGES):
            low, high = RANGES[name]
            for number in value["folds"] if isinstance(value, dict) else [value]:
                if number is not None:
                    assert low <= number <= high, (name, number)
                    checked.add(name)
    assert checked == set(RANGES)


def test_every_score_has_a_value_for_each_fold(finished):
    for name in ("table-3-segmentation", "table-3-classification", "table-5-classification"):
        for row in tables(finished)[name]:
            measured = [value for value in row.values() if isinstance(value, dict)]
            assert len(measured) == 4
            for value in measured:
                assert len(value["folds"]) == 2
                assert value["mean"] == pytest.approx(np.mean(value["folds"]))


def test_tables_count_the_images(finished):
    found = tables(finished)
    for name, images in {
        "table-3-segmentation": [48] * 4,
        "table-3-classification": [48] * 4,
        "diverse-segmentation-held-out": [48] * 4,
        "table-5-classification": [16] * 12,
        "similar-classification-held-out": [32] * 12,
    }.items():
        assert [row["Images"] for row in found[name]] == images


def test_tables_count_the_parameters(finished):
    parts = {
        (row["Approach"], row["Part"]): row["Trainable parameters"]
        for row in tables(finished)["table-4"]
    }
    # a tenth of the paper's channels: batch norm of 26, to 256 hidden units, 256 to 2 classes
    head = 2 * 26 + (26 * 256 + 256) + (256 * 2 + 2)
    assert parts["Proposed", "Abnormality head"] == head
    whole = parts["Baseline", "Lung segmentation model"]  # the source's form, for one channel
    assert {v for (_, part), v in parts.items() if "denoi" in part and "and" not in part} == {whole}
    # tuned together, the encoder (the autoencoder but its decoder, the lungs' head) moves again
    for strategy in ("Alternating", "Joint"):
        assert parts[strategy, "Encoder and heads"] == whole + head


def test_lung_scores_satisfy_the_identities_between_them(finished):
    for row in tables(finished)["table-3-segmentation"]:
        for i in (0, 1):
            iou, f, both, right = (
                row[m]["folds"][i] for m in ("IoU", "F-score", "Two-class IoU", "Accuracy")
            )
            assert f / 2 <= iou <= f and (iou < f or f in (0, 1)) and both <= right


def test_claims_repeat_the_differences_of_the_comparisons(finished):
    found = tables(finished)
    compared = {
        (row["Task"], row["Compared"]): (row["Difference"]["mean"], row["p, corrected"])
        for group in TABLES
        for row in found[f"{group}-comparisons"]
    }
    assert len(found["claims"]) == len(compared) == 6 * 5
    for row in found["claims"]:
        mean, p = row["Difference here"]["mean"], row["p"]
        assert any(
            task == row["Task"] and abs(m) == pytest.approx(abs(mean)) and corrected == p
            for (task, _), (m, corrected) in compared.items()
        )


@pytest.mark.parametrize("silent", [range(3, 4), range(100)], ids=["one network", "all"])
def test_network_without_a_heat_map_leaves_its_place_empty(
    silent, folders, tmp_path, blank_pictures, monkeypatch
):
    """Nothing may speak for a class anywhere, in all images of a fold."""
    leave_out_training(monkeypatch)
    calls = iter(range(100))

    def mass_inside(maps, masks):
        return np.full(len(maps), np.nan if next(calls) // 2 in silent else 0.25)

    monkeypatch.setattr(evaluation, "mass_inside", mass_inside)
    assert run("cxr", folders, tmp_path, "--groups", "diverse") == 0
    rows = tables(tmp_path)["heat-maps-diverse"][:5]
    found = [value for row in rows for value in row["Inside the lungs"]["folds"]]
    if silent == range(100):
        assert found == [None] * 10
    else:  # two masks: the fourth strategy's network of the first fold
        assert found == [0.25] * 6 + [None] + [0.25] * 3


# ---------------------------------------------------------------------------- other runs


def test_page_is_made_from_records_alone(finished, tmp_path, blank_pictures):
    folder = records_alone(finished, tmp_path)
    assert main(["report", str(folder)]) == 0
    for name in ("tables.json", "tables.txt"):
        assert (folder / name).read_bytes() == (finished / name).read_bytes()
    pictures = {path.name for path in (finished / "figures").iterdir()}
    assert {path.name for path in (folder / "figures").iterdir()} == pictures


def test_page_of_an_untrained_source_mentions_no_denoiser_before_separate_models(
    folders, tmp_path, blank_pictures, monkeypatch
):
    leave_out_training(monkeypatch)
    assert run("cxr", folders, tmp_path, "--source-epochs", "0", "--groups", "diverse") == 0
    page = (tmp_path / "report.html").read_text()
    assert page.count("separate models saw the images as they are") == 2
    for words in ("eparate denoiser", "behind a denoiser", "denoising takes", "or the denoiser"):
        assert words not in page
