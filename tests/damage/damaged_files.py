"""Damaged arrays, tables, JSON files, archives and names, by kind, each with what reads it."""

import csv
import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from damaged_images import cut, film, flipped, zeroed

from data_prep.download import unpack
from data_prep.echo_folder import list_echo
from data_prep.rsna import MAPPING, list_rsna
from data_prep.unlabelled import list_unlabelled
from data_prep.writing import Content, save_prepared
from ums.data import load_prepared
from ums.experiments.jobs import Job
from ums.experiments.results.records import read_study
from ums.experiments.store import Store
from ums.experiments.study_file import write_study


@dataclass
class Case:
    """A damaged file.

    Attributes:
        name: What an error must name.
        read: Reads it; None where it was left out and listed.
        right: Whether what was read is right.
        valid: Whether it is what any other software shows of this file, whose format has no checksums.
    """

    name: str
    read: Callable[[], Any]
    right: Callable[[Any], bool]
    valid: Callable[[Any], bool] = lambda found: False


JUNK = (b"", b"[]", b"null", b"{}", b"3", b'"text"', b"[" * 100_000, b'{"a":' * 50_000, b"\0" * 99,
        b"\xff\xfe{}", b"not json", b'{"a": NaN}', b"[null]", b'[{"subset_img_id": 3}]')  # fmt: skip
"""In place of a JSON file."""


def spoilt(data, rng, k):
    """Bit flips, a cut, a lost block, nothing, noise."""
    how = (flipped, flipped, flipped, cut, lambda d, r: zeroed(d, r, len(d) // 4))
    return (*(f(data, rng) for f in how), b"", rng.bytes(len(data)))[k % 7]


# ---------------------------------------------------------------------------- names and places

NAMES = (b"x_\xff.png", b"two\nlines.png", b"cafe\xcc\x81.png", b"caf\xc3\xa9.png", b"n" * 240 + b".png",
         b"<img src=x>.png", b"-rf.png", b'quo"te,comma;.png', b" spaces .png", b"CON.png",
         b"tab\there.png", b"\xe2\x80\xaereversed.png")  # fmt: skip


def listed(folder, path):
    """What the listing of a folder says of one of its files: the item, or None if it is a problem."""
    listing = list_unlabelled(folder)
    problems = [p for p, _ in listing.problems]
    return next((i for i in listing.items if i.image == path), None if path in problems else "lost")


def odd_name(folder, rng, k):
    cv2.imwrite(str(folder / "good.png"), film(rng, (20, 20)))
    path = folder / os.fsdecode(NAMES[k % len(NAMES)])
    path.write_bytes((folder / "good.png").read_bytes())
    return [Case(path.name, lambda: listed(folder, path), lambda item: item.image == path)]


def no_file(folder, rng, k):
    """A folder, a dangling link, a loop of links, a pipe or a device in place of an image."""
    cv2.imwrite(str(folder / "good.png"), film(rng, (20, 20)))
    path = folder / "bad.png"
    (path.mkdir, lambda: os.symlink(folder / "gone", path), lambda: os.symlink(path, path),
     lambda: os.mkfifo(path), lambda: os.symlink("/dev/null", path),
     lambda: os.symlink(folder, path))[k % 6]()  # fmt: skip
    if k % 6 in (0, 5):  # a folder holds no image of its own: what is in it counts

        def found():
            return [i.image.name for i in list_unlabelled(folder).items]

        return [Case(path.name, found, lambda names: names == ["good.png"])]
    return [Case(path.name, lambda: listed(folder, path), lambda item: False)]


# ---------------------------------------------------------------------------- prepared folders


def prepared(folder):
    rng, n = np.random.default_rng(0), 6
    images = rng.integers(0, 256, (n, 16, 16), dtype=np.uint8)
    names = [f"i{k}" for k in range(n)]
    content = Content(
        images, names, [f"p{k}" for k in range(n)], ["train"] * 4 + ["validation", "test"],
        {"abnormal": [0, 1, -1, 0, 1, 1]}, images // 128, about={"name": "made up"},
    )  # fmt: skip
    save_prepared(folder / "set", content)
    return folder / "set", opened(folder / "set")


def opened(folder):
    one = load_prepared(folder)
    arrays = (one.images, one.masks, one.ids, one.patients, one.splits, one.has_mask)
    return [a.tolist() for a in arrays] + [one.labels["abnormal"].tolist()]


def of_prepared(folder, file, change):
    path, before = prepared(folder)
    (path / file).write_bytes(change((path / file).read_bytes()))
    return [Case(file, lambda: opened(path), lambda found: found == before)]


def prepared_array(folder, rng, k):
    file = ("images.npy", "masks.npy")[k % 2]
    shape = b"(6, 16, 16)"

    def change(data):
        if k < 6:
            return flipped(data, rng, 0, 128) if k < 4 else flipped(data, rng, 128)
        if k == 6:
            return data.replace(shape + b" " * 12, b"(600000000000, 16, 16)", 1)
        if k == 7:
            return data.replace(shape, b"(6, 16, -1)", 1)
        if k == 8:
            return data.replace(b"'|u1'", b"'|O' ", 1)
        return spoilt(data, rng, k)

    return of_prepared(folder, file, change)


def prepared_table(folder, rng, k):
    """Rows exchanged or sorted, values changed; quotes, a BOM and ends of lines change nothing."""

    def change(data):
        head, *rows = data.decode().splitlines()
        lines = [head, *rows]
        made = (
            lambda: [head, rows[1], rows[0], *rows[2:]],
            lambda: [head, *sorted(rows, reverse=True)],
            lambda: [head, *rows[:-1]],
            lambda: [head, *rows, rows[0]],
            lambda: [line.rpartition(",")[0] for line in lines],
            lambda: [line.replace(",", ";") for line in lines],
            lambda: [head, rows[0].replace("p0", "p\0"), *rows[1:]],
            lambda: [head, '"' + rows[0], *rows[1:]],
            lambda: [head, rows[0].replace("p0", "p1"), *rows[1:]],
            lambda: [",".join(f'"{v}"' for v in line.split(",")) for line in lines],
            lambda: ["\ufeff" + head, *rows],
        )
        if k < len(made):
            return "\r\n".join([*made[k](), ""]).encode()
        return data.decode().encode("utf-16")

    return of_prepared(folder, "table.csv", change)


def prepared_about(folder, rng, k):
    return of_prepared(
        folder, "about.json", lambda data: JUNK[k] if k < 9 else spoilt(data, rng, k)
    )


def deleted_file(folder, rng, k):
    """A file of a prepared folder is gone, or a folder stands in its place."""
    path, before = prepared(folder)
    file = ("images.npy", "masks.npy", "table.csv", "about.json")[k % 4]
    (path / file).unlink()
    if k % 8 > 3:
        (path / file).mkdir()
    return [Case(file, lambda: opened(path), lambda found: found == before)]


# ---------------------------------------------------------------------------- results


def kept_weights(folder, rng, k):
    """Weights that cannot be read are computed again, and nothing else comes of them."""
    arrays = {"w": np.arange(200.0), "b": np.ones(3)}
    key = {"width": 1}
    store = Store(folder)
    store.weights("job", key, lambda checkpoint: (arrays, {"seconds": 1.5}))
    (path,) = folder.rglob("*.npz")
    path.write_bytes(spoilt(path.read_bytes(), rng, k))

    def read():
        kept, record = Store(folder).weights(
            "job", key, lambda checkpoint: (arrays, {"seconds": 1.5})
        )
        return {n: a.tolist() for n, a in kept.items()}, record

    expected = {n: a.tolist() for n, a in arrays.items()}, {"seconds": 1.5}
    return [Case(path.name, read, lambda found: found == expected)]


def study_record(folder, rng, k):
    store = Store(folder)
    job = Job("source", replicate=1).to_dict()
    store.record("source", {}, lambda: ({"job": job, "seconds": 1.5}, {}))
    path = store.record_path("source", {})
    write_study(folder, "cxr", {"seed": 0}, {"": [path.name]}, store)
    if k % 3 == 2:
        path = folder / "study.json"
    before = repr(read_study(folder).parts[""].records)
    path.write_bytes(JUNK[k] if k < 8 else spoilt(path.read_bytes(), rng, k))

    def read():
        return repr(read_study(folder).parts[""].records)

    return [Case(path.name, read, lambda found: found == before)]


# ---------------------------------------------------------------------------- raw tables and archives


def echo_table(folder, rng, k):
    """The table of one's own screens; right is what Python's csv module reads of it."""
    (folder / "images").mkdir()
    for i in range(4):
        cv2.imwrite(str(folder / "images" / f"{i}.png"), film(rng, (16, 16)))
    head = "file,patient,flow,quality"
    rows = [
        f"{i}.png,p{i},{('MV', 'MA', 'TR', '')[i]},{('poor', 'good', '', 'low')[i]}"
        for i in range(4)
    ]
    text = "\n".join([head, *rows])
    tables = (
        text, "\ufeff" + text, text.replace("\n", "\r\n"), "\n".join([head, *rows[::-1]]),
        "\n".join([head, *('"' + row.replace(",", '","') + '"' for row in rows)]),
        text.replace(",", ";"), text.replace("p0", "p\0"), text.replace("0.png", '"0.png', 1),
        "\n".join([head, *rows, rows[0]]), text[: len(text) // 2], text.replace("MV", "mv,x"), "",
    )  # fmt: skip
    path = folder / "labels.csv"
    path.write_text(tables[k], encoding="utf-8")

    def read():
        listing = list_echo(folder)
        told = {os.path.basename(p) for p, _ in listing.problems}
        lost = {f"{i}.png" for i in range(4)} - told - {item.id for item in listing.items}
        return "lost" if lost else {item.id: item.patient for item in listing.items}

    def right(found):
        table = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")))
        known = {row[0]: row[1] for row in table if len(row) == 4}
        return found != "lost" and all(known.get(name) == p for name, p in found.items())

    return [Case(path.name, read, right)]


def rsna_mapping(folder, rng, k):
    """RSNA's mapping to the NIH's patients; films it does not name are left out."""
    images = folder / "stage_2_train_images"
    images.mkdir()
    ids = [f"0000000{i}-aaaa-bbbb-cccc-000000000000" for i in range(4)]
    for one in ids:
        (images / f"{one}.dcm").write_bytes(b"\0" * 128 + b"DICM")
    labels = ["patientId,x,y,width,height,Target", *(f"{one},,,,,0" for one in ids)]
    classes = ["patientId,class", *(f"{one},Normal" for one in ids)]
    (folder / "stage_2_train_labels.csv").write_text("\n".join(labels))
    (folder / "stage_2_detailed_class_info.csv").write_text("\n".join(classes))
    named = [
        {"subset_img_id": one, "img_id": f"0000000{i % 2}_000.png"} for i, one in enumerate(ids)
    ]
    path = folder / MAPPING
    twice = json.dumps([*named, named[0] | {"img_id": "00000009_000.png"}]).encode()
    wrong = json.dumps([*named[1:], {"subset_img_id": "/etc/passwd", "img_id": "x"}]).encode()
    path.write_bytes((*JUNK[:9], twice, wrong, json.dumps(named[:3]).encode())[k])

    def read():
        listing = list_rsna(folder)
        told = {p.stem for p, _ in listing.problems}
        lost = set(ids) - told - {item.id for item in listing.items}
        return "lost" if lost else {item.id: item.patient for item in listing.items}

    expected = {one: f"0000000{i % 2}" for i, one in enumerate(ids)}
    return [
        Case(path.name, read, lambda found: found != "lost" and found.items() <= expected.items())
    ]


def archive(folder, rng, k):
    """A zip is unpacked whole or not at all."""
    files = {"set/a.png": rng.bytes(900), "set/b.png": rng.bytes(900)}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
        if k == 7:
            file.writestr("../out.png", b"x")
        if k == 8:
            file.writestr("/etc/out.png", b"x")
        if k == 9:
            file.writestr("set/bomb.png", bytes(10**7), zipfile.ZIP_DEFLATED)
    data = made.getvalue()
    path = folder / "set.zip"
    path.write_bytes(data if 7 <= k <= 9 else spoilt(data, rng, k))

    def read():
        unpack(path, folder / "there")
        return {p.relative_to(folder / "there").as_posix(): p.read_bytes()
                for p in (folder / "there").rglob("*") if p.is_file()}  # fmt: skip

    return [Case(path.name, read, lambda found: found == files)]


FILES = (odd_name, no_file, prepared_array, prepared_table, prepared_about, deleted_file,
         kept_weights, study_record, echo_table, rsna_mapping, archive)  # fmt: skip
