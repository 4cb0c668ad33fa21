"""Each study's own settings where nothing else is said, and what the ablation's variants change."""

import re
from pathlib import Path

import pytest

from ums.experiments import __main__ as command
from ums.experiments import search
from ums.experiments.ablation_list import ABLATIONS, STUDY, SUBSET, TARGET
from ums.experiments.settings import SOURCE, Settings, from_options


def defaults_of(study):
    """The settings of a study where the command line says nothing."""
    options = command._parser().parse_args([study, "a folder"])
    return from_options(search.SearchSettings if study == "search" else Settings, options)


DEFAULTS = {
    "cxr": Settings(
        folds=3, width=0.5, source_epochs=8, epochs=12, classifier_epochs=30, batch=16,
        learning_rate=1e-3, patience=20, joint_weights="equal", stop_by="all", augment=True,
        background=8, statistics="source", labels=1.0, seed=0,
    ),
    "echo": Settings(
        folds=3, width=1.0, source_epochs=16, epochs=40, classifier_epochs=40, batch=16,
        learning_rate=1e-3, patience=10, joint_weights="equal", stop_by="all", augment=False,
        background=-1, statistics="source", labels=1.0, seed=0,
    ),
    "search": search.SearchSettings(
        trials=16, epochs=20, width=0.5, patience=8, background=-1, seed=0
    ),
}  # fmt: skip
DEFAULTS["ablation"] = DEFAULTS["cxr"]


@pytest.mark.parametrize("study", DEFAULTS)
def test_study_has_its_own_defaults(study):
    assert defaults_of(study) == DEFAULTS[study]


@pytest.mark.parametrize(
    ("variable", "setting"),
    [("WIDTH", "width"), ("SOURCE_EPOCHS", "source_epochs"), ("EPOCHS", "epochs"),
     ("CLASSIFIER_EPOCHS", "classifier_epochs"), ("FOLDS", "folds")],
)  # fmt: skip
def test_makefile_tells_the_defaults_of_both_studies(variable, setting):
    text = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    told = re.search(rf"^#: {variable} [^(\n]*\(([^)]*)\)", text, re.M)[1]
    chest = float(re.match(r"[\d.]+", told)[0])
    screen = re.search(r"echo ([\d.]+)", told)
    assert getattr(defaults_of("cxr"), setting) == chest
    assert getattr(defaults_of("echo"), setting) == float(screen[1] if screen else chest)


VARIANTS = {
    "all pixels count": {"background": -1},
    "the training hospital's statistics": {"statistics": "target"},
    "untrained source": {"source_epochs": 0},
    "2 epochs": {"source_epochs": 2},
    "none": {"augment": False},
    "uncertainty": {"joint_weights": "uncertainty"},
    "GradNorm": {"joint_weights": "gradnorm"},
    "1 and 0.1": {"joint_weights": "1,0.1"},
    "best for the lungs": {"stop_by": "first"},
    "half of them": {"labels": 0.5},
    "a quarter": {"labels": 0.25},
    "a tenth": {"labels": 0.1},
}


def test_variants_of_the_ablation_change_what_their_labels_say():
    found = [variant for ablation in ABLATIONS for variant in ablation.variants]
    assert {v.label: v.changes for v in found if v.changes} == VARIANTS
    assert [v.label for v in found if v.cropped] == ["cropped to the foreground"]
    for variant in found:
        words = variant.label
        source = SUBSET if "subset" in words else TARGET if "hospital's images" in words else STUDY
        assert variant.source == source
        assert variant.same_steps == ("repeated" in words)


def test_plateau_of_the_source_shows_earlier_than_that_of_the_tasks():
    fits = [Settings().fit(kind) for kind in (SOURCE, "segmentation", "classification")]
    assert [fit.plateau_patience for fit in fits] == [2, 6, 6]
    assert [fit.epochs for fit in fits] == [8, 12, 30]
