"""The studies' command line: ``python -m ums.experiments cxr | echo | ablation | search | report``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

try:
    from ums.backend import choose_device
    from ums.data import load_prepared
    from ums.experiments import ablation, runner, search
    from ums.experiments.ablation_list import ABLATIONS
    from ums.experiments.cxr import CXR
    from ums.experiments.echo import ECHO
    from ums.experiments.modality import Modality
    from ums.experiments.names import DIVERSE
    from ums.experiments.report import write_report
    from ums.experiments.run import Run
    from ums.experiments.settings import Settings, add_options, from_options
    from ums.experiments.store import Store
    from ums.experiments.study import Study
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
    options = _parser().parse_args(arguments)
    start = time.perf_counter()
    try:
        folder = options.run(options)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ums.experiments",
        description="The paper's studies. What is trained is kept in the folder for results: a study "
        "that was stopped goes on, and its page can be made again from its records alone.",
    )
    commands = parser.add_subparsers(required=True, metavar="STUDY")

    def add(name: str, text: str, run: Callable[[argparse.Namespace], Path]) -> Any:
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.set_defaults(run=run)
        return command

    for modality in MODALITIES:
        text = f"{modality.title}: the source, three strategies and separate models"
        command = add(modality.name, text, partial(_study, modality))
        _add_basics(command, modality, modality.layout.folders, modality.defaults)
        command.add_argument(
            "--groups",
            nargs="+",
            choices=tuple(modality.layout.groups),
            help="tasks with diverse or with similar annotations (all whose folders are there)",
        )
    command = add("ablation", "the chest X-ray study with one thing changed at a time", _ablation)
    _add_basics(command, CXR, ["source", "target", "test"], CXR.defaults)
    names = [one.name for one in ABLATIONS]
    command.add_argument(
        "--questions", nargs="+", choices=names, default=names, help="what to change (all)"
    )
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
    made_by = f"folder that `{modality.layout.preparation}` made"
    parser.add_argument("prepared", help=f"{made_by}: {', '.join(folders)}")
    out = out or f"results/{modality.name}"
    parser.add_argument("--out", type=Path, default=out, help="folder to write (%(default)s)")
    add_options(parser, defaults)
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def _run(options: argparse.Namespace, store: Store, settings: Settings) -> Run:
    return Run(settings, choose_device(options.device), store, not options.quiet)


def _study(modality: Modality, options: argparse.Namespace) -> Path:
    settings = from_options(Settings, options)
    datasets = modality.layout.load(options.prepared, options.groups)
    with Store(options.out) as store:
        study = Study(modality, datasets, _run(options, store, settings))
        runner.run(study, options.out)
    return Path(options.out)


def _ablation(options: argparse.Namespace) -> Path:
    settings = from_options(Settings, options)
    datasets = CXR.layout.load(options.prepared, [DIVERSE])
    chosen = [one for one in ABLATIONS if one.name in options.questions]
    with Store(options.out) as store:
        ablation.run(datasets, _run(options, store, settings), options.out, chosen)
    return Path(options.out) / ablation.FOLDER


def _search(options: argparse.Namespace) -> Path:
    settings = from_options(search.SearchSettings, options)
    source = load_prepared(Path(options.prepared) / "source")
    with Store(options.out) as store:
        run = _run(options, store, Settings())
        search.run(search.Search(source, settings, run), options.out)
    return Path(options.out)


def _report(options: argparse.Namespace) -> Path:
    folder: Path = options.folder
    return folder


if __name__ == "__main__":
    sys.exit(main())
