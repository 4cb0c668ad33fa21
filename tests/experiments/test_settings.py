"""Settings of a study: what is refused, what each decides, and its option on the command line."""

import argparse
import re
from dataclasses import fields, replace

import numpy as np
import pytest

from ums.backend import Device
from ums.data import Normalisation
from ums.experiments.search import SearchSettings
from ums.experiments.settings import (
    CLASSIFICATION,
    SEGMENTATION,
    SOURCE,
    Settings,
    add_options,
    described,
    from_options,
)
from ums.finetuning import ByHand, Equal, GradNorm, Uncertainty
from ums.training import FitSettings, History

OTHER = {
    "folds": 7, "width": 0.25, "source_epochs": 0, "epochs": 5, "classifier_epochs": 9, "batch": 4,
    "learning_rate": 0.02, "patience": 3, "joint_weights": "uncertainty", "stop_by": "first",
    "augment": False, "background": -1, "statistics": "target", "labels": 0.5, "seed": 11,
}  # fmt: skip
"""Another value of every setting."""

EACH_SETTING = pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
EACH_CLASS = pytest.mark.parametrize("kind", [Settings, SearchSettings])


def parser_of(defaults):
    parser = argparse.ArgumentParser()
    add_options(parser, defaults)
    return parser


# ---------------------------------------------------------------------------- ranges


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("folds", 1, "folds must be at least 2, got 1"),
        ("folds", 2.5, "folds must be a whole number, got 2.5"),
        ("seed", -1, "seed must be at least 0, got -1"),
        ("seed", 0.5, "seed must be a whole number, got 0.5"),
        ("width", float("nan"), "width must be a positive number, got nan"),
        ("learning_rate", 0.0, "learning_rate must be a positive number, got 0.0"),
        ("learning_rate", float("inf"), "learning_rate must be a positive number, got inf"),
        ("source_epochs", -1, "source epochs must be at least 0, got -1"),
        ("epochs", 0, "epochs must be at least 1, got 0"),
        ("classifier_epochs", 0, "epochs must be at least 1, got 0"),
        ("batch", 0, "batch must be at least 1, got 0"),
        ("patience", 0, "patience must be at least 1, got 0"),
        ("joint_weights", "much", "joint weights must be equal, .* commas, got 'much'"),
        ("joint_weights", "1,-1", "weights must be positive"),
        ("stop_by", "last", "stop by must be all or first, got 'last'"),
        ("background", 255, "background must be a grey level below 255, or -1, got 255"),
        ("background", -2, "background must be a grey level below 255, or -1, got -2"),
        ("statistics", "both", "statistics must be source or target, got 'both'"),
        ("labels", 0, "labels must be a share above 0 and at most 1, got 0"),
        ("labels", 1.1, "labels must be a share above 0 and at most 1, got 1.1"),
    ],
)
def test_setting_out_of_range_is_refused_by_name(name, value, text):
    with pytest.raises(ValueError, match=f"^{text}"):
        Settings(**{name: value})


@pytest.mark.parametrize(
    "within",
    [{"folds": 2}, {"source_epochs": 0}, {"labels": 1.0}, {"background": -1}, {"background": 254}],
)
def test_ends_of_the_ranges_are_allowed(within):
    assert replace(Settings(), **within) == Settings(**within)


# ---------------------------------------------------------------------------- what each decides


def test_source_and_kinds_of_task_are_trained_for_epochs_of_their_own():
    settings = Settings(source_epochs=3, epochs=4, classifier_epochs=5, batch=6, patience=7)
    assert settings.fit(SOURCE) == FitSettings(3, 6, 1e-3, 7, plateau_patience=2)
    assert settings.fit(SEGMENTATION) == FitSettings(4, 6, 1e-3, 7, plateau_patience=6)
    assert settings.fit(CLASSIFICATION) == FitSettings(5, 6, 1e-3, 7, plateau_patience=6)
    assert replace(settings, learning_rate=0.1).fit(SOURCE).learning_rate == 0.1


def test_untrained_source_has_settings_all_the_same():
    assert Settings(source_epochs=0).fit(SOURCE).epochs == 1


@pytest.mark.parametrize("background", [-1, 70])
def test_normalisation_is_by_the_background_level(background):
    assert Settings(background=background).normalisation() == Normalisation(background)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("equal", Equal), ("uncertainty", Uncertainty), ("gradnorm", GradNorm), ("1,0.5", ByHand)],
)
def test_weighting_of_the_joint_loss_is_by_name_or_by_numbers(text, kind):
    weighting = Settings(joint_weights=text).weighting()
    assert type(weighting) is kind
    weighting.start(2, Device(np, "CPU"))
    expected = [1, 0.5] if kind is ByHand else [1, 1]
    np.testing.assert_allclose(weighting.weights / weighting.weights[0], expected)


def test_every_study_has_a_weighting_of_its_own():
    settings = Settings(joint_weights="uncertainty")
    assert settings.weighting() is not settings.weighting()


def test_epoch_is_chosen_by_the_mean_of_all_relative_losses_or_by_the_first():
    histories = [History(validation=[4.0, 2.0]), History(validation=[1.0, 3.0])]
    assert Settings().criterion()(histories) == (0.5 + 3) / 2
    assert Settings(stop_by="first").criterion()(histories) == 0.5


# ---------------------------------------------------------------------------- keys

OF_SOURCE = {"width", "source_epochs", "batch", "learning_rate", "patience", "background"}
OF_TASKS = OF_SOURCE | {"folds", "augment", "statistics", "labels"}
OF_KINDS = {SEGMENTATION: {"epochs"}, CLASSIFICATION: {"classifier_epochs"}}


@EACH_SETTING
def test_key_changes_with_what_the_weights_depend_on_and_with_nothing_else(name):
    """The job has the seed; the strategies have how they weigh and stop."""
    before, after = Settings(), replace(Settings(), **{name: OTHER[name]})
    assert (before.key() != after.key()) == (name in OF_SOURCE)
    for kind, own in OF_KINDS.items():
        assert (before.key(kind) != after.key(kind)) == (name in OF_TASKS | own)
    both = before.key(*OF_KINDS) != after.key(*OF_KINDS)
    assert both == (name in OF_TASKS.union(*OF_KINDS.values()))


def test_key_tells_an_untrained_source_from_one_epoch():
    assert Settings(source_epochs=0).key() != Settings(source_epochs=1).key()


# ---------------------------------------------------------------------------- the command line


def test_another_value_is_known_for_every_setting():
    assert set(OTHER) == {field.name for field in fields(Settings)}
    assert all(getattr(Settings(), name) != value for name, value in OTHER.items())


@EACH_SETTING
def test_option_sets_its_own_setting(name):
    option, value = f"--{name.replace('_', '-')}", OTHER[name]
    words = ["--no-augment"] if name == "augment" else [f"{option}={value}"]
    options = parser_of(Settings()).parse_args(words)
    assert from_options(Settings, options) == replace(Settings(), **{name: value})


@EACH_CLASS
def test_settings_that_are_not_given_have_their_defaults(kind):
    own = replace(kind(), width=0.3, seed=4)
    assert from_options(kind, parser_of(own).parse_args([])) == own


def test_settings_from_options_are_refused_by_name():
    options = parser_of(Settings()).parse_args(["--folds", "1"])
    with pytest.raises(ValueError, match=r"^folds must be"):
        from_options(Settings, options)


@pytest.mark.parametrize("words", [["--stop-by", "last"], ["--statistics", "x"], ["--epochs", "a"]])
def test_option_of_another_kind_is_refused(words, capsys):
    with pytest.raises(SystemExit):
        parser_of(Settings()).parse_args(words)
    assert words[0] in capsys.readouterr().err


@EACH_CLASS
def test_help_has_the_text_and_the_default_of_every_setting(kind):
    text = " ".join(parser_of(kind()).format_help().split())
    for field in fields(kind):
        words = field.metadata["help"]
        assert len(words) > 10 and not words.endswith(".")
        found = re.sub(r"\W", "", f"{words} ({field.default})")  # help breaks lines at hyphens too
        assert found in re.sub(r"\W", "", text)


@EACH_CLASS
def test_page_describes_every_setting_by_its_help_text(kind):
    described_settings = described(kind())
    assert len(described_settings) == len(fields(kind))
    assert described_settings[kind.__dataclass_fields__["width"].metadata["help"]] == 0.5
