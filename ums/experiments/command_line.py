"""The studies' command lines: their options, and what becomes of a report or an error."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path

from ums.backend import Device, choose_device
from ums.experiments.datasets import Modality, Sets
from ums.experiments.report.page import Report
from ums.experiments.settings import Settings


def run_study(
    parser: argparse.ArgumentParser,
    modality: Modality,
    defaults: Settings,
    out: str,
    study: Callable[[Sets, Settings, Device, Path], Report],
    arguments: list[str] | None,
) -> int:
    """Run a study from the command line; 2 after one line that says what is wrong.

    Args:
        parser: with the study's name and description.
        modality: whose prepared folder is asked for.
        defaults: of the options.
        out: the folder for results, by default.
        study: everything, given what the options say.
        arguments: in place of the command line's.
    """
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=tuple(modality.parts),
        help="tasks with diverse or with similar annotations (all whose images are there)",
    )
    add_options(parser, modality, defaults, out)
    options = parser.parse_args(arguments)

    def report():
        settings, folder = settings_of(options), Path(options.out)
        sets = modality.load(options.prepared, options.parts)
        return study(sets, settings, choose_device(options.device), folder), folder

    return report_on(report)


def report_on(study: Callable[[], tuple[Report, Path]]) -> int:
    """Write and print the report that ``study()`` makes, for a folder; the exit status."""
    start = time.perf_counter()
    try:
        report, folder = study()
        page = report.write(folder)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; what is finished is kept, start again to go on", file=sys.stderr)
        return 130
    print("\n" + "\n\n".join(table.text() for table in report.tables))
    print(f"{page}: the page, after {(time.perf_counter() - start) / 60:.1f} minutes")
    return 0


NUMBERS = {
    "folds": "turns of the cross-validation; the paper has 10",
    "width": "scales every channel count; 1 is the paper's",
    "source_epochs": "epochs of the source at most; 0 leaves it untrained",
    "epochs": "epochs of each segmentation network at most, and of tasks tuned with one",
    "classifier_epochs": "epochs of each classifier at most",
    "batch": "images per batch",
    "learning_rate": "at the start; halved on a plateau",
    "patience": "epochs without improvement before training stops",
    "dark": "grey level up to which a pixel is off the film; -1: all count for the image's mean",
    "labels": "share of a fold's training images that are learned from; what decides when to stop stays",
    "seed": "of every random number",
}


def add_basics(
    parser: argparse.ArgumentParser,
    modality: Modality,
    holds: Iterable[str],
    numbers: dict[str, str],
    defaults: object,
    out: str,
) -> None:
    """The folders, the device, and an option for each of ``numbers``, a setting -> what it means.

    Args:
        parser: what they are added to.
        modality: whose prepared folder is asked for.
        holds: the folders in it that are used.
        numbers: of ``defaults``, which has the default of each.
        defaults: settings.
        out: the folder for results, by default.
    """
    parser.add_argument(
        "prepared",
        help=f"folder that `python -m data_prep {modality.preparation}` made: {', '.join(holds)}",
    )
    parser.add_argument("--out", default=out, help="folder to write (%(default)s)")
    for name, text in numbers.items():
        default = getattr(defaults, name)
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(
            option, type=type(default), default=default, help=f"{text} (%(default)s)"
        )
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def add_options(
    parser: argparse.ArgumentParser, modality: Modality, defaults: Settings, out: str
) -> None:
    """The prepared folder, where results go, and an option for everything in :class:`Settings`."""
    folders = dict.fromkeys(f for folders, _ in modality.parts.values() for f in folders)
    add_basics(parser, modality, ["source", *folders], NUMBERS, defaults, out)
    parser.add_argument(
        "--joint-weights",
        default=defaults.joint_weights,
        help="of the joint loss: equal, uncertainty, gradnorm or a number for each task of a part, "
        "such as 1,0.5 (%(default)s)",
    )
    parser.add_argument(
        "--stop-by",
        choices=("all", "first"),
        default=defaults.stop_by,
        help="whose validation losses say which epoch is kept of tasks tuned together: all tasks' or the "
        "first's (%(default)s)",
    )
    parser.add_argument(
        "--augment",
        action=argparse.BooleanOptionalAction,
        default=defaults.augment,
        help="turn, move, scale and expose the tasks' training images at random (%(default)s)",
    )
    parser.add_argument(
        "--statistics",
        choices=("source", "target"),
        default=defaults.statistics,
        help="whose images a frozen encoder's batch norms are set to (%(default)s)",
    )


def settings_of(options: argparse.Namespace, kind: type = Settings):
    """What was given on the command line, as settings of the kind.

    Raises:
        ValueError: a value is out of its range; names it.
    """
    names = [f.name for f in fields(kind) if f.name != "progress"]
    return kind(**{n: getattr(options, n) for n in names}, progress=not options.quiet)
