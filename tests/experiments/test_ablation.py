"""What it takes for sharing to pay: every variant changes what it names, and nothing else."""

import json
from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from small_sets import blank, hospital, note_computed
from ums.experiments.cxr_sets import CXR
from ums.experiments.report.part_tables import LABELS
from ums.experiments.stages import Stages

from ums.data.crop import crop_to_foreground
from ums.experiments import ablation as causes
from ums.experiments import cxr
from ums.experiments.ablation_list import AS_FEW, AS_GIVEN, CAUSES, OWN, Cause, Variant
from ums.experiments.report import ablation as causes_report
from ums.experiments.results import scores
from ums.experiments.results.claims import Verdict
from ums.experiments.runner import TEST
from ums.experiments.tasks import SEGMENTATION

SMALL = ["--width", "0.1", "--epochs", "1", "--source-epochs", "1", "--classifier-epochs", "1"]
SMALL += ["--folds", "2", "--batch", "2", "--device", "cpu", "--quiet"]
NAMES = [cause.name for cause in CAUSES]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The three hospitals; the source is the largest."""
    folder = tmp_path_factory.mktemp("prepared")
    for seed, (name, n) in enumerate((("source", 72), ("target", 48), ("test", 48))):
        hospital(folder / name, seed, n, side=16)
    return folder


@pytest.fixture
def sets(folders):
    return CXR.load(folders)


@pytest.fixture
def stages(tmp_path):
    return Stages(tmp_path / "stages", 0)


# ---------------------------------------------------------------------------- what a variant changes


def counts(prepared):
    return {split: int((prepared.splits == split).sum()) for split in ("train", "validation")}


def rows_of(images, among):
    """The places of images in another array of images, none of which is there twice."""
    return [int(np.flatnonzero((among == image).all((1, 2)))[0]) for image in images]


def test_own_source_is_what_the_training_hospital_has_to_train_on_and_to_stop_by(sets, stages):
    changed, own = causes.with_source(Variant("", source=OWN), sets, stages), sets.parts[0].learn
    rows = [*np.flatnonzero(own.splits == "train"), *np.flatnonzero(own.splits == "validation")]
    assert changed.source.ids.tolist() == own.ids[rows].tolist() and changed.parts is sets.parts
    assert (changed.source.images == own.images[rows]).all()
    assert changed.fingerprints()["source"] == sets.fingerprints(sets.parts[0])["diverse"]


def test_as_few_are_images_of_the_studys_source_as_many_as_the_training_hospitals(sets, stages):
    changed = causes.with_source(Variant("", source=AS_FEW), sets, stages)
    assert counts(changed.source) == counts(sets.parts[0].learn) != counts(sets.source)
    rows = rows_of(changed.source.images, sets.source.images)
    n = counts(changed.source)["train"]
    for some in (rows[:n], rows[n:]):
        assert some == sorted(set(some))
    assert rows[:n] != np.flatnonzero(sets.source.splits == "train")[:n].tolist()
    for name in ("ids", "patients", "splits"):
        assert getattr(changed.source, name).tolist() == getattr(sets.source, name)[rows].tolist()


def test_as_few_are_drawn_by_the_seed_and_never_taken_for_all(sets, stages, tmp_path):
    variant = Variant("", source=AS_FEW)
    first, again = (causes.with_source(variant, sets, stages) for _ in range(2))
    assert first.source.ids.tolist() == again.source.ids.tolist()
    other = causes.with_source(variant, sets, Stages(tmp_path / "other", 1))
    assert other.source.ids.tolist() != first.source.ids.tolist()
    assert first.fingerprints() != sets.fingerprints()


def test_as_few_of_a_smaller_source_are_all_of_them(sets, stages):
    swapped = replace(sets, source=sets.source.subset(np.arange(24)))
    changed = causes.with_source(Variant("", source=AS_FEW), swapped, stages)
    assert counts(changed.source) == counts(swapped.source)


@pytest.mark.parametrize("source", [OWN, AS_FEW])
def test_as_long_repeats_few_images_to_as_many_steps_and_stops_by_the_same(source, sets, stages):
    few, long = (
        causes.with_source(Variant("", source=source, as_long=long), sets, stages).source
        for long in (False, True)
    )
    assert counts(few) == {"train": 32, "validation": 8}
    assert counts(long) == {"train": 48, "validation": 8}  # the study's source has 48
    train, validation = (few.ids[few.splits == split] for split in ("train", "validation"))
    assert long.ids.tolist() == [*train, *train[:16], *validation]


def test_sources_of_other_images_never_take_each_others_stages(sets, tmp_path, stages):
    prints = []
    smaller = replace(
        sets, parts=(cxr_part(hospital(tmp_path / "fewer", 1, 24, side=16), sets.parts[0].test),)
    )
    for some in (sets, smaller):
        for source in (OWN, AS_FEW):
            for long in (False, True):
                variant = Variant("", source=source, as_long=long)
                prints.append(causes.with_source(variant, some, stages).fingerprints())
    assert all(a != b for a, b in combinations([sets.fingerprints(), *prints], 2))


def framed(prepared):
    """The set with a black border of four pixels on the left and right of every image."""
    images = np.array(prepared.images)
    images[:, :, :4] = images[:, :, -4:] = 0
    return replace(prepared, images=images)


def test_cropping_is_of_every_image_of_source_target_and_test_and_of_their_masks(sets):
    source, part = framed(sets.source), sets.parts[0]
    framed_part = cxr_part(framed(part.learn), framed(part.test))
    cropped = causes.cropped_to_film(replace(sets, source=source, parts=(framed_part,)))
    for before, after in (
        (source, cropped.source),
        (framed_part.learn, cropped.parts[0].learn),
        (framed_part.test, cropped.parts[0].test),
    ):
        images, masks = crop_to_foreground(before.images, before.masks)
        assert (after.images == images).all() and (after.masks == masks).all()
        assert not (images == before.images).all() and not (masks == before.masks).all()
    targets = cropped.parts[0].tasks[0].learn.targets
    assert (targets == cropped.parts[0].learn.masks).all()
    assert cropped.fingerprints() != sets.fingerprints()


def cxr_part(learn, test):
    return CXR.parts["diverse"][1](learn, test)


# ---------------------------------------------------------------------------- a run


@pytest.fixture(scope="module")
def ran(folders, tmp_path_factory, few_resamples):
    """The study, then all causes in its folder: the folder, and the stages the second computed."""
    out = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", blank)
        assert cxr.main([str(folders), "--out", str(out), *SMALL]) == 0
        computed = note_computed(patch)
        assert causes.main([str(folders), "--out", str(out), *SMALL]) == 0
    return out, computed


def test_page_has_a_table_of_each_task_for_each_cause(ran):
    written = json.loads((ran[0] / "causes" / "tables.json").read_text())["tables"]
    tables = {table["name"]: table["rows"] for table in written}
    kinds = [*(f"cause-{name}" for name in NAMES), "sharing"]
    assert set(tables) == {f"{kind}-{task}" for kind in kinds for task in ("lungs", "abnormality")}
    for cause in CAUSES:
        labels = [variant.label for variant in (AS_GIVEN, *cause.variants)]
        pairs = [(s, label) for s in cause.strategies for label in labels]
        for task in ("lungs", "abnormality"):
            rows = tables[f"cause-{cause.name}-{task}"]
            assert [(row["Strategy"].lower().split()[0], row["Variant"]) for row in rows] == pairs
            for row in rows:
                assert ("p" in row) == (row["Variant"] != AS_GIVEN.label)


def test_every_change_has_a_row_beside_separate_models(ran):
    tables = json.loads((ran[0] / "causes" / "tables.json").read_text())["tables"]
    (table,) = (table for table in tables if table["name"] == "sharing-lungs")
    changes = [("As it is", "")] + [(c.title, v.label) for c in CAUSES for v in c.variants]
    assert [(row["Changed"], row["To"]) for row in table["rows"]] == changes
    for row, cause in zip(table["rows"][1:], (c for c in CAUSES for _ in c.variants), strict=True):
        there = {label for label in row if label not in ("Changed", "To")}
        assert there == {LABELS[strategy] for strategy in cause.strategies}
        for label in there:
            assert ("against separate models" in row[label]) == (label != LABELS["separate"])


def test_what_the_study_trained_is_not_trained_again(ran):
    """The variants in the order of the causes; of normalisation there are two new ones, for example."""
    sources = {"normalisation": 2, "length": 1, "images": 4}
    again = {
        "joint": {"augmentation": 1, "weights": 3, "stopping": 1},
        "alternating": {"normalisation": 2, "length": 2, "images": 4, "augmentation": 1}
        | {"stopping": 1, "labels": 3},
        "independent-lungs": {"normalisation": 2, "statistics": 1, "length": 2, "images": 4}
        | {"augmentation": 1, "labels": 3},
        "separate-lungs": {"normalisation": 2, "augmentation": 1, "labels": 3},
    }
    expected = {f"diverse-fold1-{name}": sum(there.values()) for name, there in again.items()}
    expected["source"] = sum(sources.values())
    assert {name: ran[1].count(name) for name in expected} == expected
    assert not [name for name in ran[1] if "control" in name]  # of the heat maps


def test_second_run_trains_nothing(ran, folders, monkeypatch):
    monkeypatch.setattr(Figure, "savefig", blank)
    computed = note_computed(monkeypatch)
    assert causes.main([str(folders), "--out", str(ran[0]), *SMALL, "--causes", "images"]) == 0
    assert computed == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["--joint-weights", "1,2,3"],
            "normalisation, 'as in the study': there are 3 weights for 2 tasks",
        ),
        (["--folds", "13"], "normalisation, 'as in the study': {}: class"),
        (
            ["--batch", "8"],
            "labels, 'a quarter': {}: 4 images to learn the lungs task from in fold 1",
        ),
    ],
)
def test_what_is_wrong_for_a_variant_is_said_before_anything_is_trained(
    more, message, folders, tmp_path, monkeypatch, capsys
):
    computed = note_computed(monkeypatch)
    assert causes.main([str(folders), "--out", str(tmp_path), *SMALL, *more]) == 2
    error = capsys.readouterr().err
    assert message.format(folders / "target") in error and error.count("\n") == 1
    assert computed == []


def test_split_that_a_variants_source_lacks_is_named_before_anything_is_trained(
    folders, tmp_path, monkeypatch, capsys
):
    """The study's source has all its splits; the training hospital must have them for its own."""
    for name in ("source", "test"):
        (tmp_path / name).symlink_to(folders / name)
    hospital(tmp_path / "target", 1, side=16, splits=["train"] * 48)
    computed = note_computed(monkeypatch)
    arguments = [str(tmp_path), "--out", str(tmp_path / "out"), *SMALL]
    assert causes.main([*arguments, "--causes", "statistics", "images"]) == 2
    assert "target: no image in split 'validation'" in capsys.readouterr().err
    assert computed == []


# ---------------------------------------------------------------------------- where sharing pays


def scores_of_masks(*of_folds):
    """A segmentation's scores on twelve cases, much the same for each, one value for each fold."""
    noise = np.random.default_rng(0).normal(0, 0.001, (len(of_folds), 12))
    values = {"IoU": np.array(of_folds)[:, None] + noise}
    return scores.Tested(SEGMENTATION, np.arange(12), None, values)


def figures_of(**iou):
    """Figures of one segmentation: strategy -> the IoU of two folds."""
    task = SimpleNamespace(name="lungs", title="Lungs", kind=SEGMENTATION, measure="IoU")
    tested = {s: {TEST: {"lungs": scores_of_masks(*of_folds)}} for s, of_folds in iou.items()}
    return SimpleNamespace(
        part=SimpleNamespace(tasks=[task], tested="Hospital 2"),
        outcome=SimpleNamespace(strategies=tuple(iou), tested=tested),
        folds=lambda strategy, task: list(iou[strategy]),
        mean=lambda strategy, where, task, measure: float(np.mean(iou[strategy])),
    )


def test_sharing_is_put_beside_separate_models_under_the_same_change_or_else_as_they_are():
    base = figures_of(independent=(0.7, 0.8), alternating=(0.7, 0.7), separate=(0.7, 0.8))
    few = figures_of(independent=(0.6, 0.6), alternating=(0.5, 0.7), separate=(0.4, 0.5))
    kept = figures_of(alternating=(0.6, 0.7))
    tried = [
        (Cause("labels", "Labels", "", ()), {"half": few}),
        (Cause("stopping", "Kept", "", ()), {"best": kept}),
    ]
    section, summary = causes_report.overview(base, tried, 0)
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

    def figures(strategies, score):
        found = figures_of(**{s: (score,) for s in strategies})
        for strategy in strategies:
            values = {"IoU": score + rising[None] * (strategy != "separate")}
            found.outcome.tested[strategy][TEST]["lungs"] = scores.Tested(
                SEGMENTATION, np.arange(6), None, values
            )
        return found

    base = figures(("separate",), 0.5)
    one = figures(("independent",), 0.6)
    for times, expected in ((1, Verdict.HOLDS), (2, Verdict.OPEN)):
        tried = [(Cause("c", "C", "", ()), {str(k): one for k in range(times)})]
        section, _ = causes_report.overview(base, tried, 0)
        rows = section.tables[0].rows[1:]
        assert {row["Independent"]["against separate models"] for row in rows} == {expected}
