"""Settings of a study: what is refused, what each decides, and its option on the command line."""

import argparse
import re
from dataclasses import fields, replace

import pytest

from ums.data import Normalisation
from ums.experiments.search import SearchSettings
from ums.experiments.settings import OTHER, Settings, add_options, described, from_options
from ums.training import FitSettings

ANOTHER = {
    "replicates": 7, "other_replicates": 3, "width": 0.25, "labels": 60, "source_images": 90,
    "source_from": OTHER, "source_steps": 0, "steps": 50, "evaluations": 5, "batch": 4, "source_rate": 0.02,
    "rate": 0.003, "augment": False, "background": -1, "seed": 11,
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
        ("replicates", 0, "replicates must be at least 1, got 0"),
        ("replicates", 2.5, "replicates must be a whole number, got 2.5"),
        ("other_replicates", -1, "other replicates must be at least 0, got -1"),
        ("labels", 0, "labels must be at least 1, got 0"),
        ("labels", 0.5, "labels must be a whole number, got 0.5"),
        ("source_images", 0, "source images must be at least 1, got 0"),
        ("source_steps", -1, "source steps must be at least 0, got -1"),
        ("source_steps", 9, "source steps must be at least 10, got 9"),
        ("steps", 0, "steps must be at least 10, got 0"),
        ("steps", 9, "steps must be at least 10, got 9"),
        ("steps", 25, "steps must be a multiple of the 10 evaluations, got 25"),
        ("evaluations", 0, "evaluations must be at least 1, got 0"),
        ("batch", 0, "batch must be at least 1, got 0"),
        ("seed", -1, "seed must be at least 0, got -1"),
        ("width", float("nan"), "width must be a positive number, got nan"),
        ("source_rate", 0.0, "source rate must be a positive number, got 0.0"),
        ("rate", -1.0, "rate must be a positive number, got -1.0"),
        ("rate", float("inf"), "rate must be a positive number, got inf"),
        ("source_from", "mine", "source from must be own or other, got 'mine'"),
        ("background", 255, "background must be a grey level below 255, or -1, got 255"),
        ("background", -2, "background must be a grey level below 255, or -1, got -2"),
    ],
)
def test_setting_out_of_range_is_refused_by_name(name, value, text):
    with pytest.raises(ValueError, match=f"^{text}"):
        Settings(**{name: value})


@pytest.mark.parametrize(
    "within",
    [{"replicates": 1}, {"source_steps": 0}, {"source_steps": 10}, {"steps": 10}, {"rate": 0.0},
     {"background": -1}, {"background": 254}, {"labels": 1}, {"batch": 1}],
)  # fmt: skip
def test_ends_of_the_ranges_are_allowed(within):
    assert replace(Settings(), **within) == Settings(**within)


# ---------------------------------------------------------------------------- what each decides


def test_training_has_its_steps_between_evaluations_and_a_rate_that_falls_to_0():
    settings = Settings(evaluations=5, batch=6)
    expected = FitSettings(5, 6, 0.25, steps=8, schedule="cosine")
    assert settings.fit(40, 0.25) == settings.fit(44, 0.25) == expected
    assert settings.fit(3, 0.25).steps == 1


@pytest.mark.parametrize("background", [-1, 70])
def test_normalisation_is_by_the_background_level(background):
    assert Settings(background=background).normalisation() == Normalisation(background)


def test_key_has_the_settings_it_is_asked_for():
    assert Settings(batch=3).key("batch", "augment") == {"batch": 3, "augment": True}


# ---------------------------------------------------------------------------- the command line


def test_another_value_is_known_for_every_setting():
    assert set(ANOTHER) == {field.name for field in fields(Settings)}
    assert all(getattr(Settings(), name) != value for name, value in ANOTHER.items())


@EACH_SETTING
def test_option_sets_its_own_setting(name):
    option, value = f"--{name.replace('_', '-')}", ANOTHER[name]
    words = ["--no-augment"] if name == "augment" else [f"{option}={value}"]
    options = parser_of(Settings()).parse_args(words)
    assert from_options(Settings, options) == replace(Settings(), **{name: value})


@EACH_CLASS
def test_settings_that_are_not_given_have_their_defaults(kind):
    own = replace(kind(), width=0.3, seed=4)
    assert from_options(kind, parser_of(own).parse_args([])) == own


def test_settings_from_options_are_refused_by_name():
    options = parser_of(Settings()).parse_args(["--replicates", "0"])
    with pytest.raises(ValueError, match=r"^replicates must be"):
        from_options(Settings, options)


@pytest.mark.parametrize("words", [["--source-from", "x"], ["--rate", "x"], ["--steps", "a"]])
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
