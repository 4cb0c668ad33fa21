"""Downloads from a server that cuts, lies and sends hostile archives; it runs on this machine."""

import hashlib
import io
import os
import stat
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from full_disk import FULL, files_of_at_most, nothing

import data_prep.__main__
from data_prep.__main__ import main
from data_prep.download import download, unpack
from data_prep.montgomery import ABOUT
from data_prep.sets import SOURCES, Source, get_sets

CONTENT = bytes(range(256)) * 2000
HASH = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Sends `content`, of each answer at most `most` bytes; says it has `claimed` bytes."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.most, self.claimed, self.tag = CONTENT, 10**9, None, '"one"'
        self.status, self.ranges, self.shift, self.raw = None, [], 0, None
        self.url = f"http://127.0.0.1:{self.server_address[1]}/set.zip"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        if server.raw:
            self.close_connection = True
            return self.wfile.write(server.raw)
        if server.status:
            return self.send_error(server.status)
        valid = asked and self.headers.get("If-Range") == server.tag
        start = int(asked[6:-1]) if valid else 0
        claimed = server.claimed or len(server.content)
        self.send_response(206 if valid else 200)
        self.send_header("Content-Length", str(claimed - start))
        if server.tag:
            self.send_header("ETag", server.tag)
        if valid:
            first = start + server.shift
            self.send_header("Content-Range", f"bytes {first}-{claimed - 1}/{claimed}")
        self.end_headers()
        self.wfile.write(server.content[start : start + server.most])
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server, path, **known):
    return download(server.url, path, tries=2, wait=0, **known)


def test_a_file_comes_whole_with_its_hash(server, tmp_path):
    assert get(server, tmp_path / "a.zip", size=len(CONTENT), sha256=HASH) == HASH
    assert (tmp_path / "a.zip").read_bytes() == CONTENT and len(list(tmp_path.iterdir())) == 1


def test_a_cut_connection_is_taken_up_where_it_ended(server, tmp_path):
    server.most = 100_000
    assert get(server, tmp_path / "a.zip") == HASH
    assert server.ranges == [None] + [f"bytes={n}00000-" for n in range(1, 6)]


def test_a_later_run_goes_on_where_an_earlier_one_gave_up(server, tmp_path):
    server.most = 100_000
    (tmp_path / "a.zip.part").write_bytes(CONTENT[:300_000])
    (tmp_path / "a.zip.part-tag").write_text('"one"')
    assert get(server, tmp_path / "a.zip") == HASH and server.ranges[0] == "bytes=300000-"


@pytest.mark.parametrize("tag", ['"two"', None])
def test_a_file_that_changed_or_may_have_is_fetched_from_the_start(server, tmp_path, tag):
    (tmp_path / "a.zip.part").write_bytes(b"old" * 1000)
    (tmp_path / "a.zip.part-tag").write_text('"one"')
    server.tag = tag
    assert get(server, tmp_path / "a.zip") == HASH


def test_another_part_than_asked_for_is_not_joined(server, tmp_path):
    server.most, server.shift = 300_000, 7
    with pytest.raises(ConnectionError):
        get(server, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists() and server.ranges[:2] == [None, "bytes=300000-"]


def test_a_server_that_claims_more_than_it_sends_is_given_up(server, tmp_path):
    server.claimed = len(CONTENT) + 10
    with pytest.raises(ConnectionError, match=f"ended at {len(CONTENT)} of {len(CONTENT) + 10}"):
        get(server, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\ncut off",
        b"<html>no HTTP</html>\r\n",
    ],
)
def test_an_answer_that_breaks_off_in_its_form_is_a_cut_connection(server, tmp_path, raw):
    server.raw = raw
    with pytest.raises(ConnectionError, match=server.url):
        get(server, tmp_path / "a.zip")
    assert len(server.ranges) == 2 and not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize("claimed", [len(CONTENT), len(CONTENT) - 5, None])
@pytest.mark.parametrize("known", [{"size": len(CONTENT) + 1}, {"sha256": "0" * 64}])
def test_a_wrong_size_or_hash_leaves_nothing(server, tmp_path, known, claimed):
    server.claimed = claimed
    with pytest.raises(ValueError, match="should be"):
        get(server, tmp_path / "a.zip", **known)
    assert not list(tmp_path.glob("*.zip")) and not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (503, 2)])
def test_a_refusal_is_an_error_at_once_and_a_failure_after_some_tries(
    server, tmp_path, status, asked
):
    server.status = status
    with pytest.raises(ConnectionError, match=str(status)):
        get(server, tmp_path / "a.zip")
    assert len(server.ranges) == asked


def test_a_full_disk_is_named_and_not_tried_again(server, tmp_path):
    with pytest.raises(OSError, match=r"cannot write .*file\.part: File too large"):
        with files_of_at_most(100_000):
            get(server, tmp_path / "file")
    assert server.ranges == [None]
    assert get(server, tmp_path / "file") == HASH and server.ranges[1] == "bytes=100000-"


def test_a_disk_too_small_for_the_archive_is_named_and_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "set.zip"
    path.write_bytes(archive([("a.png", b"a")]))
    monkeypatch.setattr(zipfile.ZipFile, "extractall", nothing(FULL))
    with pytest.raises(OSError, match=r"cannot write .*set\.zip\.partial: No space left"):
        unpack(path, tmp_path)
    assert os.listdir(tmp_path) == ["set.zip"]


def test_no_server_is_an_error(tmp_path):
    with pytest.raises(ConnectionError, match="refused"):
        download("http://127.0.0.1:9/x", tmp_path / "x", tries=1, wait=0)


def archive(entries):
    """A zip of name -> content; a name that begins with "link " is a symbolic link."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in entries:
            info = zipfile.ZipInfo(name.removeprefix("link "))
            if name.startswith("link "):
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            zipped.writestr(info, content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("../out.png", b"x", "outside"),
        ("a/../../out.png", b"x", "outside"),
        ("/tmp/out.png", b"x", "outside"),
        ("C:\\out.png", b"x", "outside"),
        ("link a/link", b"/etc", "link"),
        ("good/a.png", b"x", "twice"),
        ("bomb", bytes(10**6), "no set of images"),
    ],
)
def test_a_hostile_archive_is_refused_before_anything_is_written(tmp_path, name, content, why):
    (tmp_path / "a.zip").write_bytes(archive([("good/a.png", b"picture"), (name, content)]))
    with pytest.raises(ValueError, match=why):
        unpack(tmp_path / "a.zip", tmp_path / "in" / "deep")
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip"]


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-30], lambda d: d[:40] + b"\0" + d[41:], lambda d: b""]
)
def test_a_damaged_archive_leaves_nothing(tmp_path, damage):
    noise = hashlib.sha512(b"1").digest() * 4
    (tmp_path / "a.zip").write_bytes(damage(archive([("s/a", noise)])))
    with pytest.raises(ValueError, match="zip"):
        unpack(tmp_path / "a.zip", tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip"]


def test_what_a_mac_adds_to_an_archive_is_left_in_it(tmp_path):
    for name in ("one", "two"):
        content = archive([(f"{name}/a.png", b"x"), (f"__MACOSX/{name}/._a.png", b"y")])
        (tmp_path / "a.zip").write_bytes(content)
        assert unpack(tmp_path / "a.zip", tmp_path) == [name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "one", "two"]


def test_what_a_mac_adds_may_be_damaged(tmp_path):
    noise = [hashlib.sha512(name).digest() for name in (b"1", b"2")]
    data = archive([("s/a.png", noise[0]), ("__MACOSX/s/._a.png", noise[1])])
    at = data.index(noise[1])  # noise is not made smaller
    (tmp_path / "a.zip").write_bytes(data[:at] + b"\0\0" + data[at + 2 :])
    assert unpack(tmp_path / "a.zip", tmp_path) == ["s"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.png", "a.zip", "s"]


def test_an_existing_folder_is_not_touched(tmp_path):
    (tmp_path / "a.zip").write_bytes(archive([("set/a.png", b"new")]))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        unpack(tmp_path / "a.zip", tmp_path)
    assert (tmp_path / "set" / "a.png").read_bytes() == b"old"


def has_masks(folder):
    return (folder / "ManualMask").is_dir()


def test_what_needs_no_account_is_got_and_of_the_rest_it_is_said_how(server, tmp_path):
    server.content = archive([("MontgomerySet/ManualMask/a.png", b"x")])
    theirs = Source(ABOUT, ("MontgomerySet",), has_masks, "page", server.url)
    lines = []
    missing = get_sets(tmp_path, sources=(theirs, SOURCES[-1]), report=lines.append)
    assert missing == ["RSNA"] and (tmp_path / "MontgomerySet" / "ManualMask" / "a.png").exists()
    text = "\n".join(lines)
    assert (
        f"kaggle competitions download -c rsna-pneumonia-detection-challenge -p {tmp_path}" in text
    )
    assert "cite S. Jaeger" in text and "sha256 " in text
    (tmp_path / "set.zip").unlink()
    assert not get_sets(tmp_path, sources=(theirs,), report=lines.append)
    assert len(server.ranges) == 1


def test_nothing_is_got_where_it_is_only_asked_what_is_there(server, tmp_path):
    theirs = Source(ABOUT, ("MontgomerySet",), has_masks, "page", server.url)
    assert get_sets(tmp_path, False, (theirs,), report=lambda _: None) == ["Montgomery"]
    assert not server.ranges


def test_an_archive_of_another_size_or_hash_is_not_unpacked(server, tmp_path):
    server.content = archive([("MontgomerySet/ManualMask/a.png", b"x")])
    for known in ({"size": 5}, {"sha256": "0" * 64}):
        theirs = Source(ABOUT, ("MontgomerySet",), has_masks, "page", server.url, **known)
        lines = []
        assert get_sets(tmp_path, sources=(theirs,), report=lines.append) == ["Montgomery"]
        assert "not got" in lines[0] and "should be" in lines[0] and not list(tmp_path.iterdir())


def test_a_folder_without_the_set_in_it_is_not_taken_for_the_set(tmp_path):
    for source in SOURCES:
        for name in source.names:
            (tmp_path / name).mkdir(exist_ok=True)
    assert len(get_sets(tmp_path, fetch=False, report=lambda _: None)) == len(SOURCES)


def test_a_missing_part_goes_into_the_folder_that_is_there_whatever_its_name(tmp_path):
    data = tmp_path / "my data"
    (data / "shenzhen" / "CXR_png").mkdir(parents=True)
    lines = []
    assert "Shenzhen" not in get_sets(data, fetch=False, report=lines.append)
    text = "\n".join(lines)
    assert f"-d yoctoman/shcxr-lung-mask --unzip -p '{data}/shenzhen'" in text
    assert f"--unzip -p '{data}/chest_xray'" in text


@pytest.mark.parametrize("there", [True, False])
def test_the_command_fails_only_where_what_needs_no_account_is_missing(
    tmp_path, there, monkeypatch
):
    def get(data, fetch):
        return ["RSNA"] if there else ["RSNA", "Montgomery"]

    monkeypatch.setattr(data_prep.__main__, "get_sets", get)
    assert main(["get", str(tmp_path)]) == (0 if there else 1)
    assert main(["get", str(tmp_path), "--list"]) == 0


def test_an_interrupted_download_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data_prep.__main__, "get_sets", nothing(KeyboardInterrupt))
    assert main(["get", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: interrupted") and not os.listdir(tmp_path)


def test_every_source_names_its_page_licence_and_how_to_get_it():
    for source in SOURCES:
        assert source.page.startswith("https://") and source.about["licence"]
        assert source.archive or "kaggle " in source.command


def test_what_must_be_fetched_is_told_with_its_size_and_where_to_unpack_it(tmp_path, capsys):
    assert main(["get", str(tmp_path), "--list"]) == 0
    told = capsys.readouterr().out
    for source in SOURCES:
        if source.archive:
            words = f"{source.archive}, {source.size / 1e6:,.0f} MB, to be unpacked in {tmp_path}"
            assert words in told


def test_archives_have_the_sizes_that_were_noted():
    sizes = {source.about["name"]: source.size for source in SOURCES if source.archive}
    assert sizes == {"Montgomery": 616_853_875, "Shenzhen": 3_770_205_534}
    assert [source.sha256 and len(source.sha256) for source in SOURCES] == [64, *[None] * 4]


def test_tries_are_as_far_apart_as_asked(server, tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr("data_prep.download.time.sleep", waited.append)
    server.status = 503
    with pytest.raises(ConnectionError):
        download(server.url, tmp_path / "a.zip", tries=3, wait=7.5)
    assert waited == [7.5, 7.5]
