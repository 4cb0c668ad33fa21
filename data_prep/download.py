"""Download a large file, resuming after a lost connection, and unpack it without doing harm."""

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
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from ums.files import CannotWrite, naming

CHUNK = 1 << 20
LARGEST_RATIO = 100
"""An archive may unpack to at most this many times its size; images are compressed already."""


def download(
    url: str,
    path: str | Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    tries: int = 5,
    wait: float = 2.0,
) -> str:
    """Download a file; what an earlier attempt left in ``path``.part is continued.

    Args:
        url: The address.
        path: The file to write.
        size: Bytes of the whole file, if known.
        sha256: Its hash, if known.
        tries: How often a lost connection is tried again without a single further byte.
        wait: Seconds between two tries.

    Returns:
        The sha256 of the file.

    Raises:
        ConnectionError: The server cannot be reached or keeps closing the connection.
        OSError: The disk is full; names the file.
        ValueError: The file is not of that size or hash; it is removed.
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
        except CannotWrite:  # a full disk is not to be tried again
            raise
        except (OSError, HTTPException) as error:
            why = str(getattr(error, "reason", error)) or type(error).__name__
        if why is None:
            break
        after = part.stat().st_size if part.exists() else 0
        left, furthest = (tries, after) if after > furthest else (left - 1, furthest)
        if left <= 0:
            raise ConnectionError(f"{url}: {why}; the next attempt resumes at byte {after}")
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


def unpack(archive: str | Path, folder: str | Path) -> list[str]:
    """Unpack a zip file into ``folder``, whole or not at all.

    The folder __MACOSX, which Macs add to their archives, is left out.

    Returns:
        The names at the top of the archive.

    Raises:
        FileExistsError: One of them is in ``folder`` already.
        ValueError: A name leads out of ``folder``, an entry is a link or present twice, the content is
            far larger than the archive, a checksum does not match, or the file is no zip. Nothing is
            written then.
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
            with naming(partial):
                file.extractall(partial, entries)
        for name in tops:
            (partial / name).rename(folder / name)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        raise ValueError(f"{archive}: not a whole zip file: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return tops


def _fetch(url: str, part: Path, tag: Path, size: int | None) -> str | None:
    """Try one connection; return None if the whole file is there, else why it is not."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "ums data_prep", "Accept-Encoding": "identity"}
    if start and tag.exists():  # without a tag the file may have changed: then from the start
        headers |= {"Range": f"bytes={start}-", "If-Range": tag.read_text(encoding="utf-8")}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        part.unlink()
        return "the server has less than was there before"
    with response:
        place = _place(response, start)
        if place is None:
            part.unlink()
            return "the server sent another part than asked for"
        start, total = place
        if size is not None and total not in (None, size):
            raise _wrong_size(url, total, size, part)
        mark = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        if mark and not mark.startswith("W/"):
            tag.write_text(mark, encoding="utf-8")
        else:
            tag.unlink(missing_ok=True)
        _append(response, part, start, total)
    found, wanted = part.stat().st_size, size if total is None else total
    if wanted is not None and found < wanted:
        return f"the connection ended at {found} of {wanted} bytes"
    return None


def _place(response: HTTPResponse, start: int) -> tuple[int, int | None] | None:
    """Return where the response starts in the file and the file's size, None if it is another part."""
    length = response.headers.get("Content-Length")
    if response.status != 206:
        return 0, None if length is None else int(length)
    given = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    return (start, int(given[2])) if given and int(given[1]) == start else None


def _append(response: HTTPResponse, part: Path, start: int, total: int | None) -> None:
    bar = tqdm(total=total, initial=start, desc=part.stem, unit="B", unit_scale=True, disable=None)
    with open(part, "ab") as file, bar:
        file.truncate(start)
        while chunk := response.read(CHUNK):
            with naming(part):
                file.write(chunk)
            bar.update(len(chunk))


def _wrong_size(url: str, found: int | None, size: int, part: Path) -> ValueError:
    part.unlink(missing_ok=True)
    return ValueError(f"{url}: {found} bytes, should be {size}")


def _check(url: str, path: Path, size: int | None, sha256: str | None) -> str:
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


def _check_entries(archive: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Raise ``ValueError`` where one of the entries may do harm."""
    seen: set[str] = set()
    total = sum(entry.file_size for entry in entries)
    if total > LARGEST_RATIO * archive.stat().st_size:
        raise ValueError(
            f"{archive}: {total} bytes in {archive.stat().st_size}, so it is no set of images"
        )
    for entry in entries:
        path, kind = PurePosixPath(entry.filename), stat.S_IFMT(entry.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts or re.search(r"[\\:\0]", entry.filename):
            raise ValueError(f"{archive}: {entry.filename!r} would lie outside its folder")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ValueError(f"{archive}: {entry.filename!r} is a link or device")
        if os.path.normcase(path) in seen or not path.parts:
            raise ValueError(f"{archive}: {entry.filename!r} is present twice, or is no name")
        seen.add(os.path.normcase(path))
