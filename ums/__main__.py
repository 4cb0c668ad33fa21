"""The command line ``python -m ums``: what a trained model says of images, a page to try it, the version."""

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
    predict.add_argument("--out", default="predictions", help="folder to write (%(default)s)")
    demo = commands.add_parser(
        "demo", help="a page to try a model, for this computer alone",
        description="Serve a page where a person drops an image. Needs pip install 'ums-rep[demo]'.",
    )  # fmt: skip
    demo.add_argument("--port", type=int, help="of the page (the first free one from 7860 on)")
    for each in (predict, demo):
        each.add_argument(
            "--model", required=True, help="a study's results, or a folder in its models/"
        )
        each.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    options = vars(parser.parse_args(arguments))
    command = options.pop("command")
    if command is None:
        parser.print_help()
        return 0
    try:
        return (_predict if command == "predict" else _demo)(**options)
    except ModuleNotFoundError as error:
        print(f"error: {error.name} is missing: pip install 'ums-rep[demo]'", file=sys.stderr)
        return 2
    except (OSError, ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _predict(images: list[str], model: str, out: str, device: str) -> int:
    from ums.predictions import run

    return run(images, model, out, device)


def _demo(model: str, device: str, port: int | None) -> int:
    from ums.backend import choose_device
    from ums.demo import serve
    from ums.models import load_model

    chosen = choose_device(device)
    serve(load_model(model).to(chosen), chosen, port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
