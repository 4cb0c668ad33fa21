"""Names of files and of patients: which are one, what belongs together, and what is shown of them."""

import os
import sys
from io import BytesIO, TextIOWrapper
from unicodedata import normalize

import numpy as np
import pytest
from raw_files import linux, reasons, write

from data_prep.__main__ import main
from data_prep.echo_folder import list_echo
from data_prep.look import contact_sheet
from data_prep.names import distinct, pair_masks, printable, unusable
from data_prep.unlabelled import list_unlabelled
from data_prep.writing import Content
from ums.data.prepared import load_prepared

NFC, NFD = normalize("NFC", "é"), normalize("NFD", "é")
LATIN = os.fsdecode(b"caf\xe9.png")  # as unzip leaves a name of Windows


# Names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "why", "text"),
    [
        ("é ü 写真 🫁 a;b'\".png", None, "é ü 写真 🫁 a;b'\".png"),
        (LATIN, "its name is not UTF-8", "caf\\xe9.png"),
        ("a\nb.png", "its name holds a control character", "a\\nb.png"),
        ("a\rb.png", "its name holds a control character", "a\\rb.png"),
        ("a\x1b[2Jb.png", "its name holds a control character", "a\\x1b[2Jb.png"),
        ("a\u2028b.png", "its name holds a control character", "a\\u2028b.png"),
        ("\udcff", "its name is not UTF-8", "\\xff"),
        ("\udc80", "its name is not UTF-8", "\\x80"),
        ("\ud800", "its name is not UTF-8", "\\ud800"),
    ],
)
def test_names_that_a_table_cannot_hold_are_told_and_shown_escaped(name, why, text):
    assert unusable(name) == why and printable(name) == text
    assert printable(name).encode("utf-8").decode() == text


@linux
@pytest.mark.parametrize("name", [LATIN, "new\nline.png", "tab\t.png", os.fsdecode(b"\xff/x.png")])
def test_an_image_of_such_a_name_is_named_and_the_others_are_kept(name, tmp_path, capsys):
    raw = write(tmp_path / "raw", name, "plain.png")
    assert main(["unlabelled", str(raw), str(tmp_path / "out"), "--size", "16"]) == 0
    made = load_prepared(tmp_path / "out")
    assert made.ids.tolist() == ["plain.png"]
    assert [entry["file"] for entry in made.about["skipped"]] == [printable(name)]
    assert f"  {printable(name)}: its name " in capsys.readouterr().out


@linux
def test_strict_stops_at_such_a_name_in_one_line(tmp_path, capsys):
    raw = write(tmp_path / "raw", LATIN, "plain.png")
    assert main(["unlabelled", str(raw), str(tmp_path / "out"), "--strict"]) == 2
    error = capsys.readouterr().err
    assert "caf\\xe9.png: its name is not UTF-8" in error and error.count("\n") == 1


@linux
def test_a_folder_of_such_a_name_around_the_set_does_no_harm(tmp_path, capsys):
    raw = write(tmp_path / os.fsdecode(b"caf\xe9"), "raw/a.png") / "raw"
    assert main(["unlabelled", str(raw), str(raw.parent / "out"), "--size", "16"]) == 0
    assert "caf\\udce9" in capsys.readouterr().out


def test_the_sheet_draws_what_its_font_has_and_question_marks_else():
    images = np.zeros((2, 8, 8), np.uint8)
    one, other = (
        contact_sheet(Content(images, [name, "b"], ["a", "b"], ["test"] * 2, {}))
        for name in (f"caf{NFC}\udce9\n", "caf??\n")
    )
    assert one == other


def test_a_terminal_without_the_letters_of_a_name_is_no_error(tmp_path, monkeypatch):
    write(tmp_path / "raw", "plain.png")
    (tmp_path / "raw" / "写真.png").write_bytes(b"")
    terminal = TextIOWrapper(BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["unlabelled", str(tmp_path / "raw"), str(tmp_path / "out"), "--size", "16"]) == 0
    terminal.flush()
    assert rb"  \u5199\u771f.png: the file is empty" in terminal.buffer.getvalue()


@linux
@pytest.mark.parametrize(("kept", "other"), [(NFC, NFD), ("A", "a"), ("Straße", "STRASSE")])
def test_names_that_are_one_elsewhere_are_reported(tmp_path, kept, other):
    raw = write(tmp_path, f"{kept}.png", f"{other}.png", "b.png")
    paths, problems = distinct([raw / f"{kept}.png", raw / f"{other}.png", raw / "b.png"], raw)
    assert [path.stem for path in paths] == [kept, "b"]
    why = f"its name differs from {kept}.png only in case or Unicode form"
    assert reasons(raw, problems) == {f"{other}.png": why}
    assert len(list_unlabelled(raw).problems) == 1 and len(list_unlabelled(raw).items) == 2


@linux
def test_ids_are_composed_whatever_the_file_system_says(tmp_path):
    listing = list_unlabelled(write(tmp_path, f"{NFD}/{NFD}.png"))
    assert listing.items[0].id == f"{NFC}/{NFC}.png" and listing.items[0].image.is_file()


# Masks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "masks", "pairs", "whys"),
    [
        ("a.png b.jpg", "a.png b.png", "a.png=a.png b.jpg=b.png", {}),
        ("a.png a.jpg", "a.png", "a.png=a.png", {"a.jpg": "kept without a mask"}),
        ("a.jpg a.jpeg", "a.png", "", {"a.png": "a mask of a.jpg or a.jpeg: of which?"}),
        ("a.png", "a.PNG a.png", "a.png=a.png", {"a.PNG": "another mask of a.png"}),
        ("a.jpg", "a.PNG a.png", "a.jpg=a.PNG", {"a.png": "another mask of a.jpg"}),
        ("a.PNG a.png", "a.PNG", "a.PNG=a.PNG", {"a.png": "kept without a mask"}),
        ("a.png", "b.png A.png", "", {n: "a mask without an image" for n in ("b.png", "A.png")}),
        (f"{NFC}.png", f"{NFD}.png", f"{NFC}.png={NFD}.png", {}),
        (f"{NFC}.png", f"{NFC}.png {NFD}.png", f"{NFC}.png={NFC}.png", {f"{NFD}.png": "another"}),
    ],
)
def test_a_mask_belongs_to_the_image_of_its_name(tmp_path, images, masks, pairs, whys):
    images, masks = (
        [tmp_path / d / n for n in t.split()] for d, t in zip("im", (images, masks), strict=True)
    )
    found, problems = pair_masks(images, masks, lambda path: path.stem)
    assert {image.name: mask.name for image, mask in found.items()} == dict(
        pair.split("=") for pair in pairs.split()
    )
    assert {path.name: why[: len(whys[path.name])] for path, why in problems} == whys


def echo(raw, rows, *files):
    write(raw, *files)
    (raw / "labels.csv").write_text("file,patient,flow,quality\n" + rows, encoding="utf-8-sig")
    return list_echo(raw)


def test_two_screens_of_one_name_do_not_share_a_mask(tmp_path):
    rows = "a.png,1,MV,good\na.jpg,2,MA,good\n"
    listing = echo(tmp_path, rows, "images/a.png", "images/a.jpg", "masks/a.png")
    assert [[mask.name for mask in item.masks] for item in listing.items] == [["a.png"], []]
    why = "kept without a mask: masks/a.png is that of a.png"
    assert reasons(tmp_path, listing.problems) == {"images/a.jpg": why}


@linux
@pytest.mark.parametrize(("listed", "typed"), [(NFD, NFC), (NFC, NFD)])
def test_rows_masks_and_screens_meet_in_any_unicode_form(tmp_path, listed, typed):
    listing = echo(
        tmp_path, f"p/{typed}.png,1,MV,\n", f"images/p/{listed}.png", f"masks/p/{typed}.png"
    )
    assert [item.id for item in listing.items] == [f"p/{NFC}.png"] and not listing.problems
    assert listing.items[0].masks


def test_masks_in_other_folders_than_their_screens_are_strays(tmp_path):
    listing = echo(tmp_path, "p/a.png,1,MV,\n", "images/p/a.png", "masks/q/a.png")
    assert reasons(tmp_path, listing.problems) == {"masks/q/a.png": "a mask without an image"}


def test_patients_spelt_in_several_ways_are_one_and_that_is_said(tmp_path):
    names = ["P1", "p1 ", f"Ren{NFC}", f"REN{NFD.upper()}", "Mr  X", "mr x", "P2"]
    rows = "".join(f"{i}.png,{name},MV,\n" for i, name in enumerate(names))
    listing = echo(tmp_path, rows, *[f"images/{i}.png" for i in range(len(names))])
    spelt = ["P1", "P1", f"Ren{NFC}", f"Ren{NFC}", "Mr  X", "Mr  X", "P2"]
    assert [item.patient for item in listing.items] == spelt
    assert "'P1' and 'p1'" in listing.about["patients"] and "P2" not in listing.about["patients"]


@pytest.mark.parametrize(
    "name", ["../images/a.png", "/etc/passwd", "C:\\a.png", "..", "a.png/../a.png", "a\0.png"]
)
def test_a_row_that_leads_elsewhere_is_a_problem_of_the_table(tmp_path, name):
    listing = echo(tmp_path, f"a.png,1,MV,\n{name},2,MV,\n", "images/a.png")
    assert len(listing.items) == 1
    assert reasons(tmp_path, listing.problems) == {
        "labels.csv": f"row 3 of labels.csv: no such image: {name}"
    }


def test_one_screen_in_two_unicode_forms_is_in_the_table_twice(tmp_path):
    listing = echo(tmp_path, f"{NFC}.png,1,MV,\n{NFD}.png,2,MV,\n", f"images/{NFC}.png")
    assert [item.patient for item in listing.items] == ["1"]
    assert "again, after row 2" in reasons(tmp_path, listing.problems)[f"images/{NFC}.png"]
