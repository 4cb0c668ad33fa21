"""Each study's own settings where nothing else is said, and what the Makefile says of them."""

import re
from pathlib import Path

import pytest

from ums.experiments import __main__ as command
from ums.experiments import search
from ums.experiments.settings import Settings, from_options


def defaults_of(study):
    """The settings of a study where the command line says nothing."""
    options = command._parser().parse_args([study, "a folder"])
    return from_options(search.SearchSettings if study == "search" else Settings, options)


DEFAULTS = {
    "cxr": Settings(
        replicates=2, other_replicates=0, width=0.5, labels=150, source_images=1000, source_from="own",
        source_steps=1500, steps=300, evaluations=10, batch=16, source_rate=3e-3, rate=0.0,
        augment=True, background=8, seed=0,
    ),
    "echo": Settings(
        replicates=2, other_replicates=0, width=1.0, labels=400, source_images=1200, source_from="own",
        source_steps=1000, steps=600, evaluations=10, batch=16, source_rate=1e-3, rate=0.0,
        augment=False, background=-1, seed=0,
    ),
    "search": search.SearchSettings(
        trials=16, epochs=20, width=0.5, patience=8, background=-1, seed=0
    ),
}  # fmt: skip


@pytest.mark.parametrize("study", DEFAULTS)
def test_study_has_its_own_defaults(study):
    assert defaults_of(study) == DEFAULTS[study]


@pytest.mark.parametrize(("variable", "setting"), [("WIDTH", "width")])
def test_makefile_tells_the_defaults_of_both_studies(variable, setting):
    text = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    told = re.search(rf"^#: {variable} [^(\n]*\(([^)]*)\)", text, re.M)[1]
    chest = float(re.match(r"[\d.]+", told)[0])
    screen = re.search(r"echo ([\d.]+)", told)
    assert getattr(defaults_of("cxr"), setting) == chest
    assert getattr(defaults_of("echo"), setting) == float(screen[1] if screen else chest)
