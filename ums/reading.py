"""Reading files that may be damaged, and JSON files whose digest shows whether they are as written.

Digests find what went wrong by accident: a flipped bit, a file cut short, a number changed by hand.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DIGEST = "digest"
"""The key of a file's digest in the file."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever reading a file raises into one line that names the file.

    Raises:
        ValueError: The file cannot be read.
    """
    try:
        yield
    except Exception as error:  # damaged bytes raise nearly anything, SyntaxError among it
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        text = " ".join(text.split())
        raise ValueError(f"{path} cannot be read: {text:.500}") from error


def digest_of(content: Any) -> str:
    """The SHA-256 of a value that is ready for JSON, in hexadecimal; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def with_digest(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a JSON file as it is read back, with its digest, which replaces an earlier one."""
    plain: dict[str, Any] = json.loads(json.dumps(content))
    plain.pop(DIGEST, None)
    return plain | {DIGEST: digest_of(plain)}


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: The file cannot be read, or is not a JSON object; names it.
    """
    with reading(path):
        content = json.loads(path.read_text(encoding="utf-8-sig"))  # an editor may add a mark
        if not isinstance(content, dict):
            raise ValueError(f"it should be a JSON object, not a {type(content).__name__}")
    return content


def read_verified(path: Path, *needed: str) -> dict[str, Any]:
    """Read a JSON object that :func:`with_digest` made, without its digest.

    Raises:
        ValueError: The file cannot be read, is not as it was written, or lacks a key of
            ``needed``; names it.
    """
    content = read_json(path)
    with reading(path):
        if DIGEST not in content:
            raise ValueError("it has no digest: an earlier version wrote it")
        if content.pop(DIGEST) != digest_of(content):
            raise ValueError("it is damaged or was changed: its digest does not match")
        if missing := [name for name in needed if name not in content]:
            raise ValueError(f"it has no {missing[0]!r}")
    return content
