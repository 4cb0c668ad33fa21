"""The command line ``python -m data_prep``: prepared folders from public data sets, or synthetic."""

import argparse
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

try:
    from data_prep import (
        cxr,
        echo,
        echo_folder,
        folder,
        montgomery,
        pediatric,
        protocol,
        rsna,
        shenzhen,
        unlabelled,
    )
    from data_prep.collect import prepare
    from data_prep.options import Options
    from data_prep.sets import SOURCES, get_sets
    from data_prep.synthetic import HOSPITALS
    from data_prep.synthetic_sets import prepare_synthetic
    from data_prep.writing import accept, check_replaceable
    from ums.data.prepared import SPLITS, Prepared
    from ums.files import escape_unprintable
except ModuleNotFoundError as missing:
    print(
        f"error: {missing.name} is missing: python -m pip install -r requirements.txt",
        file=sys.stderr,
    )
    sys.exit(2)

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
    "folder": (
        folder.list_folder,
        folder.ABOUT,
        "holds images, and perhaps masks and labels.csv",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0; 2 after one line that says what is wrong; or 1 where "get" could not get a set that needs
        no account.
    """
    escape_unprintable()
    options = _parser().parse_args(arguments)
    try:
        if options.set == "get":
            return _get(options)
        prepared = _MAKERS.get(options.set, _real)(options)
    except (ValueError, OSError, MemoryError, ModuleNotFoundError) as error:
        text = " ".join(str(error).split()) or "not enough memory"
        print(f"error: {text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        text = (
            "interrupted, nothing written; the same command goes on with what was read or fetched"
        )
        print(f"error: {text}", file=sys.stderr)
        return 2
    for one in prepared:
        _report(one)
    return 0


def _get(options: Namespace) -> int:
    missing = get_sets(options.data, not options.list)
    free = {source.about["name"] for source in SOURCES if source.archive}
    return int(not options.list and not free.isdisjoint(missing))


def _options(options: Namespace) -> Options:
    given = {field.name: getattr(options, field.name, field.default) for field in fields(Options)}
    return Options(**given)


def _real(options: Namespace) -> list[Prepared]:
    make_list, about, _ = _SETS[options.set]
    check_replaceable(options.out, options.overwrite)
    more = {"patient": options.patient} if hasattr(options, "patient") else {}
    return [prepare(make_list(options.raw, **more), options.out, _options(options), about)]


def _cxr(options: Namespace) -> list[Prepared]:
    sizes = {field.name: getattr(options, field.name) for field in fields(cxr.Sizes)}
    return cxr.prepare_cxr(options.out, options.data, cxr.Sizes(**sizes), _options(options))


def _echo(options: Namespace) -> list[Prepared]:
    numbers = options.patients, options.replicates
    return echo.prepare_echo(options.out, options.images, _options(options), *numbers)


def _echo_folder(options: Namespace) -> list[Prepared]:
    return echo.prepare_echo_folder(options.raw, options.out, _options(options), options.box)


def _synthetic(options: Namespace) -> list[Prepared]:
    how, hospital, abnormal = _options(options), options.hospital, options.abnormal
    return [prepare_synthetic(options.out, options.images, how, hospital, abnormal)]


_MAKERS = {
    "synthetic": _synthetic,
    "cxr": _cxr,
    "echo": _echo,
    "echo-folder": _echo_folder,
    "accept": lambda options: [accept(options.folder)],
}


def _report(prepared: Prepared) -> None:
    print(prepared)
    path = prepared.folder / "about.json"
    try:
        lines = list(_details(prepared.about, path))
    except (AttributeError, KeyError, TypeError):  # edited by hand, which "accept" allows
        lines = [f"{path} was edited: the counts in it cannot be printed"]
    for line in lines:
        print(line)


def _details(about: dict, path: Path, most: int = 10) -> Iterator[str]:
    fractions = about.get("settings", {}).get("fractions", ())
    own = (1, 1, 1) if "understood" in about else ()  # a folder whose table gives the splits
    for split, share in zip(SPLITS, fractions or own, strict=False):
        if share > 0 and not about["counts"].get(split):
            patients = f"{about['counts']['patients']} patients are too few to fill every split"
            yield f"no image for {split}: {patients if fractions else 'the given splits have none'}"
    if "found" in about:
        yield from protocol.lines(about)
    if "patients" in about:
        yield f"patients: {about['counts']['patients']}, {about['patients']}"
    for what, understood in about.get("understood", {}).items():
        yield f"{what}: {understood}"
    if "readings" in about:
        yield "readings: age of {age}, sex of {sex} of {images} images".format(**about["readings"])
    if "boxes" in about:
        yield f"boxes: {about['boxes']}"
    for value, n in about["counts"]["constant_masks"].items():
        if n:
            yield f"masks that are all {value}: {n}"
    for ending, n in about.get("other_files", {}).items():
        yield f"not images: {n} files, {ending}"
    skipped = about["skipped"]
    if skipped:
        equal = sum(entry["why"].startswith("the same ") for entry in skipped)
        yield (
            f"skipped {len(skipped)}, {equal} of them equal to another picture "
            f"(all of them in {path}):"
        )
    for entry in skipped[:most]:
        yield f"  {entry['file']}: {entry['why']}"
    if len(skipped) > most:
        yield f"  and {len(skipped) - most} more"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data_prep",
        description="Make prepared folders, which the experiments read.",
        epilog="example: python -m data_prep synthetic data/A --images 1000 --size 256 --seed 0",
    )
    commands = parser.add_subparsers(dest="set", required=True, metavar="SET")
    _synthetic_command(commands)
    for name, (make_list, about, holds) in _SETS.items():
        described = sys.modules[make_list.__module__].__doc__
        command = _folders_command(commands, name, about["source"], described)
        command.epilog = f"example: python -m data_prep {name} raw/{name} data/{name} --size 256"
        command.add_argument("raw", help=f"the folder that {holds}")
        if name in ("unlabelled", "folder"):
            _patient(command)
        if name == "folder":
            text = "keep the images in RGB (default: grey)"
            command.add_argument("--colour", action="store_true", help=text)
        _common(command, strict=True)
    _other_commands(commands)
    command = _folders_command(
        commands, "cxr", "the sets of the chest X-ray study, real or synthetic", cxr.__doc__
    )
    command.epilog = "example: python -m data_prep cxr prepared/real --data raw --size 128"
    command.add_argument("--data", help="folder of raw sets; without it the sets are synthetic")
    _sizes(command)
    _patient(command)
    _common(command, overwrite=False, strict=True)
    _echo_commands(commands)
    return parser


def _sizes(command: Any) -> None:
    text = "synthetic images that a replicate's source learns from (%(default)s)"
    command.add_argument("--images", type=int, default=1000, help=text)
    text = (
        "synthetic labelled images that the tasks of a replicate learn from, in target and as many in "
        "pneumonia (15 %% of --images)"
    )
    command.add_argument("--labels", type=int, help=text)
    _replicates(command)
    text = "replicates that get a source from the other hospital as well (%(default)s)"
    command.add_argument("--other", type=int, default=0, help=text)


def _replicates(command: Any) -> None:
    text = "replicates of the study, each with synthetic patients of its own (%(default)s)"
    command.add_argument("--replicates", type=int, default=1, help=text)


def _other_commands(commands: Any) -> None:
    command = commands.add_parser(
        "get", help="list which public sets are there, and download those that need no account"
    )
    command.add_argument("data", help="folder of raw sets")
    command.add_argument("--list", action="store_true", help="list only")
    command = commands.add_parser(
        "accept",
        help="keep what was changed by hand in table.csv or about.json of a prepared folder",
        description="Write digests and counts anew. The rows must be in their order and the arrays as "
        "they were.",
    )
    command.add_argument("folder", help="the prepared folder")


def _synthetic_command(commands: Any) -> None:
    command = commands.add_parser(
        "synthetic",
        help="synthetic chest X-rays with exact lung masks, without a download",
        description="Draw one set of synthetic chest X-rays; every image shows another patient.",
        epilog="example: python -m data_prep synthetic data/B --images 500 --hospital B --seed 1",
    )
    command.add_argument("--images", type=int, default=1000, help="number of images (%(default)s)")
    text = "hospital; C is a children's hospital (%(default)s)"
    command.add_argument("--hospital", choices=HOSPITALS, default="A", help=text)
    text = "fraction with an opacity (default: all classes equally frequent, 0.5 or at C 2/3)"
    command.add_argument("--abnormal", type=float, help=text)
    _common(command)


def _folders_command(commands: Any, name: str, text: str, description: str | None) -> Any:
    raw = argparse.RawDescriptionHelpFormatter
    return commands.add_parser(name, help=text, description=description, formatter_class=raw)


def _echo_commands(commands: Any) -> None:
    command = _folders_command(
        commands, "echo", "the two sets of the Doppler study, synthetic", echo.__doc__
    )
    command.epilog = "example: python -m data_prep echo prepared/echo --images 1000 --size 128"
    text = "number of images that a replicate learns from and validates with (%(default)s)"
    command.add_argument("--images", type=int, default=2444, help=text)
    text = "number of their patients (default: each has as many as in the paper, 100 for 2,444)"
    command.add_argument("--patients", type=int, help=text)
    _replicates(command)
    _common(command, overwrite=False)
    text = "the two sets of the Doppler study, from your own folder"
    command = _folders_command(commands, "echo-folder", text, echo_folder.__doc__)
    command.epilog = "example: python -m data_prep echo-folder raw/echo prepared/echo --size 128"
    command.add_argument("raw", help="the folder that holds images, labels.csv and perhaps masks")
    text = "place of the panel, in pixels, on screens whose row states none"
    names = ("X", "Y", "WIDTH", "HEIGHT")
    command.add_argument("--box", type=int, nargs=4, metavar=names, help=text)
    _common(command, overwrite=False, strict=True)


def _patient(command: Any) -> None:
    text = (
        "regular expression whose first group, searched in the path of an image, is its "
        "patient (default: by DICOM headers, folders and known names; the rule is printed)"
    )
    command.add_argument("--patient", metavar="REGEX", help=text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} should be a whole number from 0")
    return int(text)


def _common(command: Any, overwrite: bool = True, strict: bool = False) -> None:
    command.add_argument("out", help="the prepared folder to write")
    text = "side of the prepared images in pixels (%(default)s)"
    command.add_argument("--size", type=int, default=256, help=text)
    text = "seed of the split where none is published, and of synthetic images (%(default)s)"
    command.add_argument("--seed", type=_seed, default=0, help=text)
    if overwrite:
        text = "replace an earlier prepared folder"
        command.add_argument("--overwrite", action="store_true", help=text)
    if strict:
        text = "stop at the first file that cannot be used, instead of leaving it out"
        command.add_argument("--strict", action="store_true", help=text)


if __name__ == "__main__":
    sys.exit(main())
