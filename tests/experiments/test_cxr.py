"""The chest X-ray study from the command line, end to end on tiny made-up hospitals."""

import json
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
from matplotlib.figure import Figure
from small_sets import FOLDERS, blank, children, hospital, note_computed, save_all
from ums.experiments.cxr_sets import CXR
from ums.experiments.stages import Stages

from ums import backend
from ums.experiments import cxr
from ums.experiments import runner as protocol
from ums.experiments.results import heat_maps as heat
from ums.experiments.settings import Settings
from ums.finetuning import Tuned
from ums.training import History

SMALL = ["--width", "0.1", "--epochs", "2", "--source-epochs", "2", "--classifier-epochs", "2"]
SMALL += ["--folds", "2", "--batch", "8", "--device", "cpu", "--quiet"]
TABLES = {
    "diverse": ["table-3-segmentation", "diverse-segmentation-held-out", "table-3-classification",
                "diverse-classification-held-out", "diverse-comparisons", "heat-maps", "table-4"],
    "similar": ["table-5-classification", "similar-classification-held-out",
                "similar-comparisons", "table-6"],
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.fixture
def blank_pictures(monkeypatch):
    monkeypatch.setattr(Figure, "savefig", blank)


@pytest.fixture
def untrained(monkeypatch):
    """Leave out all training: networks stay as they were made."""

    def tune(*arguments, **more):
        tasks = next(a for a in arguments if isinstance(a, list))
        history = History([1.0], [1.0], cosines={task.name: [0.0] for task in tasks})
        return {task.name: Tuned(task.head, history, 1.0, 1) for task in tasks}

    for name in ("tune_independently", "tune_alternately", "tune_jointly", "train_separately"):
        monkeypatch.setattr(protocol, name, tune)
    source = History([1.0], [1.0])
    monkeypatch.setattr(cxr, "train_denoising", lambda network, *_: Tuned(network, source, 1.0, 1))


def run(folders, out, *more):
    """The exit code of a whole run."""
    return cxr.main([str(folders), "--out", str(out), *SMALL, *more])


def tables(out, without=()):
    """Name -> rows of the tables that were written, less some columns."""
    written = json.loads((out / "tables.json").read_text())["tables"]
    return {
        table["name"]: [
            {name: value for name, value in row.items() if name not in without}
            for row in table["rows"]
        ]
        for table in written
    }


def stages_of(out):
    return {path.name.rpartition("-")[0]: path for path in (out / "stages").glob("*.npz")}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Four prepared folders, to be left as they are."""
    return save_all(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def own_folders(folders, tmp_path):
    """Folders that a test may spoil."""
    return shutil.copytree(folders, tmp_path / "prepared")


@pytest.fixture(scope="module")
def finished(folders, tmp_path_factory, few_resamples):
    """The folder of one whole run, pictures and all, to be left as it is."""
    out = tmp_path_factory.mktemp("results") / "cxr"
    assert run(folders, out) == 0
    return out


# ---------------------------------------------------------------------------- a whole run


def test_run_leaves_a_page_tables_figures_and_stages(finished):
    assert {p.name for p in finished.iterdir()} == {
        "report.html", "tables.txt", "tables.json", "figures", "stages",
    }  # fmt: skip
    assert len(stages_of(finished)) == 1 + 2 * 7 + 2 * 8
    files = set((finished / "stages").iterdir())
    assert files == {*stages_of(finished).values(), finished / "stages" / ".lock"}


def test_tables_are_those_of_the_paper_and_those_beside_them(finished):
    assert set(tables(finished)) == {"claims", "table-2", *TABLES["diverse"], *TABLES["similar"]}


def test_page_tells_of_both_parts(finished):
    page = (finished / "report.html").read_text()
    for name in ("Hospital 1", "Hospital 2", "Children", "Lung segmentation", "Viral vs normal"):
        assert name in page
    pictures = {path.stem for path in (finished / "figures").iterdir()}
    for part in ("diverse", "similar"):
        assert f"folds-{part}" in pictures and f"crossover-{part}" in pictures
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
            assert f / 2 <= iou <= f and both <= right


def test_claims_repeat_the_differences_of_the_comparisons(finished):
    found = tables(finished)
    compared = {
        (row["Task"], row["Compared"]): (row["Difference"]["mean"], row["p, corrected"])
        for part in TABLES
        for row in found[f"{part}-comparisons"]
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
    silent, folders, tmp_path, untrained, blank_pictures, monkeypatch
):
    """Nothing may speak for a class anywhere, in all images of a fold."""
    calls = iter(range(100))

    def mass_inside(maps, masks):
        return np.full(len(maps), np.nan if next(calls) // 2 in silent else 0.25)

    monkeypatch.setattr(heat, "mass_inside", mass_inside)
    assert run(folders, tmp_path, "--parts", "diverse") == 0
    rows = tables(tmp_path)["heat-maps"][:5]
    found = [value for row in rows for value in row["Inside the lungs"]["folds"]]
    if silent == range(100):
        assert found == [None] * 10
    else:  # two masks: the fourth strategy's network of the first fold
        assert found == [0.25] * 6 + [None] + [0.25] * 3


# ---------------------------------------------------------------------------- again


def test_second_run_trains_nothing_and_writes_the_same_tables(
    folders, finished, tmp_path, blank_pictures, monkeypatch, capsys
):
    out, computed = shutil.copytree(finished, tmp_path / "cxr"), note_computed(monkeypatch)
    for name in ("report.html", "tables.txt", "tables.json"):
        (out / name).unlink()
    assert run(folders, out) == 0
    assert computed == []
    assert tables(out) == tables(finished)  # minutes included
    assert (out / "tables.txt").read_text() in capsys.readouterr().out
    for stage, path in stages_of(out).items():
        assert path.read_bytes() == stages_of(finished)[stage].read_bytes()


def assert_similar_part_is_the_same(out, finished):
    """A run of that part alone has the tables that a run of both has of it."""
    found, both = (tables(folder, ["Minutes"]) for folder in (out, finished))
    assert set(found) == {"claims", "table-2", *TABLES["similar"]}
    assert all(found[name] == both[name] for name in ("table-2", *TABLES["similar"]))
    assert found["claims"] == both["claims"][-len(found["claims"]) :]


def test_one_part_alone_comes_out_as_it_does_beside_the_other(
    folders, finished, tmp_path, blank_pictures
):
    """In a fresh folder, too."""
    assert run(folders, tmp_path, "--parts", "similar") == 0
    assert_similar_part_is_the_same(tmp_path, finished)
    page = (tmp_path / "report.html").read_text()
    assert "Viral vs normal" in page and "Lung segmentation" not in page


# what is changed -> how many stages of it all are computed again
SPOILT = {
    "source": (lambda f: hospital(f, 9), 31),
    "target": (lambda f: hospital(f, 9), 14),
    "test": (lambda f: hospital(f, 9), 0),
    "pneumonia": (lambda f: children(f, 9), 16),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_learned_from_other_images_is_computed_again(
    name, own_folders, tmp_path, untrained, monkeypatch
):
    settings, computed = Settings(folds=2, width=0.1, batch=8), note_computed(monkeypatch)

    def learn_all():
        computed.clear()
        sets = CXR.load(own_folders)
        return cxr.run(sets, settings, backend.choose_device("cpu"), tmp_path / "out")

    learn_all()
    assert len(computed) == 31
    make, again = SPOILT[name]
    shutil.rmtree(own_folders / name)
    make(own_folders / name)
    learn_all()
    assert len(computed) == again


SOURCE_AGAIN = {
    "folds": 3, "width": 0.2, "source_epochs": 3, "epochs": 1, "classifier_epochs": 1, "batch": 7,
    "learning_rate": 0.01, "patience": 3, "joint_weights": "uncertainty", "stop_by": "first", "augment": None,
    "dark": 20, "statistics": "target", "labels": 0.9, "seed": 1, "progress": True,
}  # fmt: skip
OWN = {"folds", "epochs", "classifier_epochs", "joint_weights", "stop_by", "augment", "statistics"}
OWN |= {"labels"}


@pytest.mark.parametrize("setting", [field.name for field in fields(Settings)])
def test_source_is_learned_again_under_another_setting_of_its_own(
    setting, folders, tmp_path, untrained, monkeypatch
):
    sets = CXR.load(folders)
    first = Settings(width=0.1, batch=8)
    value = SOURCE_AGAIN[setting]
    if value is None:
        value = not getattr(first, setting)
    computed = note_computed(monkeypatch)
    for settings in (first, Settings(**vars(first) | {setting: value})):
        stages = Stages(tmp_path, settings.seed)
        cxr.learn_source(sets, settings, backend.choose_device("cpu"), stages)
    assert len(computed) == (1 if setting in OWN | {"progress"} else 2)


def test_page_of_an_untrained_source_tells_of_no_denoiser_before_separate_models(
    folders, tmp_path, untrained, blank_pictures
):
    assert run(folders, tmp_path / "out", "--source-epochs", "0", "--parts", "diverse") == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("separate models saw the images as they are") == 2
    for told in ("eparate denoiser", "behind a denoiser", "denoising takes", "or the denoiser"):
        assert told not in page


def test_default_settings_of_the_command_are_those_of_a_run(monkeypatch, folders, tmp_path):
    given = []

    def keep(sets, settings, *arguments):
        given.append(settings)
        raise ValueError("enough")

    monkeypatch.setattr(cxr, "run", keep)
    for quiet in (False, True):
        assert cxr.main([str(folders), "--out", str(tmp_path)] + ["--quiet"] * quiet) == 2
    assert given == [Settings(), Settings(progress=False)]


def test_damaged_stage_is_computed_again(folders, finished, tmp_path, blank_pictures, monkeypatch):
    out, computed = shutil.copytree(finished, tmp_path / "cxr"), note_computed(monkeypatch)
    path = stages_of(out)["similar-fold2-joint"]
    path.write_bytes(path.read_bytes()[:1000])
    assert run(folders, out, "--parts", "similar") == 0
    assert computed == ["similar-fold2-joint"]
    assert_similar_part_is_the_same(out, finished)


# ---------------------------------------------------------------------------- killed

KILLED = """
import os, signal, sys
from matplotlib.figure import Figure
from ums.experiments import cxr
from ums.experiments.results import scores
from ums.experiments.stages import Stages

pictures = {"svg": b"<svg></svg>", "png": bytes.fromhex("89504e470d0a1a0a")}
Figure.savefig = lambda self, file, format, metadata: file.write(pictures[format])
Stages.__init__.__defaults__ = (0.0,)  # a checkpoint after every epoch
scores.RESAMPLES = 20
left, rename = int(sys.argv[1]), os.replace

def replace(*paths):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(*paths)

os.replace = replace
sys.exit(cxr.main(sys.argv[2:]))
"""


def test_run_that_is_killed_goes_on_and_ends_as_if_it_had_not_been(folders, finished, tmp_path):
    chance, ends = random.Random(0), []
    for files_before in [*(chance.randint(2, 9) for _ in range(3)), 0]:  # 0: it is let be
        command = [sys.executable, "-W", "error", "-c", KILLED, str(files_before), str(folders)]
        command += ["--out", str(tmp_path), *SMALL, "--parts", "similar"]
        ends.append(subprocess.run(command, stdout=subprocess.PIPE).returncode)
    assert ends == [-signal.SIGKILL] * 3 + [0]
    assert_similar_part_is_the_same(tmp_path, finished)
    for stage, path in stages_of(tmp_path).items():
        assert path.name == stages_of(finished)[stage].name  # no checkpoint is left


def test_stopping_a_run_keeps_what_is_finished(folders, tmp_path, monkeypatch, capsys):
    def stop(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(protocol, "tune_alternately", stop)
    assert run(folders, tmp_path) == 130
    assert len(capsys.readouterr().err.splitlines()) == 2  # after the line that shows ^C
    independent = [f"diverse-fold1-independent-{task}" for task in ("lungs", "abnormality")]
    assert set(stages_of(tmp_path)) == {"source", *independent}


# ---------------------------------------------------------------------------- errors


def error_line(capsys):
    """The one line that an error prints."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


@pytest.fixture
def nothing_trained(monkeypatch):
    """Training is an error that no one catches."""

    def fail(*arguments, **more):
        raise AssertionError("this came too late")

    monkeypatch.setattr(cxr, "train_denoising", fail)


WRONG = {
    "folds": (["--folds", "1"], "folds must be at least 2, got 1"),
    "weights": (["--joint-weights", "foo"], "'foo'"),
    "negative weights": (["--joint-weights=-1,1"], "weights must be positive"),
    "weights for other tasks": (["--joint-weights", "1,2"], "2 weights for 3 tasks"),
    "no batch": (["--batch", "0"], "batch must be at least 1, got 0"),
    "epochs": (["--epochs", "0"], "epochs must be at least 1, got 0"),
    "source epochs": (["--source-epochs", "-1"], "epochs must be at least 0, got -1"),
    "classifier epochs": (["--classifier-epochs", "0"], "epochs must be at least 1, got 0"),
    "patience": (["--patience", "0"], "patience must be at least 1, got 0"),
    "width": (["--width", "0"], "width must be a positive number, got 0"),
    "labels": (["--labels", "0"], "labels must be a share above 0 and at most 1, got 0.0"),
    "dark": (["--dark", "255"], "background must be a grey level below 255, or -1, got 255"),
    "seed": (["--seed", "-1"], "non-negative"),
    "large batch": (["--batch", "21"], "/target: 20 images to learn the lungs task from"),
    "many folds": (["--folds", "13"], "/target: class"),
    "batch of few": (["--batch", "9", "--parts", "similar", "--labels", "0.5"], "/pneumonia: "),
}


@pytest.mark.parametrize("name", WRONG)
def test_setting_that_does_not_do_is_named_before_anything_is_trained(
    name, folders, tmp_path, nothing_trained, capsys
):
    arguments, text = WRONG[name]
    assert run(folders, tmp_path / "out", *arguments) == 2
    assert text in error_line(capsys)
    assert not list(tmp_path.rglob("*.npz")) and not (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize("gone", ["target", "test", "pneumonia"])
def test_missing_folder_is_named(gone, own_folders, tmp_path, nothing_trained, capsys):
    shutil.rmtree(own_folders / gone)
    assert run(own_folders, tmp_path / "out", "--parts", "diverse", "similar") == 2
    assert str(own_folders / gone) in error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_folder_that_is_not_there_is_named(tmp_path, capsys):
    assert run(tmp_path / "nowhere", tmp_path / "out") == 2
    assert str(tmp_path / "nowhere") in error_line(capsys)


@pytest.mark.parametrize("name", FOLDERS)
def test_damaged_images_are_named(name, own_folders, tmp_path, nothing_trained, capsys):
    path = own_folders / name / "images.npy"
    path.write_bytes(path.read_bytes()[:1000])
    assert run(own_folders, tmp_path / "out") == 2
    assert str(path) in error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_folder_that_cannot_be_written_to_is_named(
    folders, tmp_path, nothing_trained, monkeypatch, capsys
):
    monkeypatch.setattr("os.access", lambda *asked: False)  # root may write anywhere
    assert run(folders, tmp_path / "out") == 2
    assert str(tmp_path / "out") in error_line(capsys)


def test_file_in_the_place_of_the_results_is_named_and_left(
    folders, tmp_path, nothing_trained, capsys
):
    (tmp_path / "out").write_text("a file")
    assert run(folders, tmp_path / "out") == 2
    assert str(tmp_path / "out") in error_line(capsys)
    assert (tmp_path / "out").read_text() == "a file"


def test_gpu_that_does_not_work_is_an_error(folders, tmp_path, monkeypatch, capsys):
    def no_gpu():
        raise ImportError("No module\nnamed 'cupy'")

    monkeypatch.setattr(backend, "_gpu", no_gpu)
    assert run(folders, tmp_path / "out", "--device", "gpu") == 2
    assert error_line(capsys) == "error: no working GPU: No module named 'cupy'"
    assert not (tmp_path / "out").exists()


def test_training_that_diverges_is_one_line(folders, tmp_path, monkeypatch, capsys):
    def nothing_but_nan(prediction, target):
        return np.float32("nan"), prediction

    monkeypatch.setattr("ums.source.mse", nothing_but_nan)
    assert run(folders, tmp_path / "out") == 2
    assert "source: denoising: the training loss is nan in batch 1 of epoch 1" in error_line(capsys)


def test_part_that_does_not_exist_is_refused(folders, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(folders, tmp_path / "out", "--parts", "both")
    assert stopped.value.code == 2 and "both" in capsys.readouterr().err
