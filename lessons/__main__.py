"""The lessons' command: python -m lessons build | solve | score (--help says what each does).

Each continues after a file that it cannot use, names it and exits with 1.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

from lessons.notebooks import ROOT, sources, student_path, student_text
from lessons.own_command import add_study
from lessons.running import score, solve
from ums.files import escape_unprintable


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m lessons", description="the lessons' notebooks")
    commands = parser.add_subparsers(required=True, metavar="build | solve | score")
    for name, run, text in (
        ("build", _build, "write the students' copies, with holes and without outputs"),
        ("solve", _solve, "write and execute the solved copies (lessons/solved/)"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "keys", nargs="*", metavar="N", help="lessons, such as 4, or tasks, such as t1; all"
        )
        command.set_defaults(run=run, listed=lambda options: sources(options.keys))
    text = "run students' notebooks (their code, with your rights) and say which checks they pass"
    command = commands.add_parser("score", help=text, description=text)
    command.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="notebook or folder")
    command.add_argument(
        "--timeout", type=_seconds, default=60, help="seconds a cell may take (60)"
    )
    command.set_defaults(run=_score, listed=lambda options: _notebooks(options.paths))
    add_study(commands)
    options = parser.parse_args(arguments)
    escape_unprintable()
    try:
        return _each(options.listed(options), partial(options.run, options))
    except ModuleNotFoundError as error:
        parser.exit(2, f"error: {error}; pip install -r requirements/lessons.txt\n")
    except ValueError as error:
        parser.exit(2, f"error: {error}\n")


def _seconds(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"at least 1 is needed, got {text}")
    return int(text)


def _each(paths, run):
    """Run on every path, go on after an error, name those that failed; the exit status."""
    failed = []
    for path in paths:
        try:
            run(path)
        except ModuleNotFoundError:
            raise
        except Exception as error:  # one broken file is not the others' trouble
            text = str(error) or repr(error)
            print(f"{text if str(path) in text else f'{path}: {text}'}", flush=True)
            failed.append(path)
    if failed:
        names = ", ".join(map(str, failed))
        print(f"error: {len(failed)} of {len(paths)} failed: {names}", file=sys.stderr)
    return 1 if failed else 0


def _build(options, source):
    text = student_text(source)
    student_path(source).write_text(text, encoding="utf-8")
    print(student_path(source).relative_to(ROOT))


def _solve(options, source):
    path, seconds = solve(source)
    print(f"{seconds:6.1f} s  {path.relative_to(ROOT)}", flush=True)


def _notebooks(paths):
    """All notebooks among the paths and in folders, at any depth; what cannot be read stays in."""
    found = []
    for path in paths:
        found += (_inside(path) or [path]) if path.is_dir() else [path]
    return list(dict.fromkeys(found))


def _inside(path):
    found, unread, seen = [], [], set()
    walk = os.walk(path, onerror=lambda error: unread.append(error.filename), followlinks=True)
    for folder, folders, files in walk:
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if name != ".ipynb_checkpoints"]
        found += [Path(folder, name) for name in files + folders if name.endswith(".ipynb")]
    return sorted([*found, *map(Path, unread)])


def _score(options, notebook):
    if notebook.is_dir():
        raise IsADirectoryError(f"{notebook} is a folder, and no notebook in it was found")
    results = score(notebook, options.timeout)
    passed = sum(result.status == "passed" for result in results)
    print(f"{notebook}: {passed} of {len(results)} checks passed")
    for result in results:
        message = result.message.replace("\n", "\n" + " " * 16)
        print(f"  {result.status:<12}  {result.check}{': ' * bool(message)}{message}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
