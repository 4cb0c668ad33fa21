"""The damaged-input campaign: 500 files of over 30 kinds, drawn from a seed.

Each is read right, by what the generator of its kind says (the undamaged original, Pillow, pydicom), or
refused by an error or a record that names it, or listed as left out. Nothing is silently wrong, nothing ends
in another exception. A JPEG and the pixels of a DICOM file have no checksums: a flipped bit may leave a valid
file of other pixels, which no software can tell; those are counted by themselves. ``pytest -s`` prints the
table of kinds and outcomes.
"""

import json
import os
import subprocess
import sys
import warnings
import zlib
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL")
pytest.importorskip("pydicom")
pytest.importorskip("gdcm")

from damaged_files import FILES, Case
from damaged_images import IMAGES as FILMS
from damaged_images import film
from damaged_scans import MASKS, SCANS
from PIL import Image

from ums.data.decode import decode_grey, decode_mask

pytestmark = pytest.mark.skipif(os.name == "nt", reason="it makes pipes, links and names of bytes")
ROOT = Path(__file__).resolve().parents[2]
IMAGES = (*FILMS, *SCANS)
EACH = 12
"""Files of each kind."""
GOOD = ("right", "refused", "left out", "no checksum")
NEAR = 2
"""Grey levels by which two decoders of a JPEG, or two roundings of luminance, may differ."""


def near(expected, found):
    return any(
        found.shape == one.shape and abs(found.astype(int) - one.astype(int)).max() <= NEAR
        for one in expected
    )


def image_cases(folder):
    """Kind -> cases of images and masks, read one by one."""
    cases = defaultdict(list)
    for make in (*IMAGES, *MASKS):
        for k in range(EACH):
            with warnings.catch_warnings():  # of the writers
                warnings.simplefilter("ignore")
                data, *expected = make(_rng(make, k))
            ending = {"jpeg": ".jpg", "dicom": ".dcm"}.get(make.__name__.split("_")[0], ".png")
            path = (
                folder / ("masks" if make in MASKS else "images") / f"{make.__name__}-{k}{ending}"
            )
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            decode = decode_mask if make in MASKS else decode_grey

            def read(path=path, decode=decode):
                return decode(path.read_bytes(), path)

            known = [partial(near, one) for one in expected]
            cases[make.__name__].append(Case(path.name, read, *known))
    return cases


def outcome(case):
    """One of :data:`GOOD`; anything else says what is wrong."""
    try:
        found = case.read()
    except (ValueError, OSError) as error:
        said = str(error)
        if case.name not in said:
            return f"{type(error).__name__} that does not name it: {said[:200]}"
        return "refused" if "\n" not in said and len(said) < 1000 else f"no line: {said[:200]}"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    if found is None:
        return "left out"
    if case.right(found):
        return "right"
    return "no checksum" if case.valid(found) else "WRONG, and silently"


def table(counts):
    counts = counts | {"all": sum(counts.values(), Counter())}
    rows = [("kind", "files", *GOOD, "wrong")]
    for kind, found in counts.items():
        known = [found[name] for name in GOOD]
        rows.append((kind, found.total(), *known, found.total() - sum(known)))
    return "\n".join(f"{kind:32}" + "".join(f"{n:>12}" for n in row) for kind, *row in rows)


def test_every_damaged_file_is_read_right_or_refused_by_name_or_left_out(tmp_path):
    cases = image_cases(tmp_path)
    for make in FILES:
        cases[make.__name__] = [
            case for k in range(EACH) for case in make(_folder(tmp_path, make, k), _rng(make, k), k)
        ]
    counts, wrong = {}, []
    for kind, of_kind in cases.items():
        found = [outcome(case) for case in of_kind]
        counts[kind] = Counter(found)
        wrong += [
            f"{case.name}: {what}"
            for case, what in zip(of_kind, found, strict=True)
            if what not in GOOD
        ]
    text = table(counts)
    print(f"\n{text}")
    assert len(counts) >= 30 and sum(map(len, cases.values())) >= 500
    assert not wrong, "\n".join([f"{len(wrong)} of them:", *wrong, text])


def _rng(make, k):
    return np.random.default_rng([16, zlib.crc32(make.__name__.encode()), k])


def _folder(folder, make, k):
    path = folder / make.__name__ / str(k)
    path.mkdir(parents=True)
    return path


def prepared(command, *arguments):
    """What ``python -m data_prep`` says of a folder it made: names taken, names left out."""
    run = subprocess.run(
        [sys.executable, "-m", "data_prep", command, *map(str, arguments), "--size", "32"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert "Traceback" not in run.stdout + run.stderr
    taken, left_out = set(), set()
    for folder in {path.parent for path in arguments[1].rglob("about.json")}:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        left_out |= {Path(entry["file"]).name for entry in about["skipped"]}
        rows = (folder / "table.csv").read_text(encoding="utf-8").splitlines()[1:]
        assert len(np.load(folder / "images.npy")) == len(rows)
        taken |= {Path(row.split(",")[0]).name for row in rows}
    return taken, left_out


def test_command_takes_or_lists_every_damaged_image_by_name_and_is_not_stopped(tmp_path):
    cases = image_cases(tmp_path)
    names = {case.name for make in IMAGES for case in cases[make.__name__]}
    taken, left_out = prepared("unlabelled", tmp_path / "images", tmp_path / "out")
    assert taken | left_out == names and not taken & left_out


def test_command_takes_no_image_whose_mask_cannot_be_one_and_lists_it(tmp_path):
    cases, rng = image_cases(tmp_path), np.random.default_rng(0)
    (tmp_path / "films").mkdir()
    rows = ["file,patient,flow,quality"]
    known = {}
    for make in MASKS:
        for k, case in enumerate(cases[make.__name__]):
            Image.fromarray(film(rng, (48, 40))).save(tmp_path / "films" / case.name)
            rows.append(f"{case.name},p{len(rows)},{('MV', 'MA', 'TR')[k % 3]},good")
            known[case.name] = outcome(case)
    (tmp_path / "raw").mkdir()
    (tmp_path / "films").rename(tmp_path / "raw" / "images")
    (tmp_path / "masks").rename(tmp_path / "raw" / "masks")
    (tmp_path / "raw" / "labels.csv").write_text("\n".join(rows))
    taken, left_out = prepared("echo-folder", tmp_path / "raw", tmp_path / "out")
    assert taken == {name for name, what in known.items() if what == "right"}
    assert taken | left_out == set(known) and len(taken) >= 20
