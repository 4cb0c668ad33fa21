"""Download a large file so that a cut connection costs little, and unpack it so that it harms nothing."""

import hashlib
import os
import re
import shutil
import stat
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from tqdm import tqdm

CHUNK = 1 << 20
LARGEST_RATIO = 100
"""An archive may unpack to this many times its size; images are compressed already."""


def download(url, path, *, size=None, sha256=None, tries=5, wait=2.0):
    """Fetch `url` to `path`; what an earlier attempt left in `path`.part is gone on with.

    size, sha256: of the whole file, where they are known. A connection that is cut is taken up
    again, at most `tries` times without a byte more, `wait` seconds apart. Returns the file's sha256.

    Raises `ConnectionError` where the server cannot be reached or keeps cutting, `ValueError` where
    the file is not of that size or hash: then it is removed.
    """
    path = Path(path)
    part, tag = (path.with_name(path.name + end) for end in (".part", ".part-tag"))
    path.parent.mkdir(parents=True, exist_ok=True)
    left, furthest = tries, part.stat().st_size if part.exists() else 0
    while True:
        try:
            why = _fetch(url, part, tag, size)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise ConnectionError(f"{url}: {error.code} {error.reason}") from error
            why = f"{error.code} {error.reason}"
        except (OSError, HTTPException) as error:
            why = str(getattr(error, "reason", error)) or type(error).__name__
        if why is None:
            break
        after = part.stat().st_size if part.exists() else 0
        left, furthest = (tries, after) if after > furthest else (left - 1, furthest)
        if left <= 0:
            raise ConnectionError(f"{url}: {why}; the next attempt goes on from byte {after}")
        time.sleep(wait)
    try:
        found = _check(url, part, size, sha256)
    except ValueError:
        part.unlink()
        tag.unlink(missing_ok=True)
        raise
    part.replace(path)
    tag.unlink(missing_ok=True)
    return found


def unpack(archive, folder):
    """Unpack the zip file `archive` into `folder`, whole or not at all; return its top names.

    The folder __MACOSX, which Macs add to their archives, is left out.

    Raises `ValueError`, with nothing written, where a name leads out of `folder`, an entry is a link
    or there twice, the content is far larger than the archive, a checksum does not fit or the file is
    no zip; `FileExistsError` where a top name is in `folder` already.
    """
    archive, folder = Path(archive), Path(folder)
    partial = folder / f".{archive.name}.partial"
    try:
        with zipfile.ZipFile(archive) as file:
            _check_entries(archive, file.infolist())
            entries = [e for e in file.infolist() if not e.filename.startswith("__MACOSX/")]
            tops = sorted({PurePosixPath(entry.filename).parts[0] for entry in entries})
            for name in tops:
                if (folder / name).exists():
                    raise FileExistsError(f"{folder / name} exists already")
            shutil.rmtree(partial, ignore_errors=True)
            file.extractall(partial, entries)
        for name in tops:
            (partial / name).rename(folder / name)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        raise ValueError(f"{archive}: not a whole zip file: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return tops


def _fetch(url, part, tag, size):
    """One connection; None where the whole file is there, else why it is not."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "ums data_prep", "Accept-Encoding": "identity"}
    if start and tag.exists():  # without a tag the file may have changed: from the start then
        headers |= {"Range": f"bytes={start}-", "If-Range": tag.read_text()}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        part.unlink()
        return "the server has less than was there before"
    with response:
        length = response.headers.get("Content-Length")
        if response.status == 206:
            given = re.fullmatch(
                r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", "")
            )
            if not given or int(given[1]) != start:
                part.unlink()
                return "the server sent another part than asked for"
            total = int(given[2])
        else:
            start, total = 0, None if length is None else int(length)
        if size is not None and total not in (None, size):
            raise _wrong_size(url, total, size, part)
        mark = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        if mark and not mark.startswith("W/"):
            tag.write_text(mark)
        else:
            tag.unlink(missing_ok=True)
        bar = tqdm(
            total=total, initial=start, desc=part.stem, unit="B", unit_scale=True, disable=None
        )
        with open(part, "ab") as file, bar:
            file.truncate(start)
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    found, wanted = part.stat().st_size, size if total is None else total
    if wanted is not None and found < wanted:
        return f"the connection ended at {found} of {wanted} bytes"
    return None


def _wrong_size(url, found, size, part):
    part.unlink(missing_ok=True)
    return ValueError(f"{url}: {found} bytes, should be {size}")


def _check(url, path, size, sha256):
    found = path.stat().st_size
    if size is not None and found != size:
        raise ValueError(f"{url}: {found} bytes, should be {size}")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else None
        if digest is None:  # before Python 3.11
            digest = hashlib.sha256()
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    if sha256 is not None and digest.hexdigest() != sha256:
        raise ValueError(f"{url}: sha256 is {digest.hexdigest()}, should be {sha256}")
    return digest.hexdigest()


def _check_entries(archive, entries):
    """Raise `ValueError` where one of the entries may do harm."""
    seen, total = set(), sum(entry.file_size for entry in entries)
    if total > LARGEST_RATIO * archive.stat().st_size:
        raise ValueError(
            f"{archive}: {total} bytes in {archive.stat().st_size}, it is no set of images"
        )
    for entry in entries:
        path, kind = PurePosixPath(entry.filename), stat.S_IFMT(entry.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts or re.search(r"[\\:\0]", entry.filename):
            raise ValueError(f"{archive}: {entry.filename!r} would lie outside its folder")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ValueError(f"{archive}: {entry.filename!r} is a link or device")
        if os.path.normcase(path) in seen or not path.parts:
            raise ValueError(f"{archive}: {entry.filename!r} is there twice, or is no name")
        seen.add(os.path.normcase(path))
