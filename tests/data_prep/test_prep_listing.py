"""What lies in a raw folder, and under which names: nothing vanishes, and no two files become one."""

import os
import socket
from pathlib import Path

import pytest
from raw_files import linux, reasons, write

from data_prep.__main__ import main
from data_prep.listing import Item, find_files, image_files, without_contradictions
from data_prep.montgomery import list_montgomery
from data_prep.pediatric import list_pediatric
from data_prep.shenzhen import list_shenzhen
from data_prep.unlabelled import list_unlabelled


def found(folder):
    """The names of the files below `folder`, and why others are none."""
    files, problems = find_files(folder)
    return [path.relative_to(folder).as_posix() for path in files], reasons(folder, problems)


# Folders ---------------------------------------------------------------------------------------------


def test_links_to_folders_and_files_are_followed(tmp_path):
    raw = write(tmp_path / "raw", "a.png")
    (raw / "images_001").symlink_to(write(tmp_path / "elsewhere", "deep/b.png"))
    (raw / "c.png").symlink_to(tmp_path / "elsewhere" / "deep" / "b.png")
    assert found(raw) == (["a.png", "c.png", "images_001/deep/b.png"], {})
    assert len(list_unlabelled(raw).items) == 3


@pytest.mark.parametrize(
    ("target", "same"), [("raw", "."), ("raw/deep", "deep"), (".", ".."), ("/", "/")]
)
def test_no_folder_is_listed_twice_and_that_is_said(tmp_path, target, same):
    raw = write(tmp_path / "raw", "deep/a.png")
    (raw / "deep" / "again").symlink_to(tmp_path / target)
    files, problems = found(raw)
    assert files == ["deep/a.png"] and list(problems) == ["deep/again"]
    text = problems["deep/again"].removeprefix("the same folder as ")
    assert os.path.realpath(raw / text) == os.path.realpath(raw / same)


def test_a_folder_is_listed_by_its_own_name_whatever_the_order(tmp_path):
    raw = write(tmp_path / "raw", "z/a.png")
    (raw / "a").symlink_to(raw / "z")
    assert found(raw) == (["z/a.png"], {"a": "the same folder as z"})


def test_links_between_two_folders_end(tmp_path):
    one, other = write(tmp_path / "one", "a.png"), write(tmp_path / "other", "b.png")
    (one / "next").symlink_to(other)
    (other / "next").symlink_to(one)
    assert found(one) == (["a.png", "next/b.png"], {"next/next": "the same folder as ."})


@pytest.fixture
def forbidden(monkeypatch):
    """Folders of this name cannot be listed, as for a user without the rights (root has them all)."""
    list_folder = os.scandir

    def scandir(path="."):
        if str(path).endswith("forbidden"):
            raise PermissionError(13, "Permission denied", str(path))
        return list_folder(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_an_unreadable_folder_is_a_problem_and_the_others_are_listed(tmp_path, forbidden):
    raw = write(tmp_path / "raw", "a.png", "forbidden/b.png")
    why = {"forbidden": "a folder that cannot be read: Permission denied"}
    assert found(raw) == (["a.png"], why)
    assert reasons(raw, list_unlabelled(raw).problems) == why


@pytest.mark.parametrize("listed", [find_files, image_files])
def test_a_set_whose_own_folder_is_unreadable_is_an_error(tmp_path, forbidden, listed):
    write(tmp_path / "forbidden", "b.png")
    with pytest.raises(PermissionError, match="forbidden"):
        listed(tmp_path / "forbidden")


def test_a_file_that_cannot_be_opened_is_a_problem(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("data_prep.unlabelled.image_kind", refuse)
    listing = list_unlabelled(write(tmp_path, "a.png", "b.bin"))
    assert reasons(tmp_path, listing.problems) == {"b.bin": "cannot be read: Permission denied"}


@linux
def test_pipes_and_sockets_are_named_and_never_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path, "a.png"))  # a socket's path must be short
    os.mkfifo("pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.dcm")
        names, problems = found(tmp_path)
        images, others = image_files(tmp_path)
    assert names == ["a.png"] and len(images) == 1 and set(problems) == {"pipe.png", "socket.dcm"}
    assert {*problems.values(), *dict(others).values()} == {"neither a file nor a folder"}


def test_links_in_a_circle_and_to_nowhere_are_problems(tmp_path):
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "lost.png").symlink_to("gone.png")
    _, problems = found(tmp_path)
    assert "cannot be read" in problems["loop.png"] and "nowhere" in problems["lost.png"]


def test_hidden_files_and_the_systems_are_passed_over(tmp_path):
    write(tmp_path, "a.png", ".b.png", ".c/d.png", "__MACOSX/e.png", "Thumbs.db", "Desktop.ini")
    assert found(tmp_path) == (["a.png"], {})


def test_dicom_files_without_an_ending_are_images_and_their_index_is_not(tmp_path):
    write(tmp_path, "a.png")
    for name in ("IM0001", "1.2.840.7", "b.IMA", "DICOMDIR", "c.bin"):
        (tmp_path / name).write_bytes(b"\0" * 128 + b"DICM")
    listing = list_unlabelled(tmp_path)
    assert [item.id for item in listing.items] == ["1.2.840.7", "IM0001", "a.png", "b.IMA"]
    assert list(reasons(tmp_path, listing.problems)) == ["c.bin"]
    assert listing.about["other_files"] == {"no ending": 1}


# The public sets -------------------------------------------------------------------------------------


def test_a_second_mask_in_the_inner_folder_is_reported(tmp_path):
    masks = ("mask/CHNCXR_0001_0_mask.png", "mask/mask/CHNCXR_0001_0_mask.png")
    listing = list_shenzhen(write(tmp_path, "CXR_png/CHNCXR_0001_0.png", *masks))
    assert listing.items[0].masks == (tmp_path / masks[0],)
    why = "another mask of CHNCXR_0001_0.png, for which mask/CHNCXR_0001_0_mask.png is taken"
    assert reasons(tmp_path, listing.problems) == {masks[1]: why}


@linux
def test_masks_of_montgomery_in_two_cases_are_reported(tmp_path):
    name = "MCUCXR_0001_0"
    files = [f"CXR_png/{name}.png", f"ManualMask/leftMask/{name}.PNG"]
    files += [f"ManualMask/rightMask/{name}.{ending}" for ending in ("png", "PNG")]
    listing = list_montgomery(write(tmp_path, *files))
    assert [mask.name for mask in listing.items[0].masks] == [f"{name}.PNG"] * 2
    assert list(reasons(tmp_path, listing.problems)) == [f"ManualMask/rightMask/{name}.png"]


def test_one_number_with_two_labels_is_left_out(tmp_path):
    write(tmp_path, *[f"CXR_png/CHNCXR_000{n}.png" for n in ("1_0", "1_1", "2_0")], "mask/x.txt")
    for side in ("left", "right"):
        (tmp_path / "ManualMask" / f"{side}Mask").mkdir(parents=True)
    shenzhen = list_shenzhen(tmp_path)
    assert [item.id for item in shenzhen.items] == ["CHNCXR_0002_0"]
    whys = reasons(tmp_path, shenzhen.problems)
    assert whys["CXR_png/CHNCXR_0001_0.png"].endswith("there is also CHNCXR_0001_1")
    assert whys["CXR_png/CHNCXR_0001_1.png"].endswith("there is also CHNCXR_0001_0")
    assert shenzhen.about["found"] == {"images": 3, "normal": 2, "abnormal": 1, "masks": 0}


def test_one_child_with_one_number_in_two_classes_is_left_out(tmp_path):
    for side in ("train", "test"):
        names = ("person1_bacteria_1", "person1_virus_2", "person2_virus_1")
        write(tmp_path, *[f"{side}/PNEUMONIA/{name}.jpeg" for name in names])
        write(tmp_path, f"{side}/NORMAL/IM-0001-0001.jpeg")
    assert not list_pediatric(tmp_path).problems
    write(tmp_path, "train/PNEUMONIA/person1_virus_1.jpeg")
    listing = list_pediatric(tmp_path)
    assert len(listing.problems) == 2 and len(listing.items) == 7


@linux
def test_a_childs_film_in_two_cases_of_its_ending_is_reported(tmp_path):
    for side in ("train", "test"):
        names = ("PNEUMONIA/person1_bacteria_1", "PNEUMONIA/person1_virus_2", "NORMAL/IM-0001-0001")
        write(tmp_path, *[f"{side}/{name}.jpeg" for name in names])
    write(tmp_path, "train/NORMAL/IM-0001-0001.JPEG")
    listing = list_pediatric(tmp_path)
    assert len(listing.items) == 6
    assert "only in case" in reasons(tmp_path, listing.problems)["train/NORMAL/IM-0001-0001.jpeg"]


def test_only_other_labels_are_a_contradiction(tmp_path):
    items = [
        Item(i, "p", tmp_path / i, labels={"x": x})
        for i, x in zip("abcd", (0, 0, 1, 1), strict=True)
    ]
    kept, problems = without_contradictions(items, lambda item: item.id in "bc")
    assert not kept and len(problems) == 4
    kept, problems = without_contradictions(items, lambda item: item.id in "ab")
    assert kept == items and not problems


@pytest.mark.parametrize("name", ["mask/mask", "mask/CHNCXR_0001_0_mask.png"])
def test_masks_behind_a_dead_link_are_reported(tmp_path, name):
    write(tmp_path, "CXR_png/CHNCXR_0001_0.png", "mask/CHNCXR_0002_0_mask.png")
    (tmp_path / name).symlink_to("gone")
    whys = reasons(tmp_path, list_shenzhen(tmp_path).problems)
    assert whys.pop(name) == "a link that leads nowhere" and len(whys) == 1


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("masks", ["echo-folder", "."]),
        ("val", ["pediatric", "."]),
        ("nih_cxr14", ["cxr", "--data", "."]),
        ("pneumonia-challenge-dataset-mappings_2018.json", ["rsna", "."]),
    ],
)
def test_a_part_behind_a_dead_link_is_an_error_that_names_it(tmp_path, name, arguments, capsys):
    write(tmp_path, "images/a.png", "shenzhen/a.png", "stage_2_train_images/a.dcm")
    write(tmp_path, *[f"{s}/{c}/a.png" for s in ("train", "test") for c in ("NORMAL", "PNEUMONIA")])
    (tmp_path / "labels.csv").write_text("file,patient,flow,quality\n")
    (tmp_path / name).symlink_to("gone")
    arguments = [str(tmp_path) if text == "." else text for text in arguments]
    assert main([*arguments, str(tmp_path / "out")]) == 2
    assert name in (error := capsys.readouterr().err) and error.count("\n") == 1


def test_folders_without_an_inode_are_told_apart_by_their_path(tmp_path, monkeypatch):
    real = Path.stat

    def stat(self, **options):
        state = list(real(self, **options))
        state[1] = 0  # st_ino, as on some network drives
        return os.stat_result(state)

    for name in ("a/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "b" / "again").symlink_to(tmp_path / "a")
    monkeypatch.setattr(Path, "stat", stat)
    files, problems = find_files(tmp_path)
    assert [path.name for path in files] == ["1.png", "2.png"]
    assert problems == [(tmp_path / "b" / "again", "the same folder as a")]
