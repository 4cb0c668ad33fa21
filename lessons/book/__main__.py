"""The command that makes the book: python -m lessons.book (--help says what it takes)."""

import argparse
import re
import sys
from pathlib import Path

from lessons.book.chapters import Edition
from lessons.book.check import faults
from lessons.book.staging import build
from lessons.notebooks import ROOT


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m lessons.book", description="make the book")
    parser.add_argument("--solved", action="store_true", help="the teacher's: with solutions")
    parser.add_argument(
        "--repository", type=_repository, metavar="OWNER/NAME", help="on GitHub, for its badges"
    )
    parser.add_argument(
        "--draft", action="store_true", help="execute no lesson: outputs only where they are"
    )
    parser.add_argument("--out", type=Path, help="folder (build/book or build/book-solved)")
    options = parser.parse_args(arguments)
    out = options.out or ROOT / "build" / ("book-solved" if options.solved else "book")
    try:
        status = build(out, Edition(options.solved, options.repository, options.draft))
    except ModuleNotFoundError as error:
        parser.exit(2, f"error: {error}; pip install -r requirements/book.txt\n")
    except ValueError as error:
        parser.exit(2, f"error: {error}\n")
    if status:
        return status
    found = faults(out / "html")
    print(*found, sep="\n", file=sys.stderr)
    print(f"{out / 'html' / 'index.html'}: {len(found)} faults")
    return 1 if found else 0


def _repository(text):
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        raise argparse.ArgumentTypeError(f"owner/name is expected, got {text!r}")
    return text


if __name__ == "__main__":
    sys.exit(main())
