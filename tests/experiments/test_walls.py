"""The walls between the parts of the library, by what imports what, however far away."""

import pytest
from imports import PACKAGE, direct, imported, modules, reached

from ums.experiments.store import NOT_RECORDED, NOT_TRAINING

EXPERIMENTS = "ums.experiments"
RESULTS = [name for name in modules() if name.startswith(f"{EXPERIMENTS}.results")]
REPORT = [name for name in modules() if name.startswith(f"{EXPERIMENTS}.report")]
DATA_ALONE = {
    f"{EXPERIMENTS}.names",  # the words that records are written and read with
    f"{EXPERIMENTS}.search_space",  # the combinations of the search, and which trial is best
}
"""What pages may take from the top of the experiments: constants and plain data that run nothing."""

READING = {f"{EXPERIMENTS}.record_files"}
"""What the store and the results share: it reads records and runs nothing."""

RUNNING = {
    name
    for name in modules()
    if name.startswith(EXPERIMENTS)
    and name not in {EXPERIMENTS, *RESULTS, *REPORT, *DATA_ALONE, *READING}
}
LIBRARY = ("finetuning", "data", "networks", "source", "ops", "layers")
"""What no page or result takes by its own words: it reads records."""

TESTS_AFTERWARDS = {
    "ums": {"ums.gradcheck", "ums.models", "ums.predictions"},  # public names
    "ums.derived": {  # public names
        f"ums.derived.{name}" for name in ("heat_map", "lung_pooling", "map_measures")
    },
    "ums.derived.recommendation": {"ums.metrics.classification"},
    "ums.experiments.cxr": {"ums.experiments.denoising", "ums.experiments.hospitals"},
    "ums.experiments.study": {
        f"ums.experiments.{name}"
        for name in ("evaluation", "testing", "group_pictures", "model_files")
    },
    "ums.experiments.search": {"ums.experiments.study_file", "ums.metrics.classification"},
}
"""What code that trains takes from files that no weights depend on: to test, once it has trained."""


def within(module, places):
    """Whether a module's file is one of the places, or in one of them."""
    own = modules()[module].relative_to(PACKAGE).as_posix()
    return any(own == place or own.startswith(f"{place}/") for place in places)


def taken_from(places):
    """Module outside the places -> the modules in them that it imports."""
    outside = [name for name in modules() if not within(name, places)]
    found = {name: {m for m in direct(name) if within(m, places)} for name in outside}
    return {name: taken for name, taken in found.items() if taken}


def test_imports_are_read_from_the_code():
    assert {"ums.reading", f"{EXPERIMENTS}.names"} <= direct(f"{EXPERIMENTS}.results.records")
    assert "ums.ops.fast.winograd" in reached(f"{EXPERIMENTS}.tuning")
    assert f"{EXPERIMENTS}.results.records" in reached(f"{EXPERIMENTS}.report")
    assert f"{EXPERIMENTS}.tuning" in RUNNING and len(RUNNING) > 12


@pytest.mark.parametrize("module", modules())
def test_no_module_imports_itself_by_way_of_others(module):
    assert module not in reached(module)


@pytest.mark.parametrize("module", RESULTS)
def test_results_reach_no_page(module):
    assert not reached(module) & set(REPORT)


@pytest.mark.parametrize("module", RESULTS + REPORT)
def test_results_and_pages_reach_nothing_that_runs(module):
    assert not reached(module) & RUNNING


@pytest.mark.parametrize("module", RESULTS + REPORT)
def test_results_and_pages_take_nothing_from_what_trains(module):
    library = [f"ums.{name}" for name in LIBRARY]
    taken = {m for m in direct(module) if any(f"{m}.".startswith(f"{own}.") for own in library)}
    assert not taken


@pytest.mark.parametrize("module", sorted(DATA_ALONE))
def test_modules_of_data_alone_take_nothing_but_each_other(module):
    assert direct(module) <= DATA_ALONE


@pytest.mark.parametrize("module", modules())
def test_the_library_takes_nothing_from_the_folders_beside_it(module):
    beside = {name.split(".")[0] for name in imported(modules()[module])}
    assert not beside & {"data_prep", "lessons", "tests"}


@pytest.mark.parametrize("module", [m for m in modules() if not m.startswith(EXPERIMENTS)])
def test_the_library_needs_no_experiment(module):
    assert not {m for m in reached(module) if m.startswith(EXPERIMENTS)}


@pytest.mark.parametrize("place", NOT_TRAINING)
def test_what_is_left_out_of_the_code_print_is_there(place):
    assert (PACKAGE / place).exists()


def test_no_record_depends_on_what_is_left_out_of_its_code_print():
    found = {"ums": {"ums.gradcheck"}}  # public names
    found |= {"ums.experiments.search": {"ums.experiments.study_file"}}  # writes study.json
    assert taken_from(NOT_RECORDED) == found


def test_weights_depend_on_what_is_left_out_of_their_code_print_for_nothing_but_tests():
    assert taken_from(NOT_TRAINING) == TESTS_AFTERWARDS
