"""The chest X-ray experiment, end to end on tiny made-up hospitals."""

import contextlib
import io
import json
import shutil

import numpy as np
import pytest

from ums import backend
from ums.backend import Device
from ums.data import NOISES
from ums.data.prepared import load_prepared, save_prepared
from ums.experiments import cxr
from ums.experiments.cxr import Settings
from ums.experiments.cxr_sets import (
    ABNORMALITY,
    HELD_OUT,
    LUNGS,
    OTHER,
    Sets,
    load_sets,
    rows_of,
    rows_to_test,
)
from ums.experiments.scores import score_classification, score_denoising, score_segmentation
from ums.finetuning import Tuned
from ums.layers import Layer

CPU = Device(np, "CPU")
STAGES = ["source", "independent-lungs", "independent-abnormality", "alternating", "joint"]
STAGES += ["separate-lungs", "separate-abnormality"]
SMALL = ["--width", "0.1", "--epochs", "2", "--source-epochs", "2", "--classifier-epochs", "2"]
SMALL += ["--device", "cpu", "--quiet"]
SPLITS = ("train", "train", "train", "train", "validation", "test")


def hospital(folder, seed, n=48, side=32, **changes):
    """X-rays with a bright disc for lungs, and a dark spot in it where there is disease."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    centre, radius = rng.uniform(0.4 * side, 0.6 * side, (n, 1, 1)), 0.3 * side
    masks = ((x - centre) ** 2 + (y - side / 2) ** 2 < radius**2).astype(np.uint8)
    spots = (x - centre) ** 2 + (y - side / 2) ** 2 < (radius / 2) ** 2
    abnormal = np.arange(n) // 6 % 2
    grey = 60 + 120 * masks - 60 * spots * abnormal[:, None, None]
    images = np.clip(grey + rng.normal(0, 5, grey.shape), 0, 255).astype(np.uint8)
    names = [f"{k}" for k in range(n)]
    columns = {
        "ids": names,
        "patients": names,
        "splits": [SPLITS[k % 6] for k in range(n)],
        "labels": {"abnormal": abnormal},
        "masks": masks,
        "about": {"name": folder.name.title(), "source": "made up"},
    }
    return save_prepared(folder, **{"images": images, **columns, **changes})


def run(folders, out, *more, source=True):
    """The exit code of a whole run."""
    paths = ["--target", str(folders / "target"), "--test", str(folders / "test")]
    paths += ["--source", str(folders / "source")] if source else []
    return cxr.main([*paths, "--out", str(out), *SMALL, *more])


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
    return {path.name.rpartition("-")[0]: path for path in (out / "stages").iterdir()}


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory):
    """Three prepared folders, to be left as they are."""
    folder = tmp_path_factory.mktemp("hospitals")
    for seed, name in enumerate(("source", "target", "test")):
        hospital(folder / name, seed)
    return folder


@pytest.fixture
def own_hospitals(hospitals, tmp_path):
    """Three folders that a test may spoil."""
    return shutil.copytree(hospitals, tmp_path / "hospitals")


@pytest.fixture(scope="module")
def finished(hospitals, tmp_path_factory):
    """The folder of one whole run, to be left as it is."""
    out = tmp_path_factory.mktemp("results") / "cxr"
    assert run(hospitals, out) == 0
    return out


@pytest.fixture
def finished_copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "cxr")


# ---------------------------------------------------------------------------- a whole run


def test_run_leaves_a_page_tables_figures_and_stages(finished):
    assert {p.name for p in finished.iterdir()} == {
        "report.html", "tables.txt", "tables.json", "figures", "stages",
    }  # fmt: skip
    assert set(stages_of(finished)) == set(STAGES)
    page = (finished / "report.html").read_text()
    assert all(name in page for name in ("Target, held-out part", "Test", "Lung segmentation"))


RANGES = {
    "Accuracy": (0, 1), "F-score": (0, 1), "IoU": (0, 1), "Two-class IoU": (0, 1), "MCC": (-1, 1),
    "AUC": (0, 1), "PSNR, noisy": (5, 60), "SSIM, noisy": (-1, 1), "PSNR": (5, 60),
    "SSIM": (-1, 1), "MS-SSIM": (0, 1), "Minutes": (0, 10), "Epochs": (2, 2),
    "Target, held-out part": (-1, 1), "Test": (-1, 1), "Change": (-2, 2),
}  # fmt: skip


def test_tables_hold_numbers_in_their_ranges(finished):
    checked = set()
    for rows in tables(finished).values():
        for name, value in (item for row in rows for item in row.items() if item[0] in RANGES):
            low, high = RANGES[name]
            assert low <= value <= high, (name, value)
            checked.add(name)
    assert checked == set(RANGES)


def test_tables_count_the_images_and_parameters(finished):
    found = tables(finished)
    for task in (LUNGS, ABNORMALITY):
        assert [row["Images"] for row in found[f"table-3-{task}"]] == [8, 48] * 4
    parts = [row["Trainable parameters"] for row in found["table-4"]]
    assert parts[3] == sum(parts[:3]) and parts[7] == sum(parts[4:7])
    # a tenth of the paper's channels: batch norm of 26, to 256 hidden units, 256 to 2 classes
    assert parts[2] == 2 * 26 + (26 * 256 + 256) + (256 * 2 + 2)
    assert parts[0] == parts[4] == parts[5]  # the same autoencoder, for one channel
    # alternating and joint move the encoder (the autoencoder but its decoder, the lungs' head) again
    assert parts[8] == parts[10] == parts[0] + parts[2] and parts[9] == parts[11] == parts[3]


def test_lung_scores_satisfy_the_identities_between_them(finished):
    for row in tables(finished)["table-3-lungs"]:
        assert row["IoU"] <= row["F-score"] and row["IoU"] >= row["F-score"] / 2
        assert row["Two-class IoU"] <= row["Accuracy"]


def test_change_of_hospital_repeats_table_3(finished):
    found = tables(finished)
    scores = {
        (row["Strategy"], row["Tested on"], name): value
        for task in (LUNGS, ABNORMALITY)
        for row in found[f"table-3-{task}"]
        for name, value in row.items()
        if task == LUNGS or name == "MCC"
    }
    for row in (r for r in found["hospitals"] if r["Measure"] in ("IoU", "MCC")):
        here, there = row["Target, held-out part"], row["Test"]
        assert here == scores[row["Strategy"], "Target, held-out part", row["Measure"]]
        assert there == scores[row["Strategy"], "Test", row["Measure"]]
        assert row["Change"] == pytest.approx(there - here)


# ---------------------------------------------------------------------------- again


@pytest.fixture(scope="module")
def second(hospitals, finished, tmp_path_factory):
    """What a second run in a copy of the first one's folder writes and prints."""
    out = shutil.copytree(finished, tmp_path_factory.mktemp("results") / "second")
    for name in ("report.html", "tables.txt", "tables.json"):
        (out / name).unlink()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert run(hospitals, out) == 0
    return out, printed.getvalue()


def test_second_run_takes_every_stage_from_disk(second, finished):
    out, printed = second
    assert all(f"{stage}: finished before" in printed for stage in STAGES)
    for stage, path in stages_of(out).items():
        assert path.read_bytes() == stages_of(finished)[stage].read_bytes()


def test_second_run_writes_the_same_tables_minutes_included(second, finished):
    assert tables(second[0]) == tables(finished)


def test_printed_tables_are_the_written_ones(second):
    out, printed = second
    assert (out / "tables.txt").read_text() in printed


def test_fresh_folder_and_the_same_seed_give_the_same_tables_but_minutes(
    hospitals, finished, tmp_path
):
    assert run(hospitals, tmp_path / "again") == 0
    assert tables(tmp_path / "again", ["Minutes"]) == tables(finished, ["Minutes"])


def test_another_seed_gives_other_tables(hospitals, finished_copy, finished):
    assert run(hospitals, finished_copy, "--seed", "1") == 0
    ours, theirs = tables(finished_copy), tables(finished)
    assert all(ours[name] != theirs[name] for name in ("table-2", "table-3-lungs"))


@pytest.mark.parametrize("missing", [["separate-lungs"], STAGES[1:]], ids=["one", "all but first"])
def test_run_that_was_stopped_goes_on_and_ends_as_if_it_had_not(
    missing, hospitals, finished, finished_copy, capsys
):
    for stage in missing:
        stages_of(finished_copy)[stage].unlink()
    assert run(hospitals, finished_copy) == 0
    assert tables(finished_copy, ["Minutes"]) == tables(finished, ["Minutes"])
    assert capsys.readouterr().out.count("finished before") == len(STAGES) - len(missing)


@pytest.mark.parametrize(
    ("option", "again"),
    [("--epochs", ("lungs", "alternating", "joint")), ("--classifier-epochs", ("abnormality",))],
)
def test_other_epochs_of_one_kind_of_task_keep_all_else(
    option, again, hospitals, finished_copy, capsys
):
    assert run(hospitals, finished_copy, option, "1") == 0
    printed = capsys.readouterr().out
    kept = [stage for stage in STAGES if f"{stage}: finished before" in printed]
    assert kept == [stage for stage in STAGES if not any(name in stage for name in again)]


@pytest.mark.parametrize(
    "option", [("--source-epochs", "1"), ("--batch", "8"), ("--learning-rate", "0.01")]
)
def test_another_setting_of_the_source_computes_everything_again(
    option, hospitals, finished_copy, capsys
):
    assert run(hospitals, finished_copy, *option) == 0
    assert "finished before" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["source", "target"])
def test_other_training_images_compute_everything_again(name, own_hospitals, finished_copy, capsys):
    shutil.rmtree(own_hospitals / name)
    hospital(own_hospitals / name, seed=9)
    assert run(own_hospitals, finished_copy) == 0
    assert "finished before" not in capsys.readouterr().out


def test_other_test_images_train_nothing_again(own_hospitals, finished, finished_copy, capsys):
    shutil.rmtree(own_hospitals / "test")
    hospital(own_hospitals / "test", seed=9)
    assert run(own_hospitals, finished_copy) == 0
    assert capsys.readouterr().out.count("finished before") == len(STAGES)
    assert tables(finished_copy)["table-3-lungs"] != tables(finished)["table-3-lungs"]


def test_without_a_source_the_targets_images_are_used(own_hospitals, tmp_path):
    shutil.rmtree(own_hospitals / "source")
    assert run(own_hospitals, tmp_path / "a", source=False) == 0
    shutil.copytree(own_hospitals / "target", own_hospitals / "source")
    assert run(own_hospitals, tmp_path / "b") == 0
    assert tables(tmp_path / "a", ["Minutes"]) == tables(tmp_path / "b", ["Minutes"])


def test_default_settings_of_the_command_are_those_of_a_run():
    options = vars(cxr._parser().parse_args(["--target", "a", "--test", "b"]))
    defaults = {k: v for k, v in vars(Settings()).items() if k != "progress"}
    assert {name: options[name] for name in defaults} == defaults


def test_only_the_baseline_is_tested_behind_the_denoiser(hospitals, finished_copy, monkeypatch):
    given, original = [], cxr.score_tasks

    def spy(sets, tested, tuned, device, denoiser=None):
        given.append(denoiser)
        return original(sets, tested, tuned, device, denoiser)

    monkeypatch.setattr(cxr, "score_tasks", spy)
    sets = load_sets(*(str(hospitals / name) for name in ("source", "target", "test")))
    settings = Settings(0.1, source_epochs=2, epochs=2, classifier_epochs=2, progress=False)
    outcome = cxr.run(sets, settings, backend.choose_device("cpu"), finished_copy)
    assert list(outcome.scores) == ["independent", "alternating", "joint", "separate"]
    assert given == [None, None, None, outcome.source.network]


# ---------------------------------------------------------------------------- errors


def remade(name, **changes):
    """Spoils the three folders by making one of them anew."""

    def spoil(folders):
        shutil.rmtree(folders / name)
        hospital(folders / name, seed=5, **changes)

    return spoil


def of_size(side, *names):
    return lambda folders: [remade(name, side=side)(folders) for name in names]


def relabelled(name, split, becomes):
    splits = [becomes if SPLITS[k % 6] == split else SPLITS[k % 6] for k in range(48)]
    return remade(name, splits=splits)


def coloured(folders):
    for name in ("source", "target", "test"):
        images = np.zeros((48, 32, 32, 3), np.uint8)
        remade(name, images=images)(folders)


def missing(name):
    return lambda folders: shutil.rmtree(folders / name)


# what is wrong: (how to make it so, further arguments, what the error line says of which folder)
EARLY = {
    "another size": (of_size(48, "test"), [], r"images must be of one size: .*/target has (32, 32), "
                     r".*/test has (48, 48)"),
    "another size in the source": (of_size(16, "source"), [], r".*/source has (16, 16)"),
    "size": (of_size(24, "source", "target", "test"), [], r".*/target: X-rays must be grey and their "
             r"sides multiples of 16 (the encoder halves them four times), got (24, 24)"),
    "colour": (coloured, [], r".*/target: X-rays must be grey .*got (32, 32, 3)"),
    "no label column": (remade("target", labels={"sick": np.zeros(48, int)}), [],
                        r".*/target/table.csv has no column 'abnormal'"),
    "no label column in the test": (remade("test", labels={}), [],
                                    r".*/test/table.csv has no column 'abnormal'"),
    "a third class": (remade("target", labels={"abnormal": np.arange(48) % 3}), [],
                      r".*/target/table.csv: abnormal must be 0 or 1"),
    "no masks": (remade("target", masks=None), [], r".*/target has no lung masks"),
    "no masks in the test": (remade("test", masks=None), [], r".*/test has no lung masks"),
    "missing source": (missing("source"), [], r"no prepared folder at .*/source: "),
    "missing target": (missing("target"), [], r"no prepared folder at .*/target: "),
    "missing test": (missing("test"), [], r"no prepared folder at .*/test: "),
}  # fmt: skip

# These come to light only when the part is needed, after what went before it was trained.
LATE = {
    "no validation part": (relabelled("target", "validation", "train"), [],
                           r".*/target: no image in split 'validation'"),
    "no training part": (relabelled("source", "train", "test"), [],
                         r".*/source: no image in split 'train'"),
    "no held-out part": (relabelled("target", "test", "train"), [],
                         r".*/target: no image in split 'test' with what the lungs task needs"),
    "no held-out part in the source": (relabelled("source", "test", "train"), [],
                                       r".*/source: no image in split 'test'"),
    "no label in the test": (remade("test", labels={"abnormal": np.full(48, -1)}), [],
                             r".*/test: no image in split 'all' .* abnormality task needs"),
    "batch": (lambda folders: None, ["--batch", "33"],
              r"32 training .* cannot fill a batch of 33"),
}  # fmt: skip


def error_line(capsys):
    """The one line that an error prints."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


def says(line, pattern):
    """Whether a line holds the pieces of a pattern, brackets meant as they are, in their order."""
    at = 0
    for piece in pattern.split(".*"):
        at = line.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


@pytest.mark.parametrize("name", [*EARLY, *LATE])
def test_error_is_one_line_that_names_the_folder(name, own_hospitals, tmp_path, capsys):
    spoil, arguments, pattern = (EARLY | LATE)[name]
    spoil(own_hospitals)
    assert run(own_hospitals, tmp_path / "out", *arguments) == 2
    line = error_line(capsys)
    assert says(line, pattern), line


@pytest.mark.parametrize(
    "name",
    [
        *EARLY,
        *(name for name in LATE),
    ],
)
def test_error_in_the_data_is_found_before_anything_is_written(name, own_hospitals, tmp_path):
    spoil, arguments, _ = (EARLY | LATE)[name]
    spoil(own_hospitals)
    assert run(own_hospitals, tmp_path / "out", *arguments) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", LATE)
def test_error_in_the_data_leaves_no_report_and_nothing_half_written(name, own_hospitals, tmp_path):
    spoil, arguments, _ = LATE[name]
    spoil(own_hospitals)
    assert run(own_hospitals, tmp_path / "out", *arguments) == 2
    found = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert all(path.parent.name == "stages" and path.suffix == ".npz" for path in found)


def test_too_few_images_for_a_batch_name_their_folder(hospitals, tmp_path, capsys):
    assert run(hospitals, tmp_path / "out", "--batch", "33") == 2
    assert str(hospitals) in error_line(capsys)


def test_gpu_that_does_not_work_is_an_error(hospitals, tmp_path, monkeypatch, capsys):
    def no_gpu():
        raise ImportError("No module\nnamed 'cupy'")

    monkeypatch.setattr(backend, "_gpu", no_gpu)
    assert run(hospitals, tmp_path / "out", "--device", "gpu") == 2
    assert error_line(capsys) == "error: no working GPU: No module named 'cupy'"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--batch", "0"], "batch must be at least 1, got 0"),
        (["--epochs", "0"], "epochs must be at least 1, got 0"),
        (["--source-epochs", "-1"], "epochs must be at least 1, got -1"),
        (["--classifier-epochs", "0"], "epochs must be at least 1, got 0"),
        (["--patience", "0"], "patience must be at least 1, got 0"),
        (["--width", "0"], "width must be positive, got 0"),
        (["--learning-rate", "0"], "learning rate must be positive, got 0"),
        (["--seed", "-1"], "non-negative"),
    ],
)
def test_setting_that_makes_no_sense_is_named(arguments, text, hospitals, tmp_path, capsys):
    assert run(hospitals, tmp_path / "out", *arguments) == 2
    assert text in error_line(capsys)


def test_epochs_of_the_heads_are_checked_before_the_source_is_trained(hospitals, tmp_path):
    assert run(hospitals, tmp_path / "out", "--epochs", "0") == 2
    assert not list(tmp_path.rglob("*.npz"))


def test_file_in_the_place_of_the_results_is_named_and_left(hospitals, tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    assert run(hospitals, tmp_path / "out") == 2
    assert str(tmp_path / "out") in error_line(capsys)
    assert (tmp_path / "out").read_text() == "a file"


def test_training_that_diverges_is_one_line(hospitals, tmp_path, monkeypatch, capsys):
    def nothing_but_nan(prediction, target):
        return np.float32("nan"), prediction

    monkeypatch.setattr("ums.source.mse", nothing_but_nan)
    assert run(hospitals, tmp_path / "out") == 2
    assert "source: denoising: the training loss is nan in batch 1 of epoch 1" in error_line(capsys)


def test_stopping_a_run_keeps_what_is_finished(hospitals, tmp_path, monkeypatch, capsys):
    def stop(*arguments, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cxr, "train_separately", stop)
        assert run(hospitals, tmp_path / "out") == 130
    assert "finished stages are kept" in capsys.readouterr().err
    assert set(stages_of(tmp_path / "out")) == set(STAGES[:5])


def test_damaged_stage_is_computed_again(hospitals, finished, finished_copy):
    path = stages_of(finished_copy)["source"]
    path.write_bytes(path.read_bytes()[:1000])
    assert run(hospitals, finished_copy) == 0
    assert tables(finished_copy, ["Minutes"]) == tables(finished, ["Minutes"])


# ---------------------------------------------------------------------------- sets and rows


def test_sets_are_loaded_with_or_without_a_source(hospitals):
    names = {name: str(hospitals / name) for name in ("source", "target", "test")}
    sets = load_sets(**names)
    assert [s.folder.name for s in (sets.source, sets.target, sets.test)] == list(names)
    shared = load_sets(None, names["target"], names["test"])
    assert shared.source is shared.target and shared.test.folder.name == "test"


def test_source_needs_neither_masks_nor_labels(own_hospitals):
    remade("source", masks=None, labels={})(own_hospitals)
    names = [str(own_hospitals / name) for name in ("source", "target", "test")]
    assert len(load_sets(*names).source) == 48


def test_images_need_not_be_square(tmp_path):
    for name in ("target", "test"):
        images = np.zeros((48, 32, 48), np.uint8)
        hospital(tmp_path / name, 0, images=images, masks=images + 1)
    sets = load_sets(None, str(tmp_path / "target"), str(tmp_path / "test"))
    assert sets.target.images.shape[1:] == (32, 48)


ROWS = {
    ("train", None): [0, 1, 2],
    ("train", LUNGS): [0, 2],
    ("train", ABNORMALITY): [1, 2],
    ("validation", None): [3],
    ("validation", LUNGS): [3],
    ("validation", ABNORMALITY): "no image in split 'validation' with what the abnormality task",
    ("test", LUNGS): "no image in split 'test' with what the lungs task",
    ("test", ABNORMALITY): [4],
    ("all", None): [0, 1, 2, 3, 4],
    ("all", LUNGS): [0, 2, 3],
    ("all", ABNORMALITY): [1, 2, 4],
    ("none", None): "no image in split 'none'",
}


@pytest.fixture
def patchy(tmp_path):
    """Five images, of which some have a mask and some a label."""
    has_mask = np.array([True, False, True, True, False])
    return save_prepared(
        tmp_path / "patchy",
        np.zeros((5, 16, 16), np.uint8),
        ids="abcde",
        patients="abcde",
        splits=["train", "train", "train", "validation", "test"],
        labels={"abnormal": [-1, 0, 1, -1, 1]},
        masks=np.ones((5, 16, 16), np.uint8) * has_mask[:, None, None],
        has_mask=has_mask,
    )


@pytest.mark.parametrize(("split", "task"), ROWS)
def test_rows_are_those_of_the_split_with_what_the_task_needs(split, task, patchy):
    expected = ROWS[split, task]
    if isinstance(expected, list):
        assert rows_of(patchy, split, task).tolist() == expected
    else:
        with pytest.raises(ValueError, match=f"/patchy: {expected}"):
            rows_of(patchy, split, task)


def test_held_out_part_and_the_whole_other_hospital_are_tested(hospitals):
    target, test = (load_prepared(hospitals / name) for name in ("target", "test"))
    tested = rows_to_test(Sets(target, target, test))
    for task in (LUNGS, ABNORMALITY):
        assert tested[HELD_OUT][task].tolist() == list(range(5, 48, 6))
        assert tested[OTHER][task].tolist() == list(range(48))


# ---------------------------------------------------------------------------- scores


class By(Layer):
    """Stands in for a network: a function of its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, training=False, keep=True):
        return self.function(x)


def test_lung_masks_are_where_the_logit_is_positive():
    images = np.full((2, 16, 16), 50, np.uint8)
    images[0, :8], images[1, :4] = 200, 200  # a half and a quarter, brighter than the mean
    masks = np.zeros((2, 16, 16), np.uint8)
    masks[:, :8] = 1
    scores = score_segmentation(By(lambda x: x), images, masks, CPU)
    assert scores["predicted"].sum(axis=(1, 2)).tolist() == [128, 64]
    for name, worked in (("Accuracy", 0.75), ("F-score", 2 / 3), ("IoU", 1 / 2)):
        np.testing.assert_allclose(scores[name], [1, worked])
    np.testing.assert_allclose(scores["Two-class IoU"], [1, (1 / 2 + 128 / 192) / 2])


def test_abnormality_scores_worked_by_hand():
    images = np.full((6, 16, 16), 100, np.uint8)
    logits = np.array([[2, 1], [0, 3], [0, 1], [0, 2], [5, 0], [0, 4]], np.float32)
    labels = np.array([0, 0, 1, 1, 0, 1])  # said: 0 1 1 1 0 1
    scores = score_classification(By(lambda x: logits), images, labels, CPU)
    assert scores["predicted"].tolist() == [0, 1, 1, 1, 0, 1]
    assert scores["Accuracy"] == pytest.approx(5 / 6)
    assert scores["F-score"] == pytest.approx(6 / 7)  # 3 found, 1 false alarm
    assert scores["MCC"] == pytest.approx((3 * 2 - 0) / np.sqrt(4 * 3 * 3 * 2))
    assert scores["AUC"] == pytest.approx(7 / 9)  # 3 outscores 1 and 2, but not 4


@pytest.mark.parametrize("denoiser", [None, By(lambda x: 0 * x)])
def test_networks_are_tested_on_denoised_images_where_there_is_a_denoiser(denoiser, hospitals):
    def label(x):
        return np.stack([x.max(axis=(1, 2, 3)), 0 * x.max(axis=(1, 2, 3))], axis=1)

    target, test = (load_prepared(hospitals / name) for name in ("target", "test"))
    sets = Sets(target, target, test)
    networks = {LUNGS: By(lambda x: x), ABNORMALITY: By(label)}
    tuned = {name: Tuned(network, None, 0.0, 0) for name, network in networks.items()}
    scores = cxr.score_tasks(sets, rows_to_test(sets), tuned, CPU, denoiser)
    for hospital_scores in scores.values():  # the lungs are brighter than the mean; 0 x is not
        assert (hospital_scores[LUNGS]["IoU"] > 0.9).all() == (denoiser is None)
        assert (hospital_scores[LUNGS]["IoU"] == 0).all() == (denoiser is not None)
        assert hospital_scores[ABNORMALITY]["Accuracy"] == 0.5  # all of one class


def test_denoising_is_scored_for_every_noise_in_the_tables_order(rng):
    images = np.full((3, 32, 32), 128, np.uint8)
    rows = score_denoising(By(lambda x: 0 * x), images, CPU, rng)  # the mean, for every pixel
    assert [row["noise"] for row in rows] == [str(noise) for noise in NOISES]
    for row, sigma in zip(rows, (10, 20, 30, 40, None, None), strict=True):
        assert row["denoised"]["PSNR"] > row["noisy"]["PSNR"] + 10
        if sigma:  # 50 is clipped now and then
            expected = 20 * np.log10(255 / sigma)
            assert row["noisy"]["PSNR"] == pytest.approx(expected, abs=0.3)


def test_pictures_of_one_image_come_with_every_noise(rng):
    images = rng.integers(0, 256, (3, 16, 16), dtype=np.uint8)
    rows = score_denoising(By(lambda x: x), images, CPU, rng)
    clean = [row["pictures"][0] for row in rows]
    assert all(np.array_equal(picture, clean[0]) for picture in clean)
    assert any(np.array_equal(picture, clean[0]) for picture in images)
    for row in rows:
        _, noisy, denoised = row["pictures"]
        np.testing.assert_allclose(denoised, np.where(noisy > 8, noisy, 0), atol=1e-3)
