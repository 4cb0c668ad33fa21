"""JSON that may be damaged: what is no object, or not as it was written, is named in one line."""

import json

import pytest

from ums.reading import DIGEST, digest_of, read_json, read_verified, reading, with_digest

CONTENT = {"é": [1.5, None, float("inf")], "b": {"2": True}, "n": 10**30}

NO_OBJECT = {
    "empty": b"",
    "a list": b"[]",
    "null": b"null",
    "a number": b"7",
    "not a number": b"NaN",
    "text": b'"text"',
    "cut": b'{"a": 1',
    "two": b"{} {}",
    "NUL": b"\0" * 9,
    "a NUL in text": b'{"a": "\0"}',
    "no UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "nested lists": b"[" * 100_000,
    "nested objects": b'{"a":' * 100_000,
    "closed nested lists": b"[" * 100_000 + b"]" * 100_000,
    "an integer of a million digits": b'{"a": 1' + b"0" * 1_000_000 + b"}",
}


@pytest.mark.parametrize("content", NO_OBJECT)
def test_what_is_no_json_object_is_named_in_one_line(content, tmp_path):
    path = tmp_path / "about.json"
    path.write_bytes(NO_OBJECT[content])
    for read in (read_json, read_verified):
        with pytest.raises(ValueError, match=rf"^{path} cannot be read: \S.*$") as error:
            read(path)
        assert len(str(error.value)) < 700 and "\n" not in str(error.value)


def test_folder_and_missing_file_are_named(tmp_path):
    with pytest.raises(ValueError, match=f"^{tmp_path} cannot be read: Is a directory$"):
        read_json(tmp_path)
    with pytest.raises(ValueError, match=rf"{tmp_path}/a cannot be read: No such file"):
        read_json(tmp_path / "a")


def test_sealed_content_comes_back_whatever_the_layout(tmp_path):
    path, whole = tmp_path / "a.json", with_digest(CONTENT)
    for text in (
        json.dumps(whole),
        json.dumps(whole, indent=3, sort_keys=True, ensure_ascii=False),
    ):
        path.write_text(text, encoding="utf-8")
        assert read_verified(path, "b") == CONTENT


@pytest.mark.parametrize(
    "change",
    [
        {"b": {"2": False}},
        {"b": {"2": 1.0}},
        {"n": 10**30 + 1},
        {"new": 0},
        {DIGEST: "0"},
        {DIGEST: None},
    ],
)
def test_changed_content_is_refused(change, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(with_digest(CONTENT) | change))
    with pytest.raises(ValueError, match=f"^{path} .* damaged or was changed"):
        read_verified(path)


def test_content_without_digest_or_what_is_needed_is_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(CONTENT))
    with pytest.raises(ValueError, match="no digest: an earlier version wrote it"):
        read_verified(path)
    path.write_text(json.dumps(with_digest(CONTENT)))
    with pytest.raises(ValueError, match=f"^{path} cannot be read: it has no 'jobs'"):
        read_verified(path, "b", "jobs")


def test_digest_is_of_the_content_and_not_of_its_order():
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1}) != digest_of({"a": 2, "b": 1})


@pytest.mark.parametrize(
    "error",
    [SyntaxError("a\nb"), RecursionError(), MemoryError(), KeyError("x"), OSError(5, "Bad")],
)
def test_whatever_is_raised_becomes_one_line(error, tmp_path):
    with pytest.raises(ValueError, match=f"^{tmp_path} cannot be read: [^\n]+$"), reading(tmp_path):
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupt_goes_through(error, tmp_path):
    with pytest.raises(error), reading(tmp_path):
        raise error
