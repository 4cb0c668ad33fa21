"""The command line ``python -m ums``: what a trained model says of images, and the version."""

import argparse
import sys

from ums import __version__

DESCRIPTION = """A deep-learning library for medical images.
The studies are run by `python -m ums.experiments`, which needs `pip install 'ums-rep[study]'`."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; errors that a user can mend are one line."""
    parser = argparse.ArgumentParser(prog="python -m ums", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"ums {__version__}")
    commands = parser.add_subparsers(dest="command")
    predict = commands.add_parser(
        "predict", help="outlines, probabilities and heat maps of images",
        description="What a trained model says of PNG, JPEG and DICOM files. Not for clinical use.",
    )  # fmt: skip
    predict.add_argument("images", nargs="+", metavar="IMAGE", help="files, and folders of files")
    predict.add_argument(
        "--model", required=True, help="a study's results, or a folder in its models/"
    )
    predict.add_argument("--out", default="predictions", help="folder to write (%(default)s)")
    predict.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    options = vars(parser.parse_args(arguments))
    if options.pop("command") is None:
        parser.print_help()
        return 0
    from ums.predictions import run

    try:
        return run(**options)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
