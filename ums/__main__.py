"""The command line ``python -m ums``: the version, and where the commands are."""

import argparse

from ums import __version__

DESCRIPTION = """A deep-learning library for medical images.
The studies are run by `python -m ums.experiments`, which needs `pip install 'ums-rep[study]'`."""

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m ums", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"ums {__version__}")
    parser.parse_args()
    parser.print_help()
