"""The print of the code: it changes with what a result depends on, and with nothing else."""

import shutil
from pathlib import Path

import pytest

import ums
from ums.experiments.store import NOT_RECORDED, NOT_TRAINING, code_print


@pytest.fixture
def package(tmp_path):
    """A copy of the library's code, to be changed."""
    return shutil.copytree(Path(ums.__file__).parent, tmp_path / "ums")


def prints(package):
    """The prints that weights and that records are kept by."""
    code_print.cache_clear()
    return code_print(NOT_TRAINING, package), code_print(NOT_RECORDED, package)


def changed(package, file, old, new):
    """Whether a change of the code changes the print of weights, and that of records."""
    before = prints(package)
    text = (package / file).read_text()
    assert old in text
    (package / file).write_text(text.replace(old, new))
    return tuple(a != b for a, b in zip(before, prints(package), strict=True))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("ops/activations.py", "y * (dy - ", "y * (dy + "),
        ("layers.py", "momentum: float = 0.9", "momentum: float = 0.5"),
        ("networks.py", "CXR_ENCODER = (64,", "CXR_ENCODER = (32,"),
        ("finetuning/joint.py", "def tune_jointly", "def tuned_jointly"),
        ("data/augment.py", "angle: float = 8.0", "angle: float = 9.0"),
        ("experiments/replicates.py", "VALIDATION = 5", "VALIDATION = 4"),
        ("experiments/arms.py", "Arm(SINGLE_LONG, longer=True)", "Arm(SINGLE_LONG)"),
        ("experiments/settings.py", 'schedule="cosine"', 'schedule="plateau"'),
        ("experiments/cxr.py", "batch_norm=True", "batch_norm=False"),
        ("experiments/cxr.py", '"abnormal"', '"normal"'),
        ("experiments/jobs.py", "zlib.crc32", "zlib.adler32"),
        ("experiments/search_space.py", '("SGD", "Adam", "RMSprop")', '("Adam", "SGD", "RMSprop")'),
        ("derived/recommendation.py", '("MV", "MA", "TR")', '("MV", "TR", "MA")'),
    ],
)
def test_print_changes_with_what_trains(file, old, new, package):
    assert changed(package, file, old, new) == (True, True)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("metrics/classification.py", "(c * s - t @ p)", "(c * s)"),
        ("derived/heat_map.py", "maximum", "minimum"),
        ("experiments/evaluation.py", "outputs[..., 0] > 0", "outputs[..., 0] > 1"),
        ("experiments/testing.py", "DIGITS = 5", "DIGITS = 3"),
    ],
)
def test_print_of_weights_stays_with_what_tests_them(file, old, new, package):
    assert changed(package, file, old, new) == (False, True)


@pytest.mark.parametrize(
    "file",
    ["experiments/report/page.py", "experiments/results/scores.py", "gradcheck.py"]
    + [
        f"experiments/{name}.py"
        for name in ("factors", "runner", "pilot", "study_file", "__main__")
    ],
)
def test_print_stays_with_pages_and_with_what_records_hold_in_their_keys(file, package):
    assert changed(package, file, "\n\n\n", "\n\n\nMORE = 1\n\n\n") == (False, False)


@pytest.mark.parametrize("file", ["ops/conv.py", "training.py", "experiments/evaluation.py"])
def test_print_stays_with_words_and_layout(file, package):
    assert changed(package, file, '"""', '"""  ') == (False, False)
    assert changed(package, file, "\n\n\n", "\n\n\n\n# why\n") == (False, False)
    assert code_print(NOT_TRAINING) == code_print(NOT_TRAINING, package)
