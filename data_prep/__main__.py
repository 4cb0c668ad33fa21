"""`python -m data_prep`: make a prepared folder from a public data set, or a synthetic one."""

import argparse
import sys

import numpy as np

from data_prep import (
    cxr,
    echo,
    echo_folder,
    montgomery,
    pediatric,
    protocol,
    rsna,
    shenzhen,
    unlabelled,
)
from data_prep.collect import prepare
from data_prep.sets import SOURCES, get_sets
from data_prep.synthetic import HOSPITALS, prepare_synthetic
from ums.data.prepared import check_replaceable

_SETS = {
    "montgomery": (montgomery.list_montgomery, montgomery.ABOUT, "holds CXR_png and ManualMask"),
    "shenzhen": (shenzhen.list_shenzhen, shenzhen.ABOUT, "holds CXR_png and mask"),
    "pediatric": (
        pediatric.list_pediatric,
        pediatric.ABOUT,
        "holds train and test, or chest_xray with both in it",
    ),
    "rsna": (rsna.list_rsna, rsna.ABOUT, f"holds {rsna.TRAIN} and the two tables"),
    "unlabelled": (unlabelled.list_unlabelled, unlabelled.ABOUT, "holds images, at any depth"),
}


def main(arguments=None):
    """Run the command line; return 0, 2 after one line that says what is wrong, or 1 as `_get` does."""
    options = _parser().parse_args(arguments)
    try:
        if options.set == "get":
            return _get(options)
        prepared = _MAKERS.get(options.set, _real)(options)
    except (ValueError, OSError, MemoryError) as error:
        text = " ".join(str(error).split()) or "not enough memory"
        print(f"error: {text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        text = "interrupted, nothing written; what was read or fetched is kept for the same command"
        print(f"error: {text}", file=sys.stderr)
        return 2
    for one in prepared if isinstance(prepared, list) else [prepared]:
        _report(one)
    return 0


def _get(options):
    """Return 1 where a set that needs no account was to be got and is missing, else 0."""
    missing = get_sets(options.data, not options.list)
    free = {source.about["name"] for source in SOURCES if source.archive}
    return int(not options.list and not free.isdisjoint(missing))


def _real(options):
    make_list, about, _ = _SETS[options.set]
    check_replaceable(options.out, options.overwrite)
    return prepare(
        make_list(options.raw),
        options.out,
        about,
        size=options.size,
        seed=options.seed,
        strict=options.strict,
        overwrite=options.overwrite,
    )


def _cxr(options):
    return cxr.prepare_cxr(
        options.out, options.data, options.images, options.size, options.seed, options.strict
    )


def _echo(options):
    return echo.prepare_echo(
        options.out, options.images, options.size, options.seed, options.patients
    )


def _echo_folder(options):
    return echo.prepare_echo_folder(
        options.raw, options.out, options.size, options.seed, options.box, options.strict
    )


def _synthetic(options):
    rng = np.random.default_rng(options.seed)
    return prepare_synthetic(
        options.out,
        options.images,
        options.size,
        rng,
        options.hospital,
        options.abnormal,
        overwrite=options.overwrite,
        settings={"seed": options.seed},
    )


_MAKERS = {"synthetic": _synthetic, "cxr": _cxr, "echo": _echo, "echo-folder": _echo_folder}


def _report(prepared, shown=10):
    print(prepared)
    if "found" in prepared.about:
        is_pediatric = prepared.about["name"] == pediatric.ABOUT["name"]
        lines = pediatric.counts_beside_paper if is_pediatric else protocol.lines
        print(*lines(prepared.about), sep="\n")
    for ending, n in prepared.about.get("other_files", {}).items():
        print(f"not images: {n} files, {ending}")
    skipped = prepared.about["skipped"]
    if skipped:
        equal = sum(entry["why"].startswith("the same ") for entry in skipped)
        print(
            f"skipped {len(skipped)}, {equal} of them equal to another picture "
            f"(all of them in {prepared.folder / 'about.json'}):"
        )
    for entry in skipped[:shown]:
        print(f"  {entry['file']}: {entry['why']}")
    if len(skipped) > shown:
        print(f"  and {len(skipped) - shown} more")


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m data_prep",
        description="Make a prepared folder, which is what the experiments read.",
        epilog="example: python -m data_prep synthetic data/A --images 1000 --size 256 --seed 0",
    )
    commands = parser.add_subparsers(dest="set", required=True, metavar="SET")
    command = commands.add_parser(
        "synthetic",
        help="synthetic chest X-rays with exact lung masks, no download",
        epilog="example: python -m data_prep synthetic data/B --images 500 --hospital B --seed 1",
    )
    command.add_argument("--images", type=int, default=1000, help="how many (%(default)s)")
    text = "whose films; C is a children's hospital (%(default)s)"
    command.add_argument("--hospital", choices=HOSPITALS, default="A", help=text)
    text = "share with an opacity (as many of each kind as normal ones: 0.5, at C 2/3)"
    command.add_argument("--abnormal", type=float, help=text)
    _common(command)
    for name, (_, about, holds) in _SETS.items():
        command = commands.add_parser(
            name,
            help=about["source"],
            epilog=f"example: python -m data_prep {name} raw/{name} data/{name} --size 256",
        )
        command.add_argument("raw", help=f"the folder that {holds}")
        command.add_argument(
            "--strict", action="store_true", help="stop at the first bad file, do not skip it"
        )
        _common(command)
    command = commands.add_parser("get", help="which public sets are there; download what can be")
    command.add_argument("data", help="folder of raw sets")
    command.add_argument("--list", action="store_true", help="only say what is there")
    command = commands.add_parser(
        "cxr",
        help="the four sets of the chest X-ray experiment, real or synthetic",
        description=cxr.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m data_prep cxr prepared/real --data raw --size 128",
    )
    command.add_argument("--data", help="folder of raw sets; without it the sets are synthetic")
    command.add_argument("--images", type=int, default=1200, help="synthetic images (%(default)s)")
    command.add_argument("--strict", action="store_true", help="stop at the first bad file")
    _common(command, overwrite=False)
    _echo_commands(commands)
    return parser


def _echo_commands(commands):
    command = commands.add_parser(
        "echo",
        help="the two sets of the Doppler experiment, synthetic",
        description=echo.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m data_prep echo prepared/echo --images 1000 --size 128",
    )
    command.add_argument("--images", type=int, default=2444, help="how many (%(default)s)")
    text = "patients (as many images each as in the paper: 100 of 2,444)"
    command.add_argument("--patients", type=int, help=text)
    _common(command, overwrite=False)
    command = commands.add_parser(
        "echo-folder",
        help="the two sets of the Doppler experiment, from a folder of one's own",
        description=echo_folder.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m data_prep echo-folder raw/echo prepared/echo --size 128",
    )
    command.add_argument("raw", help="the folder that holds images, labels.csv and perhaps masks")
    text = "the panel's place on screens whose row has none, in pixels"
    names = ("X", "Y", "WIDTH", "HEIGHT")
    command.add_argument("--box", type=int, nargs=4, metavar=names, help=text)
    command.add_argument("--strict", action="store_true", help="stop at the first bad file")
    _common(command, overwrite=False)


def _seed(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} should be a whole number from 0")
    return int(text)


def _common(command, overwrite=True):
    command.add_argument("out", help="the prepared folder to write")
    command.add_argument("--size", type=int, default=256, help="pixels a side (%(default)s)")
    text = "for the split, where none is published (%(default)s)"
    command.add_argument("--seed", type=_seed, default=0, help=text)
    if overwrite:
        text = "replace an earlier prepared set"
        command.add_argument("--overwrite", action="store_true", help=text)


if __name__ == "__main__":
    sys.exit(main())
