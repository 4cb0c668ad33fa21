"""The command ``python -m lessons study``: a small study with the answers that a student has kept."""

import argparse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACES = (Path("own"), ROOT / "work" / "own", ROOT / "lessons" / "own")
"""Where answers are kept: beside the notebook that kept them."""


def add_study(commands):
    """Add the command to those of an ``argparse`` parser."""
    text = "run a small study with the answers kept in own/, and make its page"
    command = commands.add_parser("study", help=text, description=text)
    own = next((place for place in PLACES if place.is_dir()), PLACES[0])
    command.add_argument("--own", type=Path, default=own, help="the answers' folder (%(default)s)")
    command.add_argument(
        "--only", nargs="+", default=(), metavar="NAME", help="which of them (all)"
    )
    command.add_argument(
        "--prepared", help="what `python -m data_prep cxr` made (synthetic images)"
    )
    command.set_defaults(run=_study)


def _study(options):
    from lessons.own_study import study  # it needs all of the library, which other commands do not

    print(study(options.own, options.prepared, options.only))
    return 0


def main():
    """The command by itself, for students, whose folder has no other."""
    parser = argparse.ArgumentParser(prog="python -m lessons", description=__doc__)
    add_study(parser.add_subparsers(required=True, metavar="study"))
    options = parser.parse_args()
    try:
        return options.run(options)
    except ValueError as error:
        parser.exit(2, f"error: {error}\n")
