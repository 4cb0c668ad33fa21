"""Ablations: every variant changes what it names, and nothing else."""

import shutil
from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from small_sets import CPU, blank, hospital, note_computed
from study_runs import error_line, records_alone, short, tables
from study_runs import run as run_study

from ums.data.crop import crop_to_foreground
from ums.experiments.__main__ import main
from ums.experiments.ablation import cropped_to_foreground, variant_study, with_source
from ums.experiments.ablation_list import (
    ABLATIONS,
    SUBSET,
    TARGET,
    UNCHANGED,
    Ablation,
    Variant,
)
from ums.experiments.cxr import CXR, diverse_group
from ums.experiments.datasets import fingerprint
from ums.experiments.names import SEGMENTATION, STRATEGIES, TEST, TOGETHER
from ums.experiments.report import ablation as page
from ums.experiments.report.group import LABELS
from ums.experiments.results import scores
from ums.experiments.results.claims import Verdict
from ums.experiments.run import Run
from ums.experiments.settings import Settings
from ums.experiments.store import Store

OPTIONS = ["--epochs", "1", "--source-epochs", "1", "--classifier-epochs", "1", "--batch", "2"]
NAMES = [ablation.name for ablation in ABLATIONS]
VARIANTS = [(ablation, variant) for ablation in ABLATIONS for variant in ablation.variants]


def framed(n, seed, side=16, border=2):
    """Images with a black border on the left and right, which cropping takes away."""
    images = np.random.default_rng(seed).integers(20, 256, (n, side, side), dtype=np.uint8)
    images[:, :, :border] = images[:, :, -border:] = 0
    return images


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The three hospitals; the source is the largest."""
    folder = tmp_path_factory.mktemp("prepared")
    for seed, (name, n) in enumerate((("source", 72), ("target", 48), ("test", 48))):
        hospital(folder / name, seed, n, side=16, images=framed(n, seed))
    return folder


@pytest.fixture(scope="module")
def datasets(folders):
    return CXR.layout.load(folders)


def run(study, folders, out, *more):
    return run_study(study, folders, out, *OPTIONS, *more)


def test_an_ablation_concerns_the_arms_that_its_variants_can_change():
    arms = {ablation.name: set(ablation.arms) for ablation in ABLATIONS}
    heads = {"independent", "alternating"}
    assert arms["normalisation"] == arms["labels"] == heads | {"separate"}
    assert arms["length"] == arms["images"] == heads
    assert arms["statistics"] == {"independent"} and arms["weights"] == {"joint"}
    assert arms["stopping"] == set(TOGETHER) and arms["augmentation"] == set(STRATEGIES)


# ---------------------------------------------------------------------------- what a variant changes


def counts(prepared):
    return {split: int((prepared.splits == split).sum()) for split in ("train", "validation")}


def rows_of(images, among):
    """The places of images in another array of images, none of which is there twice."""
    return [int(np.flatnonzero((among == image).all((1, 2)))[0]) for image in images]


def test_source_of_the_training_hospital_is_what_it_has_to_train_on_and_to_stop_by(datasets):
    changed = with_source(Variant("", source=TARGET), datasets, 0)
    target = datasets.groups[0].train_set
    rows = [
        *np.flatnonzero(target.splits == "train"),
        *np.flatnonzero(target.splits == "validation"),
    ]
    assert changed.source.ids.tolist() == target.ids[rows].tolist()
    assert (changed.source.images == target.images[rows]).all()
    assert changed.groups is datasets.groups


def test_subset_is_images_of_the_studys_source_as_many_as_the_training_hospitals(datasets):
    changed = with_source(Variant("", source=SUBSET), datasets, 0)
    assert counts(changed.source) == counts(datasets.groups[0].train_set) != counts(datasets.source)
    rows = rows_of(changed.source.images, datasets.source.images)
    n = counts(changed.source)["train"]
    for some in (rows[:n], rows[n:]):
        assert some == sorted(set(some))
    assert rows[:n] != np.flatnonzero(datasets.source.splits == "train")[:n].tolist()
    for name in ("ids", "patients", "splits"):
        expected = getattr(datasets.source, name)[rows]
        assert getattr(changed.source, name).tolist() == expected.tolist()


def test_subset_is_drawn_by_the_seed(datasets):
    first, again, other = (
        with_source(Variant("", source=SUBSET), datasets, seed).source.ids.tolist()
        for seed in (0, 0, 1)
    )
    assert first == again != other


def test_subset_of_a_smaller_source_is_all_of_it(datasets):
    swapped = replace(datasets, source=datasets.source.subset(np.arange(24)))
    changed = with_source(Variant("", source=SUBSET), swapped, 0)
    assert counts(changed.source) == counts(swapped.source)


@pytest.mark.parametrize("source", [TARGET, SUBSET])
def test_few_images_are_repeated_to_as_many_steps_and_training_stops_by_the_same(source, datasets):
    few, repeated = (
        with_source(Variant("", source=source, same_steps=same), datasets, 0).source
        for same in (False, True)
    )
    assert counts(few) == {"train": 32, "validation": 8}
    assert counts(repeated) == {"train": 48, "validation": 8}  # the study's source has 48
    train, validation = (few.ids[few.splits == split] for split in ("train", "validation"))
    assert repeated.ids.tolist() == [*train, *train[:16], *validation]


def test_sources_of_other_images_never_take_each_others_weights(datasets):
    target = datasets.groups[0].train_set.subset(np.arange(24))
    smaller = replace(datasets, groups=(diverse_group(target, datasets.groups[0].test_set),))
    prints = [fingerprint(datasets.source)]
    for some in (datasets, smaller):
        for source in (TARGET, SUBSET):
            for same in (False, True):
                variant = Variant("", source=source, same_steps=same)
                prints.append(fingerprint(with_source(variant, some, 0).source))
    assert all(a != b for a, b in combinations(prints, 2))


def test_cropping_is_of_every_image_of_source_target_and_test_and_of_their_masks(datasets):
    cropped, group = cropped_to_foreground(datasets), datasets.groups[0]
    changed = cropped.groups[0]
    for before, after in (
        (datasets.source, cropped.source),
        (group.train_set, changed.train_set),
        (group.test_set, changed.test_set),
    ):
        expected = crop_to_foreground(before.images, before.masks, before.opacities)
        for name, array in zip(("images", "masks", "opacities"), expected, strict=True):
            assert (getattr(after, name) == array).all()
            assert not (array == getattr(before, name)).all()
        assert (after.images[:, :, [0, -1]] > 8).any((1, 2)).all()
        assert fingerprint(after) != fingerprint(before)
    assert (changed.task("lungs").train.targets == changed.train_set.masks).all()


@pytest.mark.parametrize(("ablation", "variant"), VARIANTS)
def test_variant_changes_what_it_names_and_keeps_the_folds(ablation, variant, datasets, tmp_path):
    settings = Settings(folds=2, width=0.1, batch=2)
    study = variant_study(variant, datasets, Run(settings, CPU, Store(tmp_path)))
    assert study.settings == replace(settings, **variant.changes)
    changed = study.datasets
    images = [changed.source, changed.groups[0].train_set, changed.groups[0].test_set]
    as_they_are = [datasets.source, datasets.groups[0].train_set, datasets.groups[0].test_set]
    same = [a is b for a, b in zip(images, as_they_are, strict=True)]
    other_source = variant.source != UNCHANGED.source
    assert same == ([False] * 3 if variant.cropped else [not other_source, True, True])
    assert bool(variant.changes) + variant.cropped + other_source == 1


# ---------------------------------------------------------------------------- a run


@pytest.fixture(scope="module")
def ran(folders, tmp_path_factory, few_resamples):
    """The study, then all ablations in its folder: the folder, and what the second computed."""
    out = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", blank)
        assert run("cxr", folders, out) == 0
        computed = note_computed(patch)
        assert run("ablation", folders, out) == 0
    return out, computed


def test_page_has_a_table_for_each_task_and_question(ran):
    found = tables(ran[0] / "ablation")
    kinds = [*(f"ablation-{name}" for name in NAMES), "sharing"]
    assert set(found) == {f"{kind}-{task}" for kind in kinds for task in ("lungs", "abnormality")}
    for ablation in ABLATIONS:
        labels = [variant.label for variant in (UNCHANGED, *ablation.variants)]
        pairs = [(LABELS[arm], label) for arm in ablation.arms for label in labels]
        for task in ("lungs", "abnormality"):
            rows = found[f"ablation-{ablation.name}-{task}"]
            assert [(row["Strategy"], row["Variant"]) for row in rows] == pairs
            for row in rows:
                assert ("p" in row) == (row["Variant"] != UNCHANGED.label)


def test_every_change_has_a_row_beside_separate_models(ran):
    rows = tables(ran[0] / "ablation")["sharing-lungs"]
    changes = [("As it is", "")] + [(a.title, variant.label) for a, variant in VARIANTS]
    assert [(row["Changed"], row["To"]) for row in rows] == changes
    for row, (ablation, _) in zip(rows[1:], VARIANTS, strict=True):
        there = {label for label in row if label not in ("Changed", "To")}
        assert there == {LABELS[arm] for arm in ablation.arms}
        for label in there:
            assert ("against separate models" in row[label]) == (label != LABELS["separate"])


def test_study_as_it_is_has_the_same_scores_on_both_pages(ran):
    own, beside = (tables(ran[0] / folder) for folder in (".", "ablation"))
    found = {row["Strategy"]: row["IoU"]["folds"] for row in own["table-3-segmentation"]}
    for row in beside["ablation-augmentation-lungs"]:
        if row["Variant"] == UNCHANGED.label:
            assert row["IoU"]["folds"] == found[row["Strategy"]]


def test_what_the_study_trained_is_not_trained_again(ran):
    """Each arm is trained once on each fold for each variant that concerns it, each source once."""
    expected = {
        f"diverse-fold{fold}-{arm}": sum(arm in ablation.arms for ablation, _ in VARIANTS)
        for arm in LABELS
        for fold in (1, 2)
    }
    weights, records = (list(map(short, names)) for names in (ran[1].weights, ran[1].records))
    for found in (weights, records):
        assert {name: found.count(name) for name in expected} == expected
    assert weights.count("source") == 2 + 2 + 4  # normalisation, length, images
    assert records.count("diverse-cases") == len(VARIANTS)
    assert set(weights) == {"source", *expected}  # none of the control for the heat maps


def test_second_run_trains_nothing(ran, folders, tmp_path, monkeypatch):
    monkeypatch.setattr(Figure, "savefig", blank)
    out, computed = shutil.copytree(ran[0], tmp_path / "out"), note_computed(monkeypatch)
    assert run("ablation", folders, out, "--questions", "images") == 0
    assert computed.weights == computed.records == []
    kinds = {name.rpartition("-")[0] for name in tables(out / "ablation")}
    assert kinds == {"ablation-images", "sharing"}


def test_page_is_made_from_records_alone(ran, tmp_path, monkeypatch):
    monkeypatch.setattr(Figure, "savefig", blank)
    folder = records_alone(ran[0], tmp_path, "ablation")
    assert main(["report", str(folder)]) == 0
    whole = ran[0] / "ablation" / "tables.json"
    assert (folder / "tables.json").read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--joint-weights", "1,2,3"], "as in the study: there are 3 weights for 2 tasks"),
        (["--folds", "13"], "as in the study: {}: class"),
        (["--batch", "8"], "labels: a quarter: {}: 4 images to train the lungs task on in fold 1"),
    ],
)
def test_what_is_wrong_for_a_variant_is_named_before_anything_is_trained(
    more, message, folders, tmp_path, monkeypatch, capsys
):
    computed = note_computed(monkeypatch)
    assert run("ablation", folders, tmp_path, *more) == 2
    assert message.format(folders / "target") in error_line(capsys)
    assert computed.weights == computed.records == []


def test_split_that_a_variants_source_lacks_is_named_before_anything_is_trained(
    folders, tmp_path, monkeypatch, capsys
):
    """The study's source has all its splits; the training hospital must have them for its own."""
    for name in ("source", "test"):
        (tmp_path / name).symlink_to(folders / name)
    hospital(tmp_path / "target", 1, side=16, splits=["train"] * 48)
    computed = note_computed(monkeypatch)
    out, questions = tmp_path / "out", ["--questions", "statistics", "images"]
    assert run("ablation", tmp_path, out, *questions) == 2
    assert "target: no image in split 'validation'" in error_line(capsys)
    assert computed.weights == computed.records == []


# ---------------------------------------------------------------------------- where sharing pays


def scores_of_masks(*of_folds):
    """A segmentation's scores on twelve cases, much the same for each, one value for each fold."""
    noise = np.random.default_rng(0).normal(0, 0.001, (len(of_folds), 12))
    values = {"IoU": np.array(of_folds)[:, None] + noise}
    return scores.CaseScores(SEGMENTATION, np.arange(12), None, values)


def results_of(**iou):
    """Results of one segmentation: arm -> the IoU of two folds."""
    task = SimpleNamespace(name="lungs", title="Lungs", kind=SEGMENTATION, measure="IoU")
    return SimpleNamespace(
        tasks=[task],
        test_name="Hospital 2",
        arms=tuple(iou),
        scores={(arm, TEST, "lungs"): scores_of_masks(*folds) for arm, folds in iou.items()},
        folds=lambda arm, task: list(iou[arm]),
        mean=lambda arm, where, task: float(np.mean(iou[arm])),
    )


def test_sharing_is_put_beside_separate_models_under_the_same_change_or_else_as_they_are():
    base = results_of(independent=(0.7, 0.8), alternating=(0.7, 0.7), separate=(0.7, 0.8))
    few = results_of(independent=(0.6, 0.6), alternating=(0.5, 0.7), separate=(0.4, 0.5))
    kept = results_of(alternating=(0.6, 0.7))
    tried = [
        (Ablation("labels", "Labels", "", ()), {"half": few}),
        (Ablation("stopping", "Kept", "", ()), {"best": kept}),
    ]
    section, summary = page.overview(base, tried, 0)
    verdicts = [
        {label: row[label].get("against separate models") for label in row if label[0] in "IAS"}
        for row in section.tables[0].rows
    ]
    HOLDS, FAILS, OPEN = Verdict
    assert verdicts == [
        {
            "Independent": OPEN,
            "Alternating": OPEN,
            "Separate (baseline)": None,
        },  # one fold is alike
        {"Independent": HOLDS, "Alternating": HOLDS, "Separate (baseline)": None},
        {"Alternating": FAILS},  # beside 0.7 and 0.8
    ]
    assert section.tables[0].rows[1]["Independent"]["mean"] == 0.6
    assert summary == [
        "Lungs on Hospital 2: in 1 of 5 comparisons sharing is below separate models, in 2 not "
        "distinguishable, in 2 above: independent (labels: half); alternating (labels: half)."
    ]
    text = section.tables[0].text()
    assert "0.600 ✓" in text and "0.650 ✗" in text and "0.750 ≈" in text


def test_sharing_is_corrected_for_all_comparisons_of_the_table():
    """Six cases that all differ one way have p = 1/32: enough alone, not among two."""
    rising = np.linspace(0, 0.001, 6)

    def results(arms, score):
        found = results_of(**{arm: (score,) for arm in arms})
        for arm in arms:
            values = {"IoU": score + rising[None] * (arm != "separate")}
            found.scores[arm, TEST, "lungs"] = scores.CaseScores(
                SEGMENTATION, np.arange(6), None, values
            )
        return found

    base = results(("separate",), 0.5)
    one = results(("independent",), 0.6)
    for times, expected in ((1, Verdict.HOLDS), (2, Verdict.OPEN)):
        tried = [(Ablation("c", "C", "", ()), {str(k): one for k in range(times)})]
        section, _ = page.overview(base, tried, 0)
        rows = section.tables[0].rows[1:]
        assert {row["Independent"]["against separate models"] for row in rows} == {expected}
