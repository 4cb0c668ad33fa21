"""The studies' command line: ``python -m ums.experiments cxr | echo | FILE.toml | search | report``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

try:
    import numpy as np

    from ums.backend import choose_device
    from ums.data import load_prepared
    from ums.experiments import pilot, runner, search
    from ums.experiments.arms import ARMS
    from ums.experiments.cxr import CXR
    from ums.experiments.echo import ECHO
    from ums.experiments.factors import FACTORS
    from ums.experiments.items import Part
    from ums.experiments.modality import Modality
    from ums.experiments.own import OwnStudy
    from ums.experiments.report import write_report
    from ums.experiments.run import Run
    from ums.experiments.settings import Settings, add_options, from_options
    from ums.experiments.store import Store
    from ums.files import escape_unprintable
except ModuleNotFoundError as missing:
    text = 'python -m pip install "ums-rep[study]", or in a checkout -r requirements.txt'
    print(f"error: {missing.name} is missing: {text}", file=sys.stderr)
    sys.exit(2)

MODALITIES: tuple[Modality, ...] = (CXR, ECHO)
"""Those that can be run; a modality of one's own is added here."""


def main(arguments: list[str] | None = None) -> int:
    """Run a study or make its page again; returns 2 after one line that says what is wrong."""
    escape_unprintable()
    given = sys.argv[1:] if arguments is None else arguments
    start = time.perf_counter()
    try:
        own = [OwnStudy(one) for one in given[:1] if one.lower().endswith(".toml")]
        options = _parser(own).parse_args([own[0].name, *given[1:]] if own else given)
        folder = options.run(options)
        if folder is None:
            return 0
        print(f"making the page of {folder}")
        page, tables = write_report(folder)
    except (ValueError, OSError, RuntimeError, MemoryError, ModuleNotFoundError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; finished jobs are kept, start again to go on", file=sys.stderr)
        return 130
    print(f"\n{tables}")
    print(f"{page}: the page, after {(time.perf_counter() - start) / 60:.1f} minutes")
    return 0


def _parser(own: Sequence[Modality] = ()) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ums.experiments",
        description="The paper's studies, and one of your own: STUDY is then a file NAME.toml, as "
        "ums/experiments/OWN.md describes it. What is trained is kept in the folder for results: a study "
        "that was stopped goes on, and its page can be made again from its records alone.",
    )
    commands = parser.add_subparsers(required=True, metavar="STUDY")

    def add(name: str, text: str, run: Callable[[argparse.Namespace], Path | None]) -> Any:
        command = commands.add_parser(name, help=text, description=text[:1].upper() + text[1:])
        command.set_defaults(run=run)
        return command

    for modality in (*MODALITIES, *own):
        text = f"{modality.title}: when does sharing an encoder pay?"
        command = add(modality.name, text, partial(_study, modality))
        _add_basics(command, modality, modality.layout.folders, modality.defaults)
        _add_study_options(command, modality)
    command = add("search", "random search for the echo source's hyperparameters", _search)
    _add_basics(command, ECHO, ["source"], search.SearchSettings(), "results/echo-search")
    command = add("report", "make the page of a study again, from its records alone", _report)
    command.add_argument("folder", type=Path, help="folder with a study.json, such as results/cxr")
    return parser


def _add_basics(
    parser: argparse.ArgumentParser, modality: Modality, folders: list[str], defaults: Any,
    out: str = "",
) -> None:  # fmt: skip
    """The folders, an option for each setting, the device."""
    made_by = modality.layout.preparation.format("PREPARED")
    parser.add_argument(
        "prepared", metavar="PREPARED", help=f"folder with {', '.join(folders)}: {made_by}"
    )
    out = out or f"results/{modality.name}"
    parser.add_argument("--out", type=Path, default=out, help="folder to write (%(default)s)")
    add_options(parser, defaults)
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def _add_study_options(command: argparse.ArgumentParser, modality: Modality) -> None:
    """What to run of the study, and how."""

    def several(name: str, choices: Sequence[str], default: Any, text: str) -> None:
        command.add_argument(name, nargs="+", choices=choices, default=default, help=text)

    groups = "tasks with diverse or with similar annotations (all whose folders are there)"
    several("--groups", tuple(modality.layout.groups), None, groups)
    several("--arms", tuple(ARMS), tuple(ARMS), "ways to train that are compared (all)")
    factors = "what else is varied (nothing)"
    several("--factors", [factor.name for factor in FACTORS], (), factors)
    command.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        default="",
        help="run the jobs by a Dask scheduler's workers",
    )
    command.add_argument(
        "--job",
        metavar="K/N",
        type=_share,
        help="run only the K-th of N shares of the jobs, and no page",
    )
    portable = (
        "take what any device or number of threads computed: results then differ in the last digits"
    )
    command.add_argument("--portable", action="store_true", help=portable)
    for name, default, text in (
        ("--level-replicates", 2, "replicates of each level of a factor"),
        ("--processes", 0, "jobs run side by side; 0: one for each processor, 1 on a GPU"),
        ("--pilot", 0, "choose each arm's learning rate with so many replicates, and nothing else"),
    ):
        command.add_argument(name, type=int, default=default, help=f"{text} (%(default)s)")


def _share(text: str) -> tuple[int, int]:
    """K and N of "K/N"."""
    k, _, n = text.partition("/")
    if not (k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n)):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N with K from 1 to N")
    return int(k), int(n)


def _study(modality: Modality, options: argparse.Namespace) -> Path | None:
    settings, processes = from_options(Settings, options), options.processes
    if choose_device(options.device).xp is np:  # results depend on the number of threads of a job
        threads = int(os.environ.setdefault("UMS_THREADS", "1"))
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # BLAS in the processes, too
        processes = processes or max(1, (os.cpu_count() or 1) // threads)
    groups = tuple(options.groups) if options.groups else None
    where = (Path(options.prepared), groups, Path(options.out))
    place = runner.Place(modality, *where, options.device, not options.quiet, options.portable)
    if options.pilot:
        part = Part(settings, tuple(options.arms))
        chosen = pilot.run(place, part, options.pilot, processes or 1)
        print(chosen.read_text(encoding="utf-8"))
        return None
    factors = [factor for factor in FACTORS if factor.name in options.factors]
    parts = runner.parts_of(settings, options.arms, factors, options.level_replicates)
    runner.run(place, parts, processes or 1, print, options.scheduler, options.job)
    if options.job:
        print("this share is done; when all are, the same command without --job ends the study")
        return None
    return place.out


def _search(options: argparse.Namespace) -> Path:
    settings = from_options(search.SearchSettings, options)
    source = load_prepared(Path(options.prepared) / "source")
    with Store(options.out) as store:
        run = Run(Settings(), choose_device(options.device), store, not options.quiet)
        search.run(search.Search(source, settings, run), options.out)
    return Path(options.out)


def _report(options: argparse.Namespace) -> Path:
    folder: Path = options.folder
    return folder


if __name__ == "__main__":
    sys.exit(main())
